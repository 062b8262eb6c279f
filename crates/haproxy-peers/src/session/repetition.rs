//! Which updates after a lesson repeat what the lesson told.
//!
//! HAProxy 2.4 and later push all that was not acknowledged before a lesson once more after its confirmation, untimed and
//! under the same ids (peers-protocol §13.2). A later touch would have a later id. What repeats a lesson must not restart
//! the lifetime that the lesson told.

use stick_table::defect::Defect;

/// Update ids up to this far after a lesson's first one are of its first run; what the teacher learned itself has ids half a
/// ring away (peers-protocol §12.2).
const FIRST_RUN: u32 = 1 << 30;

/// The ids of a table's lesson that may come once more.
///
/// Ids ascend, so the repetition has ended when one comes that is none of them. From then on no id counts as repeated:
/// ids go round, and those of the lesson mean new touches a revolution later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Repetition {
    /// First and last id of the lesson's first run of ids.
    ids: Option<(u32, u32)>,
    /// Whether another lesson was asked for: its first id begins the run again.
    is_of_former_lesson: bool,
}

impl Repetition {
    /// Notes that another lesson was asked for.
    pub(super) fn lesson_asked_for(&mut self) {
        self.is_of_former_lesson = true;
    }

    /// Notes an update's id as part of a lesson.
    ///
    /// A lesson of HAProxy begins after the last acknowledged id with the changes that it will push once more. What it
    /// learned itself follows, with ids half a ring further, and then what was acknowledged (peers-protocol §12.2,
    /// §13.2). Only the first run counts: ids up to a quarter of the ring after its beginning.
    pub(super) fn note_lesson(&mut self, id: u32) {
        if std::mem::take(&mut self.is_of_former_lesson) {
            self.ids = None;
        }
        let (first, last) = *self.ids.get_or_insert((id, id));
        let distance = id.wrapping_sub(first);
        if distance < FIRST_RUN && distance > last.wrapping_sub(first) {
            self.ids = Some((first, id));
        }
    }

    /// Notes the id of a live update; whether the lesson told it, so that the update repeats that. Another id ends the
    /// repetition.
    pub(super) fn note_live(&mut self, id: u32) -> bool {
        let repeats =
            self.ids.is_some_and(|(first, last)| id.wrapping_sub(first) <= last.wrapping_sub(first));
        if !repeats && !Defect::RepetitionsNeverEnd.is_on() {
            self.ids = None;
        }
        repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lesson: &[u32]) -> Repetition {
        let mut repetition = Repetition::default();
        lesson.iter().for_each(|&id| repetition.note_lesson(id));
        repetition
    }

    #[test]
    fn ids_of_the_first_run_repeat_the_lesson_until_another_one_comes() {
        const HALF: u32 = 1 << 31;
        let mut repetition = after(&[u32::MAX - 1, 1, 5, HALF + 2, HALF + 4, 1 << 30]);
        for repeated in [u32::MAX - 1, 0, 5] {
            assert!(repetition.note_live(repeated), "{repeated}");
        }
        assert!(!repetition.note_live(6));
        assert!(!repetition.note_live(5), "a revolution later");
    }

    #[test]
    fn ids_go_round_at_any_pace() {
        for stride in [1_u32 << 12, (1 << 20) + 1, (1 << 29) + 3, 1 << 30, (1 << 31) - 7] {
            let mut repetition = after(&[5_000, 6_000]);
            assert!(repetition.note_live(6_000));
            let mut id = 6_000_u32;
            for _ in 0..1 << 21 {
                id = id.wrapping_add(stride);
                assert!(!repetition.note_live(id), "{id}");
            }
        }
    }

    #[test]
    fn another_lesson_begins_another_run_and_keeps_the_former_until_then() {
        let mut repetition = after(&[10, 20]);
        repetition.lesson_asked_for();
        assert!(repetition.note_live(15), "still on its way");
        repetition.note_lesson(40);
        repetition.note_lesson(50);
        assert!(repetition.note_live(45));
        assert!(!repetition.note_live(15));
    }
}
