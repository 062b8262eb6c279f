//! A stick table: stripes behind locks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, MutexGuard};

use crate::batch::{Applied, Batch, GROUP, Precedence};
use crate::common::Common;
use crate::entry::{EntryMut, EntryRef, split_handle};
use crate::lifetime::Lifetime;
use crate::log::cursor::Position;
use crate::log::ring::Tails;
use crate::memory::{MemoryLimit, Share};
use crate::origin::Origin;
use crate::row::layout::Layout;
use crate::row::sought_key::SoughtKey;
use crate::stripe::{Stripe, Touch};
use crate::tally::Tally;
use crate::{DefinitionError, KeyError, Millis, TableDefinition};

/// Stripes of a large table. A power of two.
const MAX_STRIPES: usize = 64;
/// Most rows a stripe is made for: half of what its index can tell apart, as stripes fill unevenly.
const MAX_ENTRIES_PER_STRIPE: u32 = 1 << 21;
/// Tables get one stripe for each so many entries, so that small ones purge exactly. Small in tests, to have stripes.
const ENTRIES_PER_STRIPE: u32 = if cfg!(test) { 32 } else { 1 << 16 };

/// Why an entry was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The key is none of the table's.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The table is full, and nothing was purged: with `nopurge` only what is over would be, and some of that waits for the
    /// next [sweep](Table::sweep).
    #[error("the table is full")]
    Full,
}

/// A stick table that threads may share.
///
/// Every method takes `now`, a point on one monotonic clock in ms; entries past their deadline are invisible at once and
/// their memory is freed by [`sweep`](Self::sweep). Closures run under a stripe's lock: keep them short and do not call
/// back into the table.
pub struct Table {
    common: Arc<Common>,
    stripes: Box<[Mutex<Stripe>]>,
    /// Of each stripe, how far its changes have gone.
    tails: Box<[Arc<Tails>]>,
    /// Numbers of followers in use.
    readers: Mutex<Vec<bool>>,
    /// Where the next sweep goes on.
    sweep: Mutex<SweepTurn>,
}

mod all;
use all::SweepTurn;
mod following;

impl Table {
    /// How long an entry lives on after [`expire`](Self::expire), in ms: every session reads it meanwhile, as one whose peer is
    /// silent for 5 s is closed.
    pub const EXPIRE_MS: u32 = 6_000;

    /// An empty table. `seed` makes the places of keys unpredictable: pass a random number where keys come from outside.
    ///
    /// # Errors
    /// When a number or a name of the definition is out of its range, see [`TableDefinition::check`].
    pub fn new(definition: TableDefinition, seed: u64) -> Result<Self, DefinitionError> {
        definition.check()?;
        let wanted = (definition.size / ENTRIES_PER_STRIPE).max(1) as usize;
        let least = definition.size.div_ceil(MAX_ENTRIES_PER_STRIPE) as usize;
        let count = wanted.min(MAX_STRIPES).max(least).next_power_of_two();
        let rows = definition.size.div_ceil(count as u32);
        let common = Common::new(definition, seed);
        let stripes: Vec<_> = (0..count).map(|_| Stripe::new(&common, rows)).collect();
        let tails = stripes.iter().map(|stripe| Arc::clone(stripe.log.tails())).collect();
        let stripes = stripes.into_iter().map(Mutex::new).collect();
        Ok(Self {
            common: Arc::new(common),
            stripes,
            tails,
            readers: Mutex::default(),
            sweep: Mutex::default(),
        })
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

    /// What happened to its entries so far. Takes the lock of each stripe for a moment.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { pushed: self.common.pushed.load(Ordering::Relaxed), ..Tally::default() };
        self.stripes.iter().for_each(|stripe| tally += stripe.lock().tally);
        tally
    }

    /// Counts changes that a peer was told live.
    pub fn count_pushed(&self, count: u64) {
        self.common.pushed.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// Stripes take bits of the hash that their indexes do not use.
    #[inline]
    fn stripe_of(&self, hash: u64) -> usize {
        (hash >> 48) as usize & (self.stripes.len() - 1)
    }

    /// Calls `use_it` with a key's stripe, hash and the form rows are compared with, if it is in canonical form.
    #[inline]
    fn with_key<R>(
        &self,
        key: &[u8],
        use_it: impl FnOnce(usize, u64, SoughtKey<'_>) -> R,
    ) -> Result<R, KeyError> {
        self.common.definition.key_type.check(key)?;
        Ok(SoughtKey::with(&self.common.layout, key, |key| {
            let hash = self.common.hash(key);
            use_it(self.stripe_of(hash), hash, key)
        }))
    }

    /// Looks an entry up by its canonical key. Does not touch it.
    ///
    /// # Errors
    /// When the key is none of the table's, see [`KeyType::check`](crate::KeyType::check).
    pub fn get<R>(
        &self,
        key: &[u8],
        now: Millis,
        read: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Result<Option<R>, KeyError> {
        self.with_key(key, |number, hash, key| {
            let stripe = self.stripes[number].lock();
            let row =
                stripe.find(&self.common, hash, key).filter(|&row| stripe.is_live(&self.common, row, now))?;
            Some(read(EntryRef::new(&self.common, &stripe, number, row, now)))
        })
    }

    /// The canonical key of the entry with this [`handle`](EntryRef::handle), if it is there.
    pub fn key_of_handle(&self, handle: u64, now: Millis) -> Option<Vec<u8>> {
        let (number, row) = split_handle(handle)?;
        let stripe = self.stripes.get(number)?.lock();
        let there = row < stripe.row_count() && stripe.is_live(&self.common, row, now);
        there.then(|| stripe.key(&self.common.layout, row).to_vec())
    }

    /// Finds or creates the entry of a canonical key, lets `change` change it, and touches it: it lives on by `lifetime`
    /// and cursors see the change. A local touch (`Origin::LOCAL`, `Lifetime::Restart`) is what HAProxy's own events
    /// do (stick-tables §5.2); with `Lifetime::Exactly` it stores with an explicit lifetime. To end an entry everywhere, call
    /// [`expire`](Self::expire).
    ///
    /// With `Lifetime::Keep`, a new entry starts with the table's `expire`.
    ///
    /// # Errors
    /// When the key is none of the table's, or the entry does not exist and the table is full; nothing is changed then.
    pub fn update<R>(
        &self,
        key: &[u8],
        origin: Origin,
        lifetime: Lifetime,
        now: Millis,
        change: impl FnOnce(&mut EntryMut<'_>) -> R,
    ) -> Result<R, UpdateError> {
        self.with_key(key, |number, hash, key| {
            let common = &*self.common;
            let mut stripe = self.stripes[number].lock();
            let (row, lifetime) = match stripe.find(common, hash, key) {
                Some(row) if stripe.is_live(common, row, now) => (row, lifetime),
                found => {
                    let row = match found {
                        Some(over) => {
                            stripe.renew(&common.layout, over);
                            over
                        }
                        None => {
                            let Some(row) = stripe.insert(common, hash, key, (&mut 0, 1), now) else {
                                stripe.tally.refused += 1;
                                return Err(UpdateError::Full);
                            };
                            stripe.data_mut(&common.layout, row).fill(0);
                            row
                        }
                    };
                    (row, if lifetime == Lifetime::Keep { Lifetime::Restart } else { lifetime })
                }
            };
            // Touched first: a row is used only from then on, whatever `change` does.
            stripe.touch(common, row, &Touch { origin, of_lesson: false, lifetime, now });
            stripe.tally.add_changes(origin, 1);
            Ok(change(&mut EntryMut::new(common, &mut stripe, row, now)))
        })?
    }

    /// Ends an entry here and at all peers; whether it was there. The protocol has no message that deletes an entry, so its
    /// values become zero, peers are told so, and here and there it ends within [`EXPIRE_MS`](Self::EXPIRE_MS).
    ///
    /// A peer that has no session meanwhile keeps the entry. A peer of protocol 2.0 is told zeros without a lifetime, and so is
    /// every peer of a table without `expire`, where the entry stays with zeros here as well. A `server_key` stays until the
    /// entry ends, as the protocol cannot unset it.
    ///
    /// ```
    /// use stick_table::{DataType, KeyType, Lifetime, Origin, Table, TableDefinition, Value};
    ///
    /// let definition = TableDefinition::new("banned", KeyType::Ip, 1000).with_expire(Some(3_600_000));
    /// let banned = Table::new(definition.with_column("gpt0".parse()?)?, 0)?;
    /// let key = [10, 0, 0, 1];
    /// banned.update(&key, Origin::LOCAL, Lifetime::Restart, 0, |entry| {
    ///     entry.set(DataType::Gpt0, 0, &Value::Unsigned(1))
    /// })?;
    /// assert!(banned.expire(&key, 0)?);
    /// let left = |entry: stick_table::EntryRef<'_>| (entry.value(DataType::Gpt0, 0), entry.remaining());
    /// assert_eq!(banned.get(&key, 0, left)?, Some((Some(Value::Unsigned(0)), Some(Table::EXPIRE_MS))));
    /// assert_eq!(banned.get(&key, u64::from(Table::EXPIRE_MS), left)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the key is none of the table's.
    pub fn expire(&self, key: &[u8], now: Millis) -> Result<bool, KeyError> {
        self.with_key(key, |number, hash, key| {
            let common = &*self.common;
            let mut stripe = self.stripes[number].lock();
            let Some(row) = stripe.find(common, hash, key).filter(|&row| stripe.is_live(common, row, now))
            else {
                return false;
            };
            let lifetime = Lifetime::Exactly(Self::EXPIRE_MS);
            stripe.touch(common, row, &Touch { origin: Origin::LOCAL, of_lesson: false, lifetime, now });
            stripe.tally.add_changes(Origin::LOCAL, 1);
            EntryMut::new(common, &mut stripe, row, now).reset();
            true
        })
    }

    /// Removes an entry by its canonical key; whether it was there. Peers do not learn of it, and may tell it again: the
    /// protocol has no message that deletes an entry. See [`expire`](Self::expire).
    ///
    /// # Errors
    /// When the key is none of the table's.
    pub fn remove(&self, key: &[u8], now: Millis) -> Result<bool, KeyError> {
        self.remove_if(key, now, |_| true)
    }

    /// As [`remove`](Self::remove), if `matches` holds for the entry.
    ///
    /// # Errors
    /// When the key is none of the table's.
    pub fn remove_if(
        &self,
        key: &[u8],
        now: Millis,
        matches: impl FnOnce(EntryRef<'_>) -> bool,
    ) -> Result<bool, KeyError> {
        self.with_key(key, |number, hash, key| {
            let mut stripe = self.stripes[number].lock();
            let Some(row) = stripe.find(&self.common, hash, key) else { return false };
            if !stripe.is_live(&self.common, row, now) {
                stripe.free_expired(&self.common, row);
                return false;
            }
            let matches = matches(EntryRef::new(&self.common, &stripe, number, row, now));
            if matches {
                stripe.remove(&self.common, row);
            }
            matches
        })
    }

    /// Applies the changes of a batch in their order (per key) and empties it.
    ///
    /// # Panics
    /// When the batch was made for another table.
    pub fn apply(&self, batch: &mut Batch, origin: Origin, precedence: Precedence, now: Millis) -> Applied {
        assert!(batch.belongs_to(&self.common), "the batch was made for another table");
        batch.order_by_stripe(self.stripes.len(), |hash| self.stripe_of(hash));
        let mut total = Applied::default();
        let apply = |number: usize, mut stripe: MutexGuard<'_, Stripe>, total: &mut Applied| {
            let mut places = batch.of_stripe(number);
            while !places.is_empty() {
                let end = places.end.min(places.start + GROUP);
                *total += batch.apply_group(places.start..end, &mut stripe, origin, precedence, now);
                places.start = end;
                if !places.is_empty() {
                    // Others may want in.
                    MutexGuard::bump(&mut stripe);
                }
            }
        };
        // Those that are free first: who waits for another thread meets it at the next stripe again.
        let mut busy = 0_u64;
        for (number, stripe) in self.stripes.iter().enumerate() {
            if batch.of_stripe(number).is_empty() {
                continue;
            }
            match stripe.try_lock() {
                Some(stripe) => apply(number, stripe, &mut total),
                None if number < u64::BITS as usize => busy |= 1 << number,
                None => apply(number, stripe.lock(), &mut total),
            }
        }
        while busy != 0 {
            let number = busy.trailing_zeros() as usize;
            apply(number, self.stripes[number].lock(), &mut total);
            busy &= busy - 1;
        }
        batch.clear();
        total
    }

    /// How far the changes have gone by now.
    pub fn position(&self) -> Position {
        Position(self.stripes.iter().map(|stripe| stripe.lock().log.tail()).collect())
    }

    /// As [`position`](Self::position), and no later change is coalesced with one before: an entry that changes from now
    /// on has [`changed_since`](EntryRef::changed_since) this position.
    pub fn mark(&self) -> Position {
        let tails = self.stripes.iter().zip(&self.tails).map(|(stripe, tails)| {
            if tails.all() == 0 {
                // Nothing to be coalesced with: most stripes of a large table that holds little.
                return 0;
            }
            let log = &mut stripe.lock().log;
            let tail = log.tail();
            log.saw_all(tail);
            tail
        });
        Position(tails.collect())
    }

    /// The position of these [`numbers`](Position::numbers); `None` when they are of another table, or of later changes than
    /// there were.
    pub fn position_at(&self, numbers: &[u64]) -> Option<Position> {
        let Position(tails) = self.position();
        let fits =
            tails.len() == numbers.len() && tails.iter().zip(numbers).all(|(tail, number)| number <= tail);
        fits.then(|| Position(numbers.to_vec()))
    }

    /// The position before the first change.
    pub fn start(&self) -> Position {
        Position(vec![0; self.stripes.len()])
    }

    /// Panics unless the inner structures agree. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        for stripe in &self.stripes {
            stripe.lock().validate(&self.common);
        }
    }
}

#[cfg(test)]
mod tests;
