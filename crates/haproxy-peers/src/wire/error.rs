//! Why bytes are not what the protocol says.

use thiserror::Error;

use crate::ErrorMessage;

/// A malformed message. The session it came from must be closed; what was decoded before stays valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Where in the stream: bytes since the first one after the handshake, or since whatever the caller chose as 0.
    pub offset: u64,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a message (peers-protocol §4, §5, §7.3, §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// The payload ends before or inside a field.
    #[error("the payload ends inside the {field}")]
    Truncated {
        /// Which one.
        field: &'static str,
    },
    /// A varint goes on after ten bytes.
    #[error("the {field} is a varint of more than 10 bytes")]
    VarintTooLong {
        /// Which one.
        field: &'static str,
    },
    /// A varint is over 2^64 − 1.
    #[error("the {field} does not fit 64 bits")]
    VarintOverflow {
        /// Which one.
        field: &'static str,
    },
    /// The length of a payload goes on after five bytes.
    #[error("the payload length takes more than 5 bytes")]
    LengthTooLong,
    /// The payload is larger than this side buffers.
    #[error("the payload has {length} bytes, the limit is {limit} (tune.bufsize)")]
    PayloadTooLarge {
        /// The announced length in bytes.
        length: u64,
        /// The largest accepted length in bytes.
        limit: usize,
    },
    /// Message class 255.
    #[error("message class 255 is reserved")]
    ReservedClass,
    /// A table definition with a name of no bytes.
    #[error("the table name is empty")]
    EmptyTableName,
    /// A table definition that has nothing after the name, or a name longer than the payload.
    #[error("the table name of {length} bytes reaches the end of the payload ({remaining} bytes remain)")]
    TableNameReachesEnd {
        /// The announced length of the name in bytes.
        length: u64,
        /// What the payload holds from the first byte of the name on.
        remaining: usize,
    },
    /// An id that is not 1 to 128.
    #[error("the dictionary id is {id}, not 1 to 128")]
    DictionaryId {
        /// The id as received.
        id: u64,
    },
    /// A dictionary string that would not fit the receiver's buffer with a terminator.
    #[error("the dictionary string has {length} bytes, the limit is {limit}")]
    StringTooLong {
        /// Its length in bytes.
        length: u64,
        /// The largest accepted length in bytes.
        limit: usize,
    },
}

impl DecodeError {
    /// What to tell the sender before the connection is closed (peers-protocol §14.1).
    pub const fn wire_error(&self) -> ErrorMessage {
        match self.kind {
            DecodeErrorKind::PayloadTooLarge { .. } => ErrorMessage::SizeLimit,
            _ => ErrorMessage::Protocol,
        }
    }

    #[cold]
    pub(crate) const fn new(offset: u64, kind: DecodeErrorKind) -> Self {
        Self { offset, kind }
    }

    #[cold]
    pub(crate) const fn truncated(offset: u64, field: &'static str) -> Self {
        Self { offset, kind: DecodeErrorKind::Truncated { field } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_payload_has_its_own_answer() {
        let kind = DecodeErrorKind::PayloadTooLarge { length: 20_000, limit: 16_384 };
        let error = DecodeError::new(7, kind);
        assert_eq!(error.wire_error(), ErrorMessage::SizeLimit);
        assert_eq!(
            error.to_string(),
            "at byte 7: the payload has 20000 bytes, the limit is 16384 (tune.bufsize)"
        );
        assert_eq!(DecodeError::truncated(0, "key").wire_error(), ErrorMessage::Protocol);
        assert_eq!(DecodeError::new(0, DecodeErrorKind::ReservedClass).wire_error(), ErrorMessage::Protocol);
    }
}
