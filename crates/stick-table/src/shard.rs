//! One part of a table: rows, the index from key to row, deadlines, and the order of changes.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::change_log::ChangeLog;
use crate::chunks::Chunks;
use crate::dictionary::Dictionary;
use crate::layout::Layout;
use crate::lifetime::{self, Lifetime};
use crate::long_keys::LongKeys;
use crate::stamp::{Origin, Stamp};
use crate::{Millis, TableDefinition};

/// End of the list of free rows, which is threaded through their first words.
const NO_ROW: u32 = u32::MAX;
/// Rows looked at to find one to purge.
const PURGE_SAMPLE: u32 = 64;
/// Rows looked at before a full table gives up on finding any entry to purge.
const PURGE_LIMIT: u32 = 4096;

/// What all shards of a table share.
pub(crate) struct Common {
    pub(crate) definition: TableDefinition,
    pub(crate) layout: Layout,
    hasher: FixedState,
    /// Entries of all shards, so that `size` is exact although the shards fill unevenly.
    used: AtomicU32,
}

impl Common {
    pub(crate) fn new(definition: TableDefinition, seed: u64) -> Self {
        let layout = Layout::new(&definition);
        Self { definition, layout, hasher: FixedState::with_seed(seed), used: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes one of the table's places; `false` when all are taken.
    fn take_place(&self) -> bool {
        let size = self.definition.size;
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < size).then_some(used + 1))
            .is_ok()
    }

    fn give_place_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    /// The deadline of an entry that is touched now; the touch time itself when entries do not expire.
    #[inline]
    pub(crate) fn deadline(&self, lifetime: Lifetime, old: u32, now: Millis) -> u32 {
        let now = now as u32;
        match (self.definition.expire, lifetime) {
            (None, _) => now,
            (Some(expire), Lifetime::Restart) => now.wrapping_add(expire),
            (Some(expire), Lifetime::Exactly(ms)) => now.wrapping_add(ms.min(expire)),
            (Some(_), Lifetime::Keep) => old,
        }
    }

    #[inline]
    pub(crate) fn is_over(&self, deadline: u32, now: Millis) -> bool {
        self.definition.expire.is_some() && lifetime::is_over(deadline, now)
    }
}

/// A single-threaded part of a table; the table puts a lock around each.
pub(crate) struct Shard {
    index: HashTable<u32>,
    pub(crate) rows: Chunks<u32>,
    deadlines: Chunks<u32>,
    stamps: Chunks<Stamp>,
    pub(crate) long_keys: LongKeys,
    pub(crate) dictionary: Dictionary,
    pub(crate) log: ChangeLog,
    /// Rows ever used; rows from here on are untouched.
    high_water: u32,
    first_free: u32,
    /// Where the sweep and the purge go on.
    hand: u32,
}

impl Shard {
    /// An empty shard for about `rows` rows.
    pub(crate) fn new(common: &Common, rows: u32) -> Self {
        Self {
            index: HashTable::new(),
            rows: Chunks::new(common.layout.stride(), rows),
            deadlines: Chunks::new(1, rows),
            stamps: Chunks::new(1, rows),
            long_keys: LongKeys::default(),
            dictionary: Dictionary::default(),
            log: ChangeLog::new(rows),
            high_water: 0,
            first_free: NO_ROW,
            hand: 0,
        }
    }

    /// Rows ever used: where a walk in storage order ends.
    pub(crate) fn row_count(&self) -> u32 {
        self.high_water
    }

    #[inline]
    pub(crate) fn stamp(&self, row: u32) -> Stamp {
        self.stamps.get(row)
    }

    #[inline]
    pub(crate) fn deadline(&self, row: u32) -> u32 {
        self.deadlines.get(row)
    }

    /// Whether the row holds an entry that is not over.
    #[inline]
    pub(crate) fn is_live(&self, common: &Common, row: u32, now: Millis) -> bool {
        !self.stamps.get(row).is_free() && !common.is_over(self.deadlines.get(row), now)
    }

    /// The canonical key of a used row.
    #[inline]
    pub(crate) fn key<'a>(&'a self, layout: &Layout, row: u32) -> &'a [u8] {
        let words = self.rows.row(row);
        if layout.key_is_inline() { layout.inline_key(words) } else { self.long_keys.get(words[0]) }
    }

    /// The row of a key, live or over.
    #[inline]
    pub(crate) fn find(&self, common: &Common, hash: u64, key: &[u8]) -> Option<u32> {
        let layout = &common.layout;
        let found = if layout.key_is_inline() {
            self.index.find(hash, |&row| layout.inline_key_is(self.rows.row(row), key))
        } else {
            self.index.find(hash, |&row| self.long_keys.get(self.rows.row(row)[0]) == key)
        };
        found.copied()
    }

    /// Notes a change of `row` made by `origin` and gives it its new deadline.
    #[inline]
    pub(crate) fn touch(
        &mut self,
        common: &Common,
        row: u32,
        origin: Origin,
        lifetime: Lifetime,
        now: Millis,
    ) {
        let deadline = common.deadline(lifetime, self.deadlines.get(row), now);
        self.deadlines.set(row, deadline);
        let stamp = self.log.record(row, self.stamps.get(row), origin);
        self.stamps.set(row, stamp);
    }

    /// Notes that the row's last change was told by a lesson.
    #[inline]
    pub(crate) fn note_lesson(&mut self, row: u32) {
        self.stamps.set(row, self.stamps.get(row).of_lesson());
    }

    /// Sets all data words of a row to zero, as those of a new entry.
    pub(crate) fn reset_data(&mut self, layout: &Layout, row: u32) {
        self.release_dictionary(layout, row);
        self.rows.row_mut(row)[layout.key_words()..].fill(0);
    }

    /// A new row for a key that has none: from the table's free places, else by purging. `None` when the table is full
    /// and nothing may be purged. The caller touches the row at once, which makes it used.
    pub(crate) fn insert(&mut self, common: &Common, hash: u64, key: &[u8], now: Millis) -> Option<u32> {
        if !common.take_place() {
            // Purging frees a place that another shard's thread may take first; one more try settles it.
            let freed = self.purge(common, now)
                && (common.take_place() || self.purge(common, now) && common.take_place());
            if !freed {
                return None;
            }
        }
        let row = self.unused_row();
        let layout = &common.layout;
        if layout.key_is_inline() {
            let words = self.rows.row_mut(row);
            layout.write_inline_key(words, key);
            words[layout.key_words()..].fill(0);
        } else {
            let handle = self.long_keys.insert(key);
            let words = self.rows.row_mut(row);
            words.fill(0);
            words[0] = handle;
        }
        let Self { index, rows, long_keys, .. } = self;
        index.insert_unique(hash, row, |&row| {
            let words = rows.row(row);
            common.hash(if layout.key_is_inline() {
                layout.inline_key(words)
            } else {
                long_keys.get(words[0])
            })
        });
        Some(row)
    }

    fn unused_row(&mut self) -> u32 {
        if self.first_free != NO_ROW {
            let row = self.first_free;
            self.first_free = self.rows.row(row)[0];
            return row;
        }
        let row = self.high_water;
        self.high_water += 1;
        self.rows.reserve(row);
        self.deadlines.reserve(row);
        self.stamps.reserve(row);
        row
    }

    /// Removes the entry of a used row.
    pub(crate) fn free(&mut self, common: &Common, row: u32) {
        let layout = &common.layout;
        let hash = common.hash(self.key(layout, row));
        if let Ok(entry) = self.index.find_entry(hash, |&candidate| candidate == row) {
            entry.remove();
        }
        self.release_dictionary(layout, row);
        if !layout.key_is_inline() {
            let handle = self.rows.row(row)[0];
            self.long_keys.remove(handle);
        }
        self.stamps.set(row, Stamp::FREE);
        self.rows.row_mut(row)[0] = self.first_free;
        self.first_free = row;
        common.give_place_back();
    }

    fn release_dictionary(&mut self, layout: &Layout, row: u32) {
        if let Some(offset) = layout.dictionary_offset() {
            let id = self.rows.row(row)[layout.key_words() + offset];
            self.dictionary.release(id);
        }
    }

    /// Frees one entry of a full table: one that is over, else (unless `nopurge`) the one with the earliest deadline of
    /// a sample. Like HAProxy's since 3.0, the choice is only approximately the oldest (stick-tables §5.4).
    fn purge(&mut self, common: &Common, now: Millis) -> bool {
        let mut best: Option<(u32, i64)> = None;
        for looked in 0..self.high_water.min(PURGE_LIMIT) {
            let row = self.next_row();
            if self.stamps.get(row).is_free() {
                continue;
            }
            // Without an expiry the deadline is the last touch, which may be 49 days ago.
            let distance = self.deadlines.get(row).wrapping_sub(now as u32);
            let left = match common.definition.expire {
                Some(_) => i64::from(distance.cast_signed()),
                None => -i64::from(distance.wrapping_neg()),
            };
            if common.is_over(self.deadlines.get(row), now) {
                best = Some((row, left));
                break;
            }
            if !common.definition.no_purge && best.is_none_or(|(_, least)| left < least) {
                best = Some((row, left));
            }
            if best.is_some() && looked >= PURGE_SAMPLE {
                break;
            }
        }
        let Some((row, _)) = best else { return false };
        self.free(common, row);
        true
    }

    fn next_row(&mut self) -> u32 {
        let row = self.hand;
        self.hand = if row + 1 < self.high_water { row + 1 } else { 0 };
        row
    }

    /// Frees what is over among the next `rows` rows; returns how many were freed.
    pub(crate) fn sweep(&mut self, common: &Common, rows: u32, now: Millis) -> u32 {
        if common.definition.expire.is_none() {
            return 0;
        }
        let mut freed = 0;
        for _ in 0..rows.min(self.high_water) {
            let row = self.next_row();
            if !self.stamps.get(row).is_free() && lifetime::is_over(self.deadlines.get(row), now) {
                self.free(common, row);
                freed += 1;
            }
        }
        freed
    }

    /// Panics unless index, rows, free list and stamps agree. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self, common: &Common) {
        let mut used = 0;
        for row in 0..self.high_water {
            let stamp = self.stamps.get(row);
            if stamp.is_free() {
                continue;
            }
            used += 1;
            assert!(stamp.sequence() <= self.log.tail());
            let key = self.key(&common.layout, row);
            assert_eq!(self.find(common, common.hash(key), key), Some(row), "the index leads to the row");
        }
        assert_eq!(self.index.len(), used);
        let mut free = self.first_free;
        let mut free_count = 0;
        while free != NO_ROW {
            assert!(self.stamps.get(free).is_free());
            free_count += 1;
            free = self.rows.row(free)[0];
        }
        assert_eq!(free_count + used, self.high_water as usize, "each row is used or free");
    }
}
