//! A table as a session sends it: the cursor over its changes, and what the peer has acknowledged of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use stick_table::defect::Defect;
use stick_table::{Cursor, Follow, Position};

use crate::session::row::RowEncoder;
use crate::{SharedTable, UpdateIds};

/// Batches of live updates that wait for an acknowledgement, for each table; more are merged.
const MAX_IN_FLIGHT: usize = 64;

/// Where a peer's acknowledgements have come to in each table: from there live updates go on in its next session.
///
/// Shared with the session, so that a session which replaces another one knows what the other was told.
#[derive(Clone, Debug, Default)]
pub struct Resume(Arc<Mutex<HashMap<u32, Acked>>>);

#[derive(Debug, Default)]
struct Acked {
    /// The table's number: another one may have had its id before.
    serial: u64,
    position: Position,
}

impl Resume {
    fn get(&self, table: &SharedTable) -> Option<Position> {
        let all = self.0.lock();
        all.get(&table.id()).filter(|it| it.serial == table.serial()).map(|it| it.position.clone())
    }

    fn set(&self, table: &SharedTable, position: &Position) {
        let mut all = self.0.lock();
        let it = all.entry(table.id()).or_default();
        // A session that ends late may know a table of before only.
        if it.serial <= table.serial() {
            it.serial = table.serial();
            it.position.clone_from(position);
        }
    }
}

/// A table as it is sent in this session.
pub(crate) struct SendTable {
    pub(crate) shared: Arc<SharedTable>,
    pub(super) encoder: RowEncoder,
    /// What was untold when the encoder was made.
    untold: u64,
    /// The changes that are pushed live.
    follow: Follow,
    /// There until the session ends, unless the peer is not told of the table's changes.
    pub(super) cursor: Option<Cursor>,
    /// Up to where everything was acknowledged.
    acked: Position,
    /// Last ids of batches not acknowledged, with where the cursor stood after them.
    in_flight: VecDeque<(u32, Position)>,
    /// Positions to be used again.
    spare: Vec<Position>,
    pub(crate) last_id: u32,
    pub(crate) last_acked: u32,
    /// From one id to the next.
    pub(super) id_stride: u32,
    resume: Resume,
    /// Whether live updates go on where an earlier session was, and not from the first.
    resumed: bool,
    /// Where the table stood when the session began: at its start when it was made since.
    pub(super) session_start: Position,
}

impl SendTable {
    pub(super) fn new(
        shared: Arc<SharedTable>,
        resume: Resume,
        (follow, is_told): (Follow, bool),
        ids: UpdateIds,
        session_start: Position,
    ) -> Self {
        let earlier = resume.get(&shared).filter(|_| !Defect::NoResume.is_on());
        let resumed = earlier.is_some();
        let position = earlier.unwrap_or_else(|| shared.table().start());
        let cursor = is_told.then(|| shared.table().follow(follow, &position));
        Self {
            encoder: RowEncoder::new(shared.definition(), shared.table().layout(), |data_type| {
                shared.tells(data_type)
            }),
            untold: shared.untold(),
            follow,
            cursor,
            acked: position,
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            last_id: ids.after,
            last_acked: ids.after,
            id_stride: ids.stride,
            resume,
            resumed,
            session_start,
            shared,
        }
    }

    /// Tells what is told by now; whether that is something else than before.
    pub(super) fn follow_told_types(&mut self) -> bool {
        let untold = self.shared.untold();
        if untold == self.untold {
            return false;
        }
        self.untold = untold;
        let shared = &self.shared;
        self.encoder = RowEncoder::new(shared.definition(), shared.table().layout(), |data_type| {
            shared.tells(data_type)
        });
        true
    }

    /// Changes not pushed yet, at most.
    pub(crate) fn behind(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| self.shared.table().backlog(cursor))
    }

    /// Bytes held for batches that wait for an acknowledgement.
    pub(crate) fn memory(&self) -> usize {
        let in_flight = self.in_flight.iter().map(|(_, position)| position.memory());
        in_flight.chain(self.spare.iter().map(Position::memory)).sum()
    }

    /// The same, as much as it may be: there is no spare position while one is taken.
    pub(crate) fn memory_within_bounds(&self) -> usize {
        self.memory().min((MAX_IN_FLIGHT + 1) * self.acked.memory_bound())
    }

    pub(super) fn is_due(&self) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| self.shared.table().is_due(cursor))
    }

    /// Takes an acknowledgement. One that is outside what was sent and not acknowledged is nonsense and ignored:
    /// HAProxy 3.3-dev12 to 3.5-dev5 swaps the bytes of some (peers-protocol §18.1).
    pub(super) fn acknowledge(&mut self, id: u32) -> bool {
        let ahead = id.wrapping_sub(self.last_acked);
        if ahead == 0 || ahead > self.last_id.wrapping_sub(self.last_acked) {
            return false;
        }
        while let Some((last, _)) = self.in_flight.front() {
            if last.wrapping_sub(self.last_acked) > ahead + u32::from(Defect::AckOffByOne.is_on()) {
                break;
            }
            if let Some((_, position)) = self.in_flight.pop_front() {
                self.spare.push(std::mem::replace(&mut self.acked, position));
            }
        }
        self.last_acked = id;
        self.resume.set(&self.shared, &self.acked);
        true
    }

    /// Notes where the cursor stands after a pass that pushed something, or passed over what this peer is not sent.
    pub(super) fn note_pass(&mut self, pushed: bool) {
        let Some(cursor) = &self.cursor else { return };
        if !pushed {
            // Nothing was sent since the newest batch: a peer that acknowledges it has everything up to here.
            let newest = self.in_flight.back_mut().map(|(_, position)| position);
            cursor.write_position(newest.unwrap_or(&mut self.acked));
            return;
        }
        if self.in_flight.len() >= MAX_IN_FLIGHT && !Defect::EndlessInFlight.is_on() {
            // The two newest become one: only how precisely a later session resumes suffers.
            self.spare.extend(self.in_flight.pop_back().map(|(_, position)| position));
        }
        let mut position = self.spare.pop().unwrap_or_default();
        cursor.write_position(&mut position);
        self.in_flight.push_back((self.last_id, position));
    }

    /// Who asks for a lesson may be another process than the one that acknowledged in earlier sessions, so that counts no
    /// more. A lesson alone would not do: of that a learner takes only what it does not know from elsewhere, where it may be
    /// older.
    pub(super) fn forget_earlier_sessions(&mut self) {
        if self.shared.is_of_orders() {
            // What became of orders is in what a new process is taught. Told again, they would undo what it counted since.
            return;
        }
        if std::mem::take(&mut self.resumed) && !Defect::AcksOutliveProcesses.is_on() {
            self.acked = self.shared.table().start();
            self.in_flight.clear();
            self.resume.set(&self.shared, &self.acked);
        }
    }

    /// After a lesson live updates go on from the last acknowledgement, also with what the lesson told
    /// (peers-protocol §13.2): of a lesson a learner takes only what it does not know from elsewhere, of live updates
    /// all.
    pub(super) fn lesson_ended(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            self.cursor = Some(self.shared.table().follow(self.follow, &self.acked));
            self.shared.table().unfollow(cursor);
        }
        self.in_flight.clear();
        self.last_acked = self.last_id;
    }
}

impl Drop for SendTable {
    fn drop(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            self.resume.set(&self.shared, &self.acked);
            self.shared.table().unfollow(cursor);
        }
    }
}
