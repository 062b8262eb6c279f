//! Changes from a peer, gathered and applied together.

mod ages;
pub use ages::Ages;
mod apply;
pub(crate) use apply::GROUP;
mod change_ref;
pub use change_ref::ChangeRef;
mod columns;
pub use columns::ColumnsError;

use std::ops::{AddAssign, Range};
use std::sync::Arc;

use crate::common::Common;
use crate::row::sought_key::SoughtKey;
use crate::{KeyError, Lifetime, Table};

/// The data word of a `server_key` that the update leaves as it is.
const KEEP_STRING: u32 = u32::MAX;

/// Whether a change may overwrite what the entry holds: the newest touch wins, whoever tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// The change is the newest there is: live updates.
    Newest,
    /// The change comes from a lesson. It creates entries. What an entry holds, by whom it was written and when it was touched by the
    /// [`Ages`] of the batch, decides the rest:
    ///
    /// | written by | touched before the change | after it | not known |
    /// | --- | --- | --- | --- |
    /// | the same origin, touched in this session | overwritten | overwritten | overwritten |
    /// | the same origin, touched before | overwritten | kept | overwritten if the change was made in this session, or by [`Batch::set_refreshes`] |
    /// | another origin | overwritten | kept | kept |
    /// | this process itself | kept | kept | kept |
    /// | a durable copy ([`Origin::STORE`](crate::Origin::STORE)) | overwritten | overwritten | overwritten |
    ///
    /// This process keeps its own values, as their lifetime may have begun again elsewhere by an update that told none; whoever
    /// wrote later pushes that.
    FillGaps,
    /// The change was part of a lesson and comes again on its own, without its age. It overwrites what the same origin wrote,
    /// or what a lesson of somebody else told. Where it carries what is left of its life, no live update told it before the lesson: then
    /// it overwrites everything that was not surely touched later.
    Repeated,
    /// The change was read from a durable copy of the table, after others began to write. It creates entries for which there is a free
    /// place, and evicts none. Of entries that are there it overwrites only what was read as well ([`Origin::STORE`](crate::Origin::STORE)).
    Vacant,
}

/// What became of the changes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that did not exist, or were over.
    pub created: u64,
    /// Entries that existed.
    pub updated: u64,
    /// Changes that found the table full and nothing purged, see [`UpdateError::Full`](crate::UpdateError::Full).
    pub refused: u64,
    /// Changes without effect: outdated by [`Precedence`], already over, or a repetition of what is not there.
    pub skipped: u64,
}

impl AddAssign for Applied {
    fn add_assign(&mut self, more: Self) {
        self.created += more.created;
        self.updated += more.updated;
        self.refused += more.refused;
        self.skipped += more.skipped;
    }
}

/// After so many small batches the memory of a large one is given back.
const MANY_SMALL_BATCHES: u32 = 1_000;
/// Most changes of a full batch.
const MAX_CHANGES: usize = 8192;
/// Most words of the rows of a full batch.
const MAX_WORDS: usize = 1 << 17;

/// Bytes of the lists of a batch when they are at their smallest, which may be more than twice what they need.
const SMALLEST_LISTS: usize = 1_024;

struct Change {
    hash: u64,
    lifetime: Lifetime,
}

/// Changes for one table, reused from batch to batch so that nothing is allocated per change.
///
/// All changes of a batch write the same data words, those of [`Batch::set_columns`]; the others keep what the entry
/// has, or zero in a new entry.
///
/// ```
/// use stick_table::{Batch, DataType, KeyType, Lifetime, Origin, Precedence, Table, TableDefinition};
///
/// let definition = TableDefinition::new("t", KeyType::Ip, 1000).with_column("gpc0".parse()?)?;
/// let table = Table::new(definition, 0)?;
/// let mut batch = Batch::new(&table);
/// let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
/// batch.set_columns([gpc0..gpc0 + 1])?;
/// batch.push(&[10, 0, 0, 1], Lifetime::Restart)?[gpc0] = 7;
/// assert_eq!(table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0).created, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch {
    common: Arc<Common>,
    changes: Vec<Change>,
    /// For each change the key words of its row, then the data words, see [`Layout`](crate::Layout). Longer than the
    /// changes take, so that nothing is cleared that is written anyway.
    words: Vec<u32>,
    key_words: usize,
    stride: usize,
    /// Changes of a full batch.
    limit: usize,
    /// The keys of a table whose keys do not stand in the rows, one after the other, and where each ends.
    long_keys: Vec<u8>,
    long_key_ends: Vec<usize>,
    /// Runs of data words to copy; never those of `server_key`, which `dictionary_offset` handles.
    columns: Vec<Range<usize>>,
    dictionary_offset: Option<usize>,
    /// Whether `columns` are all of the data words.
    writes_all: bool,
    /// Runs of data words that are written where they hold nothing, whoever wrote the entry; see
    /// [`fill_gaps`](Self::fill_gaps).
    gaps: Vec<Range<usize>>,
    /// What the lifetimes of the changes tell of when they were made.
    ages: Option<Ages>,
    /// See [`set_refreshes`](Self::set_refreshes).
    refreshes: bool,
    strings: Vec<Arc<str>>,
    /// Batches since one that needed a fair part of the memory.
    small: u32,
    /// The changes in the order of their stripes, and where each stripe's begin, see
    /// [`order_by_stripe`](Self::order_by_stripe).
    order: Vec<u32>,
    starts: Vec<u32>,
}

impl Batch {
    /// An empty batch for a table; it can be applied to that table only.
    pub fn new(table: &Table) -> Self {
        Self::by(Arc::clone(table.common()))
    }

    pub(crate) fn by(common: Arc<Common>) -> Self {
        let key_words = if common.layout.key_is_inline() { common.layout.key_words() } else { 0 };
        let stride = key_words + common.layout.data_words();
        Self {
            common,
            changes: Vec::new(),
            words: Vec::new(),
            key_words,
            stride,
            limit: MAX_CHANGES.min(MAX_WORDS / stride.max(1)),
            long_keys: Vec::new(),
            long_key_ends: Vec::new(),
            columns: Vec::new(),
            dictionary_offset: None,
            writes_all: false,
            gaps: Vec::new(),
            ages: None,
            refreshes: true,
            strings: Vec::new(),
            small: 0,
            order: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Says what the lifetimes of the following changes tell of when those were made; nothing without it.
    pub fn set_ages(&mut self, ages: Option<Ages>) {
        self.ages = ages;
    }

    /// Whether a lesson's changes refresh what the same origin wrote where lifetimes do not tell which was first. True at first; not
    /// where another process of the peer may have written that: the one that teaches may know less.
    pub fn set_refreshes(&mut self, refreshes: bool) {
        self.refreshes = refreshes;
    }

    /// Adds a change of the entry with this canonical key and returns its data words. The caller fills those of
    /// [`set_columns`](Self::set_columns); what they hold before is anything, and so are the others after.
    ///
    /// The word of `server_key` is set to "leave as it is"; see [`Batch::set_string`].
    ///
    /// # Errors
    /// When the key is none of the table's, see [`KeyType::check`](crate::KeyType::check); nothing is added then.
    #[inline]
    pub fn push(&mut self, key: &[u8], lifetime: Lifetime) -> Result<&mut [u32], KeyError> {
        self.common.definition.key_type.check(key)?;
        Ok(self.push_canonical(key, lifetime))
    }

    /// As [`push`](Self::push), without a look at a key that is known to be canonical: one of an entry, or one that was decoded
    /// by the table's key type.
    ///
    /// # Panics
    /// When the key is longer than the table's key type allows.
    #[inline]
    pub fn push_canonical(&mut self, key: &[u8], lifetime: Lifetime) -> &mut [u32] {
        debug_assert!(self.common.definition.key_type.check(key).is_ok(), "the key is not canonical");
        let start = self.changes.len() * self.stride;
        if self.words.len() < start + self.stride {
            let wanted = (start + self.stride) * 2;
            self.words.resize(wanted.min(self.limit * self.stride).max(start + self.stride), 0);
        }
        let row = &mut self.words[start..start + self.stride];
        let (key_words, data) = row.split_at_mut(self.key_words);
        let hash = if self.common.layout.key_is_inline() {
            self.common.layout.pad_key(key_words, key);
            self.common.hash(SoughtKey::Words(key_words))
        } else {
            self.long_keys.extend_from_slice(key);
            self.long_key_ends.push(self.long_keys.len());
            self.common.hash(SoughtKey::Long(key))
        };
        self.changes.push(Change { hash, lifetime });
        if let Some(offset) = self.dictionary_offset {
            data[offset] = KEEP_STRING;
        }
        data
    }

    /// Takes the last change back: its values turned out malformed.
    pub fn pop(&mut self) {
        if self.changes.pop().is_some() && self.long_key_ends.pop().is_some() {
            self.long_keys.truncate(self.long_key_ends.last().copied().unwrap_or(0));
        }
    }

    /// Sets the last change's data words to be those that the next call of [`apply`](Table::apply) stores as this
    /// `server_key`.
    pub fn set_string(&mut self, string: &Arc<str>) {
        let Some(offset) = self.dictionary_offset else { return };
        // Servers are few and repeat, most often the last ones.
        let known = self.strings.iter().rposition(|known| Arc::ptr_eq(known, string));
        let index = known.unwrap_or_else(|| {
            self.strings.push(Arc::clone(string));
            self.strings.len() - 1
        });
        if let Some(last) = self.changes.len().checked_sub(1) {
            self.words[last * self.stride + self.key_words + offset] = index as u32;
        }
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it is time to apply the batch: there are enough changes to gain from having them together, and more would
    /// only take more memory (512 KiB for the rows, and the keys that do not stand in rows).
    #[inline]
    pub fn is_full(&self) -> bool {
        self.changes.len() >= self.limit
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn belongs_to(&self, common: &Arc<Common>) -> bool {
        Arc::ptr_eq(&self.common, common)
    }

    /// Bytes held for changes, whether there are any or not.
    pub fn memory(&self) -> usize {
        let words = 4 * (self.words.capacity() + self.order.capacity() + self.starts.capacity());
        let strings = size_of::<Arc<str>>() * self.strings.capacity();
        let keys = self.long_keys.capacity() + size_of::<usize>() * self.long_key_ends.capacity();
        words + strings + keys + size_of::<Change>() * self.changes.capacity()
    }

    /// Most bytes that [`memory`](Self::memory) says of a batch that is applied whenever it [`is_full`](Self::is_full): lists
    /// grow to twice what they need at most.
    pub fn memory_bound(&self) -> usize {
        let key = self.common.definition.key_type.max_bytes();
        let long_key = if self.key_words == 0 { key + size_of::<usize>() } else { 0 };
        let string = self.common.layout.dictionary_offset().map_or(0, |_| size_of::<Arc<str>>());
        let row = 4 * self.stride + 4 + long_key + string;
        2 * (self.limit * (row + size_of::<Change>()) + 4 * self.starts.len()) + SMALLEST_LISTS
    }

    /// Gives the memory of an empty batch back; the columns stay.
    pub fn give_back(&mut self) {
        if self.is_empty() {
            self.words = Vec::new();
            self.changes = Vec::new();
            self.order = Vec::new();
            self.starts = Vec::new();
            self.long_keys = Vec::new();
            self.long_key_ends = Vec::new();
            self.strings = Vec::new();
            self.small = 0;
        }
    }

    /// Forgets all changes, keeps the columns, and the memory unless it was too much for many batches.
    pub fn clear(&mut self) {
        let needed = self.changes.len() * self.stride;
        self.small = if needed * 16 < self.words.len() { self.small + 1 } else { 0 };
        if self.small >= MANY_SMALL_BATCHES {
            self.changes.clear();
            self.give_back();
        }
        self.changes.clear();
        self.long_keys.clear();
        self.long_key_ends.clear();
        self.strings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, KeyType, Millis, Origin, TableDefinition, Value};

    fn table() -> Table {
        let definition = TableDefinition::new("t", KeyType::Integer, 100).with_expire(Some(10_000));
        let columns = ["gpc0", "gpt0", "server_key"];
        let definition = columns
            .into_iter()
            .fold(definition, |definition, column| definition.with_column(column.parse().unwrap()).unwrap());
        Table::new(definition, 1).unwrap()
    }

    fn apply(
        table: &Table,
        peer: u16,
        precedence: Precedence,
        value: u32,
        lifetime: Lifetime,
        now: Millis,
    ) -> Applied {
        let mut batch = Batch::new(table);
        let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
        batch.set_columns(std::iter::once(gpc0..gpc0 + 1)).unwrap();
        batch.push(&[0, 0, 0, 1], lifetime).unwrap()[gpc0] = value;
        table.apply(&mut batch, Origin::peer(peer).unwrap(), precedence, now)
    }

    fn entry(table: &Table, now: Millis) -> Option<(u32, u32)> {
        table
            .get(&[0, 0, 0, 1], now, |entry| match entry.value(DataType::Gpc0, 0) {
                Some(Value::Unsigned(value)) => (value, entry.remaining().unwrap()),
                other => panic!("{other:?}"),
            })
            .unwrap()
    }

    /// A lesson of a peer with a lifetime, from a sender whose entries live as long as those here.
    fn teach(table: &Table, peer: u16, value: u32, left: u32) -> Applied {
        let mut batch = Batch::new(table);
        let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
        batch.set_columns(std::iter::once(gpc0..gpc0 + 1)).unwrap();
        batch.set_ages(Some(Ages { spread: 0, under_way: 0, waited: 10_000, session: 0 }));
        batch.push(&[0, 0, 0, 1], Lifetime::Exactly(left)).unwrap()[gpc0] = value;
        table.apply(&mut batch, Origin::peer(peer).unwrap(), Precedence::FillGaps, 0)
    }

    #[test]
    fn of_lessons_the_newest_touch_wins_whoever_tells_it() {
        let table = table();
        assert_eq!(teach(&table, 1, 10, 5_000).created, 1);
        assert_eq!(teach(&table, 2, 11, 6_500).skipped, 1, "it may be the older one");
        assert_eq!(teach(&table, 2, 12, 6_501).updated, 1);
        assert_eq!(teach(&table, 2, 13, 5_000).skipped, 1, "the same peer knows less than before");
        assert_eq!(teach(&table, 2, 14, 5_001).updated, 1);
        assert_eq!(entry(&table, 0), Some((14, 5_001)));
        table.update(&[0, 0, 0, 1], Origin::LOCAL, Lifetime::Exactly(2_000), 0, |_| ()).unwrap();
        assert_eq!(teach(&table, 1, 15, 9_000).skipped, 1, "what this process wrote itself");
    }

    #[test]
    fn a_lesson_fills_gaps_and_refreshes_its_own() {
        let table = table();
        let lesson =
            |peer, value| apply(&table, peer, Precedence::FillGaps, value, Lifetime::Exactly(500), 0);
        assert_eq!(lesson(1, 10).created, 1);
        assert_eq!(lesson(1, 11).updated, 1);
        assert_eq!(lesson(2, 12).skipped, 1);
        assert_eq!(entry(&table, 0), Some((11, 500)));
        assert_eq!(apply(&table, 2, Precedence::Newest, 13, Lifetime::Restart, 0).updated, 1);
        assert_eq!(lesson(1, 14).skipped, 1);
        assert_eq!(entry(&table, 0), Some((13, 10_000)));
    }

    #[test]
    fn what_a_lesson_told_is_known_unless_its_peer_had_told_it_live() {
        let table = table();
        let is_of_lesson = |peer, precedence| {
            apply(&table, peer, precedence, 1, Lifetime::Restart, 0);
            table.get(&[0, 0, 0, 1], 0, |entry| entry.is_of_lesson()).unwrap().unwrap()
        };
        assert!(is_of_lesson(1, Precedence::FillGaps));
        assert!(is_of_lesson(1, Precedence::FillGaps));
        assert!(!is_of_lesson(2, Precedence::Repeated));
        assert!(!is_of_lesson(2, Precedence::FillGaps), "its values are as new as before");
        assert!(!is_of_lesson(1, Precedence::Newest));
    }

    #[test]
    fn a_repetition_overwrites_what_a_lesson_told_but_not_what_came_live() {
        let table = table();
        let change = |peer, precedence, value| apply(&table, peer, precedence, value, Lifetime::Restart, 0);
        change(1, Precedence::FillGaps, 10);
        assert_eq!(change(2, Precedence::Repeated, 11).updated, 1);
        assert_eq!(change(1, Precedence::Repeated, 12).skipped, 1, "the repetition was no lesson");
        assert_eq!(change(2, Precedence::FillGaps, 13).updated, 1);
        change(1, Precedence::Newest, 14);
        assert_eq!(change(2, Precedence::Repeated, 15).skipped, 1);
        assert_eq!(entry(&table, 0), Some((14, 10_000)));
    }

    #[test]
    fn lifetimes_are_restarted_set_clamped_kept_or_ended() {
        let table = table();
        let live = |value, lifetime, now| apply(&table, 1, Precedence::Newest, value, lifetime, now);
        assert_eq!(live(1, Lifetime::Keep, 0).skipped, 1, "a repetition creates nothing");
        assert_eq!(live(1, Lifetime::Exactly(0), 0).skipped, 1, "nor does what is over");
        live(1, Lifetime::Exactly(20_000), 0);
        assert_eq!(entry(&table, 0), Some((1, 10_000)), "clamped to the table's expire");
        live(2, Lifetime::Exactly(700), 100);
        live(3, Lifetime::Keep, 200);
        assert_eq!(entry(&table, 200), Some((3, 600)));
        live(4, Lifetime::Restart, 300);
        assert_eq!(entry(&table, 300), Some((4, 10_000)));
        live(5, Lifetime::Exactly(0), 400);
        assert_eq!(entry(&table, 400), None);
    }

    #[test]
    fn columns_that_are_not_written_keep_their_values_until_the_entry_is_over() {
        let table = table();
        let gpt0 =
            |now| table.get(&[0, 0, 0, 1], now, |entry| entry.value(DataType::Gpt0, 0)).unwrap().flatten();
        let set = table.update(&[0, 0, 0, 1], Origin::LOCAL, Lifetime::Restart, 0, |entry| {
            entry.set(DataType::Gpt0, 0, &Value::Unsigned(9))
        });
        assert_eq!(set, Ok(true));
        apply(&table, 1, Precedence::Newest, 1, Lifetime::Restart, 5_000);
        assert_eq!(gpt0(5_000), Some(Value::Unsigned(9)));
        apply(&table, 1, Precedence::Newest, 1, Lifetime::Restart, 15_000);
        assert_eq!(gpt0(15_000), Some(Value::Unsigned(0)), "an entry that was over starts anew");
    }

    #[test]
    fn memory_is_given_back_and_taken_again() {
        let table = table();
        let mut batch = Batch::new(&table);
        for round in 0..2 {
            let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
            batch.set_columns(std::iter::once(gpc0..gpc0 + 1)).unwrap();
            for key in 0..50u32 {
                batch.push(&key.to_be_bytes(), Lifetime::Restart).unwrap()[gpc0] = round;
            }
            batch.give_back();
            assert_eq!(batch.len(), 50, "changes are not lost");
            table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
            assert!(batch.memory() > 50 * 12);
            batch.give_back();
            assert_eq!(batch.memory(), 0);
        }
        assert_eq!(table.len(), 50);
        assert_eq!(entry(&table, 0), Some((1, 10_000)));
    }

    /// A bound that holds, and is not much more than what is needed.
    #[test]
    fn a_full_batch_is_within_its_bound() {
        let long = TableDefinition::new("l", KeyType::String { max_len: 200 }, 100);
        let long = Table::new(long.with_column("gpc0".parse().unwrap()).unwrap(), 1).unwrap();
        let server: Arc<str> = "srv1".into();
        for (table, key) in [(table(), 4), (long, 200)] {
            let mut batch = Batch::new(&table);
            assert!(batch.memory() == 0);
            let words = table.layout().data_words();
            batch.set_columns(std::iter::once(0..words)).unwrap();
            while !batch.is_full() {
                let mut bytes = vec![1; key];
                // No byte of a string is NUL.
                let number = batch.len();
                bytes[..2].copy_from_slice(&[(number % 255) as u8 + 1, (number / 255) as u8 + 1]);
                batch.push(&bytes, Lifetime::Restart).unwrap();
                batch.set_string(&server);
            }
            table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
            let (held, bound) = (batch.memory(), batch.memory_bound());
            assert!(held <= bound && held * 5 > bound, "{held} {bound}");
        }
    }

    #[test]
    fn a_string_is_set_kept_and_taken_back() {
        let table = table();
        let mut batch = Batch::new(&table);
        let offset = table.layout().offset(DataType::ServerKey, 0).unwrap();
        batch.set_columns(std::iter::once(offset..offset + 1)).unwrap();
        let server: Arc<str> = "srv1".into();
        batch.push(&[0, 0, 0, 1], Lifetime::Restart).unwrap();
        batch.set_string(&server);
        batch.push(&[0, 0, 0, 2], Lifetime::Restart).unwrap();
        batch.push(&[0, 0, 0, 1], Lifetime::Restart).unwrap();
        batch.push(&[0, 0, 0, 3], Lifetime::Restart).unwrap();
        batch.pop();
        assert_eq!(batch.len(), 3);
        table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
        let string =
            |key: u8| table.get(&[0, 0, 0, key], 0, |entry| entry.value(DataType::ServerKey, 0)).unwrap();
        assert_eq!(string(1), Some(Some(Value::Dictionary(Some(server)))));
        assert_eq!(string(2), Some(Some(Value::Dictionary(None))));
        assert_eq!(string(3), None);
    }

    #[test]
    fn a_long_key_is_taken_back_with_its_change() {
        let definition = TableDefinition::new("t", KeyType::String { max_len: 200 }, 100)
            .with_column("gpc0".parse().unwrap())
            .unwrap();
        let table = Table::new(definition, 1).unwrap();
        let mut batch = Batch::new(&table);
        batch.set_columns(std::iter::once(0..1)).unwrap();
        let keys = ["a", "b", "c"].map(|letter| letter.repeat(100));
        batch.push(keys[0].as_bytes(), Lifetime::Restart).unwrap()[0] = 1;
        batch.pop();
        assert!(batch.is_empty());
        batch.push(keys[1].as_bytes(), Lifetime::Restart).unwrap()[0] = 2;
        batch.push(keys[0].as_bytes(), Lifetime::Restart).unwrap()[0] = 3;
        batch.pop();
        batch.push(keys[2].as_bytes(), Lifetime::Restart).unwrap()[0] = 4;
        assert_eq!(table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0).created, 2);
        let value = |key: &str| table.get(key.as_bytes(), 0, |entry| entry.words()[0]).unwrap();
        assert_eq!(keys.each_ref().map(|key| value(key)), [None, Some(2), Some(4)]);
        batch.pop();
        assert!(batch.is_empty(), "there is nothing to take back");
    }

    #[test]
    fn after_many_small_batches_the_memory_of_a_large_one_is_given_back() {
        let table = table();
        let mut batch = Batch::new(&table);
        let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
        batch.set_columns(std::iter::once(gpc0..gpc0 + 1)).unwrap();
        let mut apply = |count: u32, value| {
            for key in 0..count {
                batch.push(&(key % 50).to_be_bytes(), Lifetime::Restart).unwrap()[gpc0] = value;
            }
            table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, 0);
            batch.memory()
        };
        let large = apply(5_000, 1);
        for round in 1..MANY_SMALL_BATCHES {
            assert_eq!(apply(2, round), large, "what is needed again soon is kept");
        }
        // A large one in between: it is needed after all.
        assert_eq!(apply(5_000, 1), large);
        for round in 1..MANY_SMALL_BATCHES {
            assert_eq!(apply(2, round), large);
        }
        assert_eq!(apply(2, 8), 0);
        assert_eq!(entry(&table, 0), Some((8, 10_000)));
        assert!(apply(2, 9) > 0, "its columns are still set");
        assert_eq!(entry(&table, 0), Some((9, 10_000)));
    }
}
