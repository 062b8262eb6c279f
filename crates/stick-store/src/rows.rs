//! Entries in the body of a block.
//!
//! ```text
//! life 4 | key: as many bytes as all have, or their number 2 and the bytes | data words 4 each | next entry …
//! … | strings: their length 2 and the bytes
//! ```
//!
//! The life is what remains of it in ms, or, in a table without `expire`, the time since the entry was touched in ms. Data words are those of the table, but for two: the tick of a frequency counter is its age in ms, and a `server_key` is the
//! number of a string behind the entries, from 1 on, or 0.

use std::ops::Range;
use std::sync::Arc;

use stick_table::{DataType, EntryRef, Layout, Storage, TableDefinition};

use crate::sums::{FLAG, Part};

/// What is particular about the entries of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of each key, where all have the same.
    key_bytes: Option<usize>,
    /// Data words.
    words: usize,
    /// Where frequency counters are.
    rates: Vec<usize>,
    /// Where the `server_key` is.
    text: Option<usize>,
}

impl Shape {
    pub(crate) fn of(definition: &TableDefinition, layout: &Layout) -> Self {
        let key_type = definition.key_type;
        let rates =
            layout.columns().iter().filter(|(column, _)| column.data_type().storage() == Storage::Frequency);
        let rates = rates.flat_map(|(column, offset)| {
            let words = Storage::Frequency.words();
            (0..column.count() as usize).map(move |element| offset + element * words)
        });
        Self {
            key_bytes: key_type.is_fixed().then(|| key_type.max_bytes()),
            words: layout.data_words(),
            rates: rates.collect(),
            text: layout.offset(DataType::ServerKey, 0),
        }
    }
}

/// The body of a block in the making.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    rows: u32,
    strings: Vec<Arc<str>>,
    /// Nodes with the data words that they told, of contributions.
    tellers: Vec<(String, Vec<Range<usize>>)>,
    has_tellers: bool,
    /// Where the number of the key's contributions is.
    count_at: usize,
}

impl Body {
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends an entry; `now` is the table's clock.
    pub(crate) fn push_entry(&mut self, shape: &Shape, entry: EntryRef<'_>, now: u32) {
        self.bytes.extend_from_slice(&entry.remaining().or_else(|| entry.age()).unwrap_or(0).to_le_bytes());
        let key = entry.key();
        if shape.key_bytes.is_none() {
            self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        }
        self.bytes.extend_from_slice(key);
        let start = self.bytes.len();
        for word in entry.words() {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        let words = &mut self.bytes[start..];
        store_ages(shape, words, now);
        if let Some(offset) = shape.text {
            let string = entry.string(word_at(words, offset));
            set_word(words, offset, string.map_or(0, |string| number_of(&mut self.strings, string)));
        }
        self.rows += 1;
    }

    /// Begins with the contributions to a key; `is_more` says that others stand in the block before.
    pub(crate) fn begin_key(&mut self, shape: &Shape, key: &[u8], is_more: bool) {
        if shape.key_bytes.is_none() {
            self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        }
        self.bytes.extend_from_slice(key);
        self.count_at = self.bytes.len();
        self.bytes.extend_from_slice(&(if is_more { FLAG } else { 0 }).to_le_bytes());
        self.rows += 1;
        self.has_tellers = true;
    }

    /// Appends a contribution to the key that was begun last.
    pub(crate) fn push_part(&mut self, shape: &Shape, name: &str, part: &Part, now: u32) {
        if let Some(count) = self.bytes[self.count_at..].first_chunk_mut() {
            *count = (u16::from_le_bytes(*count) + 1).to_le_bytes();
        }
        let known =
            self.tellers.iter().position(|(known, columns)| known == name && *columns == part.columns);
        let teller = known.unwrap_or_else(|| {
            self.tellers.push((name.to_owned(), part.columns.clone()));
            self.tellers.len() - 1
        });
        let flag = if part.is_former { FLAG } else { 0 };
        self.bytes.extend_from_slice(&(teller as u16 | flag).to_le_bytes());
        self.bytes.extend_from_slice(&part.life.to_le_bytes());
        let start = self.bytes.len();
        for word in &part.words {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        let words = &mut self.bytes[start..];
        store_ages(shape, words, now);
        if let Some(offset) = shape.text {
            let string = part.string.as_ref();
            set_word(words, offset, string.map_or(0, |string| number_of(&mut self.strings, string)));
        }
    }

    /// Appends a key alone.
    pub(crate) fn push_key(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.rows += 1;
    }

    /// Ends the body: the strings come last.
    pub(crate) fn finish(&mut self) -> &[u8] {
        if self.has_tellers {
            self.bytes.extend_from_slice(&(self.tellers.len() as u16).to_le_bytes());
        }
        for (name, columns) in self.tellers.drain(..) {
            self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(&(columns.len() as u16).to_le_bytes());
            for bound in columns.iter().flat_map(|run| [run.start, run.end]) {
                self.bytes.extend_from_slice(&(bound as u16).to_le_bytes());
            }
        }
        for string in self.strings.drain(..) {
            self.bytes.extend_from_slice(&(string.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(string.as_bytes());
        }
        &self.bytes
    }

    /// Begins another one.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.strings.clear();
        self.tellers.clear();
        self.has_tellers = false;
        self.rows = 0;
    }
}

/// Makes the ticks of frequency counters their ages.
fn store_ages(shape: &Shape, words: &mut [u8], now: u32) {
    for &offset in &shape.rates {
        let [tick, current, previous] = [0, 1, 2].map(|place| word_at(words, offset + place));
        if (tick, current, previous) != (0, 0, 0) {
            set_word(words, offset, now.wrapping_sub(tick));
        }
    }
}

/// The number of a string in the list, which it is added to. Servers are few and repeat.
fn number_of(strings: &mut Vec<Arc<str>>, string: &Arc<str>) -> u32 {
    let known = strings.iter().rposition(|known| Arc::ptr_eq(known, string));
    let place = known.unwrap_or_else(|| {
        strings.push(Arc::clone(string));
        strings.len() - 1
    });
    place as u32 + 1
}

fn word_at(words: &[u8], place: usize) -> u32 {
    words[4 * place..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

fn set_word(words: &mut [u8], place: usize, word: u32) {
    words[4 * place..][..4].copy_from_slice(&word.to_le_bytes());
}

/// An entry as it was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredEntry<'b> {
    /// What was left of its life, or the time since its touch in a table without `expire`, in ms.
    pub(crate) life: u32,
    pub(crate) key: &'b [u8],
    words: &'b [u8],
}

impl StoredEntry<'_> {
    /// A data word.
    pub(crate) fn word(&self, place: usize) -> u32 {
        word_at(self.words, place)
    }
}

/// Takes entries, keys and strings from a body. `None` says that there is less than there should be.
pub(crate) struct BodyReader<'b>(pub(crate) &'b [u8]);

impl<'b> BodyReader<'b> {
    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn counted(&mut self) -> Option<&'b [u8]> {
        let count = *self.take(2)?.first_chunk()?;
        self.take(u16::from_le_bytes(count).into())
    }

    /// The next key of a list.
    pub(crate) fn key(&mut self) -> Option<&'b [u8]> {
        self.counted()
    }

    /// The next key as an entry of this shape has it.
    pub(crate) fn key_of(&mut self, shape: &Shape) -> Option<&'b [u8]> {
        match shape.key_bytes {
            Some(bytes) => self.take(bytes),
            None => self.counted(),
        }
    }

    /// The next number of two bytes.
    pub(crate) fn number(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    /// The life and the words of a contribution to a key.
    pub(crate) fn words(&mut self, shape: &Shape, key: &'b [u8]) -> Option<StoredEntry<'b>> {
        let life = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        Some(StoredEntry { life, key, words: self.take(4 * shape.words)? })
    }

    /// The next entry.
    pub(crate) fn entry(&mut self, shape: &Shape) -> Option<StoredEntry<'b>> {
        let life = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        let key = self.key_of(shape)?;
        Some(StoredEntry { life, key, words: self.take(4 * shape.words)? })
    }

    /// The strings behind so many entries.
    pub(crate) fn strings(mut self, shape: &Shape, entries: u32) -> Option<Vec<Arc<str>>> {
        if shape.text.is_none() {
            return Some(Vec::new());
        }
        for _ in 0..entries {
            self.entry(shape)?;
        }
        self.rest_of_strings()
    }

    /// The strings to the end.
    pub(crate) fn rest_of_strings(mut self) -> Option<Vec<Arc<str>>> {
        let mut strings = Vec::new();
        while !self.0.is_empty() {
            strings.push(std::str::from_utf8(self.counted()?).ok()?.into());
        }
        Some(strings)
    }
}
