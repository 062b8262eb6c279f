//! What was acknowledged is not sent again, and what was not is not lost.
//!
//! An acknowledgement of the last update sent settles all that was sent before in the session. A settled value is not
//! pushed again by the same process to the same node, until that node asks for a lesson: its next process may know nothing.
//! Nor until somebody tells that process the same again, while another peer has yet to get it.
//! What a HAProxy sends is not judged.
//! Where a change log has overflowed, a reader may have to scan the table, and a scan that breaks off begins anew.
//! And after a calm each node was told the last write of each key by somebody.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{Invariant, Seen, Stage, table_of_name};
use crate::tap::Said;
use crate::truth::{Key, SlotId};

/// A process and the node it speaks with.
type Way = (SlotId, usize);

/// The last update's id, and what was sent since the last settlement.
type Sent = (u32, Vec<(Key, u32)>);

#[derive(Default)]
pub(super) struct Acknowledgements {
    /// Of each connection's side and table.
    sent: BTreeMap<(u64, usize, u32), Sent>,
    /// Sides that are in a lesson they give.
    teaching: BTreeSet<(u64, usize)>,
    settled: BTreeSet<(Way, Key, u32)>,
    /// Writes that a process was told.
    told: BTreeSet<(SlotId, u32)>,
}

impl Invariant for Acknowledgements {
    fn name(&self) -> &'static str {
        "acknowledgements"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        match *seen {
            Seen::Said(at, side, noted, _) => self.said(stage, (at, side), &noted.said, say),
            Seen::Heard(at, side, noted) => self.heard(stage, (at, side), &noted.said),
            Seen::Compared => self.compare(stage, say),
            _ => {}
        }
    }
}

impl Acknowledgements {
    fn said(&mut self, stage: &Stage, (at, side): (usize, usize), said: &Said, say: &mut dyn FnMut(String)) {
        let Said::Update(update) = said else { return };
        let Some(table) = table_of_name(&update.table) else { return };
        let connection = &stage.connections[at];
        let [from, to] = [side, 1 - side].map(|side| connection.ends[side].slot);
        let (key, value) = ((table, update.key), update.value);
        let teaches = self.teaching.contains(&(connection.id, side));
        let way = (from, stage.slots[to].node);
        let is_ours = !stage.slots[from].haproxy;
        if is_ours && !teaches && !overflowed(stage, from, table) && self.settled.contains(&(way, key, value))
        {
            say(format!(
                "{} sends {value} for key {key:?} to {} again, which acknowledged it",
                stage.name(from),
                stage.name(to)
            ));
            self.settled.remove(&(way, key, value));
        }
        let sent = self.sent.entry((connection.id, side, update.table_id)).or_default();
        sent.0 = update.id;
        sent.1.push((key, value));
    }

    fn heard(&mut self, stage: &Stage, (at, side): (usize, usize), said: &Said) {
        let connection = &stage.connections[at];
        let (id, listener) = (connection.id, 1 - side);
        let [from, to] = [side, listener].map(|side| connection.ends[side].slot);
        match said {
            Said::Request => {
                self.teaching.insert((id, listener));
                let way = (to, stage.slots[from].node);
                self.settled.retain(|(other, ..)| *other != way);
            }
            // The process before another one begins to teach as soon as it is accepted.
            Said::Status(200) if stage.slots[from].node == stage.slots[to].node => {
                self.teaching.insert((id, listener));
            }
            Said::Confirm => {
                self.teaching.remove(&(id, listener));
            }
            Said::Ack { table_id, id: acked } if !self.teaching.contains(&(id, listener)) => {
                let Some((last, sent)) = self.sent.get_mut(&(id, listener, *table_id)) else { return };
                if last == acked {
                    let way = (to, stage.slots[from].node);
                    self.settled.extend(sent.drain(..).map(|(key, value)| (way, key, value)));
                }
            }
            Said::Update(update) => {
                // On a change that another peer has yet to get it counts as one more.
                if let Some(table) = table_of_name(&update.table) {
                    let same = ((table, update.key), update.value);
                    self.settled.retain(|((slot, _), key, value)| (*slot, (*key, *value)) != (to, same));
                }
                self.told.insert((to, update.value));
            }
            _ => {}
        }
    }

    fn compare(&self, stage: &Stage, say: &mut dyn FnMut(String)) {
        for version in stage.truth.all_last() {
            let (key, value) = (version.key, version.value);
            // What found a table full is acknowledged as well.
            let there = stage.slots[version.slot].serves() && !stage.plan.tables[key.0].may_be_full();
            let holds = stage.read(version.slot, key).is_some_and(|reading| {
                reading.gpc0 == value && reading.remaining_ms.is_none_or(|left| left > 3_000)
            });
            if !there || !holds {
                continue;
            }
            for slot in stage.all_serving(stage.plan.tables[key.0].section) {
                let node = stage.slots[slot].node;
                if stage.may_be_over(version, slot) || stage.truth.floor_of(slot, key).is_some() {
                    continue;
                }
                if slot != version.slot && stage.is_told(node, key) && !self.told.contains(&(slot, value)) {
                    say(format!(
                        "{} was never told {value}, written for key {key:?} at {} ms by {}",
                        stage.name(slot),
                        version.written,
                        stage.name(version.slot)
                    ));
                }
            }
        }
    }
}

/// Whether a process saw more changes of a table than its change log has places.
fn overflowed(stage: &Stage, slot: SlotId, table: usize) -> bool {
    /// The fewest there are.
    const LEAST: u32 = 64;
    stage.truth.changes(slot, table) > stage.plan.tables[table].size.next_power_of_two().max(LEAST)
}
