//! When writes have stopped and links are whole, everybody holds what was written last.
//!
//! Not wider than the protocol makes it: the last write of a process that is gone may be lost where it was not known yet,
//! and then each holds that write or an earlier one, but none earlier than everybody had. In a table that was full only what
//! is there is judged. A process that had the write may have lost it again by its end.

use stick_table::Millis;

use crate::process::Reading;
use crate::stage::{COPY, Invariant, MARGIN_MS, Seen, Stage};
use crate::tap::Said;
use crate::truth::{SlotId, Version};

pub(super) struct Convergence;

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "convergence"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        if let Seen::Said(at, side, noted, way) = *seen
            && way.carried.is_none()
            && let Said::Update(update) = &noted.said
            && update.table != COPY
        {
            let who = stage.name(stage.connections[at].ends[side].slot);
            say(format!("{who} tells {update:?}, which it never held"));
        }
        if !matches!(seen, Seen::Compared) {
            return;
        }
        for version in stage.truth.all_last() {
            let section = stage.plan.tables[version.key.0].section;
            for slot in stage.all_serving(section) {
                check(stage, version, slot, say);
            }
        }
    }
}

fn check(stage: &Stage, version: &Version, slot: SlotId, say: &mut dyn FnMut(String)) {
    let key = version.key;
    if stage.plan.tables[key.0].may_be_full() {
        return;
    }
    let (who, holds) = (stage.name(slot), stage.read(slot, key));
    let floor = stage.truth.floor_of(slot, key);
    match holds {
        Some(reading) if reading.gpc0 == version.value => {}
        // It was over where it was written before all could be told, and an older one lives longer: here, or where it was never
        // told, and came from there when the last one had ended here too.
        Some(reading)
            if stage.may_be_over(version, version.slot) && is_left(stage, version, slot, &reading) => {}
        Some(reading) => {
            let least = floor.unwrap_or(version.value);
            if reading.gpc0 < least {
                let value = version.value;
                say(format!(
                    "{who} holds {} for key {key:?}, but {value} was written at {} ms, and no less than {least} was \
                     known to all",
                    reading.gpc0, version.written
                ));
            }
        }
        // In a session of 2.0 the lifetime may have begun again elsewhere.
        None if floor.is_some() || stage.may_be_over(version, slot) => {}
        None if !stage.is_told(stage.slots[slot].node, key) => {}
        None if came_too_late(stage, version, slot) => {}
        None => {
            // Whoever had it may have lost it to its end, which is for another checker to judge.
            if !was_held(stage, version, slot)
                && let Some(left) = longest(stage, version)
            {
                let value = version.value;
                say(format!(
                    "{who} never held {value}, written for key {key:?} at {} ms by {}, where it has {left} ms left",
                    version.written,
                    stage.name(version.slot)
                ));
            }
        }
    }
}

/// Whether a process holds an older write because it never heard of the last one, or has it from one that never did.
fn is_left(stage: &Stage, version: &Version, slot: SlotId, reading: &Reading) -> bool {
    let never_heard = |slot: SlotId| !was_held(stage, version, slot);
    let section = stage.plan.tables[version.key.0].section;
    let mut others = stage.all_serving(section);
    let same = |other: SlotId| stage.read(other, version.key).is_some_and(|held| held.gpc0 == reading.gpc0);
    never_heard(slot) || others.any(|other| other != slot && never_heard(other) && same(other))
}

/// Whether a HAProxy began after the write, whose process is gone. Who else knows it does not push it, and the one lesson that a
/// HAProxy asks for may have come from a process that did not know it yet (peers-protocol §12.3, §13.1).
fn came_too_late(stage: &Stage, version: &Version, slot: SlotId) -> bool {
    let process = &stage.slots[slot];
    process.haproxy && process.begun > version.written && !stage.slots[version.slot].serves()
}

fn was_held(stage: &Stage, version: &Version, slot: SlotId) -> bool {
    stage.truth.held(slot, version.key, version.value).is_some()
}

/// What is left of a write where it was made; `None` when that is little, or unknown.
fn longest(stage: &Stage, version: &Version) -> Option<Millis> {
    let there = stage.slots[version.slot].serves().then_some(version.slot);
    let at = |slot| stage.read(slot, version.key).filter(|reading| reading.gpc0 == version.value);
    let section = stage.plan.tables[version.key.0].section;
    let reading = match there {
        Some(slot) => at(slot)?,
        // It was known to all others when its writer went.
        None => stage.all_serving(section).find_map(at)?,
    };
    let left = Millis::from(reading.remaining_ms.unwrap_or(u32::MAX));
    (left > MARGIN_MS).then_some(left)
}
