//! A node never sees a sum that is lower than its own value.
//!
//! Of that value it counts what its hub had heard by then, also by a process of the hub before this one: a hub that knows less
//! for now says nothing to the node, for 5 s at most. And a node that is taught its own value has the sum by then.

use std::collections::{BTreeMap, BTreeSet};

use stick_table::Millis;

use crate::Part;
use crate::ledger::{Change, Word};
use crate::stage::{Invariant, MARGIN_MS, Seen, Stage};
use crate::tap::{Noted, Said};
use crate::truth::{Key, SlotId};

/// A hub that began less than this before may hold back its sums, in ms.
const HOLD_MS: Millis = 6_000;

/// How long a hub waits for what a node has, in ms.
const VALUES_MS: Millis = 5_000;

/// When a value was heard, the value, and which process counted it, in which life of its entry.
type Heard = (Millis, u32, (SlotId, u32));

#[derive(Default)]
pub(super) struct OwnSums {
    /// What each hub's node heard of a leaf's own value.
    heard: BTreeMap<(usize, usize, Key), Vec<Heard>>,
    /// When each connection was first heard of.
    begun: BTreeMap<u64, Millis>,
    /// Told once each.
    told: BTreeSet<(SlotId, Key)>,
}

impl Invariant for OwnSums {
    fn name(&self) -> &'static str {
        "own-sums"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        let Some(hubs) = stage.plan.hubs else { return };
        match *seen {
            Seen::Said(at, side, noted, way) => {
                let connection = &stage.connections[at];
                let begun = *self.begun.entry(connection.id).or_insert(stage.now);
                let [from, to] = [side, 1 - side].map(|side| stage.connections[at].ends[side].slot);
                if let Some(word) = &way.word
                    && word.part == Part::Sum
                    && hubs.above(stage.slots[to].node).any(|hub| hub == stage.slots[from].node)
                    && !hubs.is_hub(stage.slots[to].node)
                {
                    self.said(stage, (from, to), begun, (noted, word), say);
                }
            }
            Seen::Heard(at, side, noted) => {
                let [from, to] = [side, 1 - side].map(|side| stage.connections[at].ends[side].slot);
                let Said::Update(update) = &noted.said else { return };
                let Some((Part::Own, table)) = hubs.of_name(&update.table) else { return };
                let ((hub, leaf), key) = ((from, to), (table, update.key));
                if hubs.is_hub(stage.slots[to].node) {
                    let nodes = (stage.slots[to].node, stage.slots[from].node);
                    let told = stage.ledger.told(to, nodes.1, Part::Own, key);
                    let life = told.map_or(0, |told| told.life);
                    let heard = self.heard.entry((nodes.0, nodes.1, key)).or_default();
                    heard.push((stage.now, update.value, (from, life)));
                } else if hubs.is_hub(stage.slots[from].node) {
                    self.taught(stage, (hub, leaf), key, (update.value, noted.made), say);
                }
            }
            _ => {}
        }
    }
}

impl OwnSums {
    fn said(
        &mut self,
        stage: &Stage,
        (hub, leaf): (SlotId, SlotId),
        begun: Millis,
        (noted, word): (&Noted, &Word),
        say: &mut dyn FnMut(String),
    ) {
        let [hub_node, node] = [hub, leaf].map(|slot| stage.slots[slot].node);
        let heard = self.heard.get(&(hub_node, node, word.key));
        // The last value by then; what was put into words may have waited while more was heard.
        let known = heard.and_then(|heard| {
            let from = heard.iter().rposition(|(at, ..)| *at < noted.made)?;
            heard[from..].iter().min_by_key(|(_, value, _)| *value)
        });
        let (Some((at, known, by)), Some(own)) = (known, stage.read_part(leaf, Part::Own, word.key)) else {
            return;
        };
        let ends = own.remaining_ms.is_some_and(|left| u64::from(left) < MARGIN_MS);
        let told = stage.ledger.told(hub, node, Part::Own, word.key);
        // It waits for what a node has, but not for long.
        let waited = stage.now >= begun + VALUES_MS && told.is_none_or(|told| told.doubtful);
        let is_over = told.is_some_and(|told| told.lower < stage.clock(hub) + MARGIN_MS);
        // What another hub taught a node it does not push; and what a process before it told, or it before its entry
        // ended, is not its own any more.
        let is_elsewhere = match stage.ledger.change(leaf, word.key) {
            Some(Change::Taught(by)) => by != hub,
            _ => *by != (leaf, stage.ledger.life(leaf, word.key)),
        };
        if own.gpc0 < *known || ends || is_over || waited || is_elsewhere || word.value >= *known {
            return;
        }
        if self.told.insert((leaf, word.key)) {
            let (who, whom) = (stage.name(hub), stage.name(leaf));
            let (value, own, key) = (word.value, own.gpc0, word.key);
            say(format!(
                "{who} tells {whom} the sum {value} of key {key:?}, which has {own} itself, and told {known} at {at} ms"
            ));
        }
    }

    fn taught(
        &mut self,
        stage: &Stage,
        (hub, leaf): (SlotId, SlotId),
        key: Key,
        (own, made): (u32, Millis),
        say: &mut dyn FnMut(String),
    ) {
        let node = stage.slots[hub].node;
        let sum = stage.ledger.told(leaf, node, Part::Sum, key).map(|told| told.value);
        // Neither is anything told to a node that has not told what it has itself.
        let knows = stage.ledger.has_learned(hub, stage.slots[leaf].node);
        let is_held = !knows || made < stage.slots[hub].begun + HOLD_MS;
        // Of a key that may lack a contribution there is none.
        let is_withheld = sum.is_none() && stage.has_refused(hub);
        if sum.is_none_or(|sum| sum < own) && !is_held && !is_withheld && self.told.insert((leaf, key)) {
            let (who, whom) = (stage.name(hub), stage.name(leaf));
            say(format!(
                "{who} teaches {whom} its own value {own} of key {key:?}, when it has {sum:?} as the sum"
            ));
        }
    }
}
