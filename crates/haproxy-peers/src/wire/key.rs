//! Keys of entries (peers-protocol §7.2, §8.3).

use stick_table::KeyType;

use crate::{DecodeError, Reader, varint};

const FIELD: &str = "key";

/// Reads a key; returns its canonical bytes, see [`KeyType`].
///
/// Of a string longer than `max_len` only that much is returned and has to be there; the reader passes over the full
/// announced length (peers-protocol §8.3). A string ends at a NUL.
///
/// # Errors
/// When the key is incomplete.
#[inline]
pub fn decode_key<'a>(key_type: KeyType, reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    match key_type {
        KeyType::Integer | KeyType::Ip => reader.bytes(4, FIELD),
        KeyType::Ipv6 => reader.bytes(16, FIELD),
        KeyType::Binary { len } => reader.bytes(len as usize, FIELD),
        KeyType::String { max_len } => decode_string(max_len, reader),
    }
}

#[inline]
fn decode_string<'a>(max_len: u32, reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = reader.varint("key length")?;
    let stored = length.min(max_len.into());
    let bytes = reader.bytes(stored as usize, FIELD)?;
    reader.skip(length - stored);
    match memchr::memchr(0, bytes) {
        None => Ok(bytes),
        Some(end) => Ok(&bytes[..end]),
    }
}

/// Appends a key given by its canonical bytes.
#[inline]
pub fn encode_key(key_type: KeyType, key: &[u8], out: &mut Vec<u8>) {
    if let KeyType::String { .. } = key_type {
        varint::encode(key.len() as u64, out);
    }
    out.extend_from_slice(key);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;
    use proptest::prelude::*;

    const STRING: KeyType = KeyType::String { max_len: 3 };

    fn decode(key_type: KeyType, bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
        let mut reader = Reader::new(bytes, 0);
        decode_key(key_type, &mut reader).map(|key| (key, reader.rest()))
    }

    #[test]
    fn fixed_keys_have_no_length() {
        for (key_type, size) in
            [(KeyType::Integer, 4), (KeyType::Ip, 4), (KeyType::Ipv6, 16), (KeyType::Binary { len: 9 }, 9)]
        {
            let bytes: Vec<u8> = (0..=size).collect();
            let (key, rest) = decode(key_type, &bytes).unwrap();
            assert_eq!((key, rest), bytes.split_at(size.into()));
            let mut out = Vec::new();
            encode_key(key_type, key, &mut out);
            assert_eq!(out, key);
            assert_eq!(decode(key_type, &key[1..]), Err(DecodeError::truncated(0, "key")));
        }
    }

    /// peers-protocol §8.3: only the stored part is checked, the cursor skips all of it.
    #[test]
    fn of_long_strings_only_the_stored_part_matters() {
        assert_eq!(decode(STRING, &[5, b'a', b'b', b'c', b'd', b'e', 7]), Ok((&b"abc"[..], &[7][..])));
        assert_eq!(decode(STRING, &[200, b'a', b'b', b'c', b'd']), Ok((&b"abc"[..], &[][..])));
        assert_eq!(decode(STRING, &[200, b'a', b'b']), Err(DecodeError::truncated(1, "key")));
        assert_eq!(decode(STRING, &[0, 7]), Ok((&[][..], &[7][..])));
        let kind = DecodeErrorKind::Truncated { field: "key length" };
        assert_eq!(decode(STRING, &[0xf0, 0x80]), Err(DecodeError::new(0, kind)));
    }

    #[test]
    fn a_string_ends_at_a_nul() {
        assert_eq!(decode(STRING, &[3, b'a', 0, b'c', 7]), Ok((&b"a"[..], &[7][..])));
    }

    proptest! {
        #[test]
        fn strings_come_back(key in prop::collection::vec(1u8.., 0..3000)) {
            let key_type = KeyType::String { max_len: 3000 };
            let mut out = Vec::new();
            encode_key(key_type, &key, &mut out);
            prop_assert_eq!(decode(key_type, &out), Ok((&key[..], &[][..])));
        }
    }
}
