//! What a key's parts are at the moment: without those that have ended, and of the present generations of their nodes.

use stick_table::Millis;

use super::{Shard, Shared};
use crate::part::{Head, PART_HEAD, left};

/// What became of a key's parts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    /// Parts that were removed.
    pub(crate) removed: usize,
    /// Whether the key is not there any more.
    pub(crate) is_empty: bool,
    /// Whether zeros are published for it, as the last of them went with their nodes.
    pub(crate) is_zero: bool,
    /// Whether it lacks no contribution any more.
    pub(crate) is_whole_again: bool,
}

impl Settled {
    /// Whether the sum of what is left is another one.
    pub(crate) const fn is_changed(self) -> bool {
        self.removed > 0 || self.is_whole_again
    }
}

impl Shard {
    /// Removes the parts that have ended by themselves or with their node, and lets the others follow their generation.
    /// Publishes zeros when the last ones went with their nodes: there is no other way to tell the other nodes.
    ///
    /// To be called before the parts of a key are looked at.
    pub(super) fn settle(&mut self, shared: &Shared, slot: u32, now: Millis) -> Settled {
        let (removed, remains) = self.remove_over(shared, slot, now as u32);
        let mut settled = Settled { removed, is_empty: !remains, ..Settled::default() };
        if remains && self.store.is_partial(slot) && !shared.left_out.any() {
            self.set_partial(shared, slot, false);
            settled.is_whole_again = true;
        }
        if remains && shared.nodes.has_ended() {
            let is_partial = self.store.is_partial(slot);
            let (gone, remains) = self.follow(shared, slot, now);
            settled.removed += gone;
            settled.is_empty = !remains;
            settled.is_zero = !remains && !is_partial;
        }
        settled
    }

    /// Settles a key, and publishes its result if it is another one; whether the key is there still.
    pub(crate) fn look_at(&mut self, shared: &Shared, slot: u32, now: Millis) -> bool {
        let settled = self.settle(shared, slot, now);
        if !settled.is_empty && settled.is_changed() {
            self.count(shared, slot, now);
        }
        self.publish(shared, now);
        !settled.is_empty
    }

    /// Removes the parts that have expired.
    fn remove_over(&mut self, shared: &Shared, slot: u32, now: u32) -> (usize, bool) {
        // A key is due no later than the first of its parts ends.
        let width = PART_HEAD + shared.columns.data_words;
        let is_over = |part: &[u32]| shared.is_over(part, now);
        if left(self.store.due(slot), now) > 0 || !self.store.parts(slot).chunks_exact(width).any(is_over) {
            return (0, true);
        }
        self.remove_parts(shared, slot, is_over)
    }

    /// Lets the parts of a key follow their generations.
    #[cold]
    fn follow(&mut self, shared: &Shared, slot: u32, now: Millis) -> (usize, bool) {
        let width = PART_HEAD + shared.columns.data_words;
        let heads = self.store.parts_mut(slot).chunks_exact_mut(width).map(|part| &mut part[0]);
        let followed = shared.nodes.follow(heads);
        for generation in followed.taught {
            let (mut present, mut former) = (None, None);
            for (number, part) in self.store.parts(slot).chunks_exact(width).enumerate() {
                let head = Head::of(part);
                if head.generation() == generation {
                    *(if head.is(Head::FORMER) { &mut former } else { &mut present }) = Some(number);
                }
            }
            if let (Some(present), Some(former)) = (present, former) {
                self.fold(shared, slot, present, former, now as u32);
                // The sum is the same, but for rounding.
                self.store.set_due(slot, now as u32);
            }
        }
        if followed.gone.is_empty() {
            return (0, true);
        }
        let is_gone = |part: &[u32]| followed.gone.contains(&Head::of(part).generation());
        self.remove_parts_or_key(shared, slot, is_gone, now)
    }
}
