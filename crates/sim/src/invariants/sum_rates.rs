//! After a calm the sum of rates reads what the nodes' own rates read together, within the bound of the hub.
//!
//! The bound is that of stick-aggregate: `3 + max(1, sum / 64) + peak / 64 + peak * (late + 2) / period` for each hub on the way.
//! A rate reads as at the moment that its messages stood for; in sessions of 2.0 ages are up to 2.1 s more. A single event reads
//! as 1 to the end, so that each node's reading may be one more.

use stick_table::Millis;

use crate::ledger::Lag;
use crate::shares;
use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};
use crate::{HubsPlan, Part};

/// A hub looks at its rates this often, in ms.
const REFRESH_MS: u64 = 100;
/// Most that clocks drift apart within the life of a rate, in ms.
const DRIFT_MS: Millis = 2_000;

pub(super) struct SumRates;

impl Invariant for SumRates {
    fn name(&self) -> &'static str {
        "sum-rates"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let (Seen::Compared, Some(hubs)) = (seen, stage.plan.hubs) else { return };
        if !stage.is_whole() {
            return;
        }
        for key in stage.keys() {
            for hub in (0..hubs.count()).filter_map(|hub| stage.serving(hub, 0)) {
                let node = stage.slots[hub].node;
                let Some(nodes) = exact(stage, &hubs, hub, key) else { continue };
                let part = hubs.result(node);
                let lag = stage.ledger.lag(stage, hub, part, key);
                judge(stage, &hubs, (hub, part, key), &nodes, lag, say);
                let leaves = (hubs.count()..stage.plan.nodes.len())
                    .filter(|&leaf| part == Part::Total || hubs.above(leaf).any(|above| above == node));
                for leaf in leaves.filter_map(|leaf| stage.serving(leaf, 0)) {
                    let above = || hubs.above(stage.slots[leaf].node);
                    let mut others =
                        above().filter(|_| part == Part::Sum).filter_map(|hub| stage.serving(hub, 0));
                    let is_misled = shares::is_misled(stage, &hubs, (leaf, part, key));
                    if is_misled || others.any(|hub| exact(stage, &hubs, hub, key).is_none()) {
                        continue;
                    }
                    let told = above().filter_map(|above| stage.ledger.told(leaf, above, part, key));
                    if let Some(told) = told.max_by_key(|told| told.heard) {
                        judge(stage, &hubs, (leaf, part, key), &nodes, told.lag, say);
                    }
                }
            }
        }
    }
}

/// The leaves that a sum is made of, when it is certain which they are.
fn exact(stage: &Stage, hubs: &HubsPlan, hub: SlotId, key: Key) -> Option<Vec<SlotId>> {
    let right = shares::sum(stage, hubs, hub, key)?;
    let mut below: Vec<_> = hubs.below(stage.slots[hub].node, stage.plan.nodes.len()).collect();
    if hubs.is_upper(stage.slots[hub].node) {
        below = below.into_iter().flat_map(|hub| hubs.below(hub, stage.plan.nodes.len())).collect();
    }
    // Nobody can ask a node that is away for its rate.
    let leaves: Option<Vec<_>> = below.into_iter().map(|node| stage.serving(node, 0)).collect();
    leaves.filter(|_| right.len() == 1 && !right.contains(&0))
}

fn judge(
    stage: &Stage,
    hubs: &HubsPlan,
    (slot, part, key): (SlotId, Part, Key),
    leaves: &[SlotId],
    lag: Lag,
    say: &mut dyn FnMut(String),
) {
    let Some(held) = stage.read_part(slot, part, key) else { return };
    let read = |leaf: SlotId, clock: Millis| {
        let place = stage.place_of(leaf, Part::Own, key.0)?;
        let reading = stage.slots[leaf].process.as_ref()?.read(clock, place, key.1)?;
        Some(u64::from(reading.rate))
    };
    let sum = |shown: &dyn Fn(Millis) -> Millis| -> u64 {
        leaves.iter().filter_map(|&leaf| read(leaf, shown(stage.clock(leaf)))).sum()
    };
    let least = sum(&|clock| clock + lag.early + DRIFT_MS);
    let most = sum(&|clock| clock.saturating_sub(lag.late + DRIFT_MS));
    let peak: u64 = leaves.iter().map(|&leaf| stage.ledger.total(stage.slots[leaf].node, key)).sum();
    let late = peak * (REFRESH_MS + 2) / u64::from(hubs.period_ms);
    let levels = if part == Part::Total { 2 } else { 1 };
    let bound = levels * (3 + (most / 64).max(1) + peak / 64 + late) + leaves.len() as u64;
    let rate = u64::from(held.rate);
    if !(least.saturating_sub(bound)..=most + bound).contains(&rate) {
        say(format!(
            "the rate of {part:?} of key {key:?} reads {rate} at {}, where the nodes read {least} to {most} together, and \
             {bound} more or less is right",
            stage.name(slot)
        ));
    }
}
