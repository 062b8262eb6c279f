//! What a table's keys are, how they are stored, read and written (stick-tables §2).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The type of a table's keys.
///
/// Keys are handled as *canonical bytes*, which is also what follows the optional length on the wire:
///
/// | type | canonical bytes |
/// | --- | --- |
/// | integer | 4 bytes, network order |
/// | ip | 4 bytes, network order |
/// | ipv6 | 16 bytes, network order |
/// | string | 0 to `max_len` bytes, none of them NUL, no terminator |
/// | binary | exactly `len` bytes, zero padded on the right |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 32-bit unsigned integer.
    Integer,
    /// IPv4 address.
    Ip,
    /// IPv6 address.
    Ipv6,
    /// String of at most `max_len` bytes; longer ones are cut. `type string` without `len` means 31, see [`KeyType::DEFAULT_STRING`].
    String {
        /// Largest number of bytes kept, without terminator.
        max_len: u32,
    },
    /// Byte block of exactly `len` bytes; longer ones are cut, shorter ones zero padded.
    Binary {
        /// Number of bytes.
        len: u32,
    },
}

/// Why a word is not a key of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("not an unsigned 32-bit integer")]
    Integer,
    #[error("not an IPv4 address")]
    Ip,
    #[error("not an IPv6 address")]
    Ipv6,
    #[error("binary keys are written as pairs of hexadecimal digits")]
    Binary,
    #[error("a key of type {key_type} has {wanted} bytes, not {found}", key_type = .key_type.word(), wanted = .key_type.max_bytes())]
    Length {
        /// The type of the table's keys.
        key_type: KeyType,
        /// Bytes of the key.
        found: usize,
    },
    #[error("the key has {found} bytes, the table takes {limit}")]
    TooLong {
        /// Most bytes of a key.
        limit: usize,
        /// Bytes of the key.
        found: usize,
    },
    #[error("byte {0} of the key is NUL: a string ends there")]
    Nul(usize),
}

impl KeyType {
    /// `type string` without `len`: HAProxy reserves 32 bytes, one of them for the terminator.
    pub const DEFAULT_STRING: Self = Self::String { max_len: 31 };
    /// `type binary` without `len`.
    pub const DEFAULT_BINARY: Self = Self::Binary { len: 32 };
    /// Longest key this crate accepts, in bytes: with all data types at their largest it still fits a peers message of the
    /// default `tune.bufsize` (peers-protocol §14.2).
    pub const MAX_LEN: u32 = 12_288;

    /// The word for the type in a declaration and in the header of `show table`; `ip` whatever alias was used.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Ip => "ip",
            Self::Ipv6 => "ipv6",
            Self::String { .. } => "string",
            Self::Binary { .. } => "binary",
        }
    }

    /// Most canonical bytes a key of this type can have.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Integer | Self::Ip => 4,
            Self::Ipv6 => 16,
            Self::String { max_len: len } | Self::Binary { len } => len as usize,
        }
    }

    /// Whether every key has [`max_bytes`](Self::max_bytes) bytes.
    pub const fn is_fixed(self) -> bool {
        !matches!(self, Self::String { .. })
    }

    /// Checks that the bytes of a key are in canonical form. Tables and batches check every key this way, and change nothing
    /// when it fails: a key that was cut or padded would be the key of another entry. [`canonical`](Self::canonical) cuts and
    /// pads as HAProxy does.
    ///
    /// ```
    /// use stick_table::{KeyError, KeyType};
    ///
    /// assert_eq!(KeyType::Ip.check(&[10, 0, 0, 1]), Ok(()));
    /// let error = KeyType::Ip.check(b"10.0.0.1").unwrap_err();
    /// assert_eq!(error.to_string(), "a key of type ip has 4 bytes, not 8");
    /// assert_eq!(KeyType::DEFAULT_STRING.check(b"a\0b"), Err(KeyError::Nul(1)));
    /// ```
    ///
    /// # Errors
    /// When a key of fixed length has another one, a string is longer than `max_len`, or holds a NUL.
    #[inline]
    pub fn check(self, key: &[u8]) -> Result<(), KeyError> {
        let is_right = match self {
            Self::String { max_len } => key.len() <= max_len as usize && !key.contains(&0),
            fixed => key.len() == fixed.max_bytes(),
        };
        if is_right { Ok(()) } else { Err(self.fault(key)) }
    }

    /// What is wrong with a key that is not canonical.
    #[cold]
    fn fault(self, key: &[u8]) -> KeyError {
        let (found, limit) = (key.len(), self.max_bytes());
        match (self, key.iter().position(|&byte| byte == 0)) {
            (Self::String { .. }, _) if found > limit => KeyError::TooLong { limit, found },
            (Self::String { .. }, Some(at)) => KeyError::Nul(at),
            _ => KeyError::Length { key_type: self, found },
        }
    }

    /// Brings the bytes of a key into canonical form: strings end at a NUL or at `max_len`, binary keys are cut or
    /// padded. `None` when a number or an address has the wrong length.
    pub fn canonical(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Integer | Self::Ip | Self::Ipv6 => {
                (bytes.len() == self.max_bytes()).then_some(Cow::Borrowed(bytes))
            }
            Self::String { max_len } => {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                Some(Cow::Borrowed(&bytes[..end.min(max_len as usize)]))
            }
            Self::Binary { len } => {
                let len = len as usize;
                if bytes.len() >= len {
                    return Some(Cow::Borrowed(&bytes[..len]));
                }
                let mut padded = bytes.to_vec();
                padded.resize(len, 0);
                Some(Cow::Owned(padded))
            }
        }
    }

    /// Reads a key as a person types it after `key` on the runtime socket; returns its canonical bytes.
    ///
    /// An IPv6 table takes IPv4 addresses as mapped ones and an IPv4 table takes mapped ones back, as HAProxy converts
    /// them. Binary keys are hexadecimal.
    ///
    /// # Errors
    /// When the word cannot be converted to the type.
    pub fn parse(self, word: &str) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Integer => {
                // HAProxy keeps the low 32 bits of a 64-bit integer.
                let number: i64 = word.parse().map_err(|_| KeyError::Integer)?;
                Ok((number as u32).to_be_bytes().to_vec())
            }
            Self::Ip => match word.parse() {
                Ok(IpAddr::V4(ip)) => Ok(ip.octets().to_vec()),
                Ok(IpAddr::V6(ip)) => Ok(ip.to_ipv4_mapped().ok_or(KeyError::Ip)?.octets().to_vec()),
                Err(_) => Err(KeyError::Ip),
            },
            Self::Ipv6 => match word.parse() {
                Ok(IpAddr::V4(ip)) => Ok(ip.to_ipv6_mapped().octets().to_vec()),
                Ok(IpAddr::V6(ip)) => Ok(ip.octets().to_vec()),
                Err(_) => Err(KeyError::Ipv6),
            },
            Self::String { .. } => {
                Ok(self.canonical(word.as_bytes()).map(Cow::into_owned).unwrap_or_default())
            }
            Self::Binary { .. } => {
                let digits = word.as_bytes();
                if !digits.len().is_multiple_of(2) {
                    return Err(KeyError::Binary);
                }
                let bytes: Option<Vec<u8>> = digits.chunks(2).map(hex_pair).collect();
                let bytes = bytes.ok_or(KeyError::Binary)?;
                Ok(self.canonical(&bytes).map(Cow::into_owned).unwrap_or_default())
            }
        }
    }

    /// The key as `show table` writes it (stick-tables §7.2). `key` is in canonical form.
    pub const fn text(self, key: &[u8]) -> KeyText<'_> {
        KeyText { key_type: self, key }
    }
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)
}

/// As it stands after `type`, with its length unless it is the default.
impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::String { max_len: len } | Self::Binary { len }
                if ![Self::DEFAULT_STRING, Self::DEFAULT_BINARY].contains(self) =>
            {
                write!(f, " len {len}")
            }
            _ => Ok(()),
        }
    }
}

/// Writes a key as `show table` does, made by [`KeyType::text`].
#[derive(Clone, Copy, Debug)]
pub struct KeyText<'a> {
    key_type: KeyType,
    key: &'a [u8],
}

impl fmt::Display for KeyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key_type {
            KeyType::Integer => match self.key.try_into() {
                Ok(bytes) => write!(f, "{}", u32::from_be_bytes(bytes)),
                Err(_) => Err(fmt::Error),
            },
            KeyType::Ip => match <[u8; 4]>::try_from(self.key) {
                Ok(bytes) => write!(f, "{}", Ipv4Addr::from(bytes)),
                Err(_) => Err(fmt::Error),
            },
            KeyType::Ipv6 => match <[u8; 16]>::try_from(self.key) {
                Ok(bytes) => write!(f, "{}", Ipv6Addr::from(bytes)),
                Err(_) => Err(fmt::Error),
            },
            KeyType::String { .. } => self.key.iter().try_for_each(|&byte| match byte {
                b'\t' => f.write_str("\\t"),
                b'\n' => f.write_str("\\n"),
                b'\r' => f.write_str("\\r"),
                0x1b => f.write_str("\\e"),
                b'\\' | b' ' | b'=' => write!(f, "\\{}", char::from(byte)),
                0x20..0x7f => write!(f, "{}", char::from(byte)),
                _ => write!(f, "\\x{byte:02X}"),
            }),
            KeyType::Binary { .. } => self.key.iter().try_for_each(|byte| write!(f, "{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written() {
        let string = KeyType::String { max_len: 5 };
        for (key_type, word, bytes, text) in [
            (KeyType::Integer, "1234", &[0, 0, 4, 0xd2][..], "1234"),
            (KeyType::Integer, "-1", &[255; 4], "4294967295"),
            (KeyType::Integer, "4294967297", &[0, 0, 0, 1], "1"),
            (KeyType::Ip, "10.0.0.1", &[10, 0, 0, 1], "10.0.0.1"),
            (KeyType::Ip, "::ffff:10.0.0.1", &[10, 0, 0, 1], "10.0.0.1"),
            (KeyType::Ipv6, "::1", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            (
                KeyType::Ipv6,
                "1.2.3.4",
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4],
                "::ffff:1.2.3.4",
            ),
            (string, "abcdefg", b"abcde", "abcde"),
            (string, "", b"", ""),
            (KeyType::Binary { len: 3 }, "aB", &[0xab, 0, 0], "AB0000"),
        ] {
            let parsed = key_type.parse(word).unwrap();
            assert_eq!(parsed, bytes, "{word}");
            assert_eq!(key_type.text(&parsed).to_string(), text);
        }
    }

    #[test]
    fn words_that_are_no_keys_are_refused() {
        let binary = KeyType::Binary { len: 3 };
        for (key_type, word, error) in [
            (KeyType::Integer, "0x10", KeyError::Integer),
            (KeyType::Integer, "", KeyError::Integer),
            (KeyType::Ip, "2001:db8::1", KeyError::Ip),
            (KeyType::Ip, "10.0.0.256", KeyError::Ip),
            (KeyType::Ipv6, "10.0.0", KeyError::Ipv6),
            (KeyType::Ipv6, "::g", KeyError::Ipv6),
            (binary, "abc", KeyError::Binary),
            (binary, "ag", KeyError::Binary),
        ] {
            assert_eq!(key_type.parse(word), Err(error), "{word:?}");
        }
    }

    #[test]
    fn strings_are_escaped_and_end_at_a_nul() {
        let string = KeyType::String { max_len: 20 };
        assert_eq!(string.text(b"a b=c\\d\t\x01\xff~").to_string(), r"a\ b\=c\\d\t\x01\xFF~");
        assert_eq!(string.text(b"1\n2\r\x1b[0m").to_string(), r"1\n2\r\e[0m", "no line ends, no colours");
        assert_eq!(string.canonical(b"ab\0cd").unwrap().as_ref(), b"ab");
    }

    #[test]
    fn a_key_that_is_not_canonical_says_why() {
        for (key_type, key, error) in [
            (KeyType::Ip, &[1, 2, 3][..], "a key of type ip has 4 bytes, not 3"),
            (KeyType::Ip, &[], "a key of type ip has 4 bytes, not 0"),
            (KeyType::Integer, &[0; 5], "a key of type integer has 4 bytes, not 5"),
            (KeyType::Ipv6, &[0; 4], "a key of type ipv6 has 16 bytes, not 4"),
            (KeyType::Binary { len: 2 }, &[0; 3], "a key of type binary has 2 bytes, not 3"),
            (KeyType::Binary { len: 2 }, &[0; 1], "a key of type binary has 2 bytes, not 1"),
            (KeyType::String { max_len: 3 }, b"abcd", "the key has 4 bytes, the table takes 3"),
            (KeyType::String { max_len: 3 }, b"ab\0d", "the key has 4 bytes, the table takes 3"),
            (KeyType::String { max_len: 3 }, b"ab\0", "byte 2 of the key is NUL: a string ends there"),
        ] {
            assert_eq!(key_type.check(key).unwrap_err().to_string(), error, "{key:?}");
            let canonical = key_type.canonical(key);
            assert!(canonical.is_none_or(|key| key_type.check(&key).is_ok()));
        }
        for (key_type, key) in [
            (KeyType::Ip, &[0; 4][..]),
            (KeyType::Ipv6, &[0; 16]),
            (KeyType::Binary { len: 2 }, &[0; 2]),
            (KeyType::String { max_len: 3 }, b"abc"),
            (KeyType::String { max_len: 3 }, b""),
        ] {
            assert_eq!(key_type.check(key), Ok(()), "{key:?}");
        }
    }

    #[test]
    fn numbers_of_a_wrong_length_are_no_keys() {
        assert_eq!(KeyType::Ip.canonical(&[1, 2, 3]), None);
        assert_eq!(KeyType::Ipv6.canonical(&[0; 4]), None);
    }

    /// Instead of a text that looks like another key, or a panic.
    #[test]
    fn numbers_of_a_wrong_length_have_no_text() {
        use fmt::Write;
        for (key_type, key) in
            [(KeyType::Integer, &[1; 3][..]), (KeyType::Ip, &[1; 5]), (KeyType::Ipv6, &[1; 4])]
        {
            let mut text = String::new();
            assert_eq!(write!(text, "{}", key_type.text(key)), Err(fmt::Error));
            assert_eq!(text, "");
        }
    }
}
