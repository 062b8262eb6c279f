//! What a session is made from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stick_table::{Millis, Origin};

use super::learner::{Learner, Learning};
use super::teacher::Teacher;
use super::{Counters, Due, Relays, Resume, Session};
use crate::{PeerLevel, ProtocolVersion, TableSet};

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
    /// Which peers are relays, and which peer made each update, so that no update goes back to its writer.
    pub relays: Relays,
    /// Whether a hub waits for what the peer has before it tells it sums: without that they may be lower than the peer's own
    /// values. It waits for 5 s at most.
    pub awaits_values: Arc<AtomicBool>,
}

impl Session {
    /// A session whose handshake succeeded at `now`.
    pub fn new(setup: SessionSetup, now: Millis) -> Self {
        let SessionSetup { tables, version, role, origin, shard, level, up_to_date, limits, .. } = setup;
        let SessionSetup { resume, relays, awaits_values, .. } = setup;
        let timed = version.has_timed_updates();
        tables.session_began(origin, level);
        let is_remote = role == Role::Remote;
        // Between processes of one node everything is told by the lesson.
        let relays_here = relays.is_on() && is_remote;
        let passed_on = relays_here.then(|| relays.clone());
        let from_relays = passed_on.clone();
        let mut learner = Learner::new(
            Arc::clone(&tables),
            (origin, level),
            timed,
            limits,
            (from_relays, resume.clone()),
            now,
        );
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
            told_lessons: 0,
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
}
