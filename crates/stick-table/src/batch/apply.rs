//! A batch's way into the rows.

use std::cmp::Ordering;
use std::hint::black_box;
use std::ops::Range;

use super::ages::HeldBy;
use super::{Applied, Batch, Change, Precedence};
use crate::shard::{Shard, Touch};
use crate::sought_key::{SoughtKey, copy};
use crate::stamp::Stamp;
use crate::{Lifetime, Millis, Origin, lifetime};

/// Changes applied together at most, in one hold of a shard's lock.
pub(crate) const GROUP: usize = 128;
/// No row was found for a change yet.
const NO_ROW: u32 = u32::MAX;

/// Hashes of the entries that a group made, not exactly: it may say yes for one that is not there.
struct Made([u64; Self::WORDS]);

impl Made {
    /// Eight bits for each change of a full group: one in eight finds a wrong yes at most.
    const WORDS: usize = GROUP / 8;

    /// Word and bit of a hash, by bits that neither choose the shard's bucket nor make its tag.
    #[inline]
    const fn place(hash: u64) -> (usize, u64) {
        let bits = (hash >> 10) as usize;
        (bits / 64 % Self::WORDS, 1 << (bits % 64))
    }

    #[inline]
    const fn add(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        self.0[word] |= bit;
    }

    #[inline]
    const fn may_hold(&self, hash: u64) -> bool {
        let (word, bit) = Self::place(hash);
        self.0[word] & bit != 0
    }
}

/// What the changes of a group share while they are applied.
struct Run {
    origin: Origin,
    precedence: Precedence,
    now: Millis,
    /// Changes left that will most likely make new entries: fewer when a key comes twice.
    new: u32,
    /// Places of the table taken for new entries.
    places: u32,
    made: Made,
    applied: Applied,
}

impl Batch {
    /// Orders the changes by their shards, of which there are `shards`, and keeps their order within each. A hash's shard
    /// must be less than `shards`.
    pub fn order_by_shard(&mut self, shards: usize, shard_of: impl Fn(u64) -> usize) {
        // Counts, then where each shard's changes begin, then, as they are put there, where they end.
        self.starts.clear();
        self.starts.resize(shards, 0);
        for change in &self.changes {
            self.starts[shard_of(change.hash)] += 1;
        }
        let mut next = 0;
        for start in &mut self.starts {
            next += std::mem::replace(start, next);
        }
        self.order.resize(self.changes.len(), 0);
        for (index, change) in self.changes.iter().enumerate() {
            let place = &mut self.starts[shard_of(change.hash)];
            self.order[*place as usize] = index as u32;
            *place += 1;
        }
    }

    /// The places of a shard's changes in the order.
    pub(crate) fn of_shard(&self, shard: usize) -> Range<usize> {
        let start = shard.checked_sub(1).map_or(0, |before| self.starts[before]);
        start as usize..self.starts[shard] as usize
    }

    /// Applies the changes at these places of the order to their shard.
    ///
    /// A large table is in no cache, so that every change would wait for memory several times, one wait after the other.
    /// Therefore all buckets of the index are loaded first, then all rows: loads that do not depend on each other overlap.
    pub(crate) fn apply_group(
        &self,
        places: Range<usize>,
        shard: &mut Shard,
        origin: Origin,
        precedence: Precedence,
        now: Millis,
    ) -> Applied {
        let group = &self.order[places];
        debug_assert!(group.len() <= GROUP);
        let hash = |index: u32| self.changes[index as usize].hash;
        black_box(group.iter().fold(0, |sum, &index| sum ^ shard.touch_index(hash(index))));
        let mut candidates = [NO_ROW; GROUP];
        for (candidate, &index) in candidates.iter_mut().zip(group) {
            *candidate = shard.candidate(hash(index)).unwrap_or(NO_ROW);
        }
        let candidates = &candidates[..group.len()];
        let known = candidates.iter().filter(|&&row| row != NO_ROW);
        black_box(known.fold(0, |sum, &row| sum ^ shard.touch_row(row)));
        let unknown = candidates.iter().zip(group).filter(|&(&row, _)| row == NO_ROW);
        let new =
            unknown.filter(|&(_, &index)| self.may_create(&self.changes[index as usize])).count() as u32;
        let places = self.common.take_places(new);
        let made = Made([0; Made::WORDS]);
        let mut run = Run { origin, precedence, now, new, places, made, applied: Applied::default() };
        for (&candidate, &index) in candidates.iter().zip(group) {
            self.apply_change(index as usize, candidate, shard, &mut run);
        }
        if run.places > 0 {
            self.common.give_places_back(run.places);
        }
        run.applied
    }

    #[inline]
    fn apply_change(&self, index: usize, candidate: u32, shard: &mut Shard, run: &mut Run) {
        let Run { origin, precedence, now, .. } = *run;
        let change = &self.changes[index];
        let common = &*self.common;
        let words = &self.words[index * self.stride..(index + 1) * self.stride];
        let (key, data) = words.split_at(self.key_words);
        let touch =
            Touch { origin, of_lesson: precedence == Precedence::FillGaps, lifetime: change.lifetime, now };
        let may_change = |stamp: Stamp, deadline: u32| match precedence {
            Precedence::Newest => true,
            Precedence::FillGaps => {
                let is_own = stamp.origin() == origin && origin.is_one_writer();
                match self.compare(change, stamp, deadline, now) {
                    Some(Ordering::Greater) => !stamp.origin().is_local(),
                    Some(_) => is_own && self.is_of_session(deadline, now),
                    None => is_own,
                }
            }
            Precedence::Repeated => {
                (stamp.origin() == origin && origin.is_one_writer()) || stamp.is_of_lesson()
            }
        };
        if candidate != NO_ROW && self.is_plain() {
            let write = |to: &mut [u32]| self.write_columns(data, to);
            if let Some(changed) = shard.change_live(common, candidate, key, &touch, may_change, write) {
                *(if changed { &mut run.applied.updated } else { &mut run.applied.skipped }) += 1;
                if !changed && !self.gaps.is_empty() {
                    self.write_gaps(data, shard.data_mut(&common.layout, candidate));
                }
                return;
            }
        }
        let key = self.key(index, key);
        if candidate == NO_ROW && !run.made.may_hold(change.hash) {
            self.create(change, key, data, &touch, shard, run);
            return;
        }
        // Changes before this one may have moved things: the row may be gone, or there only now.
        let Some(row) = shard.find(common, change.hash, key) else {
            self.create(change, key, data, &touch, shard, run);
            return;
        };
        if shard.is_live(common, row, now) {
            if !may_change(shard.stamp(row), shard.deadline(row)) {
                run.applied.skipped += 1;
                self.write_gaps(data, shard.data_mut(&common.layout, row));
                return;
            }
            run.applied.updated += 1;
        } else if self.may_create(change) {
            shard.renew(&common.layout, row);
            run.applied.created += 1;
        } else {
            run.applied.skipped += 1;
            return;
        }
        shard.change(common, row, &touch, |to| self.write_columns(data, to));
        self.write_string(data, row, shard);
    }

    /// Whether a change was made after the last touch of the entry with this stamp and deadline (`Greater`) or before it (`Less`), if
    /// that is sure.
    fn compare(&self, change: &Change, stamp: Stamp, deadline: u32, now: Millis) -> Option<Ordering> {
        self.common.definition.expire?;
        let by = if stamp.is_of_lesson() { HeldBy::Lesson } else { HeldBy::Push };
        match change.lifetime {
            Lifetime::Exactly(left) => self.ages?.compare(left, lifetime::remaining(deadline, now), by),
            Lifetime::Restart | Lifetime::Keep => None,
        }
    }

    /// Whether an entry with this deadline was touched since the sender's session began.
    fn is_of_session(&self, deadline: u32, now: Millis) -> bool {
        let expire = self.common.definition.expire;
        let held = lifetime::remaining(deadline, now);
        self.ages.zip(expire).is_some_and(|(ages, expire)| ages.is_of_session(held, expire))
    }

    /// Applies a change whose key is not in the shard.
    #[inline]
    fn create(
        &self,
        change: &Change,
        key: SoughtKey<'_>,
        data: &[u32],
        touch: &Touch,
        shard: &mut Shard,
        run: &mut Run,
    ) {
        if !self.may_create(change) {
            run.applied.skipped += 1;
            return;
        }
        let ahead = run.new;
        run.new = ahead.saturating_sub(1);
        let common = &*self.common;
        let Some(row) = shard.insert(common, change.hash, key, (&mut run.places, ahead), touch.now) else {
            run.applied.refused += 1;
            return;
        };
        run.made.add(change.hash);
        run.applied.created += 1;
        shard.change(common, row, touch, |to| {
            if !self.writes_all {
                to.fill(0);
            }
            self.write_columns(data, to);
        });
        self.write_string(data, row, shard);
    }

    /// Whether a change makes an entry where there is none.
    #[inline]
    fn may_create(&self, change: &Change) -> bool {
        match change.lifetime {
            Lifetime::Restart => true,
            Lifetime::Exactly(ms) => ms > 0 || self.common.definition.expire.is_none(),
            Lifetime::Keep => false,
        }
    }

    /// Whether keys and data are nothing but words.
    #[inline]
    fn is_plain(&self) -> bool {
        self.key_words > 0 && self.dictionary_offset.is_none()
    }

    #[inline]
    fn write_columns(&self, from: &[u32], to: &mut [u32]) {
        for range in &self.columns {
            copy(&from[range.clone()], &mut to[range.clone()]);
        }
    }

    /// Writes what nobody told of an entry yet.
    fn write_gaps(&self, from: &[u32], to: &mut [u32]) {
        for gap in &self.gaps {
            if to[gap.clone()].iter().all(|&word| word == 0) {
                copy(&from[gap.clone()], &mut to[gap.clone()]);
            }
        }
    }

    /// Stores the string of a change in a row, if there is one.
    #[inline]
    fn write_string(&self, from: &[u32], row: u32, shard: &mut Shard) {
        let Some(offset) = self.dictionary_offset else { return };
        if let Some(string) = self.strings.get(from[offset] as usize) {
            let id = shard.dictionary.acquire(string);
            let old = std::mem::replace(&mut shard.data_mut(&self.common.layout, row)[offset], id);
            shard.dictionary.release(old);
        }
    }

    #[inline]
    fn key<'a>(&'a self, index: usize, words: &'a [u32]) -> SoughtKey<'a> {
        if self.key_words > 0 {
            return SoughtKey::Words(words);
        }
        SoughtKey::Long(self.long_key(index))
    }

    /// The key of a change of a table whose keys do not stand in the rows.
    #[inline]
    pub(crate) fn long_key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.long_key_ends[before]);
        &self.long_keys[start..self.long_key_ends[index]]
    }
}
