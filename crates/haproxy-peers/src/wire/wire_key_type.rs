//! Key types as numbered on the wire.

use std::fmt;

use stick_table::KeyType;

/// The number of a key type in a table definition, known or not (peers-protocol §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireKeyType(pub u64);

impl WireKeyType {
    /// 32-bit unsigned integer, key size 4.
    pub const INTEGER: Self = Self(2);
    /// IPv4 address, key size 4.
    pub const IP: Self = Self(4);
    /// IPv6 address, key size 16.
    pub const IPV6: Self = Self(5);
    /// String, key size `len` + 1.
    pub const STRING: Self = Self(6);
    /// Byte block, key size `len`.
    pub const BINARY: Self = Self(7);

    /// Number and key size (bytes) of a table's key type. The size of strings counts the terminator.
    pub fn from_key_type(key_type: KeyType) -> (Self, u64) {
        match key_type {
            KeyType::Integer => (Self::INTEGER, 4),
            KeyType::Ip => (Self::IP, 4),
            KeyType::Ipv6 => (Self::IPV6, 16),
            KeyType::String { max_len } => (Self::STRING, u64::from(max_len) + 1),
            KeyType::Binary { len } => (Self::BINARY, len.into()),
        }
    }

    /// The key type of this number and key size (bytes); `None` for an unknown number or a size the type cannot have.
    pub fn key_type(self, key_size: u64) -> Option<KeyType> {
        match (self, key_size) {
            (Self::INTEGER, 4) => Some(KeyType::Integer),
            (Self::IP, 4) => Some(KeyType::Ip),
            (Self::IPV6, 16) => Some(KeyType::Ipv6),
            (Self::STRING, _) => {
                Some(KeyType::String { max_len: u32::try_from(key_size.checked_sub(1)?).ok()? })
            }
            (Self::BINARY, _) => Some(KeyType::Binary { len: u32::try_from(key_size).ok()? }),
            _ => None,
        }
    }
}

impl fmt::Display for WireKeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::INTEGER => "integer",
            Self::IP => "ip",
            Self::IPV6 => "ipv6",
            Self::STRING => "string",
            Self::BINARY => "binary",
            Self(number) => return write!(f, "number {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_types_lead_to_their_number_and_back() {
        for (key_type, number, size) in [
            (KeyType::Integer, 2, 4),
            (KeyType::Ip, 4, 4),
            (KeyType::Ipv6, 5, 16),
            (KeyType::DEFAULT_STRING, 6, 32),
            (KeyType::String { max_len: u32::MAX }, 6, 1 << 32),
            (KeyType::DEFAULT_BINARY, 7, 32),
        ] {
            assert_eq!(WireKeyType::from_key_type(key_type), (WireKeyType(number), size));
            assert_eq!(WireKeyType(number).key_type(size), Some(key_type));
            assert_eq!(WireKeyType(number).to_string(), key_type.word());
        }
    }

    #[test]
    fn unknown_numbers_and_impossible_sizes_have_no_key_type() {
        for (number, size) in
            [(0, 4), (1, 4), (3, 4), (8, 4), (u64::MAX, 4), (4, 16), (5, 4), (6, 0), (7, u64::MAX)]
        {
            assert_eq!(WireKeyType(number).key_type(size), None, "{number} {size}");
        }
        assert_eq!(WireKeyType(9).to_string(), "number 9");
    }
}
