//! The changes of a table for a receiver that acknowledges them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::cursor::{Change, Cursor, Follow, Position};
use crate::defect::Defect;
use crate::{EntryRef, Millis, Table};

/// Follows the changes of a table for a receiver that acknowledges them: a peer, a file, a stream.
///
/// What is [read](Self::read) is handed out in batches, each with a label `L` of the receiver's: the id of its last update, the
/// number of a segment. An [acknowledgement](Self::acknowledge) says which batches the receiver has. After a break the feed
/// [goes back](Self::resume) to the last one, or a later feed [begins](Self::new) there.
///
/// A feed takes the same memory however far the receiver is behind: a change that was not read yet is no more than the row that
/// changed, and at most [`MAX_BATCHES`](Self::MAX_BATCHES) wait for an acknowledgement.
///
/// ```
/// use std::sync::Arc;
/// use stick_table::{Change, Feed, Follow, KeyType, Lifetime, Origin, Table, TableDefinition};
///
/// let table = Arc::new(Table::new(TableDefinition::new("seen", KeyType::Integer, 1000), 0)?);
/// let mut feed = Feed::new(Arc::clone(&table), Follow::AllAndRemovals, table.start());
/// let touch = |key: u32| table.update(&key.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, 0, |_| ());
/// touch(1)?;
/// touch(2)?;
/// assert_eq!(feed.read(100, 0, |change| assert!(matches!(change, Change::Entry(_)))), 2);
/// feed.end_batch("the first two");
/// touch(3)?;
/// table.remove(&2_u32.to_be_bytes(), 0)?;
/// assert_eq!(feed.read(100, 0, |_| ()), 2);
/// feed.end_batch("one more, one less");
/// feed.acknowledge(|batch| *batch == "the first two");
/// // The receiver lost what it had not acknowledged.
/// feed.resume();
/// let mut again = Vec::new();
/// feed.read(100, 0, |change| again.push(match change {
///     Change::StartOver => panic!("the removal is known"),
///     Change::Removed(key) => (key.to_vec(), false),
///     Change::Entry(entry) => (entry.key().to_vec(), true),
/// }));
/// assert_eq!(again, [(vec![0, 0, 0, 2], false), (vec![0, 0, 0, 3], true)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Feed<L> {
    table: Arc<Table>,
    cursor: Cursor,
    /// Up to where everything was acknowledged.
    acknowledged: Position,
    /// Batches that wait for an acknowledgement, each with where the cursor stood after it.
    in_flight: VecDeque<(L, Position)>,
    /// Positions to be used again.
    spare: Vec<Position>,
}

impl<L> Feed<L> {
    /// Most batches that wait for an acknowledgement. Where there are more, the two newest become one.
    pub const MAX_BATCHES: usize = 64;

    /// A feed of the changes after `from`, a position of this table: [`Table::start`] for all, [`Table::position`] for later
    /// ones, [`acknowledged`](Self::acknowledged) of an earlier feed.
    pub fn new(table: Arc<Table>, follow: Follow, from: Position) -> Self {
        let cursor = table.follow(follow, &from);
        Self { table, cursor, acknowledged: from, in_flight: VecDeque::new(), spare: Vec::new() }
    }

    /// Visits up to `limit` changes; returns how many. See [`Table::read_changes`].
    pub fn read(&mut self, limit: usize, now: Millis, visit: impl FnMut(Change<'_>)) -> usize {
        self.table.read_changes(&mut self.cursor, limit, now, visit)
    }

    /// Visits up to `limit` changed entries, without removals; returns how many. See [`Table::read`].
    pub fn read_entries(&mut self, limit: usize, now: Millis, visit: impl FnMut(EntryRef<'_>)) -> usize {
        self.table.read(&mut self.cursor, limit, now, visit)
    }

    /// Whether the feed should be read, see [`Table::is_due`]. Takes no lock.
    pub fn is_due(&self) -> bool {
        self.table.is_due(&self.cursor)
    }

    /// Changes not read yet, at most. Takes no lock.
    pub fn backlog(&self) -> u64 {
        self.table.backlog(&self.cursor)
    }

    /// Ends a batch: what was read since the last one was handed to the receiver, under this label.
    pub fn end_batch(&mut self, label: L) {
        if self.in_flight.len() >= Self::MAX_BATCHES && !Defect::EndlessInFlight.is_on() {
            // Only how precisely a later feed goes on suffers.
            self.spare.extend(self.in_flight.pop_back().map(|(_, position)| position));
        }
        let mut position = self.spare.pop().unwrap_or_default();
        self.cursor.write_position(&mut position);
        self.in_flight.push_back((label, position));
    }

    /// Ends a batch of which the receiver gets nothing: who has the one before has this one.
    pub fn end_empty_batch(&mut self) {
        let newest = self.in_flight.back_mut().map(|(_, position)| position);
        self.cursor.write_position(newest.unwrap_or(&mut self.acknowledged));
    }

    /// Takes an acknowledgement of the oldest batches whose labels are `covered` by it.
    pub fn acknowledge(&mut self, covered: impl Fn(&L) -> bool) {
        while self.in_flight.front().is_some_and(|(label, _)| covered(label)) {
            if let Some((_, position)) = self.in_flight.pop_front() {
                self.spare.push(std::mem::replace(&mut self.acknowledged, position));
            }
        }
    }

    /// Up to where everything was acknowledged: where a later feed goes on.
    pub fn acknowledged(&self) -> &Position {
        &self.acknowledged
    }

    /// Goes back to the last acknowledgement: what was handed out since is read again.
    pub fn resume(&mut self) {
        let cursor = self.table.follow(self.cursor.follow, &self.acknowledged);
        self.table.release(&std::mem::replace(&mut self.cursor, cursor));
        self.in_flight.clear();
        if Defect::RemovalsOnce.is_on() {
            self.cursor.pass_removals();
        }
    }

    /// Holds that the receiver acknowledged nothing, and has no batch. The feed reads on where it is, until it
    /// [goes back](Self::resume).
    pub fn forget_acknowledgements(&mut self) {
        self.acknowledged = self.table.start();
        self.in_flight.clear();
    }

    /// Bytes held for batches that wait for an acknowledgement.
    pub fn memory(&self) -> usize {
        let in_flight = self.in_flight.iter().map(|(_, position)| position.memory());
        in_flight.chain(self.spare.iter().map(Position::memory)).sum()
    }

    /// Most bytes that [`memory`](Self::memory) may say: there is no spare position while one is taken.
    pub fn memory_bound(&self) -> usize {
        (Self::MAX_BATCHES + 1) * self.acknowledged.memory_bound()
    }
}

impl<L> Drop for Feed<L> {
    fn drop(&mut self) {
        self.table.release(&self.cursor);
    }
}

impl<L: fmt::Debug> fmt::Debug for Feed<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.in_flight.iter().map(|(label, _)| label);
        f.debug_struct("Feed")
            .field("table", &self.table.definition().name)
            .field("in_flight", &labels.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
