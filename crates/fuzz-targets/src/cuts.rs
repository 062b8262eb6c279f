//! Ways to cut a stream into the pieces that reads may give.

/// The whole at once, byte by byte, and two ways in between that depend on the bytes.
pub(crate) fn cuts(bytes: &[u8]) -> [Vec<&[u8]>; 4] {
    let seed = bytes
        .iter()
        .fold(bytes.len() as u64 | 1, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    [vec![bytes], bytes.chunks(1).collect(), random(bytes, seed, 7), random(bytes, !seed, 600)]
}

/// Pieces of 1 to `longest` bytes.
fn random(mut bytes: &[u8], mut seed: u64, longest: u64) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        // xorshift64: any spread does.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (piece, rest) = bytes.split_at((1 + seed % longest).min(bytes.len() as u64) as usize);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
