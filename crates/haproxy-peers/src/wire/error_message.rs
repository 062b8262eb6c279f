//! Error messages: class 1, two bytes, no payload (peers-protocol §6, §14.1).

use std::fmt;

use crate::class;

/// What a receiver says before it closes. A HAProxy that gets one ignores it and sees the connection close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorMessage {
    /// `01 00`: malformed message.
    Protocol,
    /// `01 01`: payload over the receiver's buffer.
    SizeLimit,
}

impl ErrorMessage {
    /// The type byte.
    pub const fn kind(self) -> u8 {
        match self {
            Self::Protocol => 0,
            Self::SizeLimit => 1,
        }
    }

    /// The error of a type byte; `None` for those this version does not know, which are to be ignored.
    pub const fn from_kind(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Protocol),
            1 => Some(Self::SizeLimit),
            _ => None,
        }
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[class::ERROR, self.kind()]);
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol => "protocol error",
            Self::SizeLimit => "size limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_two_bytes() {
        for kind in 0..=1 {
            let mut out = Vec::new();
            ErrorMessage::from_kind(kind).unwrap().encode(&mut out);
            assert_eq!(out, [1, kind]);
        }
        assert_eq!(ErrorMessage::from_kind(2), None);
    }

    #[test]
    fn errors_have_a_text() {
        assert_eq!(ErrorMessage::Protocol.to_string(), "protocol error");
        assert_eq!(ErrorMessage::SizeLimit.to_string(), "size limit");
    }
}
