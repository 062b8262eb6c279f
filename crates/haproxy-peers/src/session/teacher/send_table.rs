//! A table as a session sends it: the feed of its changes, and the ids that the peer acknowledges them by.

use std::sync::Arc;

use stick_table::defect::Defect;
use stick_table::{Feed, Follow, Position};

use crate::session::Resume;
use crate::session::row::RowEncoder;
use crate::{SharedTable, UpdateIds};

/// A table as it is sent in this session.
pub(crate) struct SendTable {
    pub(crate) shared: Arc<SharedTable>,
    pub(super) encoder: RowEncoder,
    /// What was untold when the encoder was made.
    pub(super) untold: u64,
    /// The changes that are pushed live; `None` when the peer is not told of them. A batch has the id of its last update.
    pub(super) feed: Option<Feed<u32>>,
    pub(crate) last_id: u32,
    pub(crate) last_acked: u32,
    /// From one id to the next.
    pub(super) id_stride: u32,
    resume: Resume,
    /// Whether live updates go on where an earlier session was, and not from the first.
    resumed: bool,
    /// Where the table stood when the session began: at its start when it was made since.
    pub(super) session_start: Position,
    /// Whether it took the place of another one and was not announced since: a peer that knows the former one hears of it though
    /// there may be nothing to tell.
    pub(super) is_news: bool,
}

impl SendTable {
    /// Goes on where the peer's last session was. `follow` says which changes are pushed to it, if any.
    pub(super) fn new(
        shared: Arc<SharedTable>,
        resume: Resume,
        follow: Option<Follow>,
        ids: UpdateIds,
        session_start: Position,
    ) -> Self {
        let earlier = resume.acked(&shared).filter(|_| !Defect::NoResume.is_on());
        let resumed = earlier.is_some();
        let position = earlier.unwrap_or_else(|| shared.table().start());
        let feed = follow.map(|follow| Feed::new(Arc::clone(shared.table()), follow, position));
        Self {
            encoder: RowEncoder::new(shared.definition(), shared.table().layout(), |data_type| {
                shared.tells(data_type)
            }),
            untold: shared.untold(),
            feed,
            last_id: ids.after,
            last_acked: ids.after,
            id_stride: ids.stride,
            resume,
            resumed,
            session_start,
            is_news: false,
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
        self.feed.as_ref().map_or(0, Feed::backlog)
    }

    /// Bytes held for batches that wait for an acknowledgement.
    pub(crate) fn memory(&self) -> usize {
        self.feed.as_ref().map_or(0, Feed::memory)
    }

    /// The same, as much as it may be.
    pub(crate) fn memory_within_bounds(&self) -> usize {
        self.feed.as_ref().map_or(0, |feed| feed.memory().min(feed.memory_bound()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.feed.as_ref().is_some_and(Feed::is_due)
    }

    /// Takes an acknowledgement. One that is outside what was sent and not acknowledged is nonsense and ignored:
    /// HAProxy 3.3-dev12 to 3.5-dev5 swaps the bytes of some (peers-protocol §18.1).
    pub(super) fn acknowledge(&mut self, id: u32) -> bool {
        let ahead = id.wrapping_sub(self.last_acked);
        if ahead == 0 || ahead > self.last_id.wrapping_sub(self.last_acked) {
            return false;
        }
        let covered = ahead + u32::from(Defect::AckOffByOne.is_on());
        let last_acked = std::mem::replace(&mut self.last_acked, id);
        if let Some(feed) = &mut self.feed {
            feed.acknowledge(|last| last.wrapping_sub(last_acked) <= covered);
        }
        self.note_resume();
        true
    }

    /// Keeps for the peer's next session where this one's acknowledgements have come to.
    fn note_resume(&self) {
        if let Some(feed) = &self.feed {
            self.resume.set_acked(&self.shared, feed.acknowledged());
        }
    }

    /// Ends a pass of pushes, in which something was sent or only what this peer is not told passed over.
    pub(super) fn end_pass(&mut self, pushed: usize) {
        match &mut self.feed {
            Some(feed) if pushed > 0 => feed.end_batch(self.last_id),
            Some(feed) => feed.end_empty_batch(),
            None => {}
        }
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
            if let Some(feed) = &mut self.feed {
                feed.forget_acknowledgements();
            }
            self.note_resume();
        }
    }

    /// After a lesson live updates go on from the last acknowledgement, also with what the lesson told
    /// (peers-protocol §13.2): of a lesson a learner takes only what it does not know from elsewhere, of live updates
    /// all.
    pub(super) fn lesson_ended(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.resume();
        }
        self.last_acked = self.last_id;
    }
}

impl Drop for SendTable {
    fn drop(&mut self) {
        self.note_resume();
    }
}
