//! Which of two touches was first, by what is left of their lifetimes.

use std::cmp::Ordering;

/// Touches of two processes that are less than this apart may have happened in any order, in ms: a live update of an entry
/// that was touched within the last second tells no lifetime, so the receiver takes it as touched when it came.
const UNSURE_MS: u32 = 1_500;

/// How an entry was told that is compared with a lesson's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    /// A lesson told it.
    Lesson,
    /// A peer pushed it.
    Push,
}

/// What is known of the remaining lifetimes of a batch's changes. What has less left was touched earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// The longest `expire` of those who share the table without the shortest, in ms: by so much a touch may have given an
    /// entry another lifetime elsewhere.
    pub spread: u32,
    /// Most time that a change was on its way, in ms: that much less may be left of it.
    pub under_way: u32,
    /// How long a pushed change may have waited for a session, in ms: it told the whole life all the same. A lesson sets back what
    /// was pushed only where it was touched this much later.
    pub waited: u32,
    /// Time since the session with the sender began, in ms. What the sender says later in one session is newer.
    pub session: u32,
}

impl Ages {
    /// Whether an entry that has `held` ms of its `expire` left was touched within the session. A peer pushes changes that
    /// waited for it without their lifetimes: in what its lesson says next of the entry, less may be left.
    #[inline]
    pub(crate) fn is_of_session(self, held: u32, expire: u32) -> bool {
        expire.saturating_sub(held) <= self.session
    }

    /// Whether a change with `left` ms of its life was made since the session began, where the entry lives for `expire` ms here.
    #[inline]
    pub(crate) fn is_made_in_session(self, left: u32, expire: u32) -> bool {
        let unsure = self.spread.saturating_add(UNSURE_MS);
        expire.saturating_sub(left).saturating_add(unsure) <= self.session
    }

    /// Whether a change with `left` ms of its life is newer (`Greater`) or older (`Less`) than an entry that has `held` ms
    /// left. `None` when it may be either.
    #[inline]
    pub(crate) fn compare(self, left: u32, held: u32, by: HeldBy) -> Option<Ordering> {
        let unsure = self.spread.saturating_add(UNSURE_MS);
        if held > left.saturating_add(unsure) {
            return Some(Ordering::Less);
        }
        let unsure = match by {
            HeldBy::Lesson => unsure,
            HeldBy::Push => unsure.max(self.spread.saturating_add(self.waited)),
        };
        let least = left.saturating_sub(self.under_way);
        (least > held.saturating_add(unsure)).then_some(Ordering::Greater)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_less_of_its_life_left_is_older() {
        let ages = Ages { spread: 0, under_way: 300, waited: 10_000, session: 0 };
        assert_eq!(ages.compare(38_499, 40_000, HeldBy::Lesson), Some(Ordering::Less));
        for left in [38_500, 40_000, 41_800] {
            assert_eq!(ages.compare(left, 40_000, HeldBy::Lesson), None, "{left}");
        }
        assert_eq!(ages.compare(41_801, 40_000, HeldBy::Lesson), Some(Ordering::Greater));
        assert_eq!(ages.compare(50_300, 40_000, HeldBy::Push), None);
        assert_eq!(ages.compare(50_301, 40_000, HeldBy::Push), Some(Ordering::Greater));
        assert_eq!(ages.compare(38_499, 40_000, HeldBy::Push), Some(Ordering::Less));
    }

    #[test]
    fn what_was_touched_within_the_session_is_known_by_its_lifetime() {
        let ages = Ages { spread: 0, under_way: 0, waited: 10_000, session: 2_000 };
        assert!(ages.is_of_session(60_000, 60_000) && ages.is_of_session(58_000, 60_000));
        assert!(!ages.is_of_session(57_999, 60_000));
        assert!(ages.is_of_session(90_000, 60_000), "the clock of the table wraps");
    }

    #[test]
    fn what_was_made_in_the_session_is_surely_younger() {
        let ages = Ages { spread: 0, under_way: 0, waited: 10_000, session: 4_000 };
        assert!(ages.is_made_in_session(60_000, 60_000) && ages.is_made_in_session(57_500, 60_000));
        assert!(!ages.is_made_in_session(57_499, 60_000));
        assert!(!Ages { spread: 2_501, ..ages }.is_made_in_session(60_000, 60_000));
    }

    /// Touched at the same time, an entry lives for 60 s here and for 50 s there.
    #[test]
    fn lives_of_another_length_make_it_less_sure() {
        let ages = Ages { spread: 10_000, under_way: 0, waited: 10_000, session: 0 };
        assert_eq!(ages.compare(30_000, 41_500, HeldBy::Lesson), None);
        assert_eq!(ages.compare(30_000, 41_501, HeldBy::Lesson), Some(Ordering::Less));
        assert_eq!(ages.compare(41_501, 30_000, HeldBy::Lesson), Some(Ordering::Greater));
        assert_eq!(
            Ages { spread: u32::MAX, under_way: 0, waited: 10_000, session: 0 }.compare(
                u32::MAX,
                0,
                HeldBy::Lesson
            ),
            None
        );
        assert_eq!(
            Ages { spread: 0, under_way: u32::MAX, waited: 0, session: 0 }.compare(
                u32::MAX,
                0,
                HeldBy::Lesson
            ),
            None
        );
    }
}
