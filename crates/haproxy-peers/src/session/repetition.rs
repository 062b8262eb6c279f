//! Which updates after a lesson repeat what the lesson told.
//!
//! HAProxy 2.4 and later push all that was not acknowledged before a lesson once more after its confirmation, untimed and
//! under the same ids (peers-protocol §13.2). A later touch would have a later id. What repeats a lesson must not restart
//! the lifetime that the lesson told.

use stick_table::Millis;
use stick_table::defect::Defect;

/// Update ids up to this far after a lesson's first one are of its first run; what the teacher learned itself has ids half a
/// ring away (peers-protocol §12.2).
const FIRST_RUN: u32 = 1 << 30;

/// Changes of a lesson whose end is remembered, at most: those that come again are the first ones of it.
const MOST_ENDS: usize = 1_024;

/// What the id of a live update says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    /// The lesson did not tell it.
    New,
    /// The lesson told it, as a live update did before, or may have.
    Repeats,
    /// The lesson told it first, with this end of its life, in ms. Without the lesson it would be new.
    FirstTold(Option<Millis>),
}

/// The ids of a table's lesson that may come once more.
///
/// Ids ascend, so the repetition has ended when one comes that is none of them. From then on no id counts as repeated:
/// ids go round, and those of the lesson mean new touches a revolution later.
#[derive(Debug, Default)]
pub(super) struct Repetition {
    /// First and last id of the lesson's first run of ids.
    ids: Option<(u32, u32)>,
    /// Of its changes that no live update had told, the first ones: how far its id is behind the first one, and when it ends.
    ends: Vec<(u32, Option<Millis>)>,
    /// Whether another lesson was asked for: its first id begins the run again.
    is_of_former_lesson: bool,
}

impl Repetition {
    /// Most bytes held.
    pub(super) const MOST_MEMORY: usize = MOST_ENDS * size_of::<(u32, Option<Millis>)>();

    /// Notes that another lesson was asked for.
    pub(super) fn lesson_asked_for(&mut self) {
        self.is_of_former_lesson = true;
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.ends.capacity() * size_of::<(u32, Option<Millis>)>()
    }

    /// Notes an update's id as part of a lesson, and when its entry ends. `heard` is the last id of a live update, if there was one.
    ///
    /// A lesson of HAProxy begins after the last acknowledged id with the changes that it will push once more. What it
    /// learned itself follows, with ids half a ring further, and then what was acknowledged (peers-protocol §12.2,
    /// §13.2). Only the first run counts: ids up to a quarter of the ring after its beginning.
    pub(super) fn note_lesson(&mut self, id: u32, end: Option<Millis>, heard: Option<u32>) {
        if std::mem::take(&mut self.is_of_former_lesson) {
            self.ids = None;
            self.ends.clear();
        }
        let (first, last) = *self.ids.get_or_insert((id, id));
        let distance = id.wrapping_sub(first);
        if distance < FIRST_RUN && distance > last.wrapping_sub(first) {
            self.ids = Some((first, id));
        }
        let is_first_told = heard.is_none_or(|heard| id.wrapping_sub(heard).cast_signed() > 0);
        let ascends = self.ends.last().is_none_or(|(last, _)| *last < distance);
        if is_first_told && distance < FIRST_RUN && ascends && self.ends.len() < MOST_ENDS {
            self.ends.push((distance, end));
        }
    }

    /// Notes the id of a live update, which the lesson may have told. Another id ends the repetition.
    pub(super) fn note_live(&mut self, id: u32) -> Live {
        let distance = |(first, last): (u32, u32)| {
            let distance = id.wrapping_sub(first);
            (distance <= last.wrapping_sub(first)).then_some(distance)
        };
        let Some(distance) = self.ids.and_then(distance) else {
            if !Defect::RepetitionsNeverEnd.is_on() {
                self.ids = None;
                self.ends = Vec::new();
            }
            return Live::New;
        };
        match self.ends.binary_search_by_key(&distance, |(distance, _)| *distance) {
            Ok(place) => Live::FirstTold(self.ends[place].1),
            Err(_) => Live::Repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After live updates up to `u32::MAX`, which is before 0.
    fn after(lesson: &[u32]) -> Repetition {
        let mut repetition = Repetition::default();
        lesson.iter().for_each(|&id| repetition.note_lesson(id, Some(id.into()), Some(u32::MAX)));
        repetition
    }

    impl Repetition {
        fn repeats(&mut self, id: u32) -> bool {
            self.note_live(id) != Live::New
        }
    }

    #[test]
    fn what_the_lesson_told_first_is_known_with_its_end() {
        let mut repetition = after(&[u32::MAX - 1, 1, 5, 1 << 31, 7]);
        for (id, live) in [
            (u32::MAX - 1, Live::Repeats),
            (1, Live::FirstTold(Some(1))),
            (3, Live::Repeats),
            (5, Live::FirstTold(Some(5))),
            (7, Live::FirstTold(Some(7))),
            (8, Live::New),
            (5, Live::New),
        ] {
            assert_eq!(repetition.note_live(id), live, "{id}");
        }
        assert_eq!(repetition.memory(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut repetition = Repetition::default();
        (0..100_000).for_each(|id| repetition.note_lesson(id, None, None));
        assert_eq!(repetition.note_live(1_023), Live::FirstTold(None));
        assert_eq!(repetition.note_live(1_024), Live::Repeats);
        assert!(repetition.memory() <= Repetition::MOST_MEMORY);
    }

    #[test]
    fn ids_of_the_first_run_repeat_the_lesson_until_another_one_comes() {
        const HALF: u32 = 1 << 31;
        let mut repetition = after(&[u32::MAX - 1, 1, 5, HALF + 2, HALF + 4, 1 << 30]);
        for repeated in [u32::MAX - 1, 0, 5] {
            assert!(repetition.repeats(repeated), "{repeated}");
        }
        assert!(!repetition.repeats(6));
        assert!(!repetition.repeats(5), "a revolution later");
    }

    #[test]
    fn ids_go_round_at_any_pace() {
        for stride in [1_u32 << 12, (1 << 20) + 1, (1 << 29) + 3, 1 << 30, (1 << 31) - 7] {
            let mut repetition = after(&[5_000, 6_000]);
            assert!(repetition.repeats(6_000));
            let mut id = 6_000_u32;
            for _ in 0..1 << 21 {
                id = id.wrapping_add(stride);
                assert!(!repetition.repeats(id), "{id}");
            }
        }
    }

    #[test]
    fn another_lesson_begins_another_run_and_keeps_the_former_until_then() {
        let mut repetition = after(&[10, 20]);
        repetition.lesson_asked_for();
        assert!(repetition.repeats(15), "still on its way");
        repetition.note_lesson(40, None, None);
        repetition.note_lesson(50, None, None);
        assert!(repetition.repeats(45));
        assert!(!repetition.repeats(15));
    }
}
