//! No process holds more memory for its connections than its bound.

use std::collections::BTreeSet;

use crate::stage::{Invariant, Seen, Stage};
use crate::truth::SlotId;

#[derive(Default)]
pub(super) struct Memory {
    told: BTreeSet<SlotId>,
}

impl Invariant for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let Seen::Acted(slot) = *seen else { return };
        let Some(process) = &stage.slots[slot].process else { return };
        let (held, bound) = (process.memory(), process.memory_bound());
        if held > bound && self.told.insert(slot) {
            say(format!("{} holds {held} bytes, more than {bound}", stage.name(slot)));
        }
    }
}
