//! No entry lives longer than it was written for, but for the time that messages took on their way, over any number of
//! lessons and processes; and none dies early.
//!
//! Each process's entry is judged on that process's clock, by what [`Truth`](crate::truth::Truth) carried there: a write
//! gives an entry the whole lifetime, a message what was left when it was put into words, or, where it tells no lifetime,
//! the whole one again. That is right within a second of the write, from a table without an end, and in sessions of 2.0 or
//! with processes that never tell lifetimes of live updates; there the whole lifetime begins again, and is judged from
//! there on.

use std::collections::BTreeSet;

use crate::stage::{Invariant, Seen, Stage};
use crate::truth::{Key, SlotId};

#[derive(Default)]
pub(super) struct Lifetimes {
    /// Told once each.
    told: BTreeSet<(SlotId, Key)>,
}

impl Invariant for Lifetimes {
    fn name(&self) -> &'static str {
        "lifetimes"
    }

    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String)) {
        if !matches!(seen, Seen::Looked | Seen::Compared) {
            return;
        }
        for slot in 0..stage.slots.len() {
            if stage.slots[slot].process.is_none() {
                continue;
            }
            for table in stage.plan.tables_of(stage.slots[slot].section) {
                for key in 0..stage.plan.tables[table].keys {
                    self.check(stage, slot, (table, key), say);
                }
            }
        }
    }
}

impl Lifetimes {
    fn check(&mut self, stage: &Stage, slot: SlotId, key: Key, say: &mut dyn FnMut(String)) {
        let clock = stage.clock(slot);
        let wrong = match stage.read(slot, key) {
            Some(reading) => {
                let Some(held) = stage.truth.held(slot, key, reading.gpc0) else {
                    let (who, value) = (stage.name(slot), reading.gpc0);
                    return self.tell(
                        slot,
                        key,
                        say,
                        format!("{who} holds {value} for key {key:?}, which nobody told it"),
                    );
                };
                let end = reading.remaining_ms.map(|ms| clock + u64::from(ms));
                match (end, held.upper, held.lower) {
                    (Some(end), Some(upper), _) if end > upper + 1 => {
                        format!("{} ms longer than it may", end - upper)
                    }
                    (Some(end), _, Some(lower)) if end + 1 < lower => {
                        format!("{} ms shorter than it must", lower - end)
                    }
                    (None, Some(_), _) => "for ever, which it may not".to_owned(),
                    _ => return,
                }
            }
            None => {
                let Some(held) = stage.truth.last_held(slot, key) else { return };
                let over = held.lower.is_some_and(|lower| lower <= clock + 1);
                if over || stage.plan.tables[key.0].may_be_full() {
                    return;
                }
                let left =
                    held.lower.map_or_else(|| "for ever".into(), |lower| format!("{} ms", lower - clock));
                format!("not at all; of {} it must have {left} left", held.value)
            }
        };
        let who = stage.name(slot);
        self.tell(slot, key, say, format!("the entry of key {key:?} at {who} lives {wrong}"));
    }

    fn tell(&mut self, slot: SlotId, key: Key, say: &mut dyn FnMut(String), what: String) {
        if self.told.insert((slot, key)) {
            say(what);
        }
    }
}
