//! What a section remembers of a peer from one session to the next.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stick_table::defect::Defect;
use stick_table::{Millis, Origin, OriginLease};

use super::process::Process;
use super::side_by_side::Lessons;
use super::{ConfiguredPeer, PeerId, SessionId};
use crate::{LastStatus, PeerLevel, ProtocolVersion, Resume, Status};

/// Time between attempts to connect, in ms (peers-protocol §3).
pub(crate) const RECONNECT_MS: u64 = 5_000;
/// Longest pause between attempts after the peer refused, in ms.
const MAX_BACK_OFF_MS: u64 = 60_000;
/// How long a refusal of 2.1 is believed, in ms; then 2.1 is tried again.
const REFUSAL_MEMORY_MS: u64 = 60_000;
/// Lessons asked of a peer that ends them as partial: it may have finished its own in the meantime.
pub(super) const LESSON_ATTEMPTS: u32 = 2;

/// How a peer came to be in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// The section's own name: the process before or after this one.
    Local,
    /// Configured.
    Static,
    /// Came by itself under a name that is not configured.
    Dynamic,
    /// Added at run time, as the name service lists it: it comes by itself, and is connected to.
    Discovered,
}

/// The connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Idle,
    /// An attempt of this side's, with the version it announces.
    Connecting(SessionId, ProtocolVersion),
    Established(SessionId, ProtocolVersion),
}

/// An attempt of this side's beside an established session. If the peer accepts it, it takes that session's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) session: SessionId,
    /// The version it announces.
    pub(super) version: ProtocolVersion,
    pub(super) kind: BesideKind,
}

/// Why there is an attempt beside a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BesideKind {
    /// To lift the session from 2.0 to 2.1.
    Probe,
    /// Its hello crossed the peer's.
    Crossing,
}

/// Counts of what happened with a peer since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Sessions that were established.
    pub sessions: u64,
    /// Attempts of this side to connect.
    pub attempts: u64,
    /// Sessions closed because the peer was silent.
    pub silences: u64,
    /// Sessions closed because of malformed messages.
    pub protocol_errors: u64,
    /// Sessions replaced by a new one of the same peer.
    pub collisions: u64,
}

pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) name: String,
    pub(super) kind: PeerKind,
    /// Whether this side connects to it when there is no session.
    pub(super) is_called: bool,
    pub(super) shard: u32,
    pub(super) level: PeerLevel,
    /// When what it told a hub counts no more, unless it comes back.
    pub(super) counts_until: Option<Millis>,
    pub(super) origin: Origin,
    /// Nobody else has the number as long as this is here.
    _lease: Option<OriginLease>,
    pub(super) link: Link,
    /// When the hello of the attempt that is under way was sent.
    pub(super) hello_sent_at: Option<Millis>,
    /// When the peer accepted the attempt that is its session now; `None` when the peer opened that.
    pub(super) answered_at: Option<Millis>,
    pub(super) beside: Option<Beside>,
    /// When to look whether the peer speaks 2.1 by now.
    pub(super) probe_at: Option<Millis>,
    /// When to try to connect; never when `None`.
    pub(super) connect_at: Option<Millis>,
    /// When it is forgotten; set while it has no session and nobody but itself would bring it back.
    pub(super) forget_at: Option<Millis>,
    refusals: u32,
    /// Sessions that ended because of malformed messages or levels, without another end in between.
    refused_in_a_row: u32,
    /// When the peer refused version 2.1.
    refused_2_1_at: Option<Millis>,
    pub(super) last_status: LastStatus,
    pub(super) last_handshake: Option<Millis>,
    pub(super) resume: Resume,
    /// Whether its session waits for its lesson before it tells it results.
    pub(super) awaits_values: Arc<AtomicBool>,
    /// Lessons still to be asked of this peer, and when the next one at the earliest.
    pub(super) lessons_wanted: u32,
    pub(super) lesson_at: Millis,
    /// What tells its processes apart.
    pub(super) process: Process,
    /// Those that it got as a node, of this hub and of hubs beside it.
    pub(super) lessons: Lessons,
    pub(super) counters: PeerCounters,
    pub(super) last_reason: Option<String>,
}

impl Peer {
    pub(super) fn configured(id: PeerId, peer: ConfiguredPeer, lease: OriginLease, now: Millis) -> Self {
        let ConfiguredPeer { name, shard, level, is_called } = peer;
        let connect_at = is_called.then_some(now);
        let lessons_wanted = if level.shares_values() { LESSON_ATTEMPTS } else { 0 };
        Self {
            shard,
            level,
            is_called,
            connect_at,
            lessons_wanted,
            ..Self::new(id, name, PeerKind::Static, lease, now)
        }
    }

    /// The process before or after this one.
    pub(super) fn local(id: PeerId, name: String, now: Millis) -> Self {
        Self {
            level: PeerLevel::Itself,
            lessons_wanted: 0,
            ..Self::with_origin(id, name, PeerKind::Local, Origin::ITSELF, now)
        }
    }

    /// Whether it is a node of a hub: one whose values are summed.
    pub(super) fn is_node(&self) -> bool {
        self.kind != PeerKind::Local && self.level.is_below()
    }

    /// A peer that is not called, and gets all shards.
    pub(super) fn new(id: PeerId, name: String, kind: PeerKind, lease: OriginLease, now: Millis) -> Self {
        let origin = lease.origin();
        Self { _lease: Some(lease), ..Self::with_origin(id, name, kind, origin, now) }
    }

    fn with_origin(id: PeerId, name: String, kind: PeerKind, origin: Origin, now: Millis) -> Self {
        Self {
            id,
            name,
            kind,
            is_called: false,
            shard: 0,
            level: PeerLevel::Below,
            counts_until: None,
            origin,
            _lease: None,
            link: Link::Idle,
            hello_sent_at: None,
            answered_at: None,
            beside: None,
            probe_at: None,
            connect_at: None,
            forget_at: None,
            refusals: 0,
            refused_in_a_row: 0,
            refused_2_1_at: None,
            last_status: LastStatus::None,
            last_handshake: None,
            resume: Resume::default(),
            awaits_values: Arc::default(),
            lessons_wanted: LESSON_ATTEMPTS,
            lesson_at: now,
            process: Process::default(),
            lessons: Lessons::default(),
            counters: PeerCounters::default(),
            last_reason: None,
        }
    }

    /// Takes back the attempt beside the session, if that is `session`.
    pub(super) fn take_beside(&mut self, session: SessionId) -> Option<Beside> {
        self.beside.take_if(|beside| beside.session == session)
    }

    /// Whether it told what it knew when this process began, or was asked for it in vain.
    pub(super) fn told_all(&self) -> bool {
        self.lessons_wanted == 0
    }

    pub(super) fn established(&self) -> Option<SessionId> {
        match self.link {
            Link::Established(session, _) => Some(session),
            _ => None,
        }
    }

    /// Whether it was discovered, and is not listed any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.kind == PeerKind::Discovered && !self.is_called
    }

    /// Whether it may be forgotten when it has no session.
    pub(super) fn is_passing(&self) -> bool {
        self.kind == PeerKind::Dynamic || self.is_withdrawn()
    }

    /// The session of the link, established or not.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.link {
            Link::Idle => None,
            Link::Connecting(session, _) | Link::Established(session, _) => Some(session),
        }
    }

    /// The version to announce: 2.1 unless the peer refused it a moment ago (peers-protocol §2.4).
    ///
    /// HAProxy keeps announcing 2.0 to a peer that announced 2.0 itself, so two that speak 2.1 can stay at 2.0 for good;
    /// not remembering anything but a refusal is what frees them.
    pub(super) fn version_to_announce(&self, now: Millis) -> ProtocolVersion {
        match self.refused_2_1_at {
            Some(at) if now < at + REFUSAL_MEMORY_MS || Defect::DowngradeSticks.is_on() => {
                ProtocolVersion::V2_0
            }
            _ => ProtocolVersion::V2_1,
        }
    }

    /// Whether lessons and hellos are of version 2.0 now: what HAProxy shows as the downgrade flag.
    pub(super) fn is_downgraded(&self, now: Millis) -> bool {
        let version = match self.link {
            Link::Established(_, version) | Link::Connecting(_, version) => version,
            Link::Idle => self.version_to_announce(now),
        };
        !version.has_timed_updates()
    }

    /// Notes that the handshake succeeded.
    pub(super) fn note_established(&mut self, session: SessionId, version: ProtocolVersion, now: Millis) {
        self.link = Link::Established(session, version);
        self.answered_at = None;
        self.connect_at = None;
        self.forget_at = None;
        self.counts_until = None;
        self.refusals = 0;
        self.last_status = LastStatus::Answered(Status::Accepted);
        self.last_handshake = Some(now);
        self.counters.sessions += 1;
        self.last_reason = None;
        if version.has_timed_updates() {
            self.refused_2_1_at = None;
            self.probe_at = None;
        } else {
            let believed_until = self.refused_2_1_at.map_or(0, |at| at + REFUSAL_MEMORY_MS);
            let probes = !Defect::DowngradeSticks.is_on();
            self.probe_at = probes.then(|| believed_until.max(now + RECONNECT_MS));
        }
    }

    /// Notes that the peer refused an attempt; returns the pause before the next one, in ms.
    pub(super) fn note_refusal(&mut self, status: Status, announced: ProtocolVersion, now: Millis) -> u64 {
        self.last_status = LastStatus::Answered(status);
        if status == Status::VersionMismatch && announced.has_timed_updates() {
            // The next attempt announces 2.0, which has not been refused: no reason to wait long.
            self.refused_2_1_at = Some(now);
            return 0;
        }
        self.refusals = self.refusals.saturating_add(1);
        back_off(self.refusals)
    }

    /// Notes the answer to a probe, which was not 200: 2.1 is still refused, or something else is in the way.
    pub(super) fn note_probe_refused(&mut self, status: Status, now: Millis) {
        if status == Status::VersionMismatch {
            self.refused_2_1_at = Some(now);
        }
        self.probe_at = Some(now + REFUSAL_MEMORY_MS);
    }

    /// Notes the end of a session; returns the pause before the next attempt, in ms: longer and longer while sessions end
    /// because of malformed messages or of its level, which the peer may send again at once.
    pub(super) fn note_end(&mut self, is_bad: bool) -> u64 {
        if !is_bad {
            self.refused_in_a_row = 0;
            return 0;
        }
        self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
        back_off(self.refused_in_a_row)
    }
}

/// The pause after so many failures in a row, in ms: doubled each time, up to a minute.
fn back_off(failures: u32) -> u64 {
    // More doublings than these are over the limit anyway, and must not overflow.
    (RECONNECT_MS << failures.saturating_sub(1).min(8)).min(MAX_BACK_OFF_MS)
}
