//! What a node tells.

use std::ops::Range;

use stick_table::defect::Defect;
use stick_table::{Batch, ChangeRef, Lifetime, Millis};

use super::{Shared, Stripe};
use crate::contribution::{Absorbed, Told};
use crate::lives;
use crate::nodes::Telling;
use crate::part::{Head, PART_HEAD};
use crate::store::{MAX_PARTS, Sought};

/// Changes absorbed at most in one hold of a stripe's lock.
const HOLD: usize = 128;
/// Changes for which memory is loaded together: so few that the first one's is in a near cache still when the last one's is.
const GROUP: usize = 32;

/// Who tells a batch, and how.
pub(crate) struct Teller<'a> {
    pub(crate) node: u16,
    pub(crate) telling: Telling<'a>,
    /// The number of the columns that are told.
    pub(crate) set: u8,
    pub(crate) told: Told,
    /// What is told, without `server_key`, and whether that is told.
    pub(crate) ranges: &'a [Range<usize>],
    pub(crate) string: Option<usize>,
}

impl Teller<'_> {
    #[inline]
    fn generation(&self) -> u16 {
        self.telling.generation()
    }

    #[inline]
    fn session(&self) -> u8 {
        self.telling.session()
    }

    #[inline]
    pub(super) fn head(&self) -> Head {
        Head::new(self.generation(), self.session(), self.set)
    }

    fn wrote(&self, offset: usize) -> bool {
        self.string == Some(offset) || self.ranges.iter().any(|range| range.contains(&offset))
    }
}

/// What became of a change.
enum Outcome {
    Created(u32),
    Updated(u32),
    Refused,
    /// The key is there, and lacks the contribution.
    RefusedPart(u32),
    /// Its key is over now.
    Ended,
    /// Without effect on what is published.
    Skipped,
    /// Skipped, but something else of the key has ended or changed.
    Other(u32),
}

impl Stripe {
    /// Takes the next changes of a batch that are of this stripe, and publishes the results; returns whether there may be
    /// more.
    pub(crate) fn absorb<'a>(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        changes: &mut impl Iterator<Item = ChangeRef<'a>>,
        now: Millis,
        absorbed: &mut Absorbed,
    ) -> bool {
        let mut count = 0;
        while count < HOLD {
            let mut group = [const { None }; GROUP];
            let mut taken = 0;
            for (place, change) in group.iter_mut().zip(&mut *changes) {
                *place = Some((change, self.store.candidate(change.hash())));
                taken += 1;
            }
            self.load(&group[..taken]);
            for &(change, candidate) in group[..taken].iter().flatten() {
                let form = self.store.form();
                let outcome =
                    form.with_key(change.key(), |key| self.tell(shared, teller, change, key, candidate, now));
                let counter = match outcome {
                    Outcome::Created(_) => &mut absorbed.created,
                    Outcome::Updated(_) | Outcome::Ended => &mut absorbed.updated,
                    Outcome::Refused | Outcome::RefusedPart(_) => &mut absorbed.refused,
                    Outcome::Skipped | Outcome::Other(_) => &mut absorbed.skipped,
                };
                *counter += 1;
                if let Outcome::Created(slot)
                | Outcome::Updated(slot)
                | Outcome::Other(slot)
                | Outcome::RefusedPart(slot) = outcome
                {
                    self.count(shared, slot, now);
                }
            }
            count += taken;
            if taken < GROUP {
                break;
            }
        }
        self.publish(shared, now);
        count == HOLD
    }

    /// Loads what a group needs from memory, step by step: the waits of one step overlap.
    fn load(&self, group: &[Option<(ChangeRef<'_>, Option<u32>)>]) {
        let slots = || group.iter().flatten().filter_map(|&(_, candidate)| candidate);
        let mut loaded = slots().fold(0, |loaded, slot| loaded ^ self.store.due(slot));
        loaded ^= slots().fold(0, |loaded, slot| loaded ^ u32::from(self.store.is_used(slot)));
        loaded ^= slots().fold(0, |loaded, slot| loaded ^ self.store.touch(slot));
        std::hint::black_box(loaded);
    }

    fn tell(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        key: Sought<'_>,
        candidate: Option<u32>,
        now: Millis,
    ) -> Outcome {
        let tick = now as u32;
        if shared.nodes.has_ended() && !teller.telling.is_present() {
            // The node was forgotten meanwhile.
            return Outcome::Skipped;
        }
        // It may be another key's, now or from the beginning.
        let candidate = candidate.filter(|&slot| self.store.is_key(slot, key));
        let found = candidate.or_else(|| self.store.find(change.hash(), key));
        // A key whose last contribution is over is as good as none.
        let mut ended = false;
        let found = found.filter(|&slot| {
            let settled = self.settle(shared, slot, now);
            ended = settled.is_changed();
            !settled.is_empty
        });
        let ends_now = shared.expire().is_some() && change.lifetime() == Lifetime::Exactly(0);
        let creates = change.lifetime() != Lifetime::Keep && !ends_now;
        let Some(slot) = found else {
            if !creates {
                return Outcome::Skipped;
            }
            if !self.make_place(shared, now) {
                self.refuse(shared, teller, change, None, now);
                return Outcome::Refused;
            }
            let slot = self.store.insert(&shared.schema, change.hash(), key);
            if shared.left_out.any() {
                // It may be one of those that were refused: nothing is published of it before all have told it again.
                self.set_partial(shared, slot, true);
            }
            self.begin(shared, teller, change, slot, 0, tick);
            return Outcome::Created(slot);
        };
        let Some((present, former)) = self.of_node(shared, slot, teller) else {
            let count = self.store.parts(slot).len() / self.width(shared);
            if !creates {
                return if ended { Outcome::Other(slot) } else { Outcome::Skipped };
            }
            if count >= MAX_PARTS || !shared.room.has_for_part() {
                self.refuse(shared, teller, change, Some(slot), now);
                return Outcome::RefusedPart(slot);
            }
            // What a lesson tells is of unknown age: it is not what was told last.
            let number = if teller.told == Told::Lesson { 0 } else { count };
            self.store.add_part(slot, number);
            self.begin(shared, teller, change, slot, number, tick);
            return Outcome::Created(slot);
        };
        self.update(shared, teller, change, slot, (present, former), now)
    }

    fn width(&self, shared: &Shared) -> usize {
        PART_HEAD + shared.columns.data_words
    }

    /// The numbers of the parts of the teller's node: of its present process, and of a former one.
    fn of_node(&mut self, shared: &Shared, slot: u32, teller: &Teller<'_>) -> Option<(usize, Option<usize>)> {
        match self.parts_of(shared, slot, teller.generation()) {
            (Some(present), former) => Some((present, former)),
            (None, Some(former)) => {
                // What the newer process told has ended.
                let part = self.store.part_mut(slot, former);
                part[0] = Head::of(part).without(Head::FORMER).with(Head::STALE).word();
                Some((former, None))
            }
            (None, None) => None,
        }
    }

    /// Fills a new part.
    fn begin(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        slot: u32,
        number: usize,
        now: u32,
    ) {
        let part = self.store.part_mut(slot, number);
        (part[0], part[1]) = (teller.head().word(), now);
        teller.telling.added(teller.set);
        self.write(shared, teller, change, slot, number);
        self.touch(shared, change.lifetime(), slot, number, now);
    }

    /// Makes a part what is told. Its `server_key` stays if none is told.
    fn write(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        slot: u32,
        number: usize,
    ) {
        let part = self.store.part_mut(slot, number);
        shared.nodes.changed(Head::of(part), teller.head());
        part[0] = teller.head().word();
        let data = &mut part[PART_HEAD..];
        let string = shared.columns.string.map(|at| data[at]);
        if !matches!(teller.ranges, [all] if all.len() == data.len()) {
            data.fill(0);
        }
        for range in teller.ranges {
            data[range.clone()].copy_from_slice(&change.words()[range.clone()]);
        }
        if let (Some(at), Some(old)) = (shared.columns.string, string) {
            data[at] = match (teller.string, change.string()) {
                (Some(_), Some(string)) => {
                    let new = self.dictionary.acquire(string);
                    self.dictionary.release(old);
                    new
                }
                (Some(_), None) => old,
                (None, _) => {
                    self.dictionary.release(old);
                    0
                }
            };
        }
    }

    /// Gives a part its lifetime.
    fn touch(&mut self, shared: &Shared, lifetime: Lifetime, slot: u32, number: usize, now: u32) {
        let deadline = match (shared.expire(), lifetime) {
            (_, Lifetime::Keep) => return,
            (None, Lifetime::Touched(age)) => now.wrapping_sub(age),
            (None, _) => now,
            (Some(expire), Lifetime::Touched(age)) => now.wrapping_add(expire.saturating_sub(age)),
            (Some(expire), Lifetime::Restart) => now.wrapping_add(expire),
            (Some(expire), Lifetime::Exactly(ms)) => now.wrapping_add(ms.min(expire)),
        };
        self.store.part_mut(slot, number)[1] = deadline;
    }

    /// Takes the change of a part that is there.
    fn update(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        slot: u32,
        (mut present, mut former): (usize, Option<usize>),
        millis: Millis,
    ) -> Outcome {
        let now = millis as u32;
        let columns = &shared.columns;
        let width = self.width(shared);
        let part = |number: usize| number * width..(number + 1) * width;
        let parts = self.store.parts(slot);
        let old = &parts[part(present)];
        let head = Head::of(old);
        // The change as a part of its own, to be compared.
        let mut new = std::mem::take(&mut self.should);
        new.clear();
        new.resize(columns.data_words, 0);
        let mut plain = true;
        let is_known = head.is_known(teller.session());
        if former.is_some() || head.is_stale(teller.session()) || head.is(Head::OFFERED) || is_known {
            plain = false;
            for range in teller.ranges {
                new[range.clone()].copy_from_slice(&change.words()[range.clone()]);
            }
        }
        let knows = |old: &[u32]| lives::knows(columns, &new, &old[PART_HEAD..], now);
        // What all of the node's processes told.
        let mut both = std::mem::take(&mut self.parts);
        both.clear();
        if let Some(former) = former {
            both.extend_from_slice(old);
            shared.with_written(|written| {
                lives::combine(columns, &mut both, &parts[part(former)], written, now);
            });
        }
        let all: &[u32] = if former.is_some() { &both } else { old };
        let (mut drops_former, mut begins_anew, mut is_ignored) = (false, false, false);
        if plain {
        } else if !head.is_stale(teller.session()) {
            if head.is(Head::OFFERED) {
                is_ignored = !knows(all);
                drops_former = !is_ignored;
            } else if is_known {
                match former {
                    Some(former) => drops_former = knows(&parts[part(former)]),
                    None => begins_anew = !knows(old),
                }
            } else if let Some(former) = former {
                let former = &parts[part(former)];
                drops_former =
                    knows(former) && lives::leapt(columns, &old[PART_HEAD..], &former[PART_HEAD..], now);
            }
        } else if knows(all) && !Defect::SessionsAddUp.is_on() {
            drops_former = true;
        } else if former.is_none() || !knows(old) {
            begins_anew = true;
        }
        self.should = new;
        self.parts = both;
        if is_ignored {
            return self.ignore(shared, teller, change, slot, (present, former), now);
        }
        if begins_anew {
            if let Some(number) = former.take() {
                present = self.fold(shared, slot, present, number, now);
            }
            if self.store.parts(slot).len() / width >= MAX_PARTS || !shared.room.has_for_part() {
                self.refuse(shared, teller, change, Some(slot), millis);
                return Outcome::RefusedPart(slot);
            }
            let part = self.store.part_mut(slot, present);
            part[0] = Head::of(part).without(Head::KNOWN).with(Head::FORMER).word();
            self.store.add_part(slot, present + 1);
            former = Some(present);
            present += 1;
            let part = self.store.part_mut(slot, present);
            (part[0], part[1]) = (teller.head().word(), now);
            teller.telling.added(teller.set);
        } else if drops_former && let Some(number) = former.take() {
            self.remove_part(shared, slot, number);
            present -= usize::from(number < present);
        }
        self.write(shared, teller, change, slot, present);
        if is_known && former.is_some() {
            let part = self.store.part_mut(slot, present);
            part[0] = Head::of(part).with(Head::KNOWN).word();
        }
        self.touch(shared, change.lifetime(), slot, present, now);
        if begins_anew && change.lifetime() == Lifetime::Keep {
            // What is repeated has the lifetime it had.
            let before = former.map(|former| self.store.part_mut(slot, former)[1]);
            self.store.part_mut(slot, present)[1] = before.unwrap_or(now);
        }
        self.keep_former(slot, present, former);
        if !shared.is_over(self.store.part_mut(slot, present), now) {
            if columns.is_ordered && teller.told == Told::Live {
                self.store.move_last(slot, present);
            }
            return Outcome::Updated(slot);
        }
        // It ends now, and so does what its process had told before.
        let is_it = |part: &[u32]| Head::of(part).generation() == teller.generation();
        if self.remove_parts_or_key(shared, slot, is_it, millis).1 {
            Outcome::Updated(slot)
        } else {
            Outcome::Ended
        }
    }

    /// A former part lives as long as the present one: it is of the same entry.
    fn keep_former(&mut self, slot: u32, present: usize, former: Option<usize>) {
        let Some(former) = former else { return };
        let deadline = self.store.part_mut(slot, present)[1];
        let part = self.store.part_mut(slot, former);
        if part[1].wrapping_sub(deadline).cast_signed() < 0 {
            part[1] = deadline;
        }
    }

    /// Does not take what a process tells that does not know yet what it is being taught, but what it alone knows.
    fn ignore(
        &mut self,
        shared: &Shared,
        teller: &Teller<'_>,
        change: ChangeRef<'_>,
        slot: u32,
        (present, former): (usize, Option<usize>),
        now: u32,
    ) -> Outcome {
        let part = self.store.part_mut(slot, present);
        if teller.set == 0 {
            let complete = Head::of(part).complete();
            shared.nodes.changed(Head::of(part), complete);
            part[0] = complete.word();
        }
        lives::take_newest(&shared.columns, &mut part[PART_HEAD..], change.words(), |at| teller.wrote(at));
        if let (Some(at), Some(string)) = (shared.columns.string, change.string()) {
            let new = self.dictionary.acquire(string);
            let old = std::mem::replace(&mut part[PART_HEAD + at], new);
            self.dictionary.release(old);
        }
        if change.lifetime() != Lifetime::Exactly(0) {
            self.touch(shared, change.lifetime(), slot, present, now);
            self.keep_former(slot, present, former);
        }
        Outcome::Other(slot)
    }

    /// Adds a former part to the present one; returns the number of that one.
    pub(super) fn fold(
        &mut self,
        shared: &Shared,
        slot: u32,
        present: usize,
        former: usize,
        now: u32,
    ) -> usize {
        let width = self.width(shared);
        let mut both = std::mem::take(&mut self.parts);
        both.clear();
        both.extend_from_slice(self.store.part_mut(slot, present));
        let old = self.store.part_mut(slot, former);
        shared.with_written(|written| lives::combine(&shared.columns, &mut both, old, written, now));
        if let Some(at) = shared.columns.string.map(|at| PART_HEAD + at) {
            // The string that stays is that of the present part, unless it has none.
            if self.store.part_mut(slot, present)[at] == 0 {
                self.store.part_mut(slot, former)[at] = 0;
            }
        }
        let part = self.store.part_mut(slot, present);
        shared.nodes.changed(Head::of(part), Head::of(&both));
        part.copy_from_slice(&both[..width]);
        self.parts = both;
        self.remove_part(shared, slot, former);
        present - usize::from(former < present)
    }
}

/// What a batch tells: the runs of data words without that of `server_key`, and that one.
pub(crate) fn told_by(batch: &Batch, string: Option<usize>) -> (Vec<Range<usize>>, Option<usize>) {
    let is_string = |range: &Range<usize>| string.is_some_and(|at| *range == (at..at + 1));
    let ranges = batch.columns().filter(|range| !is_string(range)).collect();
    (ranges, string.filter(|_| batch.columns().any(|range| is_string(&range))))
}
