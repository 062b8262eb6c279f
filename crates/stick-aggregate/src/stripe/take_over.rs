//! Parts that come from an aggregate whose place this one takes.

use std::sync::Arc;

use stick_table::Millis;

use super::{Shared, Stripe};
use crate::nodes::Telling;
use crate::part::{Head, PART_HEAD};
use crate::store::MAX_PARTS;

/// A part of another aggregate, as this one stores it.
pub(crate) struct Carried<'a> {
    pub(crate) head: Head,
    pub(crate) deadline: u32,
    /// Data words, without that of `server_key`.
    pub(crate) words: Vec<u32>,
    /// The `server_key`.
    pub(crate) string: Option<Arc<str>>,
    /// By which its generation stays the node's.
    pub(crate) telling: &'a Telling<'a>,
}

impl Stripe {
    /// Adds the parts of a key that its nodes have not told here yet, before those that they have: they are older. There is
    /// always room, as their nodes told them when there was. Returns how many were added.
    pub(crate) fn take_over(
        &mut self,
        shared: &Shared,
        (key, hash): (&[u8], u64),
        parts: &[Carried<'_>],
        now: Millis,
    ) -> usize {
        let form = self.store.form();
        let width = PART_HEAD + shared.columns.data_words;
        let mut slot = form.with_key(key, |key| self.store.find(hash, key));
        let mut number = 0;
        for part in parts {
            let is_same = |there: &[u32]| {
                let there = Head::of(there);
                there.generation() == part.head.generation()
                    && there.is(Head::FORMER) == part.head.is(Head::FORMER)
            };
            let place = match slot {
                Some(slot) => {
                    let mut there = self.store.parts(slot).chunks_exact(width);
                    if there.len() >= MAX_PARTS || there.any(is_same) {
                        continue;
                    }
                    self.store.add_part(slot, number);
                    slot
                }
                None if !shared.take_place() => return number,
                None => form.with_key(key, |key| self.store.insert(&shared.schema, hash, key)),
            };
            slot = Some(place);
            part.telling.added(part.head.set());
            let string = part.string.as_ref().map(|string| self.dictionary.acquire(string));
            let to = self.store.part_mut(place, number);
            (to[0], to[1]) = (part.head.word(), part.deadline);
            to[PART_HEAD..].copy_from_slice(&part.words);
            if let (Some(at), Some(string)) = (shared.columns.string, string) {
                to[PART_HEAD + at] = string;
            }
            number += 1;
        }
        let Some(slot) = slot.filter(|_| number > 0) else { return number };
        if shared.left_out.any() {
            self.set_partial(shared, slot, true);
        }
        if !self.settle_all(shared, slot, now) {
            self.count(shared, slot, now);
        }
        self.publish(shared, now);
        number
    }

    /// Settles a key of which any part may be over; whether nothing of it is left.
    fn settle_all(&mut self, shared: &Shared, slot: u32, now: Millis) -> bool {
        self.store.set_due(slot, now as u32);
        self.settle(shared, slot, now).is_empty
    }
}
