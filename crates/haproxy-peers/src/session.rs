//! One established connection with a peer: what it says becomes changes of tables, and what it must know becomes bytes.

mod event;
pub use event::SessionEvent;

mod learner;
pub use learner::Received;

mod teacher;
pub use teacher::Sent;

mod view;
pub use view::{SessionView, SharedTableView};

mod bound;

mod beside;
pub use beside::OwnValuesTaught;
pub(crate) use beside::{LessonsTaught, TOLD_FOR_MS};

mod levels;
pub(crate) use levels::Levels;
pub use levels::LevelsError;

mod relays;
pub use relays::Relays;

mod resume;
pub use resume::Resume;

mod setup;
pub use setup::{Limits, Role, SessionSetup};

mod timers;
pub use timers::{HEARTBEAT_MS, SILENCE_IN_LESSON_MS, SILENCE_MS, SILENCE_WITHOUT_HEARTBEATS_MS};

mod input;
mod plan;
mod refused;
mod repetition;
mod row;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stick_table::{Millis, Origin};
use thiserror::Error;

use self::learner::Learner;
use self::relays::ANNOUNCEMENT_MS;
use self::teacher::Teacher;
use crate::{Control, DecodeError, DecodeErrorKind, ErrorMessage, PeerLevel, ProtocolVersion, TableSet};

/// How long a hub waits for what a peer has before it tells it sums, in ms. A young session gives signs of life often, and later
/// ones every 3 s, so the end of the wait is noticed.
const VALUES_MS: u64 = 5_000;
/// Events kept until they are polled; a flood of what causes them loses the rest.
const MAX_EVENTS: usize = 256;

/// Why a session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The peer sent something malformed.
    #[error("malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// The peer is silent.
    #[error("nothing was received for {0} ms")]
    Silent(u64),
    /// The peer has no place among the levels of hubs.
    #[error("refused: {0}")]
    Levels(#[from] LevelsError),
}

/// An established session, without I/O.
///
/// The driver calls [`handle_input`](Self::handle_input) with what the socket gave, then takes events with
/// [`poll_event`](Self::poll_event) and bytes with [`poll_transmit`](Self::poll_transmit). It polls for bytes again when
/// it could write, when a table changed, and at [`poll_timeout`](Self::poll_timeout), when it calls
/// [`handle_timeout`](Self::handle_timeout) first. Calls that come too early do nothing.
///
/// Memory is bounded: one incomplete message, one batch of changes for each shared table, 128 strings in each direction.
pub struct Session {
    role: Role,
    version: ProtocolVersion,
    buffer_size: usize,
    up_to_date: Arc<AtomicBool>,
    awaits_values: Arc<AtomicBool>,
    learner: Learner,
    teacher: Teacher,
    relays: Relays,
    tables: Arc<TableSet>,
    level: PeerLevel,
    /// What the peer was told of the hubs below this one: 0 for nothing yet.
    told_levels: u64,
    /// Number of the last lesson that a hub beside this one was told of.
    told_lessons: u64,
    origin: Origin,
    /// Whether the peer, a remote one, has said nothing yet.
    unheard: bool,
    /// Updates received when [`take_news`](Self::take_news) was asked last.
    told_updates: u64,
    /// An incomplete message.
    partial: Vec<u8>,
    /// Offset in the stream of the first byte of `partial`, or of the next input.
    offset: u64,
    /// Control messages to send.
    due: Due,
    /// The error to report before the connection is closed.
    error_due: Option<ErrorMessage>,
    failed: Option<SessionError>,
    events: VecDeque<SessionEvent>,
    started: Millis,
    last_received: Millis,
    last_sent: Millis,
    /// When the running lesson brought something last.
    last_taught: Option<Millis>,
    counters: Counters,
}

#[derive(Default)]
struct Due {
    announcement: bool,
    request: bool,
    confirms: u32,
    heartbeat: bool,
}

/// Counts of control messages and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Heartbeats received.
    pub heartbeats_received: u64,
    /// Lessons confirmed to the peer.
    pub confirms: u64,
    /// Bytes received after the handshake.
    pub bytes_received: u64,
    /// Bytes handed out to be sent after the handshake.
    pub bytes_sent: u64,
}

impl Session {
    /// Follows as many tables of the section at most as `tables` says; whether there are more. Calling it is a choice: the first
    /// input follows those that are left. It takes the locks of all stripes of each table, about 0.3 µs each.
    pub fn begin(&mut self, tables: usize) -> bool {
        self.teacher.begin_some(tables)
    }

    /// The version agreed on.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// Asks the peer for a lesson; poll for bytes afterwards.
    pub fn request_lesson(&mut self) {
        self.learner.lesson_asked_for();
        self.last_taught = None;
        self.due.request = true;
    }

    fn note(&mut self, event: SessionEvent) {
        // A repetition says nothing new, and a flood of them would fill the log.
        if self.events.len() < MAX_EVENTS && !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    /// The next event; take all after [`handle_input`](Self::handle_input) and [`handle_timeout`](Self::handle_timeout).
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Appends bytes to send until `out` holds about `limit` bytes; whether there is more to send at once.
    ///
    /// Messages are whole, so `out` may exceed the limit by those of 128 entries.
    pub fn poll_transmit(&mut self, now: Millis, limit: usize, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let more = self.transmit(now, limit, out);
        let written = out.len() - before;
        if written > 0 {
            self.last_sent = now;
            self.counters.bytes_sent += written as u64;
        }
        more
    }

    fn transmit(&mut self, now: Millis, limit: usize, out: &mut Vec<u8>) -> bool {
        if self.failed.is_some() {
            if let Some(error) = self.error_due.take() {
                error.encode(out);
            }
            return false;
        }
        if std::mem::take(&mut self.due.announcement) {
            Control::Relay.encode(out);
        }
        if self.has_levels() && self.tables.levels().version(self.level) != self.told_levels {
            self.told_levels = self.tables.levels().encode(self.level, out);
        }
        if self.is_beside() {
            self.told_lessons = self.tables.lessons_taught().encode(self.told_lessons, now, out);
        }
        if std::mem::take(&mut self.due.heartbeat) {
            Control::Heartbeat.encode(out);
            self.counters.heartbeats_sent += 1;
        }
        // Before the acknowledgements: the teacher does not count those that come after it, so what was taken as part of
        // the lesson comes again (peers-protocol §11.1, §13.3). And not before the confirmation of an earlier lesson: HAProxy takes
        // that as the end of the lesson that it was just asked for.
        if self.due.confirms == 0 && std::mem::take(&mut self.due.request) {
            Control::ResyncRequest.encode(out);
            self.learner.times.asked = now;
        }
        let mut from = 0;
        while let Some((place, ack)) = self.learner.next_ack(from) {
            ack.encode_unchecked(out);
            from = place + 1;
        }
        let up_to_date = self.up_to_date.load(Ordering::Relaxed);
        // A young session gives signs of life often, so the end of the wait is noticed.
        let held = self.unheard && self.relays.any() && now < self.started + ANNOUNCEMENT_MS;
        let awaits_values = self.awaits_values.load(Ordering::Relaxed);
        self.teacher.hold_results(awaits_values && now < self.started + VALUES_MS);
        let more = self.teacher.transmit(now, up_to_date, held, limit, out);
        while self.due.confirms > 0 && out.len() < limit {
            Control::ResyncConfirm.encode(out);
            self.due.confirms -= 1;
            self.counters.confirms += 1;
        }
        more || self.due.confirms > 0 || self.due.request
    }

    /// Whether the peer is at a level of a hub: a process of the same node is at none.
    fn has_levels(&self) -> bool {
        self.role == Role::Remote && self.tables.is_hub()
    }

    /// Whether the peer is a hub of the same nodes.
    fn is_beside(&self) -> bool {
        self.level == PeerLevel::Beside && self.has_levels()
    }

    /// Whether updates came since the last call that other sessions of the section are to pass on: poll them for bytes.
    pub fn take_news(&mut self) -> bool {
        let before = std::mem::replace(&mut self.told_updates, self.learner.received.updates);
        (self.relays.is_on() || self.tables.is_hub()) && self.told_updates != before
    }

    /// Time since anything was received, in ms.
    pub fn silent_for(&self, now: Millis) -> u64 {
        now.saturating_sub(self.last_received)
    }

    /// Counts of control messages and bytes.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts of what was received.
    pub fn received(&self) -> Received {
        Received { ignored_strings: self.learner.dictionary.ignored(), ..self.learner.received }
    }

    /// Counts of what was sent.
    pub fn sent(&self) -> Sent {
        self.teacher.sent
    }
}

/// A decode error's kind is small, so that results stay cheap to return.
const _: () = assert!(size_of::<DecodeErrorKind>() <= 32);
