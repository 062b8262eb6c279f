//! Frequency counters read the same everywhere, within rounding.
//!
//! A reading is a function of time, so it is judged at the moment that the message stood for: each hop makes a counter as
//! much younger as the message took, and moves its beginning by a millisecond at most (its lowest bit is a lock). In sessions
//! of 2.0 ages are up to 2.1 s more than they are.

use std::collections::BTreeSet;

use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};

#[derive(Default)]
pub(super) struct Frequency {
    told: BTreeSet<(SlotId, Key)>,
}

impl Invariant for Frequency {
    fn name(&self) -> &'static str {
        "frequency"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        if !matches!(seen, Seen::Looked | Seen::Compared) {
            return;
        }
        for slot in (0..stage.slots.len()).filter(|&slot| stage.slots[slot].process.is_some()) {
            for table in stage.plan.tables_of(stage.slots[slot].section) {
                for key in 0..stage.plan.tables[table].keys {
                    self.check(stage, slot, (table, key), say);
                }
            }
        }
    }
}

impl Frequency {
    fn check(&mut self, stage: &Stage, slot: SlotId, key: Key, say: &mut dyn FnMut(String)) {
        let Some(reading) = stage.read(slot, key) else { return };
        let held = stage.truth.held(slot, key, reading.gpc0);
        let Some((held, version)) = held.zip(stage.truth.version(reading.gpc0)) else { return };
        let Some(counter) = &version.counter else { return };
        let (least, most) = held.rate(counter, stage.clock(slot));
        if !(least..=most).contains(&reading.rate) && self.told.insert((slot, key)) {
            say(format!(
                "the rate of key {key:?} reads {} at {}, where {least} to {most} is right for {:?} of {} at {} ms",
                reading.rate,
                stage.name(slot),
                counter,
                stage.name(version.slot),
                version.written
            ));
        }
    }
}
