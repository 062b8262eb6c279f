//! What passes by itself, or with a node.

use std::sync::atomic::Ordering;

use stick_table::{FrequencyCounter, Lifetime, Millis, Storage};

use super::settle::Settled;
use super::{Shared, Stripe};
use crate::contribution::Refreshed;
use crate::nodes::Ended;
use crate::own::{OwnValue, OwnWalk};
use crate::part::{Head, PART_HEAD, left};
use crate::result::{self, Distance, Parts};

/// Slots looked at in one hold of a stripe's lock, and keys looked at closely.
pub(crate) const SLOTS_PER_HOLD: u32 = 4096;
const KEYS_PER_HOLD: usize = 128;
/// A slot whose parts are looked at counts as so many of which nothing but the tick is.
const SLOTS_PER_RECORD: u32 = 16;

/// Whether an entry of the output ends neither later than the contributions nor, if the output's entries end sooner, much
/// sooner.
fn is_long_enough(shared: &Shared, remaining: Option<u32>, lifetime: Lifetime) -> bool {
    let Some(remaining) = remaining else { return true };
    let expire = shared.output.definition().expire;
    match lifetime {
        Lifetime::Exactly(last) => {
            remaining <= last && (remaining >= last || remaining > expire.unwrap_or(last) / 2)
        }
        _ => remaining > expire.unwrap_or(0) / 2,
    }
}

impl Stripe {
    /// Looks at the next slots: ends what is over, and publishes again what reads otherwise by now. Returns how many slots it
    /// looked at, and whether it came to the last one.
    pub(crate) fn refresh(
        &mut self,
        shared: &Shared,
        now: Millis,
        (slots, keys): (u32, usize),
        refreshed: &mut Refreshed,
    ) -> (u32, bool) {
        let tick = now as u32;
        let limit = keys.min(KEYS_PER_HOLD);
        let (mut looked, mut closely) = (0, 0);
        let count = self.store.slot_count();
        let width = PART_HEAD + shared.columns.data_words;
        let ended = shared.nodes.has_ended().then(|| shared.nodes.ended());
        let heals = !shared.left_out.any() && shared.partial_keys.load(Ordering::Relaxed) > 0;
        let each = if ended.is_some() { SLOTS_PER_RECORD } else { 1 };
        while self.hand < count && looked < slots.min(SLOTS_PER_HOLD) && closely < limit {
            let slot = self.hand;
            self.hand += 1;
            looked += each;
            if !self.store.is_used(slot) {
                continue;
            }
            let is_of = |ended: &Ended| {
                let mut parts = self.store.parts(slot).chunks_exact(width);
                parts.any(|part| ended.contains(Head::of(part).generation()))
            };
            if left(self.store.due(slot), tick) == 0
                || (heals && self.store.is_partial(slot))
                || ended.as_ref().is_some_and(is_of)
            {
                closely += 1;
                self.look(shared, slot, now, refreshed);
            }
        }
        refreshed.keys += closely;
        self.publish(shared, now);
        let is_last = self.hand >= count;
        if is_last {
            self.hand = 0;
        }
        (looked, is_last)
    }

    fn look(&mut self, shared: &Shared, slot: u32, now: Millis, refreshed: &mut Refreshed) {
        let tick = now as u32;
        let settled = self.settle(shared, slot, now);
        refreshed.ended += settled.removed;
        refreshed.published += usize::from(settled.is_zero);
        if settled.is_empty {
            return;
        }
        self.stop_counters(shared, slot, tick);
        if self.store.is_partial(slot) {
            self.count_partial(shared, slot, now);
            return;
        }
        if self.compare(shared, slot, now) {
            refreshed.published += 1;
        }
    }

    /// Makes counters that read 0 read so for ever: after 25 days their ticks would be in the future again.
    fn stop_counters(&mut self, shared: &Shared, slot: u32, now: u32) {
        let width = PART_HEAD + shared.columns.data_words;
        for part in self.store.parts_mut(slot).chunks_exact_mut(width) {
            for column in shared.columns.all.iter().filter(|column| column.storage() == Storage::Frequency) {
                for at in column.offsets() {
                    let counter = &mut part[PART_HEAD + at..][..3];
                    let it = FrequencyCounter { tick: counter[0], current: counter[1], previous: counter[2] };
                    if u64::from(it.elapsed(now)) > 2 * u64::from(column.period) {
                        counter.fill(0);
                    }
                }
            }
        }
    }

    /// Counts the result of a key, to be published if what the output has is too far from it, and sets when the key is to be
    /// looked at again. Returns whether it is published.
    fn compare(&mut self, shared: &Shared, slot: u32, now: Millis) -> bool {
        if self.results.is_full() {
            self.publish(shared, now);
        }
        let tick = now as u32;
        let columns = &shared.columns;
        let Self { store, results, is, should, parts: scratch, dictionary, falls, courses, .. } = self;
        let parts = Parts { words: store.parts(slot), width: PART_HEAD + columns.data_words };
        let survey = parts.survey(tick);
        let (lifetime, look) = shared.lifetime(survey);
        should.clear();
        should.resize(shared.output.layout().data_words(), 0);
        let counted = shared.with_written(|written| {
            let nodes = parts.by_node(survey.has_former, columns, written, scratch, tick);
            result::count(columns, (&parts, &nodes), written, tick, should, falls)
        });
        let told = dictionary.get(counted.string);
        let at = shared.output.layout().offset(stick_table::DataType::ServerKey, 0);
        let is_there = shared.output.get(store.key(slot), now, |entry| {
            is.clear();
            is.extend_from_slice(entry.words());
            let string = at.and_then(|at| entry.string(entry.words()[at]));
            (told.is_none() || told == string) && is_long_enough(shared, entry.remaining(), lifetime)
        });
        let is_there = is_there.ok().flatten();
        result::courses(columns, &parts, tick, courses);
        let distance = |is: &[u32]| result::distance(columns, (falls, courses), is, should, tick);
        let near = if is_there == Some(true) { distance(is) } else { Distance::Far };
        let (holds, is_published) = match near {
            Distance::Near(holds) => (holds, false),
            Distance::Far => {
                let words = results.push_canonical(store.key(slot), lifetime);
                // The word of a string that is not told is to be left as it is.
                let (before, after) = at.map_or((should.len(), should.len()), |at| (at, at + 1));
                words[..before].copy_from_slice(&should[..before]);
                words[after..].copy_from_slice(&should[after..]);
                if let Some(string) = told {
                    results.set_string(string);
                }
                match distance(should) {
                    Distance::Near(holds) => (holds, true),
                    Distance::Far => (counted.holds, true),
                }
            }
        };
        store.set_due(slot, tick.wrapping_add(holds.min(look)));
        is_published
    }

    /// Drops all contributions of a key, and counts zeros for it; returns how many there were that were not over.
    pub(crate) fn clear(&mut self, shared: &Shared, slot: u32, lifetime: Lifetime, now: Millis) -> u32 {
        if self.settle(shared, slot, now).is_empty {
            return 0;
        }
        self.count_nothing(shared, slot, lifetime, now);
        self.remove_parts(shared, slot, |_| true).0 as u32
    }

    /// As [`clear`](Self::clear), of the slots from `from` on, and publishes; returns where to go on as well.
    pub(crate) fn clear_from(
        &mut self,
        shared: &Shared,
        from: u32,
        lifetime: Lifetime,
        now: Millis,
    ) -> (u32, Option<u32>) {
        let count = self.store.slot_count();
        let end = count.min(from.saturating_add(SLOTS_PER_HOLD));
        let mut cleared = 0;
        for slot in from..end {
            if self.store.is_used(slot) {
                cleared += self.clear(shared, slot, lifetime, now);
            }
        }
        self.publish(shared, now);
        (cleared, (end < count).then_some(end))
    }

    /// Visits the node's own values, see [`Aggregate::own_values`](crate::Aggregate::own_values); returns whether it came to
    /// the last slot.
    pub(crate) fn own_values(
        &mut self,
        shared: &Shared,
        (generation, session): (u16, u8),
        walk: &mut OwnWalk,
        (left_slots, left_values): (&mut u32, &mut usize),
        now: Millis,
        visit: &mut impl FnMut(OwnValue<'_>),
    ) -> bool {
        let tick = now as u32;
        let width = PART_HEAD + shared.columns.data_words;
        let count = self.store.slot_count();
        let end = count.min(walk.slot.saturating_add((*left_slots).min(SLOTS_PER_HOLD)));
        while walk.slot < end && *left_values > 0 {
            let slot = walk.slot;
            walk.slot += 1;
            *left_slots -= 1;
            if !self.store.is_used(slot) {
                continue;
            }
            let mut settled = Settled::default();
            if shared.nodes.has_ended() {
                settled = self.settle(shared, slot, now);
            }
            if !settled.is_empty && self.is_to_be_taught(shared, slot, generation, session) {
                let more = self.settle(shared, slot, now);
                settled = Settled { removed: settled.removed + more.removed, ..more };
            } else if settled.is_empty || !settled.is_changed() {
                continue;
            } else {
                self.count(shared, slot, now);
                continue;
            }
            if !settled.is_empty {
                let Self { store, dictionary, parts: scratch, .. } = self;
                let mut own = Vec::new();
                let is_present = |part: &[u32]| {
                    Head::of(part).generation() == generation && !Head::of(part).is(Head::FORMER)
                };
                let has_present = store.parts(slot).chunks_exact(width).any(is_present);
                for part in store.parts_mut(slot).chunks_exact_mut(width) {
                    let head = Head::of(part);
                    if head.generation() == generation {
                        if !head.is(Head::FORMER) || !has_present {
                            let head = head.without(Head::FORMER | Head::KNOWN).in_session(session);
                            part[0] = head.with(Head::OFFERED).word();
                        }
                        own.extend_from_slice(part);
                    }
                }
                let own = Parts { words: &own, width };
                let has_former = own.survey(tick).has_former;
                let own = shared
                    .with_written(|written| own.by_node(has_former, &shared.columns, written, scratch, tick));
                if let Some(part) = own.iter().next() {
                    let remaining = shared.expire().map(|_| left(part[1], tick));
                    visit(OwnValue::new(store.key(slot), &part[PART_HEAD..], remaining, dictionary));
                    *left_values -= 1;
                }
            }
            if !settled.is_empty && settled.is_changed() {
                self.count(shared, slot, now);
            }
        }
        self.publish(shared, now);
        walk.slot >= count
    }

    /// Whether a node's present process may not know what the node told: a former one did, or one of a session before.
    fn is_to_be_taught(&self, shared: &Shared, slot: u32, generation: u16, session: u8) -> bool {
        let width = PART_HEAD + shared.columns.data_words;
        self.store.parts(slot).chunks_exact(width).any(|part| {
            let head = Head::of(part);
            head.generation() == generation
                && (head.is(Head::FORMER | Head::OFFERED | Head::KNOWN) || head.is_stale(session))
        })
    }
}
