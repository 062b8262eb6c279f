//! One established connection with a peer: what it says becomes changes of tables, and what it must know becomes bytes.

mod event;
pub use event::SessionEvent;

mod learner;
pub use learner::Received;

mod teacher;
pub use teacher::{Resume, Sent};

mod view;
pub use view::{SessionView, SharedTableView};

mod levels;
pub(crate) use levels::Levels;
pub use levels::LevelsError;

mod relays;
pub use relays::Relays;

mod plan;
mod refused;
mod repetition;
mod row;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stick_table::{DataType, Millis, Origin};
use thiserror::Error;

use self::learner::{Learner, Learning};
use self::relays::ANNOUNCEMENT_MS;
use self::teacher::Teacher;
use crate::{
    Ack, Control, DecodeError, DecodeErrorKind, ErrorMessage, Frame, PeerLevel, ProtocolVersion, TableSet,
    UpdateForm, class, decode_frame, kind,
};

/// A heartbeat is sent after this time without having sent anything, in ms (peers-protocol §3).
pub const HEARTBEAT_MS: u64 = 3_000;
/// In the first moments of a session, this long in ms, heartbeats come more often: a HAProxy (seen with 3.2 and 3.4) that
/// replaced another session with this one forgets that it heard of the peer, looks for a sign of life within 2 s, and closes
/// the session when there was none.
const SETTLING_MS: u64 = 2_500;
/// Time between heartbeats while a session settles, in ms.
const SETTLING_HEARTBEAT_MS: u64 = 250;
/// A peer that sends heartbeats is dead after this time of silence, in ms.
pub const SILENCE_MS: u64 = 5_000;
/// A peer that never sent a heartbeat (1.6 to 1.9 do not) is dead after this time of silence, in ms.
pub const SILENCE_WITHOUT_HEARTBEATS_MS: u64 = 10_000;
/// A peer that is taught may be silent for this long, in ms.
pub const SILENCE_IN_LESSON_MS: u64 = 60_000;

/// A lesson is given up after this time without a definition or an update, in ms: the peer is alive but does not teach.
const LESSON_PATIENCE_MS: u64 = 30_000;
/// How long a hub waits for what a peer has before it tells it sums, in ms. A young session gives signs of life often, and later
/// ones every 3 s, so the end of the wait is noticed.
const VALUES_MS: u64 = 5_000;
/// Bytes first tried to complete a message with.
const MIN_COMPLETION: usize = 256;
/// Events kept until they are polled; a flood of what causes them loses the rest.
const MAX_EVENTS: usize = 256;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A remote peer.
    Remote,
    /// The process before this one, which connected to teach (peers-protocol §13.4).
    Predecessor,
    /// The process after this one, which is to be taught.
    Successor,
}

/// Bounds of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload accepted, in bytes: `tune.bufsize`.
    pub buffer_size: usize,
    /// Most live updates of a table in one pass: `tune.peers.max-updates-at-once`.
    pub max_updates_at_once: usize,
    /// Longest `server_key` kept, in bytes; longer ones are passed over. Each entry may have one of its own.
    pub max_server_key: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            buffer_size: crate::DEFAULT_MAX_PAYLOAD,
            max_updates_at_once: 200,
            max_server_key: crate::DEFAULT_MAX_SERVER_KEY,
        }
    }
}

/// What a session is made from.
pub struct SessionSetup {
    /// The section's tables.
    pub tables: Arc<TableSet>,
    /// The version agreed on.
    pub version: ProtocolVersion,
    /// Who is at the other end.
    pub role: Role,
    /// The peer's number, by which tables know who changed an entry.
    pub origin: Origin,
    /// The peer's shard, 0 for all.
    pub shard: u32,
    /// Who the peer is to a hub.
    pub level: PeerLevel,
    /// Whether the section is up to date: a lesson ends with FINISHED then, else with PARTIAL.
    pub up_to_date: Arc<AtomicBool>,
    /// Bounds.
    pub limits: Limits,
    /// Where live updates go on, from the peer's last session.
    pub resume: Resume,
    /// Whether the section passes live updates on, and to whom not.
    pub relays: Relays,
    /// Whether a hub waits for what the peer has before it tells it sums: without that they may be lower than the peer's own
    /// values. It waits for 5 s at most.
    pub awaits_values: Arc<AtomicBool>,
}

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
    /// A session whose handshake succeeded at `now`.
    pub fn new(setup: SessionSetup, now: Millis) -> Self {
        let SessionSetup { tables, version, role, origin, shard, level, up_to_date, limits, .. } = setup;
        let SessionSetup { resume, relays, awaits_values, .. } = setup;
        let timed = version.has_timed_updates();
        tables.session_began(origin, level);
        let mut learner = Learner::new(Arc::clone(&tables), (origin, level), timed, limits, now);
        let is_remote = role == Role::Remote;
        // Between processes of one node everything is told by the lesson.
        let relays_here = relays.is_on() && is_remote;
        let passed_on = relays_here.then(|| relays.clone());
        let max_updates = limits.max_updates_at_once.max(1);
        let mut teacher =
            Teacher::new(Arc::clone(&tables), resume, (origin, shard, level), timed, max_updates, passed_on);
        match role {
            Role::Remote => {}
            // No request is sent: the lesson begins at once.
            Role::Predecessor => learner.learning = Learning::Running,
            Role::Successor => teacher.start_lesson(),
        }
        Self {
            role,
            version,
            buffer_size: limits.buffer_size,
            up_to_date,
            awaits_values,
            learner,
            teacher,
            relays,
            tables,
            level,
            told_levels: 0,
            origin,
            unheard: is_remote,
            told_updates: 0,
            partial: Vec::new(),
            offset: 0,
            due: Due { announcement: relays_here, ..Due::default() },
            error_due: None,
            failed: None,
            events: VecDeque::new(),
            started: now,
            last_received: now,
            last_sent: now,
            last_taught: None,
            counters: Counters::default(),
        }
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

    /// Takes bytes from the peer. Changes are applied to the tables before it returns.
    ///
    /// # Errors
    /// When the peer sent something malformed, or is refused. What came before it is applied and stays; call
    /// [`poll_transmit`](Self::poll_transmit) once more for the protocol's error message, send it and close.
    pub fn handle_input(&mut self, now: Millis, input: &[u8]) -> Result<(), SessionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.teacher.begin();
        self.last_received = now;
        let before = self.learner.received;
        self.counters.bytes_received += input.len() as u64;
        self.learner.reconsider(now).into_iter().for_each(|event| self.note(event));
        let result = self.take_input(now, input);
        self.learner.apply(now);
        if std::mem::take(&mut self.learner.wants_lesson) {
            self.note(SessionEvent::LessonNeeded);
        }
        self.watch_lesson(now, before);
        match result {
            Ok(()) => {}
            Err(error @ SessionError::Malformed(malformed)) => {
                self.error_due = Some(malformed.wire_error());
                self.failed = Some(error);
            }
            Err(error) => self.failed = Some(error),
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Handles the complete messages in what is left of earlier input and in `input`, and keeps the rest.
    fn take_input(&mut self, now: Millis, input: &[u8]) -> Result<(), SessionError> {
        let Some(rest) = self.complete_message(now, input)? else { return Ok(()) };
        let taken = self.handle_messages(now, rest)?;
        self.partial.extend_from_slice(&rest[taken..]);
        Ok(())
    }

    /// Completes the message that earlier input began and handles it; returns what follows it, `None` when `input` does
    /// not complete it. Copies little more than that message.
    fn complete_message<'a>(
        &mut self,
        now: Millis,
        input: &'a [u8],
    ) -> Result<Option<&'a [u8]>, SessionError> {
        let before = self.partial.len();
        if before == 0 {
            return Ok(Some(input));
        }
        let mut bytes = std::mem::take(&mut self.partial);
        while bytes.len() < before + input.len() {
            let copied = bytes.len() - before;
            let end = input.len().min(copied + bytes.len().max(MIN_COMPLETION));
            bytes.extend_from_slice(&input[copied..end]);
            let taken = self.handle_messages(now, &bytes)?;
            if taken > 0 {
                bytes.clear();
                self.partial = bytes;
                return Ok(Some(&input[taken - before..]));
            }
        }
        self.partial = bytes;
        Ok(None)
    }

    /// Gives a lesson up that does not come. `before` is what had been received earlier.
    fn watch_lesson(&mut self, now: Millis, before: Received) {
        if self.learner.learning != Learning::Running {
            return;
        }
        let last = self.last_taught.get_or_insert(now);
        if self.learner.received != before {
            *last = now;
        } else if now.saturating_sub(*last) >= LESSON_PATIENCE_MS {
            self.learner.learning = Learning::Over;
            self.note(SessionEvent::LessonAbandoned);
        }
    }

    /// Handles the complete messages in `bytes`; returns how many bytes they take.
    fn handle_messages(&mut self, now: Millis, bytes: &[u8]) -> Result<usize, SessionError> {
        let mut taken = 0;
        while let Some((frame, size)) = decode_frame(&bytes[taken..], self.offset, self.buffer_size)? {
            self.handle_frame(now, &frame)?;
            taken += size;
            self.offset += size as u64;
        }
        Ok(taken)
    }

    fn handle_frame(&mut self, now: Millis, frame: &Frame<'_>) -> Result<(), SessionError> {
        if self.unheard {
            self.unheard = false;
            let relays = frame.class == class::CONTROL && frame.kind == Control::Relay.kind();
            self.relays.note(self.origin, relays);
        }
        match frame.class {
            class::STICK_TABLE => {
                if let Some(form) = UpdateForm::from_kind(frame.kind) {
                    self.learner.update(form, frame, now)?;
                    return Ok(());
                }
                match frame.kind {
                    kind::DEFINE => self.handle_definition(frame, now)?,
                    kind::SWITCH => self.learner.switch(frame)?,
                    kind::ACK => {
                        self.teacher.acknowledge(Ack::decode(&mut frame.reader())?);
                    }
                    // Types of later versions are to be ignored (peers-protocol §4).
                    _ => {}
                }
            }
            class::CONTROL if frame.kind == levels::KIND && self.has_levels() => {
                self.tables.levels().note(self.origin, self.level, &mut frame.reader())??;
            }
            class::CONTROL => self.handle_control(now, Control::from_kind(frame.kind)),
            class::ERROR => {
                let size_limit = ErrorMessage::from_kind(frame.kind) == Some(ErrorMessage::SizeLimit);
                self.note(SessionEvent::PeerReportsError { size_limit });
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the peer is at a level of a hub: a process of the same node is at none.
    fn has_levels(&self) -> bool {
        self.role == Role::Remote && self.tables.is_hub()
    }

    fn handle_definition(&mut self, frame: &Frame<'_>, now: Millis) -> Result<(), DecodeError> {
        if let Some(ack) = Ack::from_1_6_dev(frame)
            && self.teacher.acknowledge(ack)
        {
            return Ok(());
        }
        if let Some(event) = self.learner.define(frame, now)? {
            self.note(event);
        }
        // Types from http_fail_cnt on came with 2.4, which reads every payload length right (peers-protocol §18.2).
        let newest = self.learner.current.map_or(0, |place| self.learner.bindings[place].data_types);
        if newest >> DataType::HttpFailCnt.number() != 0 {
            self.teacher.peer_reads_all_lengths();
        }
        Ok(())
    }

    fn handle_control(&mut self, now: Millis, control: Option<Control>) {
        match control {
            Some(Control::ResyncRequest) => {
                self.teacher.lesson_requested();
                self.note(SessionEvent::LessonRequested);
            }
            Some(end @ (Control::ResyncFinished | Control::ResyncPartial)) => {
                self.learner.apply(now);
                // Every end is confirmed, asked for or not: the teacher waits for it (peers-protocol §13.1).
                self.due.confirms = self.due.confirms.saturating_add(1);
                if self.learner.learning == Learning::Running {
                    self.learner.learning = Learning::Over;
                    let complete = end == Control::ResyncFinished;
                    if self.role == Role::Predecessor {
                        let lacking = self.learner.note_lacking().join(", ");
                        if !lacking.is_empty() {
                            self.events.push_back(SessionEvent::LessonLacks { lacking });
                        }
                    } else {
                        self.learner.note_told();
                    }
                    // At most once for each lesson asked for, and the section waits for it.
                    self.events.push_back(SessionEvent::LessonLearned { complete });
                }
            }
            Some(Control::ResyncConfirm) if self.teacher.confirmed() => {
                // At most once for each lesson given, and a stopping section waits for it.
                self.events.push_back(SessionEvent::LessonTaught);
            }
            Some(Control::Heartbeat) => self.counters.heartbeats_received += 1,
            // The first message of a session was looked at; a later announcement comes too late to mean anything.
            Some(Control::ResyncConfirm | Control::Relay) | None => {}
        }
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
        if std::mem::take(&mut self.due.heartbeat) {
            Control::Heartbeat.encode(out);
            self.counters.heartbeats_sent += 1;
        }
        // Before the acknowledgements: the teacher does not count those that come after it, so what was taken as part of
        // the lesson comes again (peers-protocol §11.1, §13.3).
        if std::mem::take(&mut self.due.request) {
            Control::ResyncRequest.encode(out);
            self.learner.times.asked = now;
        }
        let mut from = 0;
        while let Some((place, ack)) = self.learner.next_ack(from) {
            ack.encode(out);
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
        more || self.due.confirms > 0
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, in ms.
    pub fn poll_timeout(&self) -> Millis {
        let silence_at = self.last_received + self.patience();
        let confirmation_at = self.confirmation_timeout().unwrap_or(silence_at).min(silence_at);
        // A heartbeat that waits to be polled for is not due once more.
        if self.due.heartbeat { confirmation_at } else { self.heartbeat_at().min(confirmation_at) }
    }

    /// When a remote peer must have confirmed its lesson. A process that stops waits for its successor as long as that lives.
    fn confirmation_timeout(&self) -> Option<Millis> {
        self.teacher.confirmation_timeout().filter(|_| self.role == Role::Remote)
    }

    fn heartbeat_at(&self) -> Millis {
        let settling = self.last_sent < self.started + SETTLING_MS;
        self.last_sent + if settling { SETTLING_HEARTBEAT_MS } else { HEARTBEAT_MS }
    }

    /// How long the peer may be silent.
    fn patience(&self) -> u64 {
        let learning = self.learner.learning == Learning::Running;
        if self.teacher.is_teaching() {
            // Who learns may be too busy to say anything; who teaches is not silent.
            SILENCE_IN_LESSON_MS
        } else if learning || self.role != Role::Remote || self.counters.heartbeats_received == 0 {
            SILENCE_WITHOUT_HEARTBEATS_MS
        } else {
            SILENCE_MS
        }
    }

    /// Looks at the clock; poll for events and bytes afterwards.
    ///
    /// # Errors
    /// When the peer was silent for too long: close. An error of before is repeated.
    pub fn handle_timeout(&mut self, now: Millis) -> Result<(), SessionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let silent = now.saturating_sub(self.last_received);
        if silent >= self.patience() {
            let error = SessionError::Silent(silent);
            self.failed = Some(error);
            return Err(error);
        }
        if self.role == Role::Remote && self.teacher.give_up_confirmation(now) {
            self.note(SessionEvent::LessonUnconfirmed);
        }
        self.due.heartbeat |= now >= self.heartbeat_at();
        Ok(())
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
