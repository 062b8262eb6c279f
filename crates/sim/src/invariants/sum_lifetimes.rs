//! A sum lives as long as the longest of its contributions, at its hub and, as told, at the nodes.
//!
//! An untimed message tells the whole lifetime, so in sessions of 2.1 a hub tells an entry so that was touched a moment ago
//! only.

use stick_table::Millis;

use crate::ledger::{Told, Word};
use crate::shares;
use crate::stage::{Invariant, MARGIN_MS, Seen, Stage};
use crate::truth::{Key, SlotId};
use crate::{HubsPlan, Part};

/// A live update of an entry that was touched within this time may be untimed, in ms.
const FRESH_MS: u64 = 1_000;
/// Most that a lifetime may differ, in ms: clocks drift by 4 in 1,000 at most.
const TOLERANCE_MS: u64 = 1_500;

pub(super) struct SumLifetimes;

impl Invariant for SumLifetimes {
    fn name(&self) -> &'static str {
        "sum-lifetimes"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let Some(hubs) = stage.plan.hubs else { return };
        match *seen {
            Seen::Said(at, side, _, way) => {
                let slot = stage.connections[at].ends[side].slot;
                if let Some(word) = &way.word
                    && hubs.is_hub(stage.slots[slot].node)
                {
                    said(stage, slot, word, say);
                }
            }
            Seen::Compared if stage.is_whole() => {
                for key in stage.keys() {
                    for hub in (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)) {
                        of_hub(stage, &hubs, hub, key, say);
                    }
                    let leaves = hubs.count()..stage.plan.nodes.len();
                    for leaf in leaves.filter_map(|leaf| stage.serving(leaf, 0)) {
                        hubs.parts().for_each(|part| of_leaf(stage, &hubs, (leaf, part, key), say));
                    }
                }
            }
            _ => {}
        }
    }
}

fn said(stage: &Stage, slot: SlotId, word: &Word, say: &mut dyn FnMut(String)) {
    let expire = stage.plan.tables[word.key.0].expire[stage.slots[slot].node].map(u64::from);
    let Some((Some(expire), (left, _))) = word.left.map(|left| (expire, left)) else { return };
    if !word.timed && !word.old && left + FRESH_MS + TOLERANCE_MS < expire {
        let who = stage.name(slot);
        say(format!("{who} tells {:?} of key {:?}, which has {left} ms left, untimed", word.part, word.key));
    }
}

/// Looks at what a hub publishes, by what it was told.
fn of_hub(stage: &Stage, hubs: &HubsPlan, hub: SlotId, key: Key, say: &mut dyn FnMut(String)) {
    let Some(right) = shares::sum(stage, hubs, hub, key) else { return };
    let node = stage.slots[hub].node;
    let Some(held) = stage.read_part(hub, hubs.result(node), key) else { return };
    if right.len() > 1 || right.contains(&0) {
        return;
    }
    let below = hubs.below(node, stage.plan.nodes.len());
    let told: Vec<_> =
        below.filter_map(|below| stage.ledger.told(hub, below, hubs.source(node), key)).collect();
    if told.iter().any(|told| told.doubtful || !told.sure) {
        return;
    }
    judge(stage, (hub, hubs.result(node), key), &told, held.remaining_ms, say);
}

/// Looks at what a leaf holds of a sum, by what it was told last.
fn of_leaf(
    stage: &Stage,
    hubs: &HubsPlan,
    (leaf, part, key): (SlotId, Part, Key),
    say: &mut dyn FnMut(String),
) {
    let Some(held) = stage.read_part(leaf, part, key).filter(|_| part != Part::Own) else { return };
    let node = stage.slots[leaf].node;
    let tellers = hubs.above(node).chain([node]);
    let told: Vec<_> = tellers.filter_map(|teller| stage.ledger.told(leaf, teller, part, key)).collect();
    // Of two hubs the one that told last counts; which that is nobody knows who looks at the time only.
    let last = told.iter().map(|told| told.heard).max();
    let told: Vec<_> = told.into_iter().filter(|told| Some(told.heard) == last).collect();
    if let [last] = told[..] {
        judge(stage, (leaf, part, key), &[last], held.remaining_ms, say);
    }
}

fn judge(
    stage: &Stage,
    (slot, part, key): (SlotId, Part, Key),
    told: &[&Told],
    left: Option<u32>,
    say: &mut dyn FnMut(String),
) {
    let clock = stage.clock(slot);
    let (Some(left), Some(upper), Some(lower)) = (
        left.map(Millis::from),
        told.iter().map(|told| told.upper).max(),
        told.iter().map(|told| told.lower).max(),
    ) else {
        return;
    };
    let (least, most) =
        (lower.saturating_sub(clock + TOLERANCE_MS), (upper + TOLERANCE_MS).saturating_sub(clock));
    if left > MARGIN_MS && !(least..=most).contains(&left) {
        say(format!(
            "{part:?} of key {key:?} has {left} ms left at {}, where {least} to {most} is right",
            stage.name(slot)
        ));
    }
}
