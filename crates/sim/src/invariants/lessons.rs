//! A lesson ends, and tells every entry that is there from its beginning to its end.
//!
//! Left out may be what its learner told its teacher in the same session, and what belongs to another shard than the
//! learner's.

use std::collections::{BTreeMap, BTreeSet};

use stick_table::Millis;

use crate::stage::{Invariant, Seen, Stage, table_of_name};
use crate::tap::Said;
use crate::truth::{Key, SlotId};

/// After everything healed, or after it was asked for, a lesson ends within this time, in ms.
const PATIENCE_MS: u64 = 20_000;

/// A lesson that one side of a connection gives.
struct Lesson {
    begun: Millis,
    teacher: SlotId,
    /// Keys that were there at the beginning and were not told yet.
    left: BTreeSet<Key>,
    ended: bool,
}

#[derive(Default)]
pub(super) struct Lessons {
    lessons: BTreeMap<(u64, usize), Lesson>,
    /// What each side of a connection was told in it.
    told: BTreeSet<(u64, usize, Key)>,
}

impl Invariant for Lessons {
    fn name(&self) -> &'static str {
        "lessons"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        match *seen {
            Seen::Heard(at, side, noted) => self.heard(stage, (at, side), &noted.said),
            Seen::Said(at, side, noted, _) => self.said(stage, (at, side), &noted.said, say),
            Seen::Compared => self.compare(stage, say),
            _ => {}
        }
    }
}

impl Lessons {
    fn heard(&mut self, stage: &Stage, (at, side): (usize, usize), said: &Said) {
        let connection = &stage.connections[at];
        let listener = 1 - side;
        let [speaker, hearer] = [side, listener].map(|side| connection.ends[side].slot);
        let node = |slot: SlotId| stage.slots[slot].node;
        match said {
            Said::Request => self.begin(stage, (connection.id, listener), hearer, speaker),
            // The process before another one begins to teach as soon as it is accepted.
            Said::Status(200) if node(speaker) == node(hearer) => {
                self.begin(stage, (connection.id, listener), hearer, speaker);
            }
            Said::Update(update) => {
                if let Some(table) = table_of_name(&update.table) {
                    self.told.insert((connection.id, listener, (table, update.key)));
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, stage: &Stage, (id, side): (u64, usize), teacher: SlotId, learner: SlotId) {
        let Some(process) = &stage.slots[teacher].process else { return };
        let clock = stage.clock(teacher);
        let node = stage.slots[learner].node;
        let is_successor = node == stage.slots[teacher].node;
        let mut left = BTreeSet::new();
        for table in stage.plan.tables_of(stage.slots[teacher].section) {
            let keys = process.keys(clock, stage.place(table)).into_iter().map(|key| (table, key));
            left.extend(keys.filter(|key| is_successor || stage.is_told(node, *key)));
        }
        let lesson = Lesson { begun: stage.now, teacher, left, ended: false };
        self.lessons.insert((id, side), lesson);
    }

    fn said(&mut self, stage: &Stage, (at, side): (usize, usize), said: &Said, say: &mut dyn FnMut(String)) {
        let id = stage.connections[at].id;
        let Some(lesson) = self.lessons.get_mut(&(id, side)).filter(|lesson| !lesson.ended) else { return };
        match said {
            Said::Update(update) => {
                if let Some(table) = table_of_name(&update.table) {
                    lesson.left.remove(&(table, update.key));
                }
            }
            Said::End { .. } => {
                lesson.ended = true;
                let left = std::mem::take(&mut lesson.left);
                let teacher = lesson.teacher;
                let told = &self.told;
                let still =
                    |key: &Key| !told.contains(&(id, side, *key)) && stage.read(teacher, *key).is_some();
                let missing: Vec<_> = left.into_iter().filter(still).collect();
                let begun = lesson.begun;
                // What went and came again was not there for its whole length.
                let missing: Vec<_> = missing
                    .into_iter()
                    .filter(|key| {
                        let value = stage.read(teacher, *key).map_or(0, |reading| reading.gpc0);
                        stage.truth.version(value).is_some_and(|version| version.written < begun)
                    })
                    .filter(|key| !stage.plan.tables[key.0].may_be_full())
                    .collect();
                if !missing.is_empty() {
                    say(format!(
                        "the lesson of {} begun at {begun} ms ({id}) did not tell {missing:?}",
                        stage.name(teacher)
                    ));
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, stage: &Stage, say: &mut dyn FnMut(String)) {
        let alive: BTreeMap<u64, usize> =
            stage.connections.iter().enumerate().map(|(at, connection)| (connection.id, at)).collect();
        self.lessons.retain(|(id, _), _| alive.contains_key(id));
        self.told.retain(|(id, ..)| alive.contains_key(id));
        for ((id, _), lesson) in &self.lessons {
            let open = alive.get(id).is_some_and(|at| stage.connections[*at].ends.iter().all(|end| end.open));
            let since = lesson.begun.max(stage.calm_since.unwrap_or(0));
            if open && !lesson.ended && stage.now >= since + PATIENCE_MS {
                say(format!(
                    "the lesson of {} ({id}) has not ended, {} ms after it was asked for",
                    stage.name(lesson.teacher),
                    stage.now - lesson.begun
                ));
            }
        }
    }
}
