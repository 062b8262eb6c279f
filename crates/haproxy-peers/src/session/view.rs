//! What a session looks like from outside: for `show peers`.

use std::sync::Arc;

use super::Session;
use super::learner::{Binding, Learning};
use super::teacher::SendTable;
use super::{MAX_EVENTS, SessionEvent};
use crate::{Agreement, ProtocolVersion};

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The version agreed on.
    pub version: ProtocolVersion,
    /// Whether a lesson is given, or waits to be confirmed.
    pub teaching: bool,
    /// Whether a lesson is received.
    pub learning: bool,
    /// Network name of the table the peer selected last.
    pub remote_table: Option<String>,
    /// Network name of the table that was announced to the peer last.
    pub last_local_table: Option<String>,
    /// The section's tables.
    pub tables: Vec<SharedTableView>,
    /// Tables that the peer defines and of which nothing is taken: there is no such table, none was made, or the definition cannot
    /// be read. At most 256 are counted.
    pub ignored_tables: usize,
    /// The strings sent, by slot from 0.
    pub sent_strings: Vec<Arc<str>>,
    /// The strings received, by slot from 0.
    pub received_strings: Vec<Option<Arc<str>>>,
}

/// A table in a session at one moment.
#[derive(Clone, Debug)]
pub struct SharedTableView {
    /// Full local name.
    pub name: String,
    /// This side's id.
    pub local_id: u32,
    /// The peer's id, 0 when it did not define the table.
    pub remote_id: u32,
    /// The peer's data types as a bitfield.
    pub remote_data: u64,
    /// Last update id that the peer acknowledged.
    pub last_acked: u32,
    /// Last update id sent.
    pub last_pushed: u32,
    /// Last update id received.
    pub last_get: u32,
    /// Changes to push that the peer has not been sent yet, at most.
    pub behind: u64,
    /// How the peer's definition differs from this side's.
    pub agreement: Option<Agreement>,
}

/// Class, type and length of a message.
pub(super) const MAX_HEADER: usize = 2 + crate::MAX_LENGTH_VARINT;

impl Session {
    /// Tables that the peer defines otherwise than this side, and those of which nothing is taken.
    pub fn mismatched_tables(&self) -> usize {
        let differs = |binding: &&Binding| !binding.agreement.differences().is_empty();
        self.learner.bindings.iter().filter(differs).count() + self.learner.ignored_tables()
    }

    /// Bytes this session holds until something else happens: an incomplete message, changes of tables and the room for
    /// them, strings, batches that wait for their acknowledgement, events that nobody took.
    pub fn memory(&self) -> usize {
        let in_flight: usize = self.teacher.tables.iter().map(SendTable::memory).sum();
        let events = self.events.len() * size_of::<SessionEvent>();
        self.partial.capacity() + self.learner.memory() + in_flight + events
    }

    /// The same, of each part no more than it may be, whatever the peer does: less than [`memory`](Self::memory) says that a
    /// bound does not hold.
    pub fn memory_within_bounds(&self) -> usize {
        let in_flight: usize = self.teacher.tables.iter().map(SendTable::memory_within_bounds).sum();
        // Ends of lessons are noted in any case: one each.
        let events = self.events.len().min(MAX_EVENTS + 2) * size_of::<SessionEvent>();
        // As much again may be copied to complete a message, and the room grows by doubling.
        let partial = self.partial.capacity().min(4 * (self.buffer_size + MAX_HEADER));
        partial + self.learner.memory_within_bounds() + in_flight + events
    }

    /// The session at this moment.
    pub fn view(&self) -> SessionView {
        let binding = |id: u32| self.learner.bindings.iter().find(|binding| binding.shared.id() == id);
        let tables = self.teacher.tables.iter().map(|table| {
            let bound = binding(table.shared.id());
            SharedTableView {
                name: table.shared.definition().name.clone(),
                local_id: table.shared.id(),
                remote_id: bound.map_or(0, |bound| bound.remote_id),
                remote_data: bound.map_or(0, |bound| bound.data_types),
                last_acked: table.last_acked,
                last_pushed: table.last_id,
                last_get: bound.map_or(0, |bound| bound.last_id),
                behind: table.behind(),
                agreement: bound.map(|bound| bound.agreement.clone()),
            }
        });
        let name_of =
            |place: Option<usize>| Some(self.teacher.tables.get(place?)?.shared.definition().name.clone());
        let current = self.learner.current.map(|place| &self.learner.bindings[place]);
        SessionView {
            version: self.version,
            teaching: self.teacher.is_teaching(),
            learning: self.learner.learning == Learning::Running,
            remote_table: current.map(|bound| bound.shared.definition().name.clone()),
            last_local_table: name_of(self.teacher.defined),
            tables: tables.collect(),
            ignored_tables: self.learner.ignored_tables(),
            sent_strings: self.teacher.dictionary.strings().to_vec(),
            received_strings: self.learner.dictionary.strings().to_vec(),
        }
    }
}
