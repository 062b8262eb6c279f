//! A lesson tells all of a table that gets copies of another one: nobody but the teacher has it.

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{COPY, Invariant, Seen, Stage};
use crate::tap::Said;
use crate::truth::SlotId;

/// Of each side that teaches, its process and the keys of its copy that it has not told.
#[derive(Default)]
pub(super) struct Copies(BTreeMap<(u64, usize), (SlotId, BTreeSet<u32>)>);

impl Invariant for Copies {
    fn name(&self) -> &'static str {
        "copies"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        match *seen {
            Seen::Heard(at, side, noted) if matches!(noted.said, Said::Request) => {
                let connection = &stage.connections[at];
                let teacher = connection.ends[1 - side].slot;
                self.0.insert((connection.id, 1 - side), (teacher, keys(stage, teacher)));
            }
            Seen::Said(at, side, noted, _) => {
                let place = (stage.connections[at].id, side);
                match &noted.said {
                    Said::Update(update) if update.table == COPY => {
                        if let Some((_, left)) = self.0.get_mut(&place) {
                            left.remove(&update.key);
                        }
                    }
                    Said::End { .. } => {
                        let Some((teacher, left)) = self.0.remove(&place) else { return };
                        let missing: Vec<_> = left.intersection(&keys(stage, teacher)).copied().collect();
                        if !missing.is_empty() {
                            let who = stage.name(teacher);
                            say(format!("the lesson of {who} did not tell {missing:?} of its copy"));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// The keys of a process's copy; none where there is no copy.
fn keys(stage: &Stage, slot: SlotId) -> BTreeSet<u32> {
    let process = stage.slots[slot].process.as_ref();
    let place = process.and_then(|process| Some((process, process.place_of(COPY)?)));
    place.map_or_else(BTreeSet::new, |(process, place)| {
        process.keys(stage.clock(slot), place).into_iter().collect()
    })
}
