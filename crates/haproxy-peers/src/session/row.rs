//! One entry as an update message.

use std::sync::Arc;

use stick_table::{DataType, EntryRef, Layout, Storage};

use crate::{
    Padding, SAFE_MESSAGE, SendDictionary, SharedTable, UpdateHeader, WireFrequency, encode_frequency,
    encode_key, encode_signed, encode_unsigned, encode_unsigned64, varint,
};

/// Most bytes of the values after a `server_key`, the longer length of the message included: arrays of 100 elements, of
/// five bytes each number (peers-protocol §14.2).
const MAX_AFTER_STRING: usize = 2_600;

/// The values of a table's rows in the order of the wire, made once for each session and table.
pub(crate) struct RowEncoder {
    columns: Vec<(Storage, u32, usize)>,
}

/// What encoding needs to know of the session.
pub(crate) struct RowContext<'a> {
    pub(crate) dictionary: &'a mut SendDictionary,
    pub(crate) padding: Padding,
    /// Whether the peer is of the 2.0 kind, which may misread some varints (peers-protocol §18.3).
    pub(crate) is_v2_0: bool,
    /// The table's clock in ms, wrapped.
    pub(crate) now: u32,
}

impl RowEncoder {
    pub(crate) fn new(layout: &Layout) -> Self {
        let column = |&(column, offset): &(stick_table::Column, usize)| {
            (DataType::storage(column.data_type()), column.count(), offset)
        };
        Self { columns: layout.columns().iter().map(column).collect() }
    }

    /// Appends the update of an entry.
    #[inline]
    pub(crate) fn encode(
        &self,
        shared: &SharedTable,
        entry: EntryRef<'_>,
        header: UpdateHeader,
        context: &mut RowContext<'_>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let mut frame = header.begin(out);
        let payload = frame.payload();
        encode_key(shared.definition().key_type, entry.key(), payload);
        let words = entry.words();
        for &(storage, count, offset) in &self.columns {
            let elements = words[offset..].chunks_exact(storage.words()).take(count as usize);
            match storage {
                Storage::Signed => elements.for_each(|word| encode_signed(word[0].cast_signed(), payload)),
                Storage::Unsigned => elements.for_each(|word| encode_unsigned(word[0], payload)),
                Storage::Unsigned64 => elements.for_each(|words| {
                    encode_unsigned64(u64::from(words[0]) | u64::from(words[1]) << 32, payload);
                }),
                Storage::Frequency => elements.for_each(|words| {
                    let counter = stick_table::FrequencyCounter {
                        tick: words[0],
                        current: words[1],
                        previous: words[2],
                    };
                    let mut wire = WireFrequency::of(counter, context.now);
                    if context.is_v2_0 {
                        wire.age = readable_by_1_6(wire.age);
                    }
                    encode_frequency(wire, payload);
                }),
                Storage::Dictionary => elements.for_each(|word| match entry.string(word[0]) {
                    Some(string) => encode_string(string, context.dictionary, start, payload),
                    None => payload.push(0),
                }),
            }
        }
        frame.finish(context.padding);
    }
}

/// Appends a string, or nothing in its place when the message, begun at `start`, would get too long for a receiver: it
/// would close the connection, each time anew.
fn encode_string(string: &Arc<str>, dictionary: &mut SendDictionary, start: usize, payload: &mut Vec<u8>) {
    let len = payload.len() - start + SendDictionary::max_item_len(string);
    if len + MAX_AFTER_STRING > SAFE_MESSAGE {
        payload.push(0);
        return;
    }
    dictionary.item(string).encode(payload);
}

/// The nearest later age whose varint has no continuation byte of exactly 0x80, at which HAProxy 1.6 stops reading
/// (peers-protocol §18.3). At most about 2 s later for ages up to 9 hours; counters themselves cannot be changed.
fn readable_by_1_6(age: u32) -> u32 {
    let has_it = |age: u32| {
        let (bytes, len) = varint::encode_long(age.into());
        len > 2 && bytes[1..len - 1].contains(&0x80)
    };
    let mut later = age;
    while later >= 240 && has_it(later) {
        match later.checked_add(16) {
            Some(next) => later = next,
            None => return age,
        }
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    /// peers-protocol §18.3.
    #[test]
    fn ages_for_1_6_avoid_the_byte_it_stops_at() {
        for age in (0..300_000).chain((264_000..33_000_000).step_by(997)) {
            let chosen = readable_by_1_6(age);
            assert!((age..age + 2_100).contains(&chosen), "{age} became {chosen}");
            let mut bytes = Vec::new();
            varint::encode(chosen.into(), &mut bytes);
            assert!(bytes.len() < 3 || !bytes[1..bytes.len() - 1].contains(&0x80), "{chosen}: {bytes:02x?}");
        }
        assert_eq!(readable_by_1_6(2_288), 2_304);
    }
}
