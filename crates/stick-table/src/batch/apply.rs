//! A batch's way into the rows.

use std::cmp::Ordering;
use std::hint::black_box;
use std::ops::Range;

use super::ages::HeldBy;
use super::{Applied, Batch, Change, Precedence};
use crate::row::sought_key::{SoughtKey, copy};
use crate::row::stamp::Stamp;
use crate::stripe::{Stripe, Touch};
use crate::{Lifetime, Millis, Origin, lifetime};

/// Changes applied together at most, in one hold of a stripe's lock.
pub(crate) const GROUP: usize = 128;
/// No row was found for a change yet.
const NO_ROW: u32 = u32::MAX;

/// Hashes of the entries that a group made, not exactly: it may say yes for one that is not there.
struct Made([u64; Self::WORDS]);

impl Made {
    /// Eight bits for each change of a full group: one in eight finds a wrong yes at most.
    const WORDS: usize = GROUP / 8;

    /// Word and bit of a hash, by bits that neither choose the stripe's bucket nor make its tag.
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
    /// Orders the changes by their stripes, of which there are `stripes`, and keeps their order within each. A hash's stripe
    /// must be less than `stripes`.
    pub fn order_by_stripe(&mut self, stripes: usize, stripe_of: impl Fn(u64) -> usize) {
        // Counts, then where each stripe's changes begin, then, as they are put there, where they end.
        self.starts.clear();
        self.starts.resize(stripes, 0);
        for change in &self.changes {
            self.starts[stripe_of(change.hash)] += 1;
        }
        let mut next = 0;
        for start in &mut self.starts {
            next += std::mem::replace(start, next);
        }
        self.order.resize(self.changes.len(), 0);
        for (index, change) in self.changes.iter().enumerate() {
            let place = &mut self.starts[stripe_of(change.hash)];
            self.order[*place as usize] = index as u32;
            *place += 1;
        }
    }

    /// The places of a stripe's changes in the order.
    pub(crate) fn of_stripe(&self, stripe: usize) -> Range<usize> {
        let start = stripe.checked_sub(1).map_or(0, |before| self.starts[before]);
        start as usize..self.starts[stripe] as usize
    }

    /// Applies the changes at these places of the order to their stripe.
    ///
    /// A large table is in no cache, so that every change would wait for memory several times, one wait after the other.
    /// Therefore all buckets of the index are loaded first, then all rows: loads that do not depend on each other overlap.
    pub(crate) fn apply_group(
        &self,
        places: Range<usize>,
        stripe: &mut Stripe,
        origin: Origin,
        precedence: Precedence,
        now: Millis,
    ) -> Applied {
        let group = &self.order[places];
        debug_assert!(group.len() <= GROUP);
        let hash = |index: u32| self.changes[index as usize].hash;
        black_box(group.iter().fold(0, |sum, &index| sum ^ stripe.touch_index(hash(index))));
        let mut candidates = [NO_ROW; GROUP];
        for (candidate, &index) in candidates.iter_mut().zip(group) {
            *candidate = stripe.candidate(hash(index)).unwrap_or(NO_ROW);
        }
        let candidates = &candidates[..group.len()];
        let known = candidates.iter().filter(|&&row| row != NO_ROW);
        black_box(known.fold(0, |sum, &row| sum ^ stripe.touch_row(row)));
        let unknown = candidates.iter().zip(group).filter(|&(&row, _)| row == NO_ROW);
        let new = unknown
            .filter(|&(_, &index)| self.may_create(&self.changes[index as usize], precedence))
            .count() as u32;
        let places = self.common.take_places(new);
        let made = Made([0; Made::WORDS]);
        let mut run = Run { origin, precedence, now, new, places, made, applied: Applied::default() };
        for (&candidate, &index) in candidates.iter().zip(group) {
            self.apply_change(index as usize, candidate, stripe, &mut run);
        }
        if run.places > 0 {
            self.common.give_places_back(run.places);
        }
        stripe.tally.add_applied(origin, run.applied);
        run.applied
    }

    #[inline]
    fn apply_change(&self, index: usize, candidate: u32, stripe: &mut Stripe, run: &mut Run) {
        let Run { origin, precedence, now, .. } = *run;
        let change = &self.changes[index];
        let common = &*self.common;
        let words = &self.words[index * self.stride..(index + 1) * self.stride];
        let (key, data) = words.split_at(self.key_words);
        let of_lesson = matches!(precedence, Precedence::FillGaps | Precedence::Vacant);
        let touch = Touch { origin, of_lesson, lifetime: change.lifetime, now };
        let may_change = |stamp: Stamp, deadline: u32| match precedence {
            Precedence::Newest => true,
            // What was read from disk is older than whatever anybody tells.
            _ if stamp.origin() == Origin::STORE => true,
            Precedence::FillGaps => {
                let is_own = stamp.origin() == origin && origin.is_one_writer();
                match self.compare(change, stamp, deadline, now) {
                    Some(Ordering::Greater) => !stamp.origin().is_local(),
                    Some(_) => is_own && self.is_of_session(deadline, now),
                    None => {
                        is_own
                            && (self.refreshes
                                || self.is_of_session(deadline, now)
                                || self.was_made_in_session(change))
                    }
                }
            }
            Precedence::Repeated => {
                (stamp.origin() == origin && origin.is_one_writer())
                    || stamp.is_of_lesson()
                    || matches!(change.lifetime, Lifetime::Exactly(_))
                        && self.compare(change, stamp, deadline, now) != Some(Ordering::Less)
            }
            Precedence::Vacant => false,
        };
        if candidate != NO_ROW && self.is_plain() && precedence != Precedence::Repeated {
            let write = |to: &mut [u32]| self.write_columns(data, to);
            if let Some(changed) = stripe.change_live(common, candidate, key, &touch, may_change, write) {
                *(if changed { &mut run.applied.updated } else { &mut run.applied.skipped }) += 1;
                if !changed && !self.gaps.is_empty() {
                    self.write_gaps(data, stripe.data_mut(&common.layout, candidate));
                }
                return;
            }
        }
        let key = self.key(index, key);
        if candidate == NO_ROW && !run.made.may_hold(change.hash) {
            self.create(change, key, data, &touch, stripe, run);
            return;
        }
        // Changes before this one may have moved things: the row may be gone, or there only now.
        let Some(row) = stripe.find(common, change.hash, key) else {
            self.create(change, key, data, &touch, stripe, run);
            return;
        };
        let mut touch = touch;
        if stripe.is_live(common, row, now) {
            if !may_change(stripe.stamp(row), stripe.deadline(row)) {
                run.applied.skipped += 1;
                self.write_gaps(data, stripe.data_mut(&common.layout, row));
                return;
            }
            run.applied.updated += 1;
            if precedence == Precedence::Repeated
                && let Lifetime::Exactly(left) = change.lifetime
                && (common.definition.expire.is_none()
                    || left <= lifetime::remaining(stripe.deadline(row), now))
            {
                // A repetition is no new touch, and takes nothing of a life.
                touch.lifetime = Lifetime::Keep;
            }
        } else if self.may_create(change, run.precedence) {
            stripe.renew(&common.layout, row);
            run.applied.created += 1;
        } else {
            run.applied.skipped += 1;
            return;
        }
        stripe.change(common, row, &touch, |to| self.write_columns(data, to));
        self.write_string(data, row, stripe);
    }

    /// Whether a change was made after the last touch of the entry with this stamp and deadline (`Greater`) or before it (`Less`), if
    /// that is sure.
    fn compare(&self, change: &Change, stamp: Stamp, deadline: u32, now: Millis) -> Option<Ordering> {
        self.common.definition.expire?;
        let by = if stamp.is_of_lesson() { HeldBy::Lesson } else { HeldBy::Push };
        match change.lifetime {
            Lifetime::Exactly(left) => self.ages?.compare(left, lifetime::remaining(deadline, now), by),
            Lifetime::Restart | Lifetime::Touched(_) | Lifetime::Keep => None,
        }
    }

    /// Whether an entry with this deadline was touched since the sender's session began.
    fn is_of_session(&self, deadline: u32, now: Millis) -> bool {
        let expire = self.common.definition.expire;
        let held = lifetime::remaining(deadline, now);
        self.ages.zip(expire).is_some_and(|(ages, expire)| ages.is_of_session(held, expire))
    }

    /// Whether a change was made since the sender's session began, by its lifetime.
    fn was_made_in_session(&self, change: &Change) -> bool {
        let expire = self.common.definition.expire;
        match change.lifetime {
            Lifetime::Exactly(left) => {
                self.ages.zip(expire).is_some_and(|(ages, expire)| ages.is_made_in_session(left, expire))
            }
            Lifetime::Restart | Lifetime::Touched(_) | Lifetime::Keep => false,
        }
    }

    /// Applies a change whose key is not in the stripe.
    #[inline]
    fn create(
        &self,
        change: &Change,
        key: SoughtKey<'_>,
        data: &[u32],
        touch: &Touch,
        stripe: &mut Stripe,
        run: &mut Run,
    ) {
        if !self.may_create(change, run.precedence) {
            run.applied.skipped += 1;
            return;
        }
        let ahead = run.new;
        run.new = ahead.saturating_sub(1);
        let common = &*self.common;
        if run.precedence == Precedence::Vacant && run.places == 0 {
            run.places = common.take_places(1);
            if run.places == 0 {
                run.applied.refused += 1;
                return;
            }
        }
        let Some(row) = stripe.insert(common, change.hash, key, (&mut run.places, ahead), touch.now) else {
            run.applied.refused += 1;
            return;
        };
        run.made.add(change.hash);
        run.applied.created += 1;
        stripe.change(common, row, touch, |to| {
            if !self.writes_all {
                to.fill(0);
            }
            self.write_columns(data, to);
        });
        self.write_string(data, row, stripe);
    }

    /// Whether a change makes an entry where there is none. What repeats a lesson with a life does not: the lesson would have.
    #[inline]
    fn may_create(&self, change: &Change, precedence: Precedence) -> bool {
        match change.lifetime {
            Lifetime::Exactly(_) if precedence == Precedence::Repeated => false,
            Lifetime::Restart => true,
            Lifetime::Exactly(ms) => ms > 0 || self.common.definition.expire.is_none(),
            Lifetime::Touched(age) => self.common.definition.expire.is_none_or(|expire| age < expire),
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
    fn write_string(&self, from: &[u32], row: u32, stripe: &mut Stripe) {
        let Some(offset) = self.dictionary_offset else { return };
        if let Some(string) = self.strings.get(from[offset] as usize) {
            let id = stripe.dictionary.acquire(string);
            let old = std::mem::replace(&mut stripe.data_mut(&self.common.layout, row)[offset], id);
            stripe.dictionary.release(old);
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
