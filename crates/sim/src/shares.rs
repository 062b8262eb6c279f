//! What each node may count for in the sum of a hub, by brute force: what the nodes hold themselves.
//!
//! It is one value, but where the protocol leaves more open: an entry that ends about now; what a node told and holds no
//! more, as long as its hub was told that it lives; a node that is away; and what two processes of a node told one after the
//! other, of which the second was not taught by this hub.

use std::collections::BTreeSet;

use crate::ledger::{Change, Ledger, Told};
use crate::stage::{MARGIN_MS, Stage};
use crate::truth::{Key, SlotId};
use crate::{HubsPlan, Part};

/// The values that are right; 0 among them when there may be no entry. `None` when nobody can tell.
pub(crate) type Right = Option<BTreeSet<u64>>;

/// What a process of a hub may publish for a key.
pub(crate) fn sum(stage: &Stage, hubs: &HubsPlan, hub: SlotId, key: Key) -> Right {
    let mut sums = BTreeSet::from([0]);
    for node in hubs.below(stage.slots[hub].node, stage.plan.nodes.len()) {
        let shares = if hubs.is_hub(node) {
            of_hub(stage, hubs, (hub, node), key)
        } else {
            of_leaf(stage, (hub, node), key)
        };
        let shares = shares?;
        sums = sums.iter().flat_map(|sum| shares.iter().map(move |share| sum + share)).collect();
    }
    Some(sums)
}

/// What a lower hub counts for. When there is no sum any more, it is not told: the one before ends by its lifetime.
fn of_hub(stage: &Stage, hubs: &HubsPlan, (hub, node): (SlotId, usize), key: Key) -> Right {
    let mut shares = match stage.serving(node, 0) {
        Some(lower) => sum(stage, hubs, lower, key)?,
        None => return None,
    };
    if shares.contains(&0)
        && let Some(told) = stage.ledger.told(hub, node, Part::Sum, key)
        && Ledger::may_live(told, stage.clock(hub))
    {
        shares.insert(told.value.into());
    }
    Some(shares)
}

/// What a leaf counts for.
fn of_leaf(stage: &Stage, (hub, node): (SlotId, usize), key: Key) -> Right {
    let told = stage.ledger.told(hub, node, Part::Own, key);
    let serving = stage.serving(node, 0);
    let own = serving.and_then(|leaf| Some((leaf, stage.read_part(leaf, Part::Own, key)?)));
    let Some((leaf, own)) = own else {
        let counts = |told: &&Told| !told.forgotten && Ledger::may_live(told, stage.clock(hub));
        let Some(told) = told.filter(counts) else {
            return Some(BTreeSet::from([0]));
        };
        let must = serving.is_none() && !told.doubtful && told.lower > stage.clock(hub) + MARGIN_MS;
        return match (told.sure, must) {
            (false, _) => None,
            // It may have found no room, and then nobody has it.
            _ if stage.has_refused(hub) => None,
            (true, true) => Some(BTreeSet::from([told.value.into()])),
            (true, false) => Some(BTreeSet::from([0, told.value.into()])),
        };
    };
    let told_this = told.is_some_and(|told| told.sure && told.by == leaf && told.value == own.gpc0);
    let is_known = match stage.ledger.change(leaf, key) {
        Some(Change::Counted) => told.is_none_or(|told| !told.former),
        // What it told meanwhile may have crossed the lesson.
        Some(Change::Taught(by)) => by == hub && told.is_none_or(|told| told.value == own.gpc0),
        None => false,
    };
    if !told_this && !is_known {
        return None;
    }
    let value = u64::from(own.gpc0);
    // What is taught at 2.0 tells no lifetime: then the node's entry lives longer than what is counted.
    let ends = own.remaining_ms.is_some_and(|left| u64::from(left) < MARGIN_MS)
        || told.is_some_and(|told| told.lower < stage.clock(hub) + MARGIN_MS);
    Some(if ends { BTreeSet::from([0, value]) } else { BTreeSet::from([value]) })
}

/// Whether a leaf may hold anything of a sum: the process before it taught it that, when it may have known better already, as the
/// last message wins; or it asked for no lesson, so that nobody told it what the process before acknowledged.
pub(crate) fn is_misled(stage: &Stage, hubs: &HubsPlan, (leaf, part, key): (SlotId, Part, Key)) -> bool {
    let node = stage.slots[leaf].node;
    let told = |teller| stage.ledger.told(leaf, teller, part, key);
    let newest = hubs.above(node).filter_map(told).map(|told| told.heard).max();
    match told(node) {
        Some(before) => newest.is_none_or(|heard| heard <= before.heard),
        None => newest.is_none() && !hubs.above(node).any(|hub| stage.ledger.has_learned(leaf, hub)),
    }
}
