//! An aggregate that takes the place of another one, as its table is defined otherwise by now.
//!
//! Contributions of the data types that both store in the same way go over key by key, in slices. Meanwhile the old aggregate
//! is in service: what a node tells it, and what happens to a whole node, it passes on to the new one. So nothing is lost,
//! whichever of the two a session still knows. While both are there, contributions take their memory twice.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use stick_table::{Batch, Millis, Origin};

use crate::Aggregate;
use crate::nodes::Telling;
use crate::part::{Head, PART_HEAD};
use crate::stripe::Carried;

/// Slots looked at in one hold of a stripe's lock.
const SLOTS_PER_HOLD: u32 = 256;

/// How far [`Aggregate::carry_over`] is. Start with `CarryWalk::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarryWalk {
    stripe: usize,
    slot: u32,
}

/// What takes an aggregate's place, and where its data words go there.
pub(crate) struct Replacement {
    next: Arc<Aggregate>,
    /// The words of each data type that both store in the same way, and where they begin there; without `server_key`.
    words: Vec<(Range<usize>, usize)>,
    /// The word of `server_key`, here and there.
    string: Option<(usize, usize)>,
}

impl Replacement {
    fn new(from: &Aggregate, next: Arc<Aggregate>) -> Self {
        let there = next.layout().columns();
        let kept = from.layout().columns().iter().filter_map(|(column, offset)| {
            let (_, to) = there.iter().find(|(other, _)| other == column)?;
            Some((*offset..*offset + column.words(), *to))
        });
        let text = from.shared.columns.string;
        let is_text = |(words, _): &(Range<usize>, usize)| text == Some(words.start);
        let (strings, words): (Vec<_>, Vec<_>) = kept.partition(is_text);
        let string = strings.first().map(|(words, to)| (words.start, *to));
        Self { next, words, string }
    }

    /// The words there of what was told here, as a batch has them.
    fn columns(&self, told: &[Range<usize>]) -> Vec<Range<usize>> {
        let common = |told: &Range<usize>, (words, to): &(Range<usize>, usize)| {
            let (start, end) = (told.start.max(words.start), told.end.min(words.end));
            (start < end).then(|| to + start - words.start..to + end - words.start)
        };
        let mut columns: Vec<_> = told
            .iter()
            .flat_map(|told| self.words.iter().filter_map(move |words| common(told, words)))
            .collect();
        columns.sort_by_key(|range| range.start);
        if let Some((from, to)) = self.string
            && told.iter().any(|told| told.contains(&from))
        {
            columns.push(to..to + 1);
        }
        let mut batch = self.next.batch();
        batch.set_known_columns(columns);
        batch.columns().collect()
    }

    /// Copies data words to their places there.
    fn copy(&self, from: &[u32], to: &mut [u32]) {
        for (words, at) in &self.words {
            to[*at..*at + words.len()].copy_from_slice(&from[words.clone()]);
        }
    }

    /// The changes of a batch as the next aggregate stores them.
    fn translate(&self, batch: &mut Batch) -> Batch {
        let told: Vec<_> = batch.columns().collect();
        let mut translated = self.next.batch();
        translated.set_known_columns(self.columns(&told));
        batch.order_by_stripe(1, |_| 0);
        for change in batch.changes_of_stripe(0) {
            // Both have keys of one type.
            self.copy(change.words(), translated.push_canonical(change.key(), change.lifetime()));
            if let Some(string) = change.string().filter(|_| self.string.is_some()) {
                translated.set_string(string);
            }
        }
        translated
    }
}

impl Aggregate {
    /// Lets another aggregate take this one's place: from now on it is told what this one is told. What is kept by now goes
    /// over with [`carry_over`](Self::carry_over). Call it once.
    ///
    /// Returns whether anything goes over: not where the keys are of different types, or no data type is stored in the same way.
    pub fn replace_by(&self, next: Arc<Self>) -> bool {
        if self.source().key_type != next.source().key_type {
            return false;
        }
        let replacement = Replacement::new(self, next);
        if replacement.words.is_empty() && replacement.string.is_none() {
            return false;
        }
        self.replacement.set(replacement).is_ok()
    }

    /// Whether another aggregate takes this one's place. No node is to be taught its own values by this one then: wait for the
    /// other one.
    pub fn is_replaced(&self) -> bool {
        self.replacement.get().is_some()
    }

    /// What is told to this aggregate as the one that takes its place stores it, if there is one.
    pub(crate) fn translated(&self, batch: &mut Batch) -> Option<(&Self, Batch)> {
        let replacement = self.replacement.get()?;
        Some((&replacement.next, replacement.translate(batch)))
    }

    /// The aggregate that takes this one's place.
    pub(crate) fn next(&self) -> Option<&Arc<Self>> {
        Some(&self.replacement.get()?.next)
    }

    /// Takes the contributions of up to `keys` keys over to the aggregate that takes this one's place; `true` when there are
    /// more. What a node told that one itself is newer and stays.
    pub fn carry_over(&self, walk: &mut CarryWalk, keys: usize, now: Millis) -> bool {
        let Some(replacement) = self.replacement.get() else { return false };
        // Before anything is read: what happens to a node from now on happens to its parts there as well.
        let tellings: HashMap<u16, Telling<'_>> = self
            .shared
            .nodes
            .known_nodes()
            .into_iter()
            .filter_map(|node| Some((node, replacement.next.shared.nodes.teller(node)?)))
            .collect();
        let mut left = keys;
        while walk.stripe < self.stripes.len() {
            if left == 0 {
                return true;
            }
            let is_last = self.carry_hold(replacement, &tellings, walk, &mut left, now);
            if is_last {
                *walk = CarryWalk { stripe: walk.stripe + 1, slot: 0 };
            }
        }
        false
    }

    /// Takes a hold of keys over; whether the stripe has no more.
    fn carry_hold(
        &self,
        replacement: &Replacement,
        tellings: &HashMap<u16, Telling<'_>>,
        walk: &mut CarryWalk,
        left: &mut usize,
        now: Millis,
    ) -> bool {
        let width = PART_HEAD + self.shared.columns.data_words;
        let next = &replacement.next;
        // Held until the parts are there: what is told meanwhile comes behind them.
        let mut stripe = self.stripes[walk.stripe].lock();
        let count = stripe.store.slot_count();
        let end = count.min(walk.slot.saturating_add(SLOTS_PER_HOLD));
        while walk.slot < end && *left > 0 {
            let slot = walk.slot;
            walk.slot += 1;
            if !stripe.store.is_used(slot) || !stripe.look_at(&self.shared, slot, now) {
                continue;
            }
            *left -= 1;
            let parts = stripe.store.parts(slot).chunks_exact(width);
            let parts =
                parts.filter_map(|part| self.carried(replacement, tellings, &stripe.dictionary, part, now));
            next.take_over(stripe.store.key(slot), &parts.collect::<Vec<_>>(), now);
        }
        walk.slot >= count
    }

    /// A part as the next aggregate stores it. `None` for one that counts no more there, of a node that is gone, and of one that
    /// tells more different sets of columns than are told apart.
    fn carried<'a>(
        &self,
        replacement: &Replacement,
        tellings: &'a HashMap<u16, Telling<'a>>,
        dictionary: &stick_table::Dictionary,
        part: &[u32],
        now: Millis,
    ) -> Option<Carried<'a>> {
        let (head, now) = (Head::of(part), now as u32);
        let teller = self.shared.nodes.teller_of(head)?;
        let telling = tellings.get(&teller.node)?;
        let next = &replacement.next;
        let told = self.shared.nodes.columns_of(head, self.shared.columns.data_words);
        let set = next.set(telling, &replacement.columns(&told))?;
        let mut moved = Head::new(telling.generation(), telling.session(), set);
        for flag in [Head::FORMER, Head::OFFERED] {
            if head.is(flag) {
                moved = moved.with(flag);
            }
        }
        if head.is(Head::OFFERED) {
            next.shared.nodes.offered(telling.generation());
        }
        if teller.is_stale {
            moved = moved.with(Head::STALE);
        }
        let left = self.shared.expire().map(|_| crate::part::left(part[1], now));
        let deadline = match (left, next.shared.expire()) {
            (Some(left), Some(expire)) => now.wrapping_add(left.min(expire)),
            // It was touched then.
            (None, Some(expire)) => now.wrapping_add(expire.saturating_sub(now.wrapping_sub(part[1]))),
            (None, None) => part[1],
            (Some(_), None) => now,
        };
        let mut words = vec![0; next.shared.columns.data_words];
        replacement.copy(&part[PART_HEAD..], &mut words);
        let string = replacement.string.and_then(|(from, _)| dictionary.get(part[PART_HEAD + from]).cloned());
        Some(Carried { head: moved, deadline, words, string, telling })
    }

    /// Takes parts of a key over from the aggregate whose place this one takes.
    fn take_over(&self, key: &[u8], parts: &[Carried<'_>], now: Millis) {
        let Ok(hash) = self.shared.schema.hash(key) else { return };
        let mut stripe = self.stripes[self.stripe_of(hash)].lock();
        let _ = stripe.take_over(&self.shared, (key, hash), parts, now);
    }

    /// Does something for a node here and in the aggregate that takes this one's place.
    pub(crate) fn in_both(&self, node: Origin, act: impl Fn(&crate::nodes::Nodes, u16)) {
        act(&self.shared.nodes, node.number());
        if let Some(next) = self.next() {
            next.in_both(node, act);
        }
    }
}
