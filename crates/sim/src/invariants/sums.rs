//! After a calm every hub publishes, and every node holds, the sum of what the nodes hold themselves, unless a hub says that
//! something is left out.
//!
//! An upper hub's sum is that over all nodes. What a node's view of a sum may be besides is what it was told last by one of its
//! hubs and has lived on there, where there is nothing to sum any more: nobody tells that. The same holds for a hub that was
//! taught a sum by the process before it, of which it knows no part.

use std::collections::BTreeSet;

use crate::ledger::{Ledger, Told};
use crate::shares;
use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};
use crate::{HubsPlan, Part};

pub(super) struct Sums;

impl Invariant for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let (Seen::Compared, Some(hubs)) = (seen, stage.plan.hubs) else { return };
        if !stage.is_whole() {
            // A hub says that its sums are none; that they are not below own values is looked at elsewhere.
            return;
        }
        for key in stage.keys() {
            for hub in (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)) {
                of_hub(stage, &hubs, hub, key, say);
            }
            for leaf in (hubs.count()..stage.plan.nodes.len()).filter_map(|leaf| stage.serving(leaf, 0)) {
                for part in hubs.parts().filter(|part| *part != Part::Own) {
                    of_leaf(stage, &hubs, (leaf, part, key), say);
                }
            }
        }
    }
}

/// Looks at what a hub publishes.
fn of_hub(stage: &Stage, hubs: &HubsPlan, hub: SlotId, key: Key, say: &mut dyn FnMut(String)) {
    let Some(right) = shares::sum(stage, hubs, hub, key) else { return };
    let node = stage.slots[hub].node;
    let part = hubs.result(node);
    let inherited = stage.ledger.told(hub, node, part, key);
    judge(stage, (hub, part, key), &right, inherited.into_iter(), say);
}

/// Looks at what a leaf holds of a sum.
fn of_leaf(
    stage: &Stage,
    hubs: &HubsPlan,
    (leaf, part, key): (SlotId, Part, Key),
    say: &mut dyn FnMut(String),
) {
    let above = || hubs.above(stage.slots[leaf].node);
    let mut right = BTreeSet::new();
    let publishers = (0..hubs.count()).filter(|&hub| hubs.result(hub) == part);
    for hub in publishers.filter(|&hub| part == Part::Total || above().any(|above| above == hub)) {
        let sums = stage.serving(hub, 0).and_then(|hub| shares::sum(stage, hubs, hub, key));
        let Some(sums) = sums else { return };
        right.extend(sums);
    }
    if shares::is_misled(stage, hubs, (leaf, part, key)) {
        return;
    }
    let told = above().filter_map(|hub| stage.ledger.told(leaf, hub, part, key));
    judge(stage, (leaf, part, key), &right, told, say);
}

/// Whether a hub has refused something.
fn was_full(stage: &Stage, hubs: &HubsPlan) -> bool {
    (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)).any(|hub| stage.has_refused(hub))
}

fn judge<'a>(
    stage: &Stage,
    (slot, part, key): (SlotId, Part, Key),
    right: &BTreeSet<u64>,
    mut told: impl Iterator<Item = &'a Told>,
    say: &mut dyn FnMut(String),
) {
    let held = stage.read_part(slot, part, key).map(|reading| reading.gpc0);
    let is_left = |told: &Told| Some(told.value) == held && Ledger::may_live(told, stage.clock(slot));
    // While a contribution was refused what is published only rises, and so does its life.
    let was_full = || stage.plan.hubs.is_some_and(|hubs| was_full(stage, &hubs));
    if right.contains(&held.map_or(0, u64::from)) || right.contains(&0) && (told.any(is_left) || was_full()) {
        return;
    }
    say(format!("{} has {held:?} as {part:?} of key {key:?}, where {right:?} is right", stage.name(slot)));
}
