//! A node that asks for a lesson gets back what its hub knows of its own values, with what is left of their lives.
//!
//! What its hub knows is what the node told it last, unless that is over or was forgotten. The lesson ends.

use std::collections::BTreeMap;

use haproxy_peers::ProtocolVersion;
use stick_table::Millis;

use crate::Part;
use crate::ledger::{Change, Told};
use crate::stage::{Invariant, MARGIN_MS, Seen, Stage};
use crate::tap::Said;
use crate::truth::{Key, SlotId};

/// After everything healed, or after it was asked for, a lesson ends within this time, in ms.
const PATIENCE_MS: Millis = 20_000;
/// Most that a lifetime may differ, in ms: clocks drift by 4 in 1,000 at most.
const TOLERANCE_MS: u64 = 1_500;

/// A lesson that a leaf asked for.
struct Lesson {
    asked: Millis,
    hub: SlotId,
    leaf: SlotId,
    known: Vec<(Key, Told, u32)>,
}

#[derive(Default)]
pub(super) struct OwnValues {
    /// By connection.
    lessons: BTreeMap<u64, Lesson>,
}

impl Invariant for OwnValues {
    fn name(&self) -> &'static str {
        "own-values"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let Some(hubs) = stage.plan.hubs else { return };
        match *seen {
            Seen::Heard(at, side, noted) => {
                let connection = &stage.connections[at];
                let [from, to] = [side, 1 - side].map(|side| connection.ends[side].slot);
                let is_hub = |slot: SlotId| hubs.is_hub(stage.slots[slot].node);
                match noted.said {
                    Said::Request if is_hub(to) && !is_hub(from) => {
                        let known = known(stage, to, from);
                        let lesson = Lesson { asked: stage.now, hub: to, leaf: from, known };
                        self.lessons.insert(connection.id, lesson);
                    }
                    Said::End { .. } if is_hub(from) && !is_hub(to) => {
                        if let Some(lesson) = self.lessons.remove(&connection.id) {
                            let timed = connection.version.is_none_or(ProtocolVersion::has_timed_updates);
                            // What was refused a hub does not know, whoever heard it.
                            let known = lesson.known.iter().filter(|_| !stage.has_refused(from));
                            known.for_each(|known| check(stage, &lesson, known, timed, say));
                        }
                    }
                    _ => {}
                }
            }
            Seen::Compared => self.compare(stage, say),
            _ => {}
        }
    }
}

impl OwnValues {
    fn compare(&mut self, stage: &Stage, say: &mut dyn FnMut(String)) {
        let is_open = |id: u64| {
            let mut connections = stage.connections.iter();
            connections.any(|connection| connection.id == id && connection.ends.iter().all(|end| end.open))
        };
        self.lessons.retain(|id, _| is_open(*id));
        for lesson in self.lessons.values() {
            let since = lesson.asked.max(stage.calm_since.unwrap_or(0));
            if stage.now >= since + PATIENCE_MS {
                let (who, whom) = (stage.name(lesson.hub), stage.name(lesson.leaf));
                say(format!("the lesson that {whom} asked of {who} at {} ms has not ended", lesson.asked));
            }
        }
    }
}

/// What a hub surely knows of a leaf's own values.
fn known(stage: &Stage, hub: SlotId, leaf: SlotId) -> Vec<(Key, Told, u32)> {
    let node = stage.slots[leaf].node;
    let life = |key: Key| stage.ledger.life(leaf, key);
    let told = |key: Key| Some((key, *stage.ledger.told(hub, node, Part::Own, key)?, life(key)));
    // It was taught less by the process before it, which its hub does not know.
    let is_less = |told: &Told, life: u32| told.by == leaf && told.life != life;
    let lives = |told: &Told| !told.doubtful && told.lower > stage.clock(hub) + MARGIN_MS;
    stage.keys().filter_map(told).filter(|(_, told, life)| lives(told) && !is_less(told, *life)).collect()
}

fn check(
    stage: &Stage,
    lesson: &Lesson,
    (key, told, life): &(Key, Told, u32),
    timed: bool,
    say: &mut dyn FnMut(String),
) {
    let Lesson { hub, leaf, asked, .. } = *lesson;
    let clock = stage.clock(hub);
    let took = stage.now - asked;
    if told.lower < clock + MARGIN_MS + took {
        return;
    }
    let is_elsewhere = matches!(stage.ledger.change(leaf, *key), Some(Change::Taught(by)) if by != hub);
    if is_elsewhere || stage.ledger.life(leaf, *key) != *life {
        // Of two lessons the last one wins, and the process before it may have given one.
        return;
    }
    let (who, whom) = (stage.name(hub), stage.name(leaf));
    let own = stage.read_part(leaf, Part::Own, *key);
    let Some(own) = own.filter(|own| own.gpc0 >= told.value) else {
        let held = own.map(|own| own.gpc0);
        say(format!(
            "{whom} has {held:?} of its own key {key:?} after the lesson of {who}, which knew {}",
            told.value
        ));
        return;
    };
    let is_taught = stage.ledger.change(leaf, *key) == Some(Change::Taught(hub));
    let Some(left) = own.remaining_ms.map(u64::from).filter(|_| timed && is_taught) else { return };
    // What the node told meanwhile gave its contribution another life.
    let newer = stage.ledger.told(hub, stage.slots[leaf].node, Part::Own, *key).map_or(0, |told| told.upper);
    let upper = told.upper.max(newer);
    let (least, most) =
        (told.lower.saturating_sub(clock + TOLERANCE_MS), upper + took + TOLERANCE_MS - clock);
    if !(least..=most).contains(&left) {
        say(format!(
            "{whom} has {left} ms left of its own key {key:?} after the lesson of {who}, where {least} to {most} is right"
        ));
    }
}
