//! A hub calls its sums complete only if everything that its nodes tell is in them; and it does so after a calm when all nodes
//! are there and define their tables in the same way, whatever they defined before.

use crate::shares;
use crate::stage::{Invariant, Seen, Stage};

pub(super) struct Complete;

impl Invariant for Complete {
    fn name(&self) -> &'static str {
        "complete"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let (Seen::Compared, Some(hubs)) = (seen, stage.plan.hubs) else { return };
        for hub in (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)) {
            let process = stage.slots[hub].process.as_ref();
            let Some(is_complete) = process.and_then(|process| process.is_complete()) else { continue };
            let name = stage.name(hub);
            // Without nodes there is nothing to be complete.
            let has_nodes = hubs.below(stage.slots[hub].node, stage.plan.nodes.len()).next().is_some();
            if !is_complete && has_nodes && agree(stage) {
                let missing = process.map_or_else(String::new, |process| process.missing());
                say(format!(
                    "{name} calls its sums incomplete, and all nodes define their tables alike: {missing}"
                ));
            }
            let part = hubs.result(stage.slots[hub].node);
            for key in stage.keys().filter(|_| is_complete) {
                let held = stage.read_part(hub, part, key).map_or(0, |reading| u64::from(reading.gpc0));
                let right = shares::sum(stage, &hubs, hub, key);
                // A sum that lives on where nothing is told any more lacks nothing.
                let lacks = right.is_some_and(|right| right.iter().all(|right| *right > held));
                if lacks {
                    say(format!("{name} calls its sums complete and has {held} as {part:?} of key {key:?}"));
                }
            }
        }
    }
}

/// Whether all nodes are there and define their tables in the same way.
fn agree(stage: &Stage) -> bool {
    let hubs = stage.plan.hubs.map_or(0, |hubs| hubs.count());
    let all = 0..stage.plan.nodes.len();
    let leaves = &stage.otherwise[hubs..];
    all.into_iter().all(|node| stage.serving(node, 0).is_some())
        && leaves.windows(2).all(|two| two[0] == two[1])
}
