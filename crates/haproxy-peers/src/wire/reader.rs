//! A cursor over one payload.

use crate::wire::varint::{self, VarintError};
use crate::{DecodeError, DecodeErrorKind};

/// Reads the fields of a payload one after the other and knows where in the stream it is.
///
/// A read that fails leaves the reader where it was; the error carries the offset of the field's first byte and the
/// name the caller gave the field.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The payload, and whatever follows it in the buffer: varints are taken from eight bytes at once, and those may be
    /// beyond the payload, but nothing of what is there is used.
    window: &'a [u8],
    at: usize,
    /// Length of the payload in bytes.
    end: usize,
    /// Offset in the stream of the first byte of the payload.
    offset: u64,
}

impl<'a> Reader<'a> {
    /// A reader of `payload`, whose first byte is at `offset` in the stream.
    #[inline]
    pub const fn new(payload: &'a [u8], offset: u64) -> Self {
        Self { window: payload, at: 0, end: payload.len(), offset }
    }

    /// A reader of the payload that is the first `length` bytes of `window`; reads are faster when more bytes follow.
    #[inline]
    pub(crate) const fn within(window: &'a [u8], length: usize, offset: u64) -> Self {
        Self { window, at: 0, end: length, offset }
    }

    /// Offset in the stream of the next byte.
    #[inline]
    pub const fn offset(&self) -> u64 {
        self.offset.wrapping_add(self.at as u64)
    }

    /// Whether the payload is read to its end.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// Bytes not yet read.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The bytes not yet read, which stay unread.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.window[self.at..self.end]
    }

    /// Reads four bytes in network order.
    ///
    /// # Errors
    /// When fewer remain.
    #[inline]
    pub fn u32_be(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match self.rest().first_chunk() {
            Some(bytes) => {
                self.at += 4;
                Ok(u32::from_be_bytes(*bytes))
            }
            None => Err(DecodeError::truncated(self.offset(), field)),
        }
    }

    /// Reads a varint.
    ///
    /// # Errors
    /// When it is incomplete or does not fit 64 bits.
    #[inline(always)]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        if let Some(bytes) = self.window[self.at..].first_chunk()
            && let Some((value, len)) = varint::decode_word(u64::from_le_bytes(*bytes))
            && len <= self.end - self.at
        {
            self.at += len;
            return Ok(value);
        }
        self.varint_at_end(field)
    }

    /// A varint that is long, or so near the end of the buffer that eight bytes cannot be read.
    fn varint_at_end(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        match varint::decode(self.rest()) {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(error) => Err(self.varint_error(error, field)),
        }
    }

    /// Reads a varint and keeps its low 32 bits, as HAProxy does for fields of that width (peers-protocol §5).
    ///
    /// # Errors
    /// When it is incomplete or does not fit 64 bits.
    #[inline(always)]
    pub fn varint_u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.varint(field).map(|value| value as u32)
    }

    /// Reads `count` bytes.
    ///
    /// # Errors
    /// When fewer remain.
    #[inline]
    pub fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest().get(..count) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(DecodeError::truncated(self.offset(), field)),
        }
    }

    /// Passes over `count` bytes, or over all that remain when there are fewer.
    #[inline]
    pub fn skip(&mut self, count: u64) {
        self.at += usize::try_from(count).unwrap_or(usize::MAX).min(self.remaining());
    }

    /// A reader from here on that checks nothing; see [`accept`](Self::accept).
    #[inline(always)]
    pub(crate) fn quick(&self) -> QuickReader<'a> {
        QuickReader { window: self.window, at: self.at }
    }

    /// Moves to where a quick reader is, unless it went beyond the payload.
    #[inline(always)]
    pub(crate) fn accept(&mut self, quick: &QuickReader<'a>) -> Option<()> {
        if quick.at > self.end {
            return None;
        }
        self.at = quick.at;
        Some(())
    }

    #[cold]
    const fn varint_error(&self, error: VarintError, field: &'static str) -> DecodeError {
        let kind = match error {
            VarintError::Truncated => DecodeErrorKind::Truncated { field },
            VarintError::TooLong => DecodeErrorKind::VarintTooLong { field },
            VarintError::Overflow => DecodeErrorKind::VarintOverflow { field },
        };
        DecodeError::new(self.offset(), kind)
    }
}

/// Reads varints one after the other, and does not mind the payload's end.
pub(crate) struct QuickReader<'a> {
    window: &'a [u8],
    at: usize,
}

impl QuickReader<'_> {
    /// The next varint; `None` when it has more than eight bytes or fewer are left in the buffer.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (value, len) = varint::decode_word(self.word()?)?;
        self.at += len;
        Some(value)
    }

    /// The next varint's low 32 bits; `None` when it has more than five bytes or fewer than eight are left in the buffer.
    #[inline(always)]
    pub(crate) fn varint_u32(&mut self) -> Option<u32> {
        let (value, len) = varint::decode_word_32(self.word()?)?;
        self.at += len;
        Some(value)
    }

    #[inline(always)]
    fn word(&self) -> Option<u64> {
        self.window[self.at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_turn_and_errors_say_where() {
        let mut reader = Reader::new(&[0, 0, 1, 0, 0xfc, 0x4e, 7, 8, 9, 0xff, 0xf0], 100);
        assert_eq!(reader.u32_be("id"), Ok(256));
        assert_eq!(reader.varint("age"), Ok(1500));
        assert_eq!(reader.offset(), 106);
        assert_eq!(reader.bytes(2, "name"), Ok(&[7, 8][..]));
        assert_eq!(reader.bytes(4, "key"), Err(DecodeError::truncated(108, "key")));
        assert_eq!(reader.u32_be("id"), Err(DecodeError::truncated(108, "id")));
        assert_eq!(reader.remaining(), 3);
        assert_eq!(reader.varint("gpc0"), Ok(9));
        assert_eq!(reader.varint("gpt0"), Err(DecodeError::truncated(109, "gpt0")));
        reader.skip(u64::MAX);
        assert!(reader.is_empty());
        assert_eq!(reader.offset(), 111);
    }

    #[test]
    fn values_are_cut_to_32_bits_as_haproxy_does() {
        let mut bytes = Vec::new();
        varint::encode((1 << 32) + 5, &mut bytes);
        assert_eq!(Reader::new(&bytes, 0).varint_u32("gpc0"), Ok(5));
    }

    #[test]
    fn impossible_varints_are_named() {
        let error = Reader::new(&[0xff; 12], 3).varint("expire").unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::VarintTooLong { field: "expire" });
        assert_eq!(error.to_string(), "at byte 3: the expire is a varint of more than 10 bytes");
    }

    /// Numbers of the next message must not pass for those of this one.
    #[test]
    fn a_quick_reader_that_went_beyond_the_payload_is_not_followed() {
        let window = [1, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (length, within) in [(2, false), (3, true)] {
            let mut reader = Reader::within(&window, length, 50);
            let mut quick = reader.quick();
            assert_eq!((quick.varint(), quick.varint_u32()), (Some(1), Some(240)));
            assert_eq!(reader.accept(&quick).is_some(), within);
            assert_eq!(reader.offset(), if within { 53 } else { 50 });
        }
    }
}
