//! Values of entries in the form of their storage (peers-protocol §9.2).

use std::fmt;

use stick_table::{FrequencyCounter, Storage};

use crate::{DecodeError, DictionaryItem, Reader, varint};

/// A frequency counter as sent: three varints, of which receivers keep the low 32 bits (peers-protocol §9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WireFrequency {
    /// Time since the start of the sender's current period in ms. Not rotated: may be many periods, and any number
    /// when the counter was never used.
    pub age: u32,
    /// Events in the current period.
    pub current: u32,
    /// Events in the period before.
    pub previous: u32,
}

impl WireFrequency {
    /// The counter on a clock that shows `now` (ms, wrapping).
    #[inline]
    pub const fn at(self, now: u32) -> FrequencyCounter {
        FrequencyCounter::from_age(self.age, self.current, self.previous, now)
    }

    /// What is to be sent of `counter` on a clock that shows `now` (ms, wrapping).
    #[inline]
    pub const fn of(counter: FrequencyCounter, now: u32) -> Self {
        Self { age: counter.age(now), current: counter.current, previous: counter.previous }
    }
}

/// One element of a data type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WireValue {
    /// Signed 32-bit integer.
    Signed(i32),
    /// Unsigned 32-bit integer.
    Unsigned(u32),
    /// Unsigned 64-bit integer.
    Unsigned64(u64),
    /// Frequency counter.
    Frequency(WireFrequency),
    /// Dictionary string.
    Dictionary(DictionaryItem<'static>),
}

impl WireValue {
    /// Reads an element; `field` names it in errors, `max_string` limits dictionary strings (bytes).
    ///
    /// # Errors
    /// When it is incomplete or, for dictionary strings, as [`DictionaryItem::decode`].
    pub fn decode(
        storage: Storage,
        field: &'static str,
        max_string: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        Ok(match storage {
            Storage::Signed => Self::Signed(decode_signed(reader, field)?),
            Storage::Unsigned => Self::Unsigned(decode_unsigned(reader, field)?),
            Storage::Unsigned64 => Self::Unsigned64(decode_unsigned64(reader, field)?),
            Storage::Frequency => Self::Frequency(decode_frequency(reader, field)?),
            Storage::Dictionary => Self::Dictionary(DictionaryItem::decode(reader, max_string)?.into_owned()),
        })
    }

    /// The storage that the element is of.
    pub const fn storage(&self) -> Storage {
        match self {
            Self::Signed(_) => Storage::Signed,
            Self::Unsigned(_) => Storage::Unsigned,
            Self::Unsigned64(_) => Storage::Unsigned64,
            Self::Frequency(_) => Storage::Frequency,
            Self::Dictionary(_) => Storage::Dictionary,
        }
    }

    /// Appends the element.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Signed(value) => encode_signed(*value, out),
            Self::Unsigned(value) => encode_unsigned(*value, out),
            Self::Unsigned64(value) => encode_unsigned64(*value, out),
            Self::Frequency(value) => encode_frequency(*value, out),
            Self::Dictionary(item) => item.encode(out),
        }
    }
}

impl fmt::Display for WireFrequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { age, current, previous } = self;
        write!(f, "{current}+{previous}@{age}ms")
    }
}

impl fmt::Display for WireValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Unsigned64(value) => value.fmt(f),
            Self::Frequency(value) => value.fmt(f),
            Self::Dictionary(DictionaryItem::None) => f.write_str("-"),
            Self::Dictionary(DictionaryItem::Known(id)) => write!(f, "#{id}"),
            Self::Dictionary(DictionaryItem::New(id, text)) => write!(f, "#{id}:{}", text.escape_ascii()),
        }
    }
}

/// Reads a signed value: the low 32 bits of what was sign-extended to 64.
///
/// # Errors
/// When it is incomplete.
#[inline]
pub fn decode_signed(reader: &mut Reader<'_>, field: &'static str) -> Result<i32, DecodeError> {
    reader.varint(field).map(|value| value as i32)
}

/// Reads an unsigned value: its low 32 bits.
///
/// # Errors
/// When it is incomplete.
#[inline]
pub fn decode_unsigned(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, DecodeError> {
    reader.varint_u32(field)
}

/// Reads a 64-bit value.
///
/// # Errors
/// When it is incomplete.
#[inline]
pub fn decode_unsigned64(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    reader.varint(field)
}

/// Reads a frequency counter.
///
/// # Errors
/// When one of its numbers is incomplete.
#[inline]
pub fn decode_frequency(reader: &mut Reader<'_>, field: &'static str) -> Result<WireFrequency, DecodeError> {
    Ok(WireFrequency {
        age: reader.varint_u32(field)?,
        current: reader.varint_u32(field)?,
        previous: reader.varint_u32(field)?,
    })
}

/// Passes over one element of a type that is not stored.
///
/// A dictionary string must not be passed over even so, because later updates may refer to it: give it to
/// [`ReceiveDictionary::decode`](crate::ReceiveDictionary::decode).
///
/// # Errors
/// When it is incomplete.
#[inline]
pub fn skip_value(storage: Storage, reader: &mut Reader<'_>, field: &'static str) -> Result<(), DecodeError> {
    match storage {
        Storage::Signed | Storage::Unsigned | Storage::Unsigned64 => reader.varint(field).map(drop),
        Storage::Frequency => decode_frequency(reader, field).map(drop),
        Storage::Dictionary => DictionaryItem::decode(reader, usize::MAX).map(drop),
    }
}

/// Appends a signed value, sign-extended to 64 bits.
#[inline]
pub fn encode_signed(value: i32, out: &mut Vec<u8>) {
    varint::encode(i64::from(value) as u64, out);
}

/// Appends an unsigned value.
#[inline]
pub fn encode_unsigned(value: u32, out: &mut Vec<u8>) {
    varint::encode(value.into(), out);
}

/// Appends a 64-bit value.
#[inline]
pub fn encode_unsigned64(value: u64, out: &mut Vec<u8>) {
    varint::encode(value, out);
}

/// Appends a frequency counter.
#[inline]
pub fn encode_frequency(value: WireFrequency, out: &mut Vec<u8>) {
    varint::encode(value.age.into(), out);
    varint::encode(value.current.into(), out);
    varint::encode(value.previous.into(), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: &WireValue) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn signed_values_are_sign_extended() {
        let bytes = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
        assert_eq!(encoded(&WireValue::Signed(-1)), bytes);
        assert_eq!(decode_signed(&mut Reader::new(&bytes, 0), "server_id"), Ok(-1));
        assert_eq!(encoded(&WireValue::Signed(7)), [7]);
        // What a sender of 32 bits without extension would make of −1.
        let bytes = [0xff, 0xf0, 0xfe, 0xfe, 0x7e];
        assert_eq!(decode_signed(&mut Reader::new(&bytes, 0), "server_id"), Ok(-1));
    }

    #[test]
    fn a_counter_keeps_its_age_across_clocks() {
        let sent = WireFrequency { age: 1500, current: 2, previous: 9 };
        assert_eq!(encoded(&WireValue::Frequency(sent)), [0xfc, 0x4e, 2, 9]);
        let counter = sent.at(1_000_000);
        assert_eq!(WireFrequency::of(counter, 1_000_000), sent);
        assert_eq!(WireFrequency::of(counter, 1_000_500).age, 2000);
    }

    #[test]
    fn the_error_is_at_the_number_that_is_missing() {
        let error = decode_frequency(&mut Reader::new(&[1, 2], 10), "conn_rate").unwrap_err();
        assert_eq!(error, DecodeError::truncated(12, "conn_rate"));
    }

    #[test]
    fn values_are_shown_as_they_were_sent() {
        let frequency = WireFrequency { age: 1_500, current: 2, previous: 9 };
        let new = |text: &'static [u8]| WireValue::Dictionary(DictionaryItem::New(5, text.into()));
        for (value, text) in [
            (WireValue::Signed(-7), "-7"),
            (WireValue::Unsigned(u32::MAX), "4294967295"),
            (WireValue::Unsigned64(u64::MAX), "18446744073709551615"),
            (WireValue::Frequency(frequency), "2+9@1500ms"),
            (WireValue::Dictionary(DictionaryItem::None), "-"),
            (WireValue::Dictionary(DictionaryItem::Known(5)), "#5"),
            (new(b"srv1"), "#5:srv1"),
            (new(b"a\n\x1b[31m\xff"), "#5:a\\n\\x1b[31m\\xff"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn values_come_back_and_are_skipped_as_wide_as_they_are(
            signed: i32, unsigned: u32, unsigned64: u64, age: u32, current: u32, previous: u32,
        ) {
            for (storage, value) in [
                (Storage::Signed, WireValue::Signed(signed)),
                (Storage::Unsigned, WireValue::Unsigned(unsigned)),
                (Storage::Unsigned64, WireValue::Unsigned64(unsigned64)),
                (Storage::Frequency, WireValue::Frequency(WireFrequency { age, current, previous })),
                (Storage::Dictionary, WireValue::Dictionary(DictionaryItem::New(5, b"srv"[..].into()).into_owned())),
            ] {
                let bytes = encoded(&value);
                let mut reader = Reader::new(&bytes, 0);
                prop_assert_eq!(WireValue::decode(storage, "x", 10, &mut reader), Ok(value));
                prop_assert!(reader.is_empty());
                let mut reader = Reader::new(&bytes, 0);
                prop_assert_eq!(skip_value(storage, &mut reader, "x"), Ok(()));
                prop_assert!(reader.is_empty());
            }
        }
    }
}
