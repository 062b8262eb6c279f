//! A table: entries, their order of expiry, and their order of change.

use std::collections::{BTreeMap, BTreeSet};

use stick_table::Millis;

use super::HaproxyTable;
use super::rate::Rate;
use super::release::Quirks;
use crate::{Reading, Write};

pub(super) struct Entry {
    pub(super) gpc0: u32,
    pub(super) rate: Rate,
    /// When it is over; in a table without expiry, when it was touched last (stick-tables §5.3).
    date: Millis,
    /// Its place in the queue of expiry, which follows `date` only when its turn comes.
    queued: Millis,
    update: Option<u32>,
    /// Whether some peer got it under its present id.
    seen: bool,
    /// Whether it has its id because a peer told it.
    learned: bool,
}

/// A table and its update counters (peers-protocol §12).
pub(super) struct Table {
    pub(super) config: HaproxyTable,
    entries: BTreeMap<u32, Entry>,
    queue: BTreeSet<(Millis, u32)>,
    /// Update id to key.
    order: BTreeMap<u32, u32>,
    update: u32,
    local_update: u32,
}

/// What an update says.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) key: u32,
    pub(super) gpc0: Option<u32>,
    pub(super) rate: Option<Rate>,
    /// Remaining lifetime in ms; `None` in untimed updates.
    pub(super) lifetime: Option<u32>,
}

impl Table {
    pub(super) fn new(config: HaproxyTable) -> Self {
        let first = config.first_update;
        Self {
            config,
            entries: BTreeMap::new(),
            queue: BTreeSet::new(),
            order: BTreeMap::new(),
            update: first,
            local_update: first,
        }
    }

    /// Id of the newest local change.
    pub(super) fn local_update(&self) -> u32 {
        self.local_update
    }

    /// The counter that local changes and learned entries share.
    pub(super) fn update(&self) -> u32 {
        self.update
    }

    /// A change made here: touches the entry and gives it a place among what is to be pushed (§12.1).
    pub(super) fn write(&mut self, now: Millis, write: Write, quirks: &Quirks) -> bool {
        let period = self.config.rate_period_ms;
        let date = now + Millis::from(self.config.expire_ms.unwrap_or(0));
        let Some((entry, _)) = self.entry(write.key, date, date) else { return false };
        entry.gpc0 = write.gpc0;
        entry.rate.add(write.requests, period, now as u32);
        entry.date = date;
        let moves = entry.update.is_none()
            || entry.seen
            || quirks.renumbers_waiting_entries
            || entry.learned && !quirks.holds_back_learned_entries;
        if moves {
            self.update = self.update.wrapping_add(1);
            self.local_update = self.update;
            self.place(write.key, self.update, false);
        }
        true
    }

    /// What a peer told (§8.3, §12.2).
    pub(super) fn learn(&mut self, now: Millis, told: Told, quirks: &Quirks) {
        let whole = self.config.expire_ms.unwrap_or(0);
        let lifetime = match told.lifetime {
            None => whole,
            Some(lifetime) if quirks.clamps_lifetimes => lifetime.min(whole),
            Some(lifetime) => lifetime,
        };
        let date = now + Millis::from(lifetime);
        let queued =
            if quirks.frees_short_lifetimes_late { now + Millis::from(whole.max(lifetime)) } else { date };
        let Some((entry, is_new)) = self.entry(told.key, date, queued) else { return };
        entry.gpc0 = told.gpc0.unwrap_or(entry.gpc0);
        entry.rate = told.rate.unwrap_or(entry.rate);
        if is_new || told.lifetime.is_some() || !quirks.keeps_expiry_of_known_entries {
            entry.date = date;
        }
        if entry.update.is_none() {
            self.update = self.update.wrapping_add(1);
            self.place(told.key, self.update.wrapping_add(quirks.learned_id_offset), true);
        }
    }

    /// The entry of a key, made with these dates when there is none; `None` when there is no room. Tells whether it is new.
    fn entry(&mut self, key: u32, date: Millis, queued: Millis) -> Option<(&mut Entry, bool)> {
        let is_new = !self.entries.contains_key(&key);
        if is_new {
            if self.entries.len() >= self.config.size && !self.purge_oldest() {
                return None;
            }
            self.queue.insert((queued, key));
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            gpc0: 0,
            rate: Rate::default(),
            date,
            queued,
            update: None,
            seen: false,
            learned: false,
        });
        Some((entry, is_new))
    }

    /// Puts an entry at the place of `id`. Another one that was there loses its place, as ids are unique.
    fn place(&mut self, key: u32, id: u32, learned: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(before) = entry.update.replace(id) {
            self.order.remove(&before);
        }
        (entry.seen, entry.learned) = (false, learned);
        if let Some(ousted) = self.order.insert(id, key).and_then(|key| self.entries.get_mut(&key)) {
            ousted.update = None;
        }
    }

    fn remove(&mut self, key: u32) {
        if let Some(entry) = self.entries.remove(&key) {
            self.queue.remove(&(entry.queued, key));
            if let Some(id) = entry.update {
                self.order.remove(&id);
            }
        }
    }

    /// Moves an entry to where its date belongs; `false` when it is there.
    fn requeue(&mut self, queued: Millis, key: u32) -> bool {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.date != queued) else {
            return false;
        };
        entry.queued = entry.date;
        self.queue.remove(&(queued, key));
        self.queue.insert((entry.date, key));
        true
    }

    /// Frees a 256th of the table, by the earliest dates (stick-tables §5.4); `false` when there was nothing to free.
    fn purge_oldest(&mut self) -> bool {
        let mut left = self.config.size / 256 + 1;
        let mut freed = false;
        while left > 0
            && let Some(&(queued, key)) = self.queue.first()
        {
            if !self.requeue(queued, key) {
                self.remove(key);
                (left, freed) = (left - 1, true);
            }
        }
        freed
    }

    /// Frees what is over and whose turn has come.
    pub(super) fn expire(&mut self, now: Millis) {
        while let Some((queued, key)) = self.next_expiry().filter(|(queued, _)| *queued <= now) {
            let is_over = self.entries.get(&key).is_none_or(|entry| entry.date <= now);
            if is_over || !self.requeue(queued, key) {
                self.remove(key);
            }
        }
    }

    fn next_expiry(&self) -> Option<(Millis, u32)> {
        self.config.expire_ms.and_then(|_| self.queue.first().copied())
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn timeout(&self) -> Option<Millis> {
        self.next_expiry().map(|(at, _)| at)
    }

    pub(super) fn get(&self, key: u32) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub(super) fn mark_seen(&mut self, key: u32) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.seen = true;
        }
    }

    pub(super) fn read(&self, now: Millis, key: u32) -> Option<Reading> {
        let entry = self.entries.get(&key)?;
        let remaining_ms = self.config.expire_ms.map(|_| self.remaining(entry, now));
        (remaining_ms != Some(0)).then(|| Reading {
            gpc0: entry.gpc0,
            rate: entry.rate.read(self.config.rate_period_ms, now as u32),
            remaining_ms,
        })
    }

    pub(super) fn keys(&self, now: Millis) -> Vec<u32> {
        self.entries.keys().copied().filter(|key| self.read(now, *key).is_some()).collect()
    }

    /// The lifetime that timed updates carry; always 0 without expiry (§8.3).
    pub(super) fn remaining(&self, entry: &Entry, now: Millis) -> u32 {
        match self.config.expire_ms {
            Some(_) => u32::try_from(entry.date.saturating_sub(now)).unwrap_or(u32::MAX),
            None => 0,
        }
    }

    /// The next change to push after `last` (§12.4): around the ring, not beyond the newest local change.
    pub(super) fn next_change(&self, last: u32) -> Option<(u32, u32)> {
        let (id, key) = self.order.range(last.wrapping_add(1)..).chain(&self.order).next()?;
        let (there, newest) = (id.wrapping_sub(last), self.local_update.wrapping_sub(last));
        (there != 0 && there <= newest).then_some((*id, *key))
    }

    /// The next entry of a lesson, from an id to another (§13.2).
    pub(super) fn next_in(&self, from: u32, to: u32) -> Option<(u32, u32)> {
        if from > to {
            return None;
        }
        self.order.range(from..=to).next().map(|(id, key)| (*id, *key))
    }
}
