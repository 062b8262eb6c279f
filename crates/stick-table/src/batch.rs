//! Changes from a peer, gathered and applied together.

use std::ops::Range;
use std::sync::Arc;

use crate::shard::{Common, Shard};
use crate::{Lifetime, Millis, Origin, Table};

/// The data word of a `server_key` that the update leaves as it is.
const KEEP_STRING: u32 = u32::MAX;

/// Whether a change may overwrite what the entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// The change is the newest there is: live updates.
    Newest,
    /// The change is of unknown age: a lesson. It creates entries and refreshes what the same origin wrote; an entry
    /// that somebody else wrote since this process started is kept.
    FillGaps,
    /// The change was part of a lesson and comes again on its own. As [`FillGaps`](Self::FillGaps), but what a lesson of
    /// somebody else told is overwritten.
    Repeated,
}

/// What became of the changes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that did not exist, or were over.
    pub created: u64,
    /// Entries that existed.
    pub updated: u64,
    /// Changes that found the table full with nothing to purge.
    pub refused: u64,
    /// Changes without effect: outdated by [`Precedence`], already over, or a repetition of what is not there.
    pub skipped: u64,
}

struct Change {
    hash: u64,
    lifetime: Lifetime,
    key: Range<u32>,
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
/// let table = Table::new(definition, 0);
/// let mut batch = Batch::new(&table);
/// let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
/// batch.set_columns([gpc0..gpc0 + 1]);
/// batch.push(&[10, 0, 0, 1], Lifetime::Restart)[gpc0] = 7;
/// assert_eq!(table.apply(&mut batch, Origin::peer(1), Precedence::Newest, 0).created, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch {
    common: Arc<Common>,
    changes: Vec<Change>,
    keys: Vec<u8>,
    words: Vec<u32>,
    data_words: usize,
    /// Runs of data words to copy; never those of `server_key`, which `dictionary_offset` handles.
    columns: Vec<Range<usize>>,
    dictionary_offset: Option<usize>,
    strings: Vec<Arc<str>>,
    /// Rows found in the first pass over a shard's changes, reused.
    found: Vec<(u32, Option<u32>)>,
    order: Vec<u32>,
}

impl Batch {
    /// An empty batch for a table; it can be applied to that table only.
    pub fn new(table: &Table) -> Self {
        let common = Arc::clone(table.common());
        let data_words = common.layout.data_words();
        Self {
            common,
            changes: Vec::new(),
            keys: Vec::new(),
            words: Vec::new(),
            data_words,
            columns: Vec::new(),
            dictionary_offset: None,
            strings: Vec::new(),
            found: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Sets which data words the following changes write, as ranges of offsets by the table's
    /// [`Layout`](crate::Layout). The batch must be empty.
    pub fn set_columns(&mut self, columns: impl IntoIterator<Item = Range<usize>>) {
        debug_assert!(self.is_empty(), "changes of a batch write the same columns");
        self.columns.clear();
        self.dictionary_offset = None;
        let dictionary = self.common.layout.dictionary_offset();
        for range in columns {
            let range = range.start.min(self.data_words)..range.end.min(self.data_words);
            if dictionary.is_some_and(|offset| range == (offset..offset + 1)) {
                self.dictionary_offset = dictionary;
                continue;
            }
            match self.columns.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.columns.push(range),
            }
        }
    }

    /// Adds a change of the entry with this canonical key and returns its data words, all zero, to be filled.
    ///
    /// The word of `server_key` is set to "leave as it is"; see [`Batch::set_string`].
    #[inline]
    pub fn push(&mut self, key: &[u8], lifetime: Lifetime) -> &mut [u32] {
        let start = self.keys.len() as u32;
        self.keys.extend_from_slice(key);
        self.changes.push(Change {
            hash: self.common.hash(key),
            lifetime,
            key: start..self.keys.len() as u32,
        });
        let start = self.words.len();
        self.words.resize(start + self.data_words, 0);
        if let Some(offset) = self.dictionary_offset {
            self.words[start + offset] = KEEP_STRING;
        }
        &mut self.words[start..]
    }

    /// Takes the last change back: its values turned out malformed.
    pub fn pop(&mut self) {
        if let Some(change) = self.changes.pop() {
            self.keys.truncate(change.key.start as usize);
            self.words.truncate(self.words.len() - self.data_words);
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
        if let Some(start) = self.words.len().checked_sub(self.data_words) {
            self.words[start + offset] = index as u32;
        }
    }

    /// The data words of the last change.
    #[inline]
    pub fn last_words(&mut self) -> &mut [u32] {
        let start = self.words.len().saturating_sub(self.data_words);
        &mut self.words[start..]
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are no changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn belongs_to(&self, common: &Arc<Common>) -> bool {
        Arc::ptr_eq(&self.common, common)
    }

    /// Orders the changes by shard, keeping their order within each.
    pub(crate) fn order_by_shard(&mut self, shard_of: impl Fn(u64) -> usize) {
        self.order.clear();
        self.order.extend(0..self.changes.len() as u32);
        let changes = &self.changes;
        self.order.sort_unstable_by_key(|&index| (shard_of(changes[index as usize].hash), index));
    }

    /// The shard of the change at `place` in the order, and where the next shard's changes begin.
    pub(crate) fn group(&self, place: usize, shard_of: impl Fn(u64) -> usize) -> Option<(usize, usize)> {
        let shard_at = |place: usize| Some(shard_of(self.changes[*self.order.get(place)? as usize].hash));
        let shard = shard_at(place)?;
        let mut end = place + 1;
        while shard_at(end) == Some(shard) {
            end += 1;
        }
        Some((shard, end))
    }

    /// Applies the changes at these places of the order to their shard: first finds all rows, so that the loads overlap,
    /// then writes them.
    pub(crate) fn apply_group(
        &mut self,
        places: Range<usize>,
        shard: &mut Shard,
        origin: Origin,
        precedence: Precedence,
        now: Millis,
    ) -> Applied {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for &index in &self.order[places] {
            let change = &self.changes[index as usize];
            found.push((index, shard.find(&self.common, change.hash, self.key(change))));
        }
        let mut applied = Applied::default();
        for &(index, row) in &found {
            self.apply_change(index, row, shard, (origin, precedence), now, &mut applied);
        }
        self.found = found;
        applied
    }

    fn apply_change(
        &self,
        index: u32,
        row: Option<u32>,
        shard: &mut Shard,
        (origin, precedence): (Origin, Precedence),
        now: Millis,
        applied: &mut Applied,
    ) {
        let change = &self.changes[index as usize];
        let common = &*self.common;
        // An insertion earlier in the batch may have purged the row, or added it for the same key.
        let row = match row {
            Some(row)
                if !shard.stamp(row).is_free() && shard.key(&common.layout, row) == self.key(change) =>
            {
                Some(row)
            }
            _ => shard.find(common, change.hash, self.key(change)),
        };
        let live = row.filter(|&row| shard.is_live(common, row, now));
        let is_kept = |row| {
            let stamp = shard.stamp(row);
            match precedence {
                Precedence::Newest => false,
                Precedence::FillGaps => stamp.origin() != origin,
                Precedence::Repeated => stamp.origin() != origin && !stamp.is_of_lesson(),
            }
        };
        if live.is_some_and(is_kept) {
            applied.skipped += 1;
            return;
        }
        let is_over = change.lifetime == Lifetime::Exactly(0) && common.definition.expire.is_some();
        let row = match (live, row) {
            (Some(row), _) => {
                applied.updated += 1;
                row
            }
            (None, _) if is_over || change.lifetime == Lifetime::Keep => {
                applied.skipped += 1;
                return;
            }
            (None, Some(over)) => {
                shard.reset_data(&common.layout, over);
                applied.created += 1;
                over
            }
            (None, None) => {
                let Some(row) = shard.insert(common, change.hash, self.key(change), now) else {
                    applied.refused += 1;
                    return;
                };
                applied.created += 1;
                row
            }
        };
        self.write(index, row, shard);
        shard.touch(common, row, origin, change.lifetime, now);
        if precedence == Precedence::FillGaps {
            shard.note_lesson(row);
        }
    }

    #[inline]
    fn write(&self, index: u32, row: u32, shard: &mut Shard) {
        let start = index as usize * self.data_words;
        let from = &self.words[start..start + self.data_words];
        let key_words = self.common.layout.key_words();
        let to = &mut shard.rows.row_mut(row)[key_words..];
        for range in &self.columns {
            to[range.clone()].copy_from_slice(&from[range.clone()]);
        }
        let Some(offset) = self.dictionary_offset else { return };
        if let Some(string) = self.strings.get(from[offset] as usize) {
            let id = shard.dictionary.acquire(string);
            let old = std::mem::replace(&mut shard.rows.row_mut(row)[key_words + offset], id);
            shard.dictionary.release(old);
        }
    }

    fn key(&self, change: &Change) -> &[u8] {
        &self.keys[change.key.start as usize..change.key.end as usize]
    }

    /// Forgets all changes, keeps the memory and the columns.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.keys.clear();
        self.words.clear();
        self.strings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, KeyType, TableDefinition, Value};

    fn table() -> Table {
        let definition = TableDefinition::new("t", KeyType::Integer, 100).with_expire(Some(10_000));
        let columns = ["gpc0", "gpt0", "server_key"];
        let definition = columns
            .into_iter()
            .fold(definition, |definition, column| definition.with_column(column.parse().unwrap()).unwrap());
        Table::new(definition, 1)
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
        batch.set_columns(std::iter::once(gpc0..gpc0 + 1));
        batch.push(&[0, 0, 0, 1], lifetime)[gpc0] = value;
        table.apply(&mut batch, Origin::peer(peer), precedence, now)
    }

    fn entry(table: &Table, now: Millis) -> Option<(u32, u32)> {
        table.get(&[0, 0, 0, 1], now, |entry| match entry.value(DataType::Gpc0, 0) {
            Some(Value::Unsigned(value)) => (value, entry.remaining().unwrap()),
            other => panic!("{other:?}"),
        })
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
        let gpt0 = |now| table.get(&[0, 0, 0, 1], now, |entry| entry.value(DataType::Gpt0, 0)).flatten();
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
    fn a_string_is_set_kept_and_taken_back() {
        let table = table();
        let mut batch = Batch::new(&table);
        let offset = table.layout().offset(DataType::ServerKey, 0).unwrap();
        batch.set_columns(std::iter::once(offset..offset + 1));
        let server: Arc<str> = "srv1".into();
        batch.push(&[0, 0, 0, 1], Lifetime::Restart);
        batch.set_string(&server);
        batch.push(&[0, 0, 0, 2], Lifetime::Restart);
        batch.push(&[0, 0, 0, 1], Lifetime::Restart);
        batch.push(&[0, 0, 0, 3], Lifetime::Restart);
        batch.pop();
        assert_eq!(batch.len(), 3);
        table.apply(&mut batch, Origin::peer(1), Precedence::Newest, 0);
        let string = |key: u8| table.get(&[0, 0, 0, key], 0, |entry| entry.value(DataType::ServerKey, 0));
        assert_eq!(string(1), Some(Some(Value::Dictionary(Some(server)))));
        assert_eq!(string(2), Some(Some(Value::Dictionary(None))));
        assert_eq!(string(3), None);
    }
}
