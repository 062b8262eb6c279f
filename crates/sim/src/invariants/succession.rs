//! What a process held when it was told to stop, the one that serves in the end holds as well, however many were between.
//! And nobody holds what nobody wrote.

use std::collections::BTreeMap;

use stick_table::Millis;

use crate::plan::TablePlan;
use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};

/// Entries that have less than this left when it is looked may be over at one process and not at the other, in ms.
const NEARLY_OVER_MS: Millis = 3_000;

#[derive(Default)]
pub(super) struct Succession {
    held: BTreeMap<SlotId, Held>,
}

/// What a stopping process held.
struct Held {
    /// What each node's clock showed.
    clocks: Vec<Millis>,
    /// The values, and what was left of the entries, in ms; `None` where they do not end.
    values: BTreeMap<Key, (u32, Option<u32>)>,
}

impl Held {
    /// Time since then by the clock that went fastest: one that jumps ends the entries of its node earlier, which tells so.
    fn elapsed(&self, stage: &Stage) -> Millis {
        let clocks = stage.clocks.iter().zip(&self.clocks);
        clocks.map(|(clock, then)| clock.at(stage.now).saturating_sub(*then)).max().unwrap_or(0)
    }
}

impl Invariant for Succession {
    fn name(&self) -> &'static str {
        "succession"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        match seen {
            Seen::Acted(slot) => self.note(stage, *slot),
            Seen::Compared => self.compare(stage, say),
            _ => {}
        }
    }
}

/// Whether entries of a table end when their node says. In a full table others may take their places. Where entries live for
/// another time elsewhere, a newer update may end one earlier.
fn is_judged(table: &TablePlan) -> bool {
    !table.may_be_full() && table.expire.iter().all(|expire| *expire == table.expire[0])
}

impl Succession {
    /// Notes what a process holds at the first look after it was told to stop.
    fn note(&mut self, stage: &Stage, slot: SlotId) {
        let it = &stage.slots[slot];
        if it.listens || it.process.is_none() || it.haproxy || self.held.contains_key(&slot) {
            return;
        }
        let tables = stage.plan.tables_of(it.section).filter(|&table| is_judged(&stage.plan.tables[table]));
        let keys = tables.flat_map(|table| (0..stage.plan.tables[table].keys).map(move |key| (table, key)));
        let values = keys.filter_map(|key| {
            let reading = stage.read(slot, key)?;
            // A message that was held up lets an entry live for longer than it was written for: its successor may know better.
            let held = stage.truth.held(slot, key, reading.gpc0);
            let least = held.and_then(|held| held.lower).map(|end| end.saturating_sub(stage.clock(slot)));
            let least = least.map(|left| u32::try_from(left).unwrap_or(u32::MAX));
            Some((key, (reading.gpc0, [reading.remaining_ms, least].into_iter().flatten().min())))
        });
        let clocks = stage.clocks.iter().map(|clock| clock.at(stage.now)).collect();
        self.held.insert(slot, Held { clocks, values: values.collect() });
    }

    fn compare(&mut self, stage: &Stage, say: &mut dyn FnMut(String)) {
        for (slot, held) in std::mem::take(&mut self.held) {
            let it = &stage.slots[slot];
            let Some(last) = stage.serving(it.node, it.section) else { continue };
            let is_next = |next: &SlotId| {
                let next = &stage.slots[*next];
                (next.node, next.section) == (it.node, it.section)
            };
            // One that was killed took with it what it had.
            let mut between = (slot + 1..last).filter(is_next);
            if it.killed || between.any(|next| stage.slots[next].killed || stage.slots[next].haproxy) {
                continue;
            }
            let least = held.elapsed(stage) + NEARLY_OVER_MS;
            for (key, (value, left)) in held.values {
                let lives = left.is_none_or(|left| Millis::from(left) > least);
                let holds = stage.read(last, key).map(|reading| reading.gpc0);
                // Each write has a larger value. The older one that a misled process holds ends earlier.
                if lives && holds.is_none_or(|holds| holds < value) && !stage.truth.is_misled(last, key) {
                    let (old, new) = (stage.name(slot), stage.name(last));
                    say(format!(
                        "{old} held {value} of key {key:?} when it was told to stop, and {new} holds {holds:?}"
                    ));
                }
            }
        }
    }
}
