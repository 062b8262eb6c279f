//! Versions of the protocol.

use std::fmt;

/// A version as announced in the hello, e.g. 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Only 2 exists.
    pub major: u32,
    /// 0 or 1.
    pub minor: u32,
}

impl ProtocolVersion {
    /// HAProxy 1.6: lessons without remaining lifetimes.
    pub const V2_0: Self = Self { major: 2, minor: 0 };
    /// HAProxy 1.7 and later: lessons carry remaining lifetimes.
    pub const V2_1: Self = Self { major: 2, minor: 1 };
    /// The highest version this crate speaks.
    pub const HIGHEST: Self = Self::V2_1;

    /// Whether a hello of this version is accepted: major 2 and a known minor (peers-protocol §2.2).
    pub const fn is_supported(self) -> bool {
        self.major == Self::HIGHEST.major && self.minor <= Self::HIGHEST.minor
    }

    /// Whether the peer takes updates with remaining lifetimes in lessons (peers-protocol §2.4).
    pub const fn has_timed_updates(self) -> bool {
        self.minor >= 1
    }

    /// Reads `2.1`: digits, a point, digits. Leading zeros count for nothing; a number too large saturates.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let point = text.iter().position(|&byte| byte == b'.')?;
        Some(Self { major: parse_digits(&text[..point])?, minor: parse_digits(&text[point + 1..])? })
    }
}

fn parse_digits(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        assert_eq!(ProtocolVersion::parse(b"2.1"), Some(ProtocolVersion::V2_1));
        assert_eq!(ProtocolVersion::parse(b"002.01"), Some(ProtocolVersion::V2_1));
        for wrong in ["", "2", "2.", ".1", "2.1 ", " 2.1", "2.1.0", "2,1", "-2.1", "2.x"] {
            assert_eq!(ProtocolVersion::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(ProtocolVersion::V2_0 < ProtocolVersion::V2_1);
        assert!(!ProtocolVersion::V2_0.has_timed_updates());
        assert_eq!(ProtocolVersion::V2_1.to_string(), "2.1");
    }

    #[test]
    fn a_number_that_would_wrap_to_a_known_one_is_unsupported() {
        let version = ProtocolVersion::parse(b"4294967298.1").unwrap();
        assert!(!version.is_supported());
        assert!(!ProtocolVersion { major: 2, minor: 2 }.is_supported());
        assert!(!ProtocolVersion { major: 3, minor: 0 }.is_supported());
    }
}
