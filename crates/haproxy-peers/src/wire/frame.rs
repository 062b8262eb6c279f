//! Framing of messages (peers-protocol §4).
//!
//! ```text
//! byte 0   class
//! byte 1   type
//! then, only when the type is 128 or more, whatever the class:
//!   varint  payload length, at most 5 bytes
//!   bytes   payload
//! ```

use crate::wire::varint::{self, VarintError};
use crate::{DecodeError, DecodeErrorKind, MAX_LENGTH_VARINT, Reader};

/// Message classes (peers-protocol §6).
pub mod class {
    /// Lessons and heartbeats: [`Control`](crate::Control).
    pub const CONTROL: u8 = 0;
    /// [`ErrorMessage`](crate::ErrorMessage).
    pub const ERROR: u8 = 1;
    /// Definitions, updates and acks.
    pub const STICK_TABLE: u8 = 10;
    /// The only class whose arrival is an error.
    pub const RESERVED: u8 = 255;
}

/// Message types of class [`STICK_TABLE`](class::STICK_TABLE) (peers-protocol §6).
pub mod kind {
    /// Entry update with an id.
    pub const UPDATE: u8 = 0x80;
    /// Entry update, id implied.
    pub const INCREMENTAL_UPDATE: u8 = 0x81;
    /// Table definition.
    pub const DEFINE: u8 = 0x82;
    /// Selection of a table.
    pub const SWITCH: u8 = 0x83;
    /// Acknowledgement.
    pub const ACK: u8 = 0x84;
    /// Entry update with an id and a remaining lifetime; protocol 2.1.
    pub const TIMED_UPDATE: u8 = 0x85;
    /// Entry update with a remaining lifetime, id implied; protocol 2.1.
    pub const INCREMENTAL_TIMED_UPDATE: u8 = 0x86;
}

/// Types from here on have a payload.
const FIRST_WITH_PAYLOAD: u8 = 128;

/// Payload lengths that HAProxy 2.0 to 2.3 misread (peers-protocol §18.2), and the first one above that works again.
const MISREAD_LENGTHS: std::ops::Range<usize> = 128..240;

/// One message, not looked into.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Message class, see [`class`].
    pub class: u8,
    /// Message type, see [`kind`].
    pub kind: u8,
    /// Offset of the class byte in the stream.
    pub offset: u64,
    /// The payload, and whatever follows it in the buffer.
    window: &'a [u8],
    /// Length of the payload in bytes.
    length: usize,
    /// Bytes of the length on the wire.
    width: usize,
}

impl<'a> Frame<'a> {
    /// What follows the length; empty for types under 128.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.window[..self.length]
    }

    /// Offset of the payload's first byte in the stream.
    #[inline]
    pub const fn payload_offset(&self) -> u64 {
        self.offset.wrapping_add(2 + self.width as u64)
    }

    /// Size of the whole message in bytes.
    #[inline]
    pub const fn size(&self) -> usize {
        2 + self.width + self.length
    }

    /// A reader of the payload.
    #[inline]
    pub const fn reader(&self) -> Reader<'a> {
        Reader::within(self.window, self.length, self.payload_offset())
    }
}

impl PartialEq for Frame<'_> {
    fn eq(&self, other: &Self) -> bool {
        let Self { class, kind, offset, .. } = *self;
        (class, kind, offset, self.payload()) == (other.class, other.kind, other.offset, other.payload())
    }
}

impl Eq for Frame<'_> {}

/// Takes the message at the start of `input`, which is at `offset` in the stream.
///
/// Returns the message and how many bytes it takes, or `None` when it is not complete yet. A payload of more than
/// `max_payload` bytes is refused as soon as its length is read, so a caller need not buffer more than
/// `max_payload + 7` bytes.
///
/// # Errors
/// When the class is 255, the length takes more than 5 bytes, or the payload is over the limit.
#[inline]
pub fn decode_frame(
    input: &[u8],
    offset: u64,
    max_payload: usize,
) -> Result<Option<(Frame<'_>, usize)>, DecodeError> {
    let Some(&class) = input.first() else { return Ok(None) };
    if class == class::RESERVED {
        return Err(DecodeError::new(offset, DecodeErrorKind::ReservedClass));
    }
    let Some(&kind) = input.get(1) else { return Ok(None) };
    if kind < FIRST_WITH_PAYLOAD {
        return Ok(Some((Frame { class, kind, offset, window: &[], length: 0, width: 0 }, 2)));
    }
    let after = &input[2..];
    let (length, width) = match varint::decode(&after[..after.len().min(MAX_LENGTH_VARINT)]) {
        Ok(decoded) => decoded,
        Err(VarintError::Truncated) if after.len() < MAX_LENGTH_VARINT => return Ok(None),
        Err(_) => return Err(DecodeError::new(offset.wrapping_add(2), DecodeErrorKind::LengthTooLong)),
    };
    let Some(length) = usize::try_from(length).ok().filter(|&length| length <= max_payload) else {
        let kind = DecodeErrorKind::PayloadTooLarge { length, limit: max_payload };
        return Err(DecodeError::new(offset.wrapping_add(2), kind));
    };
    let window = &after[width..];
    if window.len() < length {
        return Ok(None);
    }
    let frame = Frame { class, kind, offset, window, length, width };
    Ok(Some((frame, frame.size())))
}

/// Whether payloads are lengthened for receivers that misread some lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Payloads are sent as they are.
    #[default]
    None,
    /// Payloads of 128 to 239 bytes get zero bytes up to 240, for HAProxy 2.0 to 2.3 (peers-protocol §18.2). Every
    /// receiver ignores them.
    ForOldReceivers,
}

impl Padding {
    /// Whether a payload of this many bytes is lengthened.
    #[inline]
    pub(crate) fn lengthens(self, payload: usize) -> bool {
        self == Self::ForOldReceivers && MISREAD_LENGTHS.contains(&payload)
    }
}

/// Appends one message with a payload to a buffer, without another buffer: begin, append the payload to
/// [`payload`](Self::payload), [`finish`](Self::finish).
///
/// To give a message up, drop the writer and truncate the buffer to where it was.
#[derive(Debug)]
#[must_use = "the message is complete after `finish` only"]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> FrameWriter<'a> {
    /// Class, type, and one byte for the length, which is enough for payloads under 240 bytes.
    const HEADER: usize = 3;

    /// Starts a message of a type of 128 or more.
    #[inline]
    pub fn begin(out: &'a mut Vec<u8>, class: u8, kind: u8) -> Self {
        debug_assert!(kind >= FIRST_WITH_PAYLOAD, "types under 128 have no payload");
        let start = out.len();
        out.extend_from_slice(&[class, kind, 0]);
        Self { out, start }
    }

    /// Where the payload is to be appended. Bytes already there must stay.
    #[inline]
    pub const fn payload(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Writes the length; returns the size of the whole message in bytes.
    #[inline]
    pub fn finish(self, padding: Padding) -> usize {
        let Self { out, start } = self;
        let payload = start + Self::HEADER;
        let mut length = out.len().saturating_sub(payload);
        if padding.lengthens(length) {
            length = MISREAD_LENGTHS.end;
            out.resize(payload + length, 0);
        }
        if length < 240 {
            out[payload - 1] = length as u8;
        } else {
            write_long_length(out, payload, length);
        }
        out.len() - start
    }
}

/// Makes room for a length of two or more bytes before the payload and writes it.
fn write_long_length(out: &mut Vec<u8>, payload: usize, length: usize) {
    let (bytes, width) = varint::encode_long(length as u64);
    let end = out.len();
    out.resize(end + width - 1, 0);
    out.copy_within(payload..end, payload + width - 1);
    out[payload - 1..payload - 1 + width].copy_from_slice(&bytes[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_MAX_PAYLOAD;
    use proptest::prelude::*;

    fn framed(payload: &[u8], padding: Padding) -> Vec<u8> {
        let mut out = vec![9, 9];
        let mut frame = FrameWriter::begin(&mut out, class::STICK_TABLE, kind::UPDATE);
        frame.payload().extend_from_slice(payload);
        let size = frame.finish(padding);
        assert_eq!(out[..2], [9, 9]);
        assert_eq!(size, out.len() - 2);
        out.split_off(2)
    }

    fn decode(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, DecodeError> {
        decode_frame(input, 50, DEFAULT_MAX_PAYLOAD)
    }

    #[test]
    fn short_messages_are_two_bytes() {
        let (frame, size) = decode(&[0, 4, 0, 1]).unwrap().unwrap();
        assert_eq!((frame.class, frame.kind, frame.payload(), size), (0, 4, &[][..], 2));
        assert_eq!(frame.payload_offset(), 52);
        assert_eq!(decode(&[0]), Ok(None));
        assert_eq!(decode(&[]), Ok(None));
    }

    /// The length depends on bit 7 of the type alone, so messages of unknown classes can be skipped.
    #[test]
    fn unknown_classes_and_types_are_framed_alike() {
        let (frame, size) = decode(&[77, 0xff, 3, 1, 2, 3, 0]).unwrap().unwrap();
        assert_eq!((frame.class, frame.kind, frame.payload(), size), (77, 0xff, &[1, 2, 3][..], 6));
        let (frame, size) = decode(&[77, 0x7f, 3]).unwrap().unwrap();
        assert_eq!((frame.kind, frame.payload().len(), size), (0x7f, 0, 2));
    }

    #[test]
    fn a_length_of_zero_is_legal() {
        let (frame, size) = decode(&[10, 0x80, 0]).unwrap().unwrap();
        assert_eq!((frame.payload().len(), size, frame.payload_offset()), (0, 3, 53));
    }

    #[test]
    fn class_255_is_an_error_even_before_its_type_is_there() {
        for input in [&[255][..], &[255, 0], &[255, 0x80, 0]] {
            assert_eq!(decode(input).unwrap_err(), DecodeError::new(50, DecodeErrorKind::ReservedClass));
        }
    }

    #[test]
    fn lengths_are_limited() {
        let error = decode(&[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
        assert_eq!(error, DecodeError::new(52, DecodeErrorKind::LengthTooLong));
        assert_eq!(decode(&[10, 0x80, 0xff, 0xff, 0xff, 0xff]), Ok(None));
        // 16385 is one over the limit, and refused before any of its bytes is there.
        let error = decode(&[10, 0x80, 0xf1, 0xf1, 0x06]).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::PayloadTooLarge { length: 16_385, limit: 16_384 });
        assert_eq!(decode(&[10, 0x80, 0xf0, 0xf1, 0x06]), Ok(None));
    }

    /// peers-protocol §18.2: 2.0 to 2.3 misread lengths of 128 to 239.
    #[test]
    fn payloads_for_old_receivers_avoid_misread_lengths() {
        for length in 0..600 {
            let bytes = framed(&vec![7; length], Padding::ForOldReceivers);
            let (frame, size) = decode(&bytes).unwrap().unwrap();
            assert_eq!(size, bytes.len());
            assert!(!(128..240).contains(&frame.payload().len()));
            assert!(frame.payload()[..length].iter().all(|&byte| byte == 7));
            assert!(frame.payload()[length..].iter().all(|&byte| byte == 0));
            assert_eq!(frame.payload().len(), if (128..240).contains(&length) { 240 } else { length });
        }
    }

    #[test]
    fn messages_are_equal_whatever_follows_them() {
        let frame = |input: &'static [u8]| decode(input).unwrap().unwrap().0;
        let message = frame(&[10, 0x80, 2, 1, 2]);
        assert_eq!(message, frame(&[10, 0x80, 2, 1, 2, 9, 9]));
        for other in [&[10, 0x80, 2, 1, 3][..], &[10, 0x80, 1, 1], &[10, 0x81, 2, 1, 2], &[11, 0x80, 2, 1, 2]]
        {
            assert_ne!(message, frame(other), "{other:?}");
        }
        let later = decode_frame(&[10, 0x80, 2, 1, 2], 51, DEFAULT_MAX_PAYLOAD).unwrap().unwrap().0;
        assert_ne!(message, later, "at another place of the stream");
    }

    proptest! {
        #[test]
        fn payloads_come_back(payload in prop::collection::vec(any::<u8>(), 0..3000), cut in 0usize..3000) {
            let bytes = framed(&payload, Padding::None);
            let (frame, size) = decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(frame.payload(), &payload[..]);
            prop_assert_eq!(size, bytes.len());
            prop_assert_eq!(frame.payload_offset(), 50 + (size - payload.len()) as u64);
            if cut < bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..40), offset: u32, limit in 0usize..50) {
            if let Ok(Some((frame, size))) = decode_frame(&input, offset.into(), limit) {
                prop_assert!(size <= input.len());
                prop_assert_eq!(frame.payload_offset() + frame.payload().len() as u64, u64::from(offset) + size as u64);
            }
        }
    }
}
