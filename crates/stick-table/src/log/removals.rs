//! The keys that were removed by hand, kept for those who follow them.

use std::collections::VecDeque;

/// Most keys that one stripe keeps. Small in tests, so that followers fall behind it.
const MAX_KEYS: usize = if cfg!(test) { 4 } else { 1 << 10 };
/// Most bytes of keys that one stripe keeps: 4 MiB in a table of 64 stripes.
const MAX_BYTES: usize = 1 << 16;

/// A row that is freed leaves no trace that a cursor could find. So each removal gets a sequence number of its own, and its key
/// is kept beside it. The newest ones stay, as many as there is room for. Nothing is kept while nobody follows them.
#[derive(Default)]
pub(crate) struct Removals {
    followers: usize,
    /// All removals with a higher sequence number are kept, while there is a follower.
    complete_after: u64,
    /// By sequence number.
    keys: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Removals {
    /// Notes a follower; `tail` is the newest sequence number.
    pub(super) fn join(&mut self, tail: u64) {
        if self.followers == 0 {
            self.complete_after = tail;
        }
        self.followers += 1;
    }

    /// Notes that a follower is gone.
    pub(super) fn leave(&mut self) {
        self.followers -= 1;
        if self.followers == 0 {
            *self = Self::default();
        }
    }

    /// Whether anybody follows.
    pub(super) fn is_followed(&self) -> bool {
        self.followers > 0
    }

    /// Keeps the key of a removal, at the cost of older ones.
    pub(super) fn note(&mut self, sequence: u64, key: Box<[u8]>) {
        self.bytes += key.len();
        self.keys.push_back((sequence, key));
        while self.keys.len() > MAX_KEYS || self.bytes > MAX_BYTES {
            let Some((oldest, key)) = self.keys.pop_front() else { break };
            self.bytes -= key.len();
            self.complete_after = oldest;
        }
    }

    /// Whether all removals after a sequence number are kept.
    pub(super) fn are_complete_after(&self, sequence: u64) -> bool {
        sequence >= self.complete_after
    }

    /// Those after a sequence number, in their order.
    pub(super) fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let first = self.keys.partition_point(|&(other, _)| other <= sequence);
        self.keys.range(first..).map(|(sequence, key)| (*sequence, &**key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(removals: &Removals, after: u64) -> Vec<u64> {
        removals.after(after).map(|(sequence, _)| sequence).collect()
    }

    #[test]
    fn the_newest_stay_while_somebody_follows() {
        let mut removals = Removals::default();
        removals.join(10);
        assert!(removals.are_complete_after(10) && !removals.are_complete_after(9));
        (11..=14).for_each(|sequence| removals.note(sequence, (*b"key").into()));
        removals.join(14);
        assert!(removals.are_complete_after(10), "the second one changes nothing for the first");
        assert_eq!(kept(&removals, 12), [13, 14]);
        removals.note(15, (*b"key").into());
        assert!(removals.are_complete_after(11) && !removals.are_complete_after(10));
        assert_eq!(kept(&removals, 0), [12, 13, 14, 15]);
        removals.leave();
        assert!(removals.is_followed());
        removals.leave();
        assert_eq!((kept(&removals, 0), removals.bytes), (vec![], 0));
    }

    #[test]
    fn long_keys_take_the_place_of_more() {
        let mut removals = Removals::default();
        removals.join(0);
        removals.note(1, [0; MAX_BYTES / 2].into());
        removals.note(2, [0; MAX_BYTES / 2].into());
        assert_eq!(kept(&removals, 0), [1, 2]);
        removals.note(3, [0].into());
        assert_eq!(kept(&removals, 0), [2, 3]);
        removals.note(4, [0; MAX_BYTES + 1].into());
        assert_eq!(kept(&removals, 0), []);
        assert!(removals.are_complete_after(4) && !removals.are_complete_after(3));
    }
}
