//! The most memory that a session takes, known before there is one.

use stick_table::{Batch, Feed, Table};

use super::learner::MAX_IDLE_BATCHES;
use super::refused::Refused;
use super::repetition::Repetition;
use super::view::MAX_HEADER;
use super::{Limits, MAX_EVENTS, Session, SessionEvent};
use crate::{DICTIONARY_SLOTS, SharedTable, TableSet};

impl Session {
    /// Most bytes that a session over these tables holds, whatever its peer does: no
    /// [`memory_within_bounds`](Self::memory_within_bounds) of such a session is more. Tables that peers define later come on top.
    pub fn most_memory(tables: &TableSet, limits: &Limits) -> u64 {
        let tables = tables.all();
        // As much again may be copied to complete a message, and the room grows by doubling.
        let partial = 4 * (limits.buffer_size + MAX_HEADER);
        // A byte that is not text takes four.
        let string = 4 * limits.max_server_key.min(limits.buffer_size);
        let events = (MAX_EVENTS + 2) * size_of::<SessionEvent>();
        let kept = DICTIONARY_SLOTS * string + Refused::MOST_MEMORY + MAX_IDLE_BATCHES;
        let current = tables.iter().map(|shared| batches(shared)).max().unwrap_or(0);
        let each: usize = tables.iter().map(|shared| feed(shared.table()) + Repetition::MOST_MEMORY).sum();
        (partial + events + kept + current + each) as u64
    }
}

/// Most bytes of the changes gathered for a table, and for the one it is written to.
fn batches(shared: &SharedTable) -> usize {
    let own = shared.aggregate().map_or_else(|| Batch::new(shared.table()), |aggregate| aggregate.batch());
    own.memory_bound() + shared.copy().map_or(0, |target| Batch::new(target).memory_bound())
}

/// Most bytes of the positions that wait for their acknowledgement.
fn feed(table: &Table) -> usize {
    (Feed::<()>::MAX_BATCHES + 1) * table.position().memory_bound()
}
