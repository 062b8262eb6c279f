//! The variable-length integers of the wire (peers-protocol §5).
//!
//! A value under 240 is one byte. Larger ones start with a byte of 240 or more that carries four useful bits,
//! followed by bytes of seven; a byte under 128 is the last. Every value has exactly one encoding.

use thiserror::Error;

/// Most bytes of a varint of a 64-bit value.
pub(crate) use crate::MAX_VARINT as MAX_LEN;

/// Smallest value that takes more than one byte.
const FIRST_LONG: u64 = 240;

/// Why bytes are not a varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VarintError {
    /// The bytes end before the last one of the varint.
    #[error("the varint is incomplete")]
    Truncated,
    /// The tenth byte is not the last.
    #[error("the varint has more than 10 bytes")]
    TooLong,
    /// The value is over 2^64 − 1.
    #[error("the varint does not fit 64 bits")]
    Overflow,
}

/// Appends `value` to `out`: 1 to 10 bytes.
#[inline]
pub fn encode(value: u64, out: &mut Vec<u8>) {
    if value < FIRST_LONG {
        out.push(value as u8);
    } else {
        let (bytes, len) = encode_long(value);
        out.extend_from_slice(&bytes[..len]);
    }
}

/// Where messages of up to 255 bytes are put together: eight bytes can be written at each place of the first 256, so no
/// write needs a check.
pub(crate) type Window = [u8; 256 + 8];

/// Writes the varint of a 32-bit value over eight bytes from `at` on, of which it takes up to five; returns where it ends.
/// The bytes after it are anything. Beyond the place 255 it goes on at 0.
#[inline(always)]
pub(crate) fn put(value: u32, out: &mut Window, at: u8) -> u8 {
    let value = u64::from(value);
    let (word, len) = if value < FIRST_LONG {
        (value, 1)
    } else {
        let rest = (value - FIRST_LONG) >> 4;
        // A byte that is not the last counts for 128 more than its seven bits say, which leaves less for the next.
        let (len, less) = match rest {
            0..0x80 => (2, 0),
            0x80..0x4080 => (3, 0x80),
            0x4080..0x20_4080 => (4, 0x4080),
            _ => (5, 0x20_4080),
        };
        let not_last = 0x80_8080 & ((1 << (8 * len - 16)) - 1);
        ((value | 0xf0) & 0xff | (spread(rest - less) | not_last) << 8, len as u8)
    };
    put_bytes(word.to_le_bytes(), out, at);
    at.wrapping_add(len)
}

/// As [`put`] for any value.
#[inline(always)]
pub(crate) fn put64(value: u64, out: &mut Window, at: u8) -> u8 {
    if let Ok(value) = u32::try_from(value) {
        return put(value, out, at);
    }
    let (bytes, len) = encode_long(value);
    let (low, high) = bytes.split_at(8);
    put_bytes(low.try_into().unwrap_or_default(), out, at);
    put_bytes([high[0], high[1], 0, 0, 0, 0, 0, 0], out, at.wrapping_add(8));
    at.wrapping_add(len as u8)
}

/// Writes eight bytes from `at` on.
#[inline(always)]
pub(crate) fn put_bytes(bytes: [u8; 8], out: &mut Window, at: u8) {
    let at = usize::from(at);
    out[at..at + 8].copy_from_slice(&bytes);
}

/// Puts four times seven bits into a byte each, the lowest first.
#[inline(always)]
const fn spread(bits: u64) -> u64 {
    let halves = (bits & 0x3fff) | (bits & 0xfff_c000) << 2;
    (halves & 0x7f_007f) | (halves & 0x3f80_3f80) << 1
}

/// Encodes a value of 240 or more; returns the bytes and how many of them count.
pub(crate) const fn encode_long(value: u64) -> ([u8; MAX_LEN], usize) {
    let mut bytes = [0; MAX_LEN];
    bytes[0] = value as u8 | 0xf0;
    let mut rest = (value - FIRST_LONG) >> 4;
    let mut len = 1;
    while rest >= 128 {
        bytes[len] = rest as u8 | 0x80;
        rest = (rest - 128) >> 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    (bytes, len + 1)
}

/// How many bytes [`encode`] appends.
#[inline]
pub const fn encoded_len(value: u64) -> usize {
    if value < FIRST_LONG {
        return 1;
    }
    let mut rest = (value - FIRST_LONG) >> 4;
    let mut len = 2;
    while rest >= 128 {
        rest = (rest - 128) >> 7;
        len += 1;
    }
    len
}

/// Reads the varint at the start of `bytes`; returns it with the number of bytes it takes.
///
/// # Errors
/// When the bytes end early, or hold a varint that no sender of 64-bit values makes.
#[inline]
pub const fn decode(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    match bytes {
        [] => Err(VarintError::Truncated),
        [byte, ..] if (*byte as u64) < FIRST_LONG => Ok((*byte as u64, 1)),
        // Ages, periods and counters of a few hundred: the most frequent of the long ones.
        [first, second, ..] if *second < 128 => Ok((*first as u64 + ((*second as u64) << 4), 2)),
        _ => decode_long(bytes),
    }
}

/// Reads the varint at the start of eight bytes, given as a little-endian number; `None` when it is longer than that.
#[inline(always)]
pub(crate) const fn decode_word(word: u64) -> Option<(u64, usize)> {
    let first = word & 0xff;
    if first < FIRST_LONG {
        return Some((first, 1));
    }
    // The first byte under 128 after the first is the last.
    let ends = !word & 0x8080_8080_8080_8000;
    if ends == 0 {
        return None;
    }
    let rest = (word & (ends ^ (ends - 1))) >> 8;
    // Bytes count 1, 128, 128², … with all their eight bits: pairs of them are added, then pairs of pairs.
    let pairs = (rest & 0x00ff_00ff_00ff_00ff) + ((rest >> 8 & 0x00ff_00ff_00ff_00ff) << 7);
    let fours = (pairs & 0xffff_0000_ffff) + ((pairs >> 16 & 0xffff_0000_ffff) << 14);
    let sum = (fours & 0xffff_ffff) + ((fours >> 32) << 28);
    Some((first + (sum << 4), ends.trailing_zeros() as usize / 8 + 1))
}

/// As [`decode_word`] for varints of at most five bytes: nearly all 32-bit values.
#[inline(always)]
pub(crate) const fn decode_word_32(word: u64) -> Option<(u32, usize)> {
    let first = word as u32 & 0xff;
    if first < FIRST_LONG as u32 {
        return Some((first, 1));
    }
    let ends = !word & 0x80_8080_8000;
    if ends == 0 {
        return None;
    }
    let rest = ((word & (ends ^ (ends - 1))) >> 8) as u32;
    let pairs = (rest & 0x00ff_00ff) + ((rest >> 8 & 0x00ff_00ff) << 7);
    let sum = (pairs & 0xffff).wrapping_add(pairs >> 16 << 14);
    Some((first.wrapping_add(sum << 4), ends.trailing_zeros() as usize / 8 + 1))
}

const fn decode_long(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = bytes[0] as u64;
    let mut shift = 4;
    let mut at = 1;
    loop {
        if at >= bytes.len() {
            return Err(VarintError::Truncated);
        }
        let byte = bytes[at] as u64;
        at += 1;
        if at == MAX_LEN {
            // Only the tenth byte can overflow: it is shifted by 60, and what precedes it is under 2^61.
            if byte >= 128 {
                return Err(VarintError::TooLong);
            }
            if byte > u64::MAX >> shift {
                return Err(VarintError::Overflow);
            }
        }
        value = match value.checked_add(byte << shift) {
            Some(value) => value,
            None => return Err(VarintError::Overflow),
        };
        if byte < 128 {
            return Ok((value, at));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    /// The examples of peers-protocol §5.
    const EXAMPLES: [(u64, &[u8]); 26] = [
        (0, &[0x00]),
        (239, &[0xef]),
        (240, &[0xf0, 0x00]),
        (241, &[0xf1, 0x00]),
        (255, &[0xff, 0x00]),
        (256, &[0xf0, 0x01]),
        (300, &[0xfc, 0x03]),
        (1500, &[0xfc, 0x4e]),
        (2287, &[0xff, 0x7f]),
        (2288, &[0xf0, 0x80, 0x00]),
        (2289, &[0xf1, 0x80, 0x00]),
        (4096, &[0xf0, 0xf1, 0x00]),
        (16384, &[0xf0, 0xf1, 0x06]),
        (4660, &[0xf4, 0x94, 0x01]),
        (10000, &[0xf0, 0xe2, 0x03]),
        (60000, &[0xf0, 0x97, 0x1c]),
        (264_431, &[0xff, 0xff, 0x7f]),
        (264_432, &[0xf0, 0x80, 0x80, 0x00]),
        (1_800_000, &[0xf0, 0xe5, 0xed, 0x05]),
        (3_600_000, &[0xf0, 0xd9, 0xdc, 0x0c]),
        (33_818_863, &[0xff, 0xff, 0xff, 0x7f]),
        (33_818_864, &[0xf0, 0x80, 0x80, 0x80, 0x00]),
        (2_147_483_647, &[0xff, 0xf0, 0xfe, 0xfe, 0x3e]),
        (2_147_483_648, &[0xf0, 0xf1, 0xfe, 0xfe, 0x3e]),
        (4_294_967_295, &[0xff, 0xf0, 0xfe, 0xfe, 0x7e]),
        (u64::MAX, &[0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
    ];

    #[test]
    fn the_documented_examples() {
        for (value, bytes) in EXAMPLES {
            assert_eq!(encoded(value), bytes, "{value}");
            assert_eq!(encoded_len(value), bytes.len(), "{value}");
            assert_eq!(decode(bytes), Ok((value, bytes.len())), "{value}");
        }
    }

    #[test]
    fn the_first_value_of_each_length() {
        let firsts = [
            240,
            2_288,
            264_432,
            33_818_864,
            4_328_786_160,
            554_084_600_048,
            70_922_828_777_712,
            9_078_122_083_518_704,
            1_161_999_626_690_365_680,
        ];
        for (length, first) in (2..).zip(firsts) {
            assert_eq!(encoded_len(first - 1), length - 1);
            assert_eq!(encoded_len(first), length);
            assert_eq!(encoded(first).len(), length);
        }
    }

    #[test]
    fn every_proper_prefix_is_incomplete() {
        for (_, bytes) in EXAMPLES {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Err(VarintError::Truncated), "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_64_bits_is_refused() {
        let mut bytes = encoded(u64::MAX);
        bytes[9] += 1;
        assert_eq!(decode(&bytes), Err(VarintError::Overflow));
        bytes[9] = 0x7f;
        assert_eq!(decode(&bytes), Err(VarintError::Overflow));
        // One more than 2^64 − 1, by carry and not by the shift.
        assert_eq!(
            decode(&[0xff, 0xf1, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
            Err(VarintError::Overflow)
        );
        assert_eq!(decode(&[0xff; 11]), Err(VarintError::TooLong));
        assert_eq!(decode(&[0xff; 10]), Err(VarintError::TooLong));
        assert_eq!(decode(&[0xff; 9]), Err(VarintError::Truncated));
    }

    #[test]
    fn eight_bytes_at_once_are_the_same_at_every_edge() {
        let mut edges: Vec<u64> = EXAMPLES.iter().map(|&(value, _)| value).collect();
        for power in 4..64 {
            for offset in [0x80, 0x4080, 0x20_4080, 0x1020_4080] {
                let edge: u64 = (1 << power) + 240 + (offset << 4);
                edges.extend(edge - 20..edge + 20);
            }
        }
        for value in edges {
            let mut bytes = encoded(value);
            let len = bytes.len();
            bytes.resize(16, 0xff);
            let word = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            assert_eq!(decode_word(word), (len <= 8).then_some((value, len)), "{value}");
            assert_eq!(decode_word_32(word), (len <= 5).then_some((value as u32, len)), "{value}");
            let mut out = [0; 256 + 8];
            let end = put(value as u32, &mut out, 255);
            assert_eq!(end, 254u8.wrapping_add(1).wrapping_add(encoded(u64::from(value as u32)).len() as u8));
            let end = put(value as u32, &mut out, 0);
            assert_eq!(out[..end.into()], encoded(u64::from(value as u32)), "{value}");
        }
    }

    proptest! {
        #[test]
        fn values_come_back(value: u64, bits in 0u32..64, tail: [u8; 3]) {
            let value = value >> bits;
            let mut bytes = encoded(value);
            prop_assert_eq!(bytes.len(), encoded_len(value));
            let len = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok((value, len)));
        }

        #[test]
        fn eight_bytes_at_once_are_the_same(value: u64, bits in 0u32..64, tail: [u8; 8]) {
            let value = value >> bits;
            let mut bytes = encoded(value);
            let len = bytes.len();
            bytes.extend(tail);
            let word = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            prop_assert_eq!(decode_word(word), (len <= 8).then_some((value, len)));
            prop_assert_eq!(decode_word_32(word), (len <= 5).then_some((value as u32, len)));
            let mut out = [7; 256 + 8];
            let end = put64(value, &mut out, 3);
            prop_assert_eq!(&out[3..end.into()], encoded(value));
            let low = value as u32;
            let end = put(low, &mut out, 3);
            prop_assert_eq!(&out[3..end.into()], encoded(low.into()));
            prop_assert_eq!(&out[..3], [7; 3]);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: [u8; 12], first in 0xf0u8..) {
            let mut bytes = bytes;
            bytes[0] = first;
            if let Ok((value, len)) = decode(&bytes) {
                prop_assert_eq!(encoded(value), &bytes[..len]);
            }
        }
    }
}
