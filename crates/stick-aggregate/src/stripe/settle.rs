//! What a key's parts are at the moment: without those that have ended, and of the present generations of their nodes.

use stick_table::Millis;

use super::{Shared, Stripe};
use crate::lives;
use crate::nodes::Elsewhere;
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

impl Stripe {
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

    /// Lets the parts of a key follow their generations; returns how many were removed, and whether the key is there still.
    #[cold]
    fn follow(&mut self, shared: &Shared, slot: u32, now: Millis) -> (usize, bool) {
        let width = PART_HEAD + shared.columns.data_words;
        let mut removed = 0;
        loop {
            let heads = self.store.parts_mut(slot).chunks_exact_mut(width).map(|part| &mut part[0]);
            let followed = shared.nodes.follow(heads);
            for generation in followed.taught {
                if let (Some(present), Some(former)) = self.parts_of(shared, slot, generation) {
                    self.fold(shared, slot, present, former, now as u32);
                    // The sum is the same, but for rounding.
                    self.store.set_due(slot, now as u32);
                }
            }
            for elsewhere in followed.elsewhere {
                removed += usize::from(self.learned_elsewhere(shared, slot, elsewhere, now as u32));
            }
            if !followed.gone.is_empty() {
                let is_gone = |part: &[u32]| followed.gone.contains(&Head::of(part).generation());
                let (gone, remains) = self.remove_parts_or_key(shared, slot, is_gone, now);
                removed += gone;
                if !remains {
                    return (removed, false);
                }
            }
            if !followed.has_moved {
                return (removed, true);
            }
        }
    }

    /// The numbers of the parts of a node's generation: of its present process, and of a former one.
    pub(super) fn parts_of(
        &self,
        shared: &Shared,
        slot: u32,
        generation: u16,
    ) -> (Option<usize>, Option<usize>) {
        let width = PART_HEAD + shared.columns.data_words;
        let (mut present, mut former) = (None, None);
        for (number, part) in self.store.parts(slot).chunks_exact(width).enumerate() {
            let head = Head::of(part);
            if head.generation() == generation {
                *(if head.is(Head::FORMER) { &mut former } else { &mut present }) = Some(number);
            }
        }
        (present, former)
    }

    /// Notes that a node's process has been taught by another hub what former ones told of a key; returns whether that counts no
    /// more: where the present process told as much since that lesson began, it has learned it.
    fn learned_elsewhere(&mut self, shared: &Shared, slot: u32, elsewhere: Elsewhere, now: u32) -> bool {
        let Elsewhere { generation, session, since } = elsewhere;
        let (present, former) = self.parts_of(shared, slot, generation);
        let Some(mut place) = present.or(former) else { return false };
        let head = Head::of(self.store.part_mut(slot, place));
        if head.is(Head::OFFERED) && !head.is_stale(session) {
            // This hub is teaching it as well.
            return false;
        }
        match (present, former) {
            (Some(present), Some(former)) => {
                let part = |number| {
                    let width = PART_HEAD + shared.columns.data_words;
                    &self.store.parts(slot)[number * width..(number + 1) * width]
                };
                let (new, old) = (part(present), part(former));
                let told_at = new[1].wrapping_sub(shared.expire().unwrap_or(0));
                // Whatever session told it: the process that was taught may have begun another one since.
                let is_since = told_at.wrapping_sub(since).cast_signed() >= 0;
                if is_since && lives::knows(&shared.columns, &new[PART_HEAD..], &old[PART_HEAD..], now) {
                    self.remove_part(shared, slot, former);
                    return true;
                }
                if head.is_stale(session) && !is_since {
                    place = self.fold(shared, slot, present, former, now);
                }
            }
            (Some(_), None) if !head.is_stale(session) => return false,
            _ => {}
        }
        let part = self.store.part_mut(slot, place);
        let head = Head::of(part).without(Head::FORMER | Head::OFFERED);
        part[0] = head.in_session(session).with(Head::KNOWN).word();
        self.store.set_due(slot, now);
        false
    }
}
