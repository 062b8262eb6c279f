//! One entry as an update message.

use std::sync::Arc;

use stick_aggregate::OwnValue;
use stick_table::defect::Defect;
use stick_table::{DataType, EntryRef, FrequencyCounter, KeyType, Layout, Storage, TableDefinition};

use super::relays::encode_writer;
use crate::{
    Padding, SAFE_MESSAGE, SendDictionary, UpdateHeader, WireFrequency, class, encode_frequency, encode_key,
    encode_signed, encode_unsigned, encode_unsigned64, varint, varint::Window,
};

/// Most bytes of the values after a `server_key`, the longer length of the message included: arrays of 100 elements, of
/// five bytes each number (peers-protocol §14.2).
const MAX_AFTER_STRING: usize = 2_600;

/// Longest payload of messages that are made the quick way, in bytes: its length takes one byte on the wire.
const MAX_QUICK_PAYLOAD: usize = 239;
/// Class, type and length.
const HEADER: u8 = 3;
/// Bytes of quick messages that are gathered before they go to the session's buffer.
const SCRATCH: usize = 8 * 1024;

/// What an update tells: an entry of a table, or what a hub knows from one node.
pub(crate) trait Row: Copy {
    /// The canonical key.
    fn key(&self) -> &[u8];
    /// The data words by the table's layout.
    fn words(&self) -> &[u32];
    /// What the word of a `server_key` stands for.
    fn string(&self, word: u32) -> Option<&Arc<str>>;
}

impl Row for EntryRef<'_> {
    #[inline]
    fn key(&self) -> &[u8] {
        EntryRef::key(self)
    }

    #[inline]
    fn words(&self) -> &[u32] {
        EntryRef::words(self)
    }

    fn string(&self, word: u32) -> Option<&Arc<str>> {
        EntryRef::string(self, word)
    }
}

impl Row for &OwnValue<'_> {
    fn key(&self) -> &[u8] {
        OwnValue::key(self)
    }

    fn words(&self) -> &[u32] {
        OwnValue::words(self)
    }

    fn string(&self, word: u32) -> Option<&Arc<str>> {
        OwnValue::string(self, word)
    }
}

/// One element of a row by its first data word.
#[derive(Clone, Copy)]
enum Element {
    Signed(u32),
    Unsigned(u32),
    Unsigned64(u32),
    Frequency(u32),
}

impl Element {
    /// Most bytes on the wire.
    const fn max_len(self) -> usize {
        match self {
            Self::Unsigned(_) => 5,
            Self::Signed(_) | Self::Unsigned64(_) => varint::MAX_LEN,
            Self::Frequency(_) => 3 * 5,
        }
    }
}

/// The values of a table's rows in the order of the wire, made once for each session and table.
pub(crate) struct RowEncoder {
    columns: Vec<(Storage, u32, usize)>,
    key_type: KeyType,
    /// The same element by element, where every message of the table can be made the quick way.
    elements: Option<Vec<Element>>,
}

/// What encoding needs to know of the session.
pub(crate) struct RowContext<'a> {
    pub(crate) dictionary: &'a mut SendDictionary,
    pub(crate) padding: Padding,
    /// Whether the peer is of the 2.0 kind, which may misread some varints (peers-protocol §18.3).
    pub(crate) is_v2_0: bool,
    /// The table's clock in ms, wrapped.
    pub(crate) now: u32,
    pub(crate) scratch: &'a mut Scratch,
    /// Who made the change, where a relay is told that.
    pub(crate) writer: Option<u64>,
}

/// Where messages are put together: a fixed buffer, so that writing a byte is no more than that.
pub(crate) struct Scratch {
    bytes: Box<[u8]>,
    len: usize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; SCRATCH].into_boxed_slice(), len: 0 }
    }

    /// Moves what was gathered to the end of `out`.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
        self.len = 0;
    }
}

impl RowEncoder {
    /// The values of the data types that are `told`.
    pub(crate) fn new(
        definition: &TableDefinition,
        layout: &Layout,
        told: impl Fn(DataType) -> bool,
    ) -> Self {
        let column = |&(column, offset): &(stick_table::Column, usize)| {
            (DataType::storage(column.data_type()), column.count(), offset)
        };
        let columns = layout.columns().iter().filter(|(column, _)| told(column.data_type()));
        let columns: Vec<_> = columns.map(column).collect();
        let elements = quick_elements(definition.key_type, &columns);
        Self { columns, key_type: definition.key_type, elements }
    }

    /// Appends the update of an entry to the context's scratch or to `out`; the caller [flushes](Scratch::flush) the
    /// scratch after the last one.
    #[inline]
    pub(crate) fn encode(
        &self,
        entry: impl Row,
        header: UpdateHeader,
        context: &mut RowContext<'_>,
        out: &mut Vec<u8>,
    ) {
        if let Some(elements) = &self.elements
            && !context.is_v2_0
            && context.writer.is_none()
        {
            if context.scratch.len + size_of::<Window>() > SCRATCH {
                context.scratch.flush(out);
            }
            if self.encode_quickly(elements, entry, header, context) {
                return;
            }
        }
        context.scratch.flush(out);
        self.encode_any(entry, header, context, out);
    }

    /// Puts the update into the scratch, which has room for it; `false` when it needs padding.
    #[inline]
    fn encode_quickly(
        &self,
        elements: &[Element],
        entry: impl Row,
        header: UpdateHeader,
        context: &mut RowContext<'_>,
    ) -> bool {
        let Scratch { bytes, len: start } = &mut *context.scratch;
        let Some(bytes) = bytes[*start..].first_chunk_mut() else { return false };
        let mut at = put_header(header, bytes);
        let key = entry.key();
        if let KeyType::String { .. } = self.key_type {
            at = varint::put(key.len() as u32, bytes, at);
        }
        at = put_key(key, bytes, at);
        let words = entry.words();
        for element in elements {
            at = match *element {
                Element::Unsigned(word) => varint::put(words[word as usize], bytes, at),
                Element::Signed(word) => {
                    varint::put64(i64::from(words[word as usize].cast_signed()).cast_unsigned(), bytes, at)
                }
                Element::Unsigned64(word) => {
                    let low = u64::from(words[word as usize]);
                    varint::put64(low | u64::from(words[word as usize + 1]) << 32, bytes, at)
                }
                Element::Frequency(word) => {
                    let wire = wire_frequency(&words[word as usize..word as usize + 3], context.now);
                    at = varint::put(wire.age, bytes, at);
                    at = varint::put(wire.current, bytes, at);
                    varint::put(wire.previous, bytes, at)
                }
            };
        }
        let payload = at - HEADER;
        if context.padding.lengthens(payload.into()) {
            return false;
        }
        bytes[usize::from(HEADER) - 1] = payload;
        *start += usize::from(at);
        true
    }

    /// Appends the update of an entry of any kind.
    fn encode_any(
        &self,
        entry: impl Row,
        header: UpdateHeader,
        context: &mut RowContext<'_>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let mut frame = header.begin(out);
        let payload = frame.payload();
        encode_key(self.key_type, entry.key(), payload);
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
                    let mut wire = wire_frequency(words, context.now);
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
        if let Some(writer) = context.writer {
            encode_writer(writer, payload);
        }
        frame.finish(context.padding);
    }
}

/// Writes class, type, id and lifetime; returns where the key goes.
#[inline(always)]
fn put_header(header: UpdateHeader, out: &mut Window) -> u8 {
    out[0] = class::STICK_TABLE;
    out[1] = header.form().kind();
    let mut at = HEADER;
    for field in [header.id, header.lifetime_ms].into_iter().flatten() {
        let [a, b, c, d] = field.to_be_bytes();
        varint::put_bytes([a, b, c, d, 0, 0, 0, 0], out, at);
        at += 4;
    }
    at
}

/// Writes the bytes of a key; returns where the values go.
#[inline(always)]
fn put_key(key: &[u8], out: &mut Window, at: u8) -> u8 {
    if let &[a, b, c, d] = key {
        varint::put_bytes([a, b, c, d, 0, 0, 0, 0], out, at);
    } else {
        out[usize::from(at)..][..key.len()].copy_from_slice(key);
    }
    at + key.len() as u8
}

#[inline]
fn wire_frequency(words: &[u32], now: u32) -> WireFrequency {
    let counter = FrequencyCounter { tick: words[0], current: words[1], previous: words[2] };
    let wire = WireFrequency::of(counter, now);
    if Defect::FrequencyRestarts.is_on() { WireFrequency { age: 0, ..wire } } else { wire }
}

/// The elements of all columns one after the other; `None` when there are strings, or messages may get too long.
fn quick_elements(key_type: KeyType, columns: &[(Storage, u32, usize)]) -> Option<Vec<Element>> {
    // Id, lifetime, and the length of a string.
    let mut longest = 4 + 4 + 2 + key_type.max_bytes();
    let mut elements = Vec::new();
    for &(storage, count, offset) in columns {
        for element in 0..count as usize {
            let word = (offset + element * storage.words()) as u32;
            let element = match storage {
                Storage::Signed => Element::Signed(word),
                Storage::Unsigned => Element::Unsigned(word),
                Storage::Unsigned64 => Element::Unsigned64(word),
                Storage::Frequency => Element::Frequency(word),
                Storage::Dictionary => return None,
            };
            longest += element.max_len();
            elements.push(element);
        }
    }
    (longest <= MAX_QUICK_PAYLOAD).then_some(elements)
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
        // The largest number has no such byte.
        later = later.saturating_add(16);
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    /// peers-protocol §18.3.
    #[test]
    fn ages_for_1_6_avoid_the_byte_it_stops_at() {
        let largest = u32::MAX - 300_000..=u32::MAX;
        for age in (0..300_000).chain((264_000..33_000_000).step_by(997)).chain(largest) {
            let chosen = readable_by_1_6(age);
            assert!(chosen >= age && (chosen - age < 2_100 || age > 33_000_000), "{age} became {chosen}");
            let mut bytes = Vec::new();
            varint::encode(chosen.into(), &mut bytes);
            assert!(bytes.len() < 3 || !bytes[1..bytes.len() - 1].contains(&0x80), "{chosen}: {bytes:02x?}");
        }
        assert_eq!(readable_by_1_6(2_288), 2_304);
    }
}
