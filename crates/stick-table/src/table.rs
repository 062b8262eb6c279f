//! A stick table: shards behind locks.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::batch::{Applied, Batch, GROUP, Precedence};
use crate::change_log::Tails;
use crate::common::Common;
use crate::cursor::{Cursor, Follow, Position, ShardCursor};
use crate::entry::{EntryMut, EntryRef, split_handle};
use crate::layout::Layout;
use crate::lifetime::Lifetime;
use crate::memory::{MemoryLimit, Share};
use crate::origin::Origin;
use crate::shard::{Shard, Touch};
use crate::sought_key::SoughtKey;
use crate::{Millis, TableDefinition};

/// Shards of a large table. A power of two.
const MAX_SHARDS: usize = 64;
/// Most rows a shard is made for: half of what its index can tell apart, as shards fill unevenly.
const MAX_ENTRIES_PER_SHARD: u32 = 1 << 21;
/// Tables get one shard for each so many entries, so that small ones purge exactly. Small in tests, to have shards.
const ENTRIES_PER_SHARD: u32 = if cfg!(test) { 32 } else { 1 << 16 };

/// The table is full, and nothing was purged: with `nopurge` only what is over would be, and some of that waits for the next
/// [sweep](Table::sweep).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table is full")]
pub struct TableFull;

/// A stick table that threads may share.
///
/// Every method takes `now`, a point on one monotonic clock in ms; entries past their deadline are invisible at once and
/// their memory is freed by [`sweep`](Self::sweep). Closures run under a shard's lock: keep them short and do not call
/// back into the table.
pub struct Table {
    common: Arc<Common>,
    shards: Box<[Mutex<Shard>]>,
    /// Of each shard, how far its changes have gone.
    tails: Box<[Arc<Tails>]>,
    /// Numbers of followers in use.
    readers: Mutex<Vec<bool>>,
    /// Where the next sweep goes on.
    sweep: Mutex<SweepTurn>,
}

mod all;
use all::{ROWS_PER_CALL, ROWS_PER_HOLD, SweepTurn};

impl Table {
    /// An empty table. `seed` makes the places of keys unpredictable: pass a random number where keys come from outside.
    pub fn new(definition: TableDefinition, seed: u64) -> Self {
        let wanted = (definition.size / ENTRIES_PER_SHARD).max(1) as usize;
        let least = definition.size.div_ceil(MAX_ENTRIES_PER_SHARD) as usize;
        let count = wanted.min(MAX_SHARDS).max(least).next_power_of_two();
        let rows = definition.size.div_ceil(count as u32);
        let common = Common::new(definition, seed);
        let shards: Vec<_> = (0..count).map(|_| Shard::new(&common, rows)).collect();
        let tails = shards.iter().map(|shard| Arc::clone(shard.log.tails())).collect();
        let shards = shards.into_iter().map(Mutex::new).collect();
        Self { common: Arc::new(common), shards, tails, readers: Mutex::default(), sweep: Mutex::default() }
    }

    /// Lets the table grow only as far as there is memory: beyond, it is full, whatever its `size`. `entry_bytes` is what an entry
    /// takes, and the memory of the `first` entries is taken at once. Before the first entry.
    ///
    /// # Panics
    /// When the table is shared already, as by a cursor.
    #[must_use]
    pub fn within(mut self, limit: &Arc<MemoryLimit>, entry_bytes: u64, first: u32) -> Self {
        let common = Arc::get_mut(&mut self.common).expect("a table that is not shared yet");
        let share = Share::new(Arc::clone(limit), entry_bytes);
        share.places(first, common.definition.size);
        common.memory = Some(share);
        self
    }

    /// What the table is.
    pub fn definition(&self) -> &TableDefinition {
        &self.common.definition
    }

    /// Where each element is in the data words of an entry.
    pub fn layout(&self) -> &Layout {
        &self.common.layout
    }

    /// Number of entries, those that are over but not swept included.
    pub fn len(&self) -> u32 {
        self.common.used()
    }

    /// Whether the table holds no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows a [sweep](Self::sweep) of the whole table looks at: those of entries, and those that are free again. They are
    /// never given back.
    pub fn rows(&self) -> u32 {
        self.common.rows()
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Shards take bits of the hash that their indexes do not use.
    #[inline]
    fn shard_of(&self, hash: u64) -> usize {
        (hash >> 48) as usize & (self.shards.len() - 1)
    }

    /// Calls `use_it` with a key's shard, hash and the form rows are compared with.
    #[inline]
    fn with_key<R>(&self, key: &[u8], use_it: impl FnOnce(usize, u64, SoughtKey<'_>) -> R) -> R {
        SoughtKey::with(&self.common.layout, key, |key| {
            let hash = self.common.hash(key);
            use_it(self.shard_of(hash), hash, key)
        })
    }

    /// Looks an entry up by its canonical key. Does not touch it.
    pub fn get<R>(&self, key: &[u8], now: Millis, read: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        if !self.common.layout.fits(key) {
            return None;
        }
        self.with_key(key, |number, hash, key| {
            let shard = self.shards[number].lock();
            let row =
                shard.find(&self.common, hash, key).filter(|&row| shard.is_live(&self.common, row, now))?;
            Some(read(EntryRef::new(&self.common, &shard, number, row, now)))
        })
    }

    /// The canonical key of the entry with this [`handle`](EntryRef::handle), if it is there.
    pub fn key_of_handle(&self, handle: u64, now: Millis) -> Option<Vec<u8>> {
        let (number, row) = split_handle(handle)?;
        let shard = self.shards.get(number)?.lock();
        let there = row < shard.row_count() && shard.is_live(&self.common, row, now);
        there.then(|| shard.key(&self.common.layout, row).to_vec())
    }

    /// Finds or creates the entry of a canonical key, lets `change` change it, and touches it: it lives on by `lifetime`
    /// and cursors see the change. A local touch (`Origin::LOCAL`, `Lifetime::Restart`) is what HAProxy's own events
    /// do (stick-tables §5.2); with `Lifetime::Exactly` it stores with an explicit lifetime.
    ///
    /// With `Lifetime::Keep`, a new entry starts with the table's `expire`.
    ///
    /// # Errors
    /// When the entry does not exist and the table is full; nothing is changed then.
    ///
    /// # Panics
    /// When the key is longer than the table's key type allows.
    pub fn update<R>(
        &self,
        key: &[u8],
        origin: Origin,
        lifetime: Lifetime,
        now: Millis,
        change: impl FnOnce(&mut EntryMut<'_>) -> R,
    ) -> Result<R, TableFull> {
        self.with_key(key, |number, hash, key| {
            let common = &*self.common;
            let mut shard = self.shards[number].lock();
            let (row, lifetime) = match shard.find(common, hash, key) {
                Some(row) if shard.is_live(common, row, now) => (row, lifetime),
                found => {
                    let row = match found {
                        Some(over) => {
                            shard.renew(&common.layout, over);
                            over
                        }
                        None => {
                            let row = shard.insert(common, hash, key, (&mut 0, 1), now).ok_or(TableFull)?;
                            shard.data_mut(&common.layout, row).fill(0);
                            row
                        }
                    };
                    (row, if lifetime == Lifetime::Keep { Lifetime::Restart } else { lifetime })
                }
            };
            // Touched first: a row is used only from then on, whatever `change` does.
            shard.touch(common, row, &Touch { origin, of_lesson: false, lifetime, now });
            Ok(change(&mut EntryMut::new(common, &mut shard, row, now)))
        })
    }

    /// Removes an entry by its canonical key; whether it was there. Peers do not learn of it: the protocol has no
    /// delete message.
    pub fn remove(&self, key: &[u8], now: Millis) -> bool {
        if !self.common.layout.fits(key) {
            return false;
        }
        self.with_key(key, |number, hash, key| {
            let mut shard = self.shards[number].lock();
            let Some(row) = shard.find(&self.common, hash, key) else { return false };
            let live = shard.is_live(&self.common, row, now);
            shard.free(&self.common, row);
            live
        })
    }

    /// Applies the changes of a batch in their order (per key) and empties it.
    ///
    /// # Panics
    /// When the batch was made for another table.
    pub fn apply(&self, batch: &mut Batch, origin: Origin, precedence: Precedence, now: Millis) -> Applied {
        assert!(batch.belongs_to(&self.common), "the batch was made for another table");
        batch.order_by_shard(self.shards.len(), |hash| self.shard_of(hash));
        let mut total = Applied::default();
        let apply = |number: usize, mut shard: MutexGuard<'_, Shard>, total: &mut Applied| {
            let mut places = batch.of_shard(number);
            while !places.is_empty() {
                let end = places.end.min(places.start + GROUP);
                *total += batch.apply_group(places.start..end, &mut shard, origin, precedence, now);
                places.start = end;
                if !places.is_empty() {
                    // Others may want in.
                    MutexGuard::bump(&mut shard);
                }
            }
        };
        // Those that are free first: who waits for another thread meets it at the next shard again.
        let mut busy = 0_u64;
        for (number, shard) in self.shards.iter().enumerate() {
            if batch.of_shard(number).is_empty() {
                continue;
            }
            match shard.try_lock() {
                Some(shard) => apply(number, shard, &mut total),
                None if number < u64::BITS as usize => busy |= 1 << number,
                None => apply(number, shard.lock(), &mut total),
            }
        }
        while busy != 0 {
            let number = busy.trailing_zeros() as usize;
            apply(number, self.shards[number].lock(), &mut total);
            busy &= busy - 1;
        }
        batch.clear();
        total
    }

    /// How far the changes have gone by now.
    pub fn position(&self) -> Position {
        Position(self.shards.iter().map(|shard| shard.lock().log.tail()).collect())
    }

    /// As [`position`](Self::position), and no later change is coalesced with one before: an entry that changes from now
    /// on has [`changed_since`](EntryRef::changed_since) this position.
    pub fn mark(&self) -> Position {
        let tails = self.shards.iter().zip(&self.tails).map(|(shard, tails)| {
            if tails.all() == 0 {
                // Nothing to be coalesced with: most shards of a large table that holds little.
                return 0;
            }
            let log = &mut shard.lock().log;
            let tail = log.tail();
            log.saw_all(tail);
            tail
        });
        Position(tails.collect())
    }

    /// The position before the first change.
    pub fn start(&self) -> Position {
        Position(vec![0; self.shards.len()])
    }

    /// A cursor that visits the changes after `position`. Give it back with [`unfollow`](Self::unfollow).
    pub fn follow(&self, follow: Follow, position: &Position) -> Cursor {
        let reader = self.take_reader();
        let shards = self.shards.iter().zip(&self.tails).enumerate().map(|(number, (shard, tails))| {
            if follow == Follow::All && tails.all() == 0 {
                return ShardCursor::after(0);
            }
            let mut shard = shard.lock();
            let after = position.0.get(number).copied().unwrap_or(0).min(shard.log.tail());
            match follow {
                Follow::All => shard.log.saw_all(after),
                Follow::Local => {
                    shard.log.saw_local(after);
                    shard.log.set_live(reader, after + 1);
                }
            }
            ShardCursor::after(after)
        });
        Cursor { follow, reader, shards: shards.collect(), turn: 0 }
    }

    /// Ends a cursor and returns its position.
    #[expect(clippy::needless_pass_by_value, reason = "a cursor that has ended must not be used")]
    pub fn unfollow(&self, cursor: Cursor) -> Position {
        // Others are not known to the shards.
        if cursor.follow == Follow::Local {
            for shard in &self.shards {
                shard.lock().log.clear_live(cursor.reader);
            }
        }
        self.readers.lock()[cursor.reader] = false;
        cursor.position()
    }

    fn take_reader(&self) -> usize {
        let mut readers = self.readers.lock();
        let free = readers.iter().position(|&taken| !taken);
        let reader = free.unwrap_or_else(|| {
            readers.push(false);
            readers.len() - 1
        });
        readers[reader] = true;
        reader
    }

    /// Visits up to `limit` entries that changed since the cursor's position; returns how many. The cursor has caught up
    /// when it [has no news](Self::has_news) afterwards. Each entry is visited with its newest values.
    ///
    /// Looks at about 16,000 rows at most, so that a call takes a fraction of a millisecond; it may visit fewer entries
    /// than `limit` for that.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        limit: usize,
        now: Millis,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> usize {
        let (mut count, mut left) = (0, ROWS_PER_CALL);
        for _ in 0..self.shards.len() {
            // Each shard has its turn, also when one of them has news all the time.
            let number = cursor.turn;
            cursor.turn = (number + 1) % self.shards.len();
            let who = (number, cursor.reader, cursor.follow);
            let at = &mut cursor.shards[number];
            while at.is_due(&self.tails[number], cursor.follow) {
                let mut budget = left.min(ROWS_PER_HOLD);
                left -= budget;
                let bounds = (limit - count, &mut budget);
                let mut shard = self.shards[number].lock();
                count += at.read(&self.common, &mut shard, who, bounds, now, &mut visit);
                left += budget;
                if count >= limit || left == 0 {
                    return count;
                }
            }
        }
        count
    }

    /// Whether a cursor should [read](Self::read): there is news, or there is much that it does not follow, which it passes
    /// over before the change log forgets it. Takes no lock.
    pub fn is_due(&self, cursor: &Cursor) -> bool {
        self.tails.iter().zip(&cursor.shards).any(|(tails, at)| at.is_due(tails, cursor.follow))
    }

    /// Whether a cursor may have something to read. Takes no lock.
    pub fn has_news(&self, cursor: &Cursor) -> bool {
        self.tails.iter().zip(&cursor.shards).any(|(tails, at)| at.backlog(tails, cursor.follow) > 0)
    }

    /// Changes that a cursor has not visited yet, at most: an entry that changed twice since counts twice. Takes no lock.
    pub fn backlog(&self, cursor: &Cursor) -> u64 {
        self.tails.iter().zip(&cursor.shards).map(|(tails, at)| at.backlog(tails, cursor.follow)).sum()
    }

    /// Panics unless the inner structures agree. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        for shard in &self.shards {
            shard.lock().validate(&self.common);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataType, KeyType, Value};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    const NOW: Millis = 1_000;

    fn table(key_type: KeyType, size: u32) -> Table {
        let definition = TableDefinition::new("t", key_type, size).with_expire(Some(10_000));
        Table::new(definition.with_column("gpc0".parse().unwrap()).unwrap(), 1)
    }

    fn set(table: &Table, number: u32, value: u32, now: Millis) {
        let set = table.update(&number.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(value))
        });
        assert_eq!(set, Ok(true));
    }

    #[test]
    fn entries_that_match_are_removed_in_all_shards() {
        let table = table(KeyType::Integer, 500);
        assert!(table.shards.len() > 1 && table.is_empty());
        for number in 0..300 {
            set(&table, number, number % 3, NOW + u64::from(number));
        }
        assert_eq!(table.remove_where(NOW + 300, |entry| entry.words()[0] == 1), 100);
        table.validate();
        for number in 0..300_u32 {
            let there = table.get(&number.to_be_bytes(), NOW + 300, |_| ()).is_some();
            assert_eq!(there, number % 3 != 1, "{number}");
        }
        let mut seen = 0;
        let later = NOW + 10_200;
        table.remove_where(later, |entry| {
            seen += 1;
            assert!(entry.remaining().unwrap() > 0);
            false
        });
        assert_eq!(seen, 66, "what is over is not shown");
        assert_eq!(table.remove_where(later, |_| true), 66);
        assert_eq!(table.len(), 134, "what is over is left to the sweep");
        table.sweep(10_000, later);
        assert!(table.is_empty());
    }

    /// More rows of a shard than are looked at in one hold of its lock.
    #[test]
    fn entries_that_match_are_removed_in_a_large_shard() {
        let count = 2 * ROWS_PER_HOLD * MAX_SHARDS as u32;
        let table = table(KeyType::Integer, count);
        for number in 0..count {
            set(&table, number, number % 2, NOW);
        }
        assert!(table.rows() >= count);
        assert_eq!(table.remove_where(NOW, |entry| entry.words()[0] == 1), count / 2);
        assert_eq!(table.len(), count / 2);
    }

    #[test]
    fn a_key_that_is_too_long_is_not_there() {
        for max_len in [5, 200] {
            let table = table(KeyType::String { max_len }, 10);
            let key = vec![b'a'; max_len as usize];
            table.update(&key, Origin::LOCAL, Lifetime::Restart, NOW, |_| ()).unwrap();
            let longer = [&key[..], b"a"].concat();
            assert!(table.get(&longer, NOW, |_| ()).is_none() && !table.remove(&longer, NOW));
            assert!(table.get(&key, NOW, |_| ()).is_some() && table.remove(&key, NOW));
            assert!(!table.remove(&key, NOW));
        }
    }

    /// Rows stay, so the time of a sweep is that of the most entries there ever were.
    #[test]
    fn rows_grow_with_the_entries_and_are_used_again() {
        let table = table(KeyType::Integer, 1_000);
        assert_eq!(table.rows(), 0);
        (0..500).for_each(|number| set(&table, number, 1, NOW));
        let rows = table.rows();
        assert!((500..=2_000).contains(&rows), "{rows}");
        assert_eq!(table.remove_where(NOW, |_| true), 500);
        assert!(table.is_empty());
        (0..500).for_each(|number| set(&table, number, 1, NOW));
        assert_eq!(table.rows(), rows);
    }

    /// In a table of more shards than a batch keeps in mind.
    #[test]
    fn a_batch_waits_for_shards_that_are_busy() {
        let table = table(KeyType::Integer, 65 * MAX_ENTRIES_PER_SHARD);
        assert_eq!(table.shards.len(), 128);
        let shard = |number: &u32| table.with_key(&number.to_be_bytes(), |shard, _, _| shard);
        let free = (0..).find(|number| shard(number) == 1).unwrap();
        let early = (0..).find(|number| shard(number) == 60).unwrap();
        let late = (0..).find(|number| shard(number) == 100).unwrap();
        for busy in [early, late] {
            let (let_go, wait) = mpsc::channel();
            std::thread::scope(|scope| {
                let (locked, is_locked) = mpsc::channel();
                let table = &table;
                scope.spawn(move || {
                    table.update(&busy.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, NOW, |_| {
                        locked.send(()).unwrap();
                        wait.recv().unwrap();
                    })
                });
                is_locked.recv().unwrap();
                let applied = scope.spawn(move || {
                    let mut batch = Batch::new(table);
                    batch.set_columns(std::iter::once(0..1));
                    batch.push(&busy.to_be_bytes(), Lifetime::Restart)[0] = busy + 1;
                    batch.push(&free.to_be_bytes(), Lifetime::Restart)[0] = busy + 2;
                    table.apply(&mut batch, Origin::peer(1), Precedence::Newest, NOW)
                });
                let value = |number: u32| table.get(&number.to_be_bytes(), NOW, |entry| entry.words()[0]);
                let deadline = Instant::now() + Duration::from_secs(30);
                while value(free) != Some(busy + 2) {
                    assert!(Instant::now() < deadline, "the shard that is free is not changed first");
                    std::thread::yield_now();
                }
                assert!(!applied.is_finished());
                let_go.send(()).unwrap();
                let applied = applied.join().unwrap();
                assert_eq!(applied.created + applied.updated, 2);
                assert_eq!(value(busy), Some(busy + 1));
            });
        }
    }
}
