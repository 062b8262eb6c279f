//! One part of a table: rows, the index from key to row, deadlines, and the order of changes.

mod idle;
pub(crate) mod index;
mod purge;

use crate::Millis;
use crate::common::{Common, NO_DEADLINE};
use crate::lifetime::Lifetime;
use crate::log::ring::ChangeLog;
use crate::origin::Origin;
use crate::row::chunks::Chunks;
use crate::row::dictionary::Dictionary;
use crate::row::layout::{Layout, STAMP_WORDS};
use crate::row::long_keys::LongKeys;
use crate::row::sought_key::{SoughtKey, copy, same};
use crate::row::stamp::Stamp;
use crate::stripe::index::{Index, MAX_ROWS};
use crate::tally::Tally;

/// End of the list of free rows, which is threaded through the first word of their keys.
const NO_ROW: u32 = u32::MAX;

/// How a change is noted.
#[derive(Clone, Copy)]
pub(crate) struct Touch {
    pub(crate) origin: Origin,
    /// Whether a lesson told the change.
    pub(crate) of_lesson: bool,
    pub(crate) lifetime: Lifetime,
    pub(crate) now: Millis,
}

impl Touch {
    #[inline]
    fn stamp(&self, log: &mut ChangeLog, row: u32, words: &mut [u32]) {
        let old = Stamp::of_row(words);
        let stamp = log.record(row, old, self.origin);
        // A follower may have yet to read what the peer told live, and it must not become a lesson's before.
        let stays_live = old.origin() == self.origin && !old.is_of_lesson();
        let stamp = if self.of_lesson && !stays_live { stamp.of_lesson() } else { stamp };
        stamp.write(words);
    }
}

/// A single-threaded part of a table; the table puts a lock around each.
pub(crate) struct Stripe {
    index: Index,
    rows: Chunks,
    /// One word for each row, apart from the rows because the sweep reads all of them.
    deadlines: Chunks,
    long_keys: LongKeys,
    pub(crate) dictionary: Dictionary,
    pub(crate) log: ChangeLog,
    /// Rows ever used; rows from here on are untouched.
    high_water: u32,
    first_free: u32,
    /// Where the sweep and the purge go on.
    hand: u32,
    /// Where the look for idle counters goes on.
    idle_hand: u32,
    pub(crate) tally: Tally,
}

impl Stripe {
    /// An empty stripe for about `rows` rows.
    pub(crate) fn new(common: &Common, rows: u32) -> Self {
        Self {
            index: Index::new(rows),
            rows: Chunks::new(common.layout.stride(), rows),
            deadlines: Chunks::new(1, rows),
            long_keys: LongKeys::default(),
            dictionary: Dictionary::default(),
            log: ChangeLog::new(0),
            high_water: 0,
            first_free: NO_ROW,
            hand: 0,
            idle_hand: 0,
            tally: Tally::default(),
        }
    }

    /// Rows ever used: where a walk in storage order ends.
    pub(crate) fn row_count(&self) -> u32 {
        self.high_water
    }

    #[inline]
    pub(crate) fn stamp(&self, row: u32) -> Stamp {
        Stamp::of_row(self.rows.row(row))
    }

    #[inline]
    pub(crate) fn deadline(&self, row: u32) -> u32 {
        self.deadlines.get(row)
    }

    /// Whether the row holds an entry that is not over.
    #[inline]
    pub(crate) fn is_live(&self, common: &Common, row: u32, now: Millis) -> bool {
        let deadline = self.deadlines.get(row);
        deadline != NO_DEADLINE && !common.is_over(deadline, now)
    }

    /// The canonical key of a used row.
    #[inline]
    pub(crate) fn key<'a>(&'a self, layout: &Layout, row: u32) -> &'a [u8] {
        self.key_in(layout, self.row(row))
    }

    /// The canonical key of the used row with these words.
    #[inline]
    pub(crate) fn key_in<'a>(&'a self, layout: &Layout, row: &'a [u32]) -> &'a [u8] {
        key_of(layout, &self.long_keys, row)
    }

    /// All words of a row.
    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[u32] {
        self.rows.row(row)
    }

    /// The data words of a row.
    #[inline]
    pub(crate) fn data(&self, layout: &Layout, row: u32) -> &[u32] {
        &self.rows.row(row)[layout.data_start()..]
    }

    /// The data words of a row.
    #[inline]
    pub(crate) fn data_mut(&mut self, layout: &Layout, row: u32) -> &mut [u32] {
        &mut self.rows.row_mut(row)[layout.data_start()..]
    }

    /// Loads what looking up a hash will need.
    #[inline]
    pub(crate) fn touch_index(&self, hash: u64) -> u32 {
        self.index.touch(hash)
    }

    /// The row that a hash most likely has.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.index.candidate(hash)
    }

    /// Loads what changing a row will need.
    #[inline]
    pub(crate) fn touch_row(&self, row: u32) -> u32 {
        self.rows.edges(row) ^ self.deadlines.get(row)
    }

    /// The row of a key, live or over.
    #[inline]
    pub(crate) fn find(&self, common: &Common, hash: u64, key: SoughtKey<'_>) -> Option<u32> {
        let layout = &common.layout;
        match key {
            SoughtKey::Words(words) => {
                self.index.find(hash, |row| same(layout.key_of(self.rows.row(row)), words))
            }
            SoughtKey::Long(key) => {
                self.index.find(hash, |row| self.long_keys.get(self.rows.row(row)[STAMP_WORDS]) == key)
            }
        }
    }

    /// Notes a change of `row` and gives it its new deadline.
    #[inline]
    pub(crate) fn touch(&mut self, common: &Common, row: u32, touch: &Touch) {
        self.change(common, row, touch, |_| {});
    }

    /// Changes the data words of `row` by `change`, notes it and gives the row its new deadline.
    #[inline]
    pub(crate) fn change(
        &mut self,
        common: &Common,
        row: u32,
        touch: &Touch,
        change: impl FnOnce(&mut [u32]),
    ) {
        let deadline = &mut self.deadlines.row_mut(row)[0];
        *deadline = common.deadline(touch.lifetime, *deadline, touch.now);
        let words = self.rows.row_mut(row);
        touch.stamp(&mut self.log, row, words);
        change(&mut words[common.layout.data_start()..]);
    }

    /// Changes the data words of `row` by `change` if the row is live, has this key, and its last change and deadline
    /// `may` be overwritten; `None` when it is not the live row of the key, else whether it was changed. What
    /// [`find`](Self::find), [`is_live`](Self::is_live) and [`touch`](Self::touch) do, with the row looked up once.
    #[inline]
    pub(crate) fn change_live(
        &mut self,
        common: &Common,
        row: u32,
        key: &[u32],
        touch: &Touch,
        may: impl FnOnce(Stamp, u32) -> bool,
        change: impl FnOnce(&mut [u32]),
    ) -> Option<bool> {
        let deadline = &mut self.deadlines.row_mut(row)[0];
        if *deadline == NO_DEADLINE || common.is_over(*deadline, touch.now) {
            return None;
        }
        let words = self.rows.row_mut(row);
        if !same(common.layout.key_of(words), key) {
            return None;
        }
        if !may(Stamp::of_row(words), *deadline) {
            return Some(false);
        }
        *deadline = common.deadline(touch.lifetime, *deadline, touch.now);
        touch.stamp(&mut self.log, row, words);
        change(&mut words[common.layout.data_start()..]);
        Some(true)
    }

    /// Makes the row of an entry that is over that of a new one with the same key, all data zero.
    pub(crate) fn renew(&mut self, layout: &Layout, row: u32) {
        self.tally.expired += 1;
        self.release_dictionary(layout, row);
        let words = self.rows.row_mut(row);
        Stamp::of_row(words).of_the_dead().write(words);
        words[layout.data_start()..].fill(0);
    }

    /// A new row, its data anything, for a key that has none: for one of the `places` taken before, any other free one, or by
    /// purging, in which `ahead` new rows that are wanted soon are thought of. `None` when the table is full and nothing may be purged. The caller touches the row at once,
    /// which makes it used.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        common: &Common,
        hash: u64,
        key: SoughtKey<'_>,
        (places, ahead): (&mut u32, u32),
        now: Millis,
    ) -> Option<u32> {
        if *places == 0 {
            *places = self.make_places(common, ahead, now);
        }
        *places = places.checked_sub(1)?;
        let Some(row) = self.unused_row(common) else {
            common.give_places_back(1);
            return None;
        };
        let words = self.rows.row_mut(row);
        match key {
            SoughtKey::Words(key) => copy(key, &mut words[STAMP_WORDS..][..key.len()]),
            SoughtKey::Long(key) => words[STAMP_WORDS] = self.long_keys.insert(key),
        }
        if self.index.is_full() {
            self.grow_index(common);
        }
        self.index.insert(hash, row);
        Some(row)
    }

    #[cold]
    fn grow_index(&mut self, common: &Common) {
        let Self { index, rows, deadlines, long_keys, high_water, .. } = self;
        let layout = &common.layout;
        index.grow();
        let mut first = 0;
        while first < *high_water {
            let run = rows.run(first, *high_water - first).chunks_exact(layout.stride());
            let count = run.len() as u32;
            // Blocks of deadlines hold at least as many rows, so their run is no shorter.
            for ((row, words), &deadline) in (first..).zip(run).zip(deadlines.run(first, count)) {
                if deadline != NO_DEADLINE {
                    index.insert(hash_of(common, long_keys, words), row);
                }
            }
            first += count;
        }
    }

    /// The hash of a used row's key.
    #[inline]
    fn hash_of(&self, common: &Common, row: u32) -> u64 {
        hash_of(common, &self.long_keys, self.row(row))
    }

    /// A row that holds nothing; `None` when the index cannot tell more rows apart.
    #[inline]
    fn unused_row(&mut self, common: &Common) -> Option<u32> {
        if self.first_free != NO_ROW {
            let row = self.first_free;
            self.first_free = self.rows.row(row)[STAMP_WORDS];
            return Some(row);
        }
        let row = self.high_water;
        if row >= MAX_ROWS {
            return None;
        }
        self.high_water += 1;
        self.deadlines.reserve(row);
        let grown = self.rows.reserve(row);
        if grown > 0 {
            common.add_rows(grown);
            self.log.grow(self.rows.capacity());
        }
        Some(row)
    }

    /// Removes the entry of a live row by hand, for followers of removals to see.
    pub(crate) fn remove(&mut self, common: &Common, row: u32) {
        let Self { log, rows, long_keys, .. } = self;
        log.record_removal(row, || key_of(&common.layout, long_keys, rows.row(row)).into());
        self.free(common, row);
    }

    /// Removes an expired entry, and counts it.
    pub(crate) fn free_expired(&mut self, common: &Common, row: u32) {
        self.tally.expired += 1;
        self.free(common, row);
    }

    /// Removes the entry of a used row and gives its place back.
    fn free(&mut self, common: &Common, row: u32) {
        self.vacate(common, row);
        common.give_places_back(1);
    }

    /// Removes the entry of a used row; its place is the caller's.
    fn vacate(&mut self, common: &Common, row: u32) {
        let layout = &common.layout;
        self.index.remove(self.hash_of(common, row), row);
        self.release_dictionary(layout, row);
        self.deadlines.set(row, NO_DEADLINE);
        let words = self.rows.row_mut(row);
        if !layout.key_is_inline() {
            self.long_keys.remove(words[STAMP_WORDS]);
        }
        Stamp::FREE.write(words);
        words[STAMP_WORDS] = self.first_free;
        self.first_free = row;
    }

    fn release_dictionary(&mut self, layout: &Layout, row: u32) {
        if let Some(offset) = layout.dictionary_offset() {
            let id = self.data(layout, row)[offset];
            self.dictionary.release(id);
        }
    }

    /// Panics unless index, rows, free list and stamps agree. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self, common: &Common) {
        let mut used = 0;
        for row in 0..self.high_water {
            let stamp = self.stamp(row);
            assert_eq!(stamp.is_free(), self.deadlines.get(row) == NO_DEADLINE);
            if stamp.is_free() {
                continue;
            }
            used += 1;
            assert!(stamp.sequence() <= self.log.tail());
            let key = self.key(&common.layout, row);
            let found = SoughtKey::with(&common.layout, key, |key| self.find(common, common.hash(key), key));
            assert_eq!(found, Some(row), "the index leads to the row");
        }
        assert_eq!(self.index.len(), used);
        let mut free = self.first_free;
        let mut free_count = 0;
        while free != NO_ROW {
            assert!(self.stamp(free).is_free());
            free_count += 1;
            free = self.rows.row(free)[STAMP_WORDS];
        }
        assert_eq!(free_count + used, self.high_water as usize, "each row is used or free");
    }
}

/// The canonical key of the used row with these words.
#[inline]
fn key_of<'a>(layout: &Layout, long_keys: &'a LongKeys, row: &'a [u32]) -> &'a [u8] {
    let words = layout.key_of(row);
    if layout.key_is_inline() { layout.padded_key(words) } else { long_keys.get(words[0]) }
}

/// The hash of the key of a used row with these words.
#[inline(always)]
fn hash_of(common: &Common, long_keys: &LongKeys, row: &[u32]) -> u64 {
    let words = common.layout.key_of(row);
    common.hash(if common.layout.key_is_inline() {
        SoughtKey::Words(words)
    } else {
        SoughtKey::Long(long_keys.get(words[0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyType, TableDefinition};

    /// Stripes fill unevenly; a table has so many that none comes near this.
    #[test]
    fn a_stripe_refuses_more_rows_than_its_index_can_tell_apart() {
        let definition = TableDefinition::new("t", KeyType::Integer, MAX_ROWS + 10);
        let common = Common::new(definition, 1);
        let mut stripe = Stripe::new(&common, MAX_ROWS);
        let touch =
            Touch { origin: Origin::LOCAL, of_lesson: false, lifetime: Lifetime::Restart, now: 1_000 };
        let add = |stripe: &mut Stripe, number: u32| {
            let key = [number];
            let key = SoughtKey::Words(&key);
            let row = stripe.insert(&common, common.hash(key), key, (&mut 0, 1), 1_000)?;
            stripe.touch(&common, row, &touch);
            Some(row)
        };
        for number in 0..MAX_ROWS {
            assert_eq!(add(&mut stripe, number), Some(number));
        }
        assert_eq!(add(&mut stripe, MAX_ROWS), None);
        assert_eq!(common.used(), MAX_ROWS, "the place it had is free again");
        stripe.free(&common, 7);
        assert_eq!(add(&mut stripe, MAX_ROWS), Some(7));
        let key = [MAX_ROWS - 1];
        let key = SoughtKey::Words(&key);
        assert_eq!(stripe.find(&common, common.hash(key), key), Some(MAX_ROWS - 1));
    }
}
