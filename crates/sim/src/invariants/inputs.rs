//! A hub publishes nothing but what its nodes told it: what it published itself, and comes back to it, is no input.
//!
//! What the process before it taught it is not judged.

use std::collections::BTreeSet;

use crate::Part;
use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};

#[derive(Default)]
pub(super) struct Inputs {
    /// Told once each.
    told: BTreeSet<(SlotId, Key)>,
}

impl Invariant for Inputs {
    fn name(&self) -> &'static str {
        "inputs"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let Some(hubs) = stage.plan.hubs else { return };
        match *seen {
            Seen::Said(at, side, _, way) => {
                let slot = stage.connections[at].ends[side].slot;
                let node = stage.slots[slot].node;
                if let Some(word) = &way.word
                    && hubs.is_hub(node)
                    && word.part == hubs.result(node)
                {
                    self.check(stage, slot, word.key, (word.part, word.value), say);
                }
            }
            Seen::Looked => {
                for slot in (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)) {
                    let part = hubs.result(stage.slots[slot].node);
                    for key in stage.keys() {
                        if let Some(reading) = stage.read_part(slot, part, key) {
                            self.check(stage, slot, key, (part, reading.gpc0), say);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

impl Inputs {
    fn check(
        &mut self,
        stage: &Stage,
        slot: SlotId,
        key: Key,
        (part, value): (Part, u32),
        say: &mut dyn FnMut(String),
    ) {
        let Some(hubs) = stage.plan.hubs else { return };
        let node = stage.slots[slot].node;
        let most = stage.ledger.most(slot, hubs.source(node), key);
        let inherited = stage.ledger.told(slot, node, part, key).map_or(0, |told| told.value);
        if u64::from(value) > most.max(inherited.into()) && self.told.insert((slot, key)) {
            let who = stage.name(slot);
            say(format!("{who} publishes {value} for key {key:?}, of which it was told {most} at most"));
        }
    }
}
