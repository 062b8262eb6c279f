//! Keys and their parts, packed.

mod class;
mod slots;

use bytemuck::{cast_slice, cast_slice_mut};
use hashbrown::HashTable;
use stick_table::{KeyType, Schema};

use self::class::Class;
use self::slots::Slots;

/// Keys of up to this many bytes stand in the record; longer ones beside.
const INLINE_KEY_BYTES: usize = 64;
/// Words that memory brings at once.
const LINE_WORDS: usize = 16;
/// Most parts of a key.
pub(crate) const MAX_PARTS: usize = (1 << 15) - 1;

/// The keys of a stripe, each with one record for its parts.
///
/// ```text
/// slot      | due | place of the record | number of parts |             stays the key's while it is there
/// record    | slot | key, zero padded, or its handle | part | part | … |   as many parts as there are
/// ```
///
/// Records with the same number of parts stand in one array without gaps ([`Class`]): when one leaves, the last one takes
/// its place.
pub(crate) struct Store {
    form: Form,
    part_words: usize,
    /// By the number of parts.
    classes: Vec<Class>,
    slots: Slots,
    index: HashTable<u32>,
    long_keys: Vec<Box<[u8]>>,
    free_long_keys: Vec<u32>,
    keys: usize,
    parts: usize,
    /// Bytes of the classes' records, and of the long keys' text.
    record_bytes: usize,
    text_bytes: usize,
    scratch: Vec<u32>,
}

/// How keys stand in records.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    bytes: usize,
    words: usize,
    is_fixed: bool,
    is_inline: bool,
}

/// A key in the form records are compared with.
#[derive(Clone, Copy)]
pub(crate) enum Sought<'a> {
    Words(&'a [u32]),
    Long(&'a [u8]),
}

impl Form {
    fn new(key_type: KeyType) -> Self {
        let bytes = key_type.max_bytes();
        let is_inline = bytes <= INLINE_KEY_BYTES;
        let words = if is_inline { bytes.div_ceil(4).max(1) } else { 1 };
        Self { bytes, words, is_fixed: key_type.is_fixed(), is_inline }
    }

    /// Calls `use_it` with a canonical key in the form records are compared with.
    #[inline]
    pub(crate) fn with_key<R>(self, key: &[u8], use_it: impl FnOnce(Sought<'_>) -> R) -> R {
        if !self.is_inline {
            return use_it(Sought::Long(key));
        }
        let mut words = [0; INLINE_KEY_BYTES / 4];
        let words = &mut words[..self.words];
        let (head, tail) = cast_slice_mut::<u32, u8>(words).split_at_mut(key.len().min(4 * self.words));
        head.copy_from_slice(&key[..head.len()]);
        tail.fill(0);
        use_it(Sought::Words(words))
    }

    /// The canonical key of a record. A string has no NUL, so it ends where the padding begins.
    #[inline]
    fn key<'a>(self, record: &'a [u32], long_keys: &'a [Box<[u8]>]) -> &'a [u8] {
        let words = &record[1..=self.words];
        if !self.is_inline {
            return &long_keys[words[0] as usize];
        }
        let bytes = &cast_slice::<u32, u8>(words)[..self.bytes];
        if self.is_fixed {
            return bytes;
        }
        let padding = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        &bytes[..bytes.len() - padding]
    }
}

impl Store {
    pub(crate) fn new(key_type: KeyType, part_words: usize) -> Self {
        Self {
            form: Form::new(key_type),
            part_words,
            classes: Vec::new(),
            slots: Slots::default(),
            index: HashTable::new(),
            long_keys: Vec::new(),
            free_long_keys: Vec::new(),
            keys: 0,
            parts: 0,
            record_bytes: 0,
            text_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Number of keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Number of parts.
    pub(crate) fn parts_of_all(&self) -> usize {
        self.parts
    }

    /// Slots ever used.
    pub(crate) fn slot_count(&self) -> u32 {
        self.slots.len()
    }

    /// Whether a slot is a key's.
    #[inline]
    pub(crate) fn is_used(&self, slot: u32) -> bool {
        self.slots.count(slot) > 0
    }

    /// When a key is to be looked at again.
    #[inline]
    pub(crate) fn due(&self, slot: u32) -> u32 {
        self.slots.due(slot)
    }

    #[inline]
    pub(crate) fn set_due(&mut self, slot: u32, due: u32) {
        self.slots.set_due(slot, due);
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.record_bytes
            + size_of::<Class>() * self.classes.capacity()
            + self.slots.bytes()
            + self.index.allocation_size()
            + self.long_key_bytes()
            + 4 * (self.free_long_keys.capacity() + self.scratch.capacity())
    }

    /// Bytes of keys that do not stand in records.
    pub(crate) fn long_key_bytes(&self) -> usize {
        self.text_bytes + size_of::<Box<[u8]>>() * self.long_keys.capacity()
    }

    /// Whether a key lacks a contribution.
    #[inline]
    pub(crate) fn is_partial(&self, slot: u32) -> bool {
        self.slots.is_partial(slot)
    }

    pub(crate) fn set_partial(&mut self, slot: u32, is_partial: bool) {
        self.slots.set_partial(slot, is_partial);
    }

    /// How keys stand in records.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    fn start(&self) -> usize {
        1 + self.form.words
    }

    fn record_words(&self, parts: usize) -> usize {
        self.start() + parts * self.part_words
    }

    #[inline]
    fn record(&self, slot: u32) -> &[u32] {
        self.classes[self.slots.count(slot)].record(self.slots.place(slot))
    }

    #[inline]
    fn record_mut(&mut self, slot: u32) -> &mut [u32] {
        self.classes[self.slots.count(slot)].record_mut(self.slots.place(slot))
    }

    /// The canonical key of a used slot.
    pub(crate) fn key(&self, slot: u32) -> &[u8] {
        self.form.key(self.record(slot), &self.long_keys)
    }

    /// Whether a slot is the key's.
    #[inline]
    pub(crate) fn is_key(&self, slot: u32, key: Sought<'_>) -> bool {
        if !self.is_used(slot) {
            return false;
        }
        let words = &self.record(slot)[1..self.start()];
        match key {
            Sought::Words(key) => words.iter().zip(key).all(|(one, other)| one == other),
            Sought::Long(key) => *self.long_keys[words[0] as usize] == *key,
        }
    }

    /// The slot of a key.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: Sought<'_>) -> Option<u32> {
        self.index.find(hash, |&slot| self.is_key(slot, key)).copied()
    }

    /// A slot that is most likely that of the key with this hash, if there is one.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.index.find(hash, |_| true).copied()
    }

    /// The parts of a used slot, one after the other.
    #[inline]
    pub(crate) fn parts(&self, slot: u32) -> &[u32] {
        &self.record(slot)[1 + self.form.words..]
    }

    #[inline]
    pub(crate) fn parts_mut(&mut self, slot: u32) -> &mut [u32] {
        let start = self.start();
        &mut self.record_mut(slot)[start..]
    }

    /// Loads the record of a used slot from memory.
    #[inline]
    pub(crate) fn touch(&self, slot: u32) -> u32 {
        self.record(slot).iter().step_by(LINE_WORDS).fold(0, |loaded, word| loaded ^ word)
    }

    /// One part of a used slot.
    #[inline]
    pub(crate) fn part_mut(&mut self, slot: u32, number: usize) -> &mut [u32] {
        let width = self.part_words;
        &mut self.parts_mut(slot)[number * width..][..width]
    }

    /// Adds a key that is not there, with one part, all zero; returns its slot.
    pub(crate) fn insert(&mut self, schema: &Schema, hash: u64, key: Sought<'_>) -> u32 {
        let slot = self.slots.take();
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.push(slot);
        match key {
            Sought::Words(words) => record.extend_from_slice(words),
            Sought::Long(bytes) => record.push(self.keep_long_key(bytes)),
        }
        record.resize(self.record_words(1), 0);
        self.put(slot, 1, &record);
        self.scratch = record;
        self.keys += 1;
        self.parts += 1;
        let Self { index, classes, slots, long_keys, form, .. } = self;
        index.insert_unique(hash, slot, |&slot| {
            let record = classes[slots.count(slot)].record(slots.place(slot));
            // Of keys that are too long there are none.
            schema.hash(form.key(record, long_keys)).unwrap_or(0)
        });
        slot
    }

    fn keep_long_key(&mut self, key: &[u8]) -> u32 {
        self.text_bytes += key.len();
        if let Some(handle) = self.free_long_keys.pop() {
            self.long_keys[handle as usize] = key.into();
            return handle;
        }
        self.long_keys.push(key.into());
        (self.long_keys.len() - 1) as u32
    }

    /// Removes a key with all its parts.
    pub(crate) fn remove(&mut self, schema: &Schema, slot: u32) {
        let hash = schema.hash(self.key(slot)).unwrap_or(0);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        if !self.form.is_inline {
            let handle = self.record(slot)[1];
            self.text_bytes -= self.long_keys[handle as usize].len();
            self.long_keys[handle as usize] = Box::default();
            self.free_long_keys.push(handle);
        }
        self.keys -= 1;
        self.parts -= self.slots.count(slot);
        self.take_out(slot);
        self.slots.give_back(slot);
    }

    /// Adds a part, all zero, before the part with this number. There must be room, see [`MAX_PARTS`].
    pub(crate) fn add_part(&mut self, slot: u32, number: usize) {
        let count = self.slots.count(slot);
        let (at, width) = (self.start() + number * self.part_words, self.part_words);
        self.rewrite(slot, count + 1, |record| {
            let end = record.len();
            record.resize(end + width, 0);
            record.copy_within(at..end, at + width);
            record[at..at + width].fill(0);
        });
        self.parts += 1;
    }

    /// Removes a part; not the last one of a key.
    pub(crate) fn remove_part(&mut self, slot: u32, number: usize) {
        let mut next = 0;
        self.retain_parts(slot, 1, |_| {
            next += 1;
            next != number + 1
        });
    }

    /// Keeps the parts for which `keeps` holds, which it does for all but `removed`; that is not all of a key.
    pub(crate) fn retain_parts(&mut self, slot: u32, removed: usize, mut keeps: impl FnMut(&[u32]) -> bool) {
        let count = self.slots.count(slot);
        let (start, width) = (self.start(), self.part_words);
        self.rewrite(slot, count - removed, |record| {
            let mut to = start;
            for number in 0..count {
                let from = start + number * width;
                if keeps(&record[from..from + width]) {
                    record.copy_within(from..from + width, to);
                    to += width;
                }
            }
            record.truncate(to);
        });
        self.parts -= removed;
    }

    /// Moves a part behind all others.
    pub(crate) fn move_last(&mut self, slot: u32, number: usize) {
        let width = self.part_words;
        self.parts_mut(slot)[number * width..].rotate_left(width);
    }

    fn rewrite(&mut self, slot: u32, parts: usize, change: impl FnOnce(&mut Vec<u32>)) {
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.extend_from_slice(self.record(slot));
        change(&mut record);
        self.take_out(slot);
        self.put(slot, parts, &record);
        self.scratch = record;
    }

    /// Puts a record where those with as many parts are.
    fn put(&mut self, slot: u32, parts: usize, record: &[u32]) {
        while self.classes.len() <= parts {
            self.classes.push(Class::new(self.record_words(self.classes.len())));
        }
        let class = &mut self.classes[parts];
        let before = class.bytes();
        let place = class.push(record);
        self.record_bytes += class.bytes() - before;
        self.slots.set(slot, place, parts);
    }

    /// Takes the record of a slot out of its class.
    fn take_out(&mut self, slot: u32) {
        let (place, count) = (self.slots.place(slot), self.slots.count(slot));
        let class = &mut self.classes[count];
        let before = class.bytes();
        if let Some(moved) = class.remove(place) {
            self.slots.set(moved, place, count);
        }
        // A record that moves to another class is put there afterwards.
        self.record_bytes -= before - class.bytes();
    }

    /// Panics unless all agrees. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self, schema: &Schema) {
        let (mut keys, mut parts) = (0, 0);
        for slot in (0..self.slot_count()).filter(|&slot| self.is_used(slot)) {
            keys += 1;
            parts += self.slots.count(slot);
            assert_eq!(self.record(slot)[0], slot, "the record leads back to its slot");
            assert_eq!(self.parts(slot).len(), self.slots.count(slot) * self.part_words);
            let hash = schema.hash(self.key(slot)).unwrap();
            assert_eq!(self.form.with_key(self.key(slot), |key| self.find(hash, key)), Some(slot));
        }
        assert_eq!((keys, parts), (self.keys, self.parts));
        assert_eq!(self.index.len(), keys);
        let records: usize = self.classes.iter().map(Class::len).sum();
        assert_eq!(records, keys, "no record without a key");
        assert_eq!(self.record_bytes, self.classes.iter().map(Class::bytes).sum::<usize>());
        assert_eq!(self.text_bytes, self.long_keys.iter().map(|key| key.len()).sum::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use stick_table::TableDefinition;

    use super::*;

    fn stored(key_type: KeyType, steps: &[(u8, u8, usize)]) {
        let definition = TableDefinition::new("t", key_type, 100);
        let schema = Schema::new(definition, 5).unwrap();
        let mut store = Store::new(key_type, 3);
        let mut twin: BTreeMap<Vec<u8>, Vec<[u32; 3]>> = BTreeMap::new();
        let mut next = 0;
        for &(what, key, at) in steps {
            let key = match key_type {
                KeyType::String { .. } => "x".repeat(key.into()).into_bytes(),
                _ => vec![0, 0, 0, key],
            };
            let hash = schema.hash(&key).unwrap();
            let slot = store.form().with_key(&key, |key| store.find(hash, key));
            assert_eq!(slot.is_some(), twin.contains_key(&key));
            next += 1;
            let Some(slot) = slot else {
                let slot = store.form().with_key(&key, |key| store.insert(&schema, hash, key));
                assert_eq!(store.parts(slot), [0; 3]);
                store.part_mut(slot, 0).fill(next);
                twin.insert(key, vec![[next; 3]]);
                continue;
            };
            let parts = twin.get_mut(&key).unwrap();
            let at = at % parts.len();
            match what {
                0 => {
                    store.remove(&schema, slot);
                    twin.remove(&key);
                }
                1 if parts.len() > 1 => {
                    store.remove_part(slot, at);
                    parts.remove(at);
                }
                2 => {
                    store.move_last(slot, at);
                    let part = parts.remove(at);
                    parts.push(part);
                }
                _ => {
                    store.add_part(slot, at);
                    assert_eq!(store.part_mut(slot, at), [0; 3]);
                    store.part_mut(slot, at).fill(next);
                    parts.insert(at, [next; 3]);
                }
            }
            store.validate(&schema);
        }
        for (key, parts) in &twin {
            let hash = schema.hash(key).unwrap();
            let slot = store.form().with_key(key, |key| store.find(hash, key)).unwrap();
            assert_eq!(store.parts(slot), parts.concat());
            assert_eq!(store.key(slot), key);
        }
        assert_eq!(store.keys(), twin.len());
    }

    proptest! {
        #[test]
        fn records_agree_with_their_twins(
            steps in proptest::collection::vec((0u8..6, 0u8..12, 0usize..8), 1..150),
            key_type in prop_oneof![
                Just(KeyType::Ip),
                Just(KeyType::String { max_len: 20 }),
                Just(KeyType::String { max_len: 200 }),
            ],
        ) {
            stored(key_type, &steps);
        }
    }
}
