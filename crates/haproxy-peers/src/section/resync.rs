//! Whether the section is up to date, and from whom it becomes so (peers-protocol §13.1).

use stick_table::Millis;

use super::SessionId;

/// How long each of the two phases waits for somebody to teach, in ms.
pub(super) const RESYNC_MS: u64 = 5_000;

/// Lessons that a hub takes at the same time: nodes that restart together wait for theirs, up to 5 s each, and no sum is whole before
/// all nodes have taught.
pub(super) const LESSONS_AT_ONCE: usize = 16;

/// Where the section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResyncState {
    /// Waiting for the process before this one.
    FromLocal {
        /// Until when, in ms.
        until: Millis,
    },
    /// Waiting for a remote peer's lesson to end.
    FromRemote {
        /// Until when, in ms, while no lesson is running.
        until: Millis,
    },
    /// Up to date, as far as anybody could help.
    Finished,
}

/// History bits of `show peers`, by HAProxy 3.0's numbers (stick-tables §8).
pub(super) mod history {
    pub(in super::super) const LOCAL_TIMEOUT: u32 = 0x10_0000;
    pub(in super::super) const REMOTE_TIMEOUT: u32 = 0x20_0000;
    pub(in super::super) const LOCAL_ABORT: u32 = 0x40_0000;
    pub(in super::super) const REMOTE_ABORT: u32 = 0x80_0000;
    pub(in super::super) const LOCAL_FINISHED: u32 = 0x100_0000;
    pub(in super::super) const REMOTE_FINISHED: u32 = 0x200_0000;
    pub(in super::super) const LOCAL_PARTIAL: u32 = 0x400_0000;
    pub(in super::super) const REMOTE_PARTIAL: u32 = 0x800_0000;
    pub(in super::super) const LOCAL_ASSIGNED: u32 = 0x1000_0000;
    pub(in super::super) const REMOTE_ASSIGNED: u32 = 0x2000_0000;
}

/// The learner's side of a section.
pub(super) struct Resync {
    pub(super) state: ResyncState,
    /// The session whose lesson is running.
    pub(super) assigned: Option<SessionId>,
    /// Other sessions whose lessons are running: those of a hub's nodes, fewer than [`LESSONS_AT_ONCE`].
    beside: Vec<SessionId>,
    pub(super) history: u32,
    /// Whether the lesson of the process before this one, which is about to end, does not tell all that peers know.
    pub(super) lacks: bool,
}

impl Resync {
    pub(super) fn new(expects_predecessor: bool, now: Millis) -> Self {
        let until = now + RESYNC_MS;
        let state = if expects_predecessor {
            ResyncState::FromLocal { until }
        } else {
            ResyncState::FromRemote { until }
        };
        Self { state, assigned: None, beside: Vec::new(), history: 0, lacks: false }
    }

    /// Whether the lesson of a session is running.
    pub(super) fn has_asked(&self, session: SessionId) -> bool {
        self.assigned == Some(session) || self.beside.contains(&session)
    }

    /// Whether another lesson may begin beside those that are running.
    pub(super) fn may_ask(&self, is_hub: bool) -> bool {
        self.assigned.is_none() || is_hub && self.beside.len() + 1 < LESSONS_AT_ONCE
    }

    /// Notes that a session was asked for a lesson.
    pub(super) fn note_asked(&mut self, session: SessionId) {
        if self.assigned.is_none() {
            self.assigned = Some(session);
        } else {
            self.beside.push(session);
        }
    }

    /// Notes that the assigned session does not teach any more: another one that teaches takes its place.
    pub(super) fn unassign(&mut self) {
        self.assigned = self.beside.pop();
    }

    /// Notes that the lesson of a session is not running any more, unless it is the assigned one; whether it was one of the others.
    pub(super) fn left_beside(&mut self, session: SessionId) -> bool {
        let count = self.beside.len();
        self.beside.retain(|other| *other != session);
        self.beside.len() < count
    }

    /// Looks at the clock; `alone` when no remote peer is or may become a member.
    pub(super) fn tick(&mut self, now: Millis, alone: bool) {
        if self.assigned.is_some() {
            return;
        }
        match self.state {
            ResyncState::FromLocal { until } if now >= until => {
                self.history |= history::LOCAL_TIMEOUT;
                self.state = ResyncState::FromRemote { until: now + RESYNC_MS };
            }
            ResyncState::FromRemote { .. } if alone => self.state = ResyncState::Finished,
            ResyncState::FromRemote { until } if now >= until => {
                self.history |= history::REMOTE_TIMEOUT;
                self.state = ResyncState::Finished;
            }
            _ => {}
        }
    }

    /// Notes that nobody teaches any more; waits for somebody else unless the section is up to date.
    pub(super) fn wait_again(&mut self, now: Millis) {
        self.unassign();
        let until = now + RESYNC_MS;
        self.state = match self.state {
            ResyncState::FromLocal { .. } => ResyncState::FromLocal { until },
            ResyncState::FromRemote { .. } => ResyncState::FromRemote { until },
            ResyncState::Finished => ResyncState::Finished,
        };
    }

    /// When [`tick`](Self::tick) may change something.
    pub(super) fn timeout(&self) -> Option<Millis> {
        match self.state {
            _ if self.assigned.is_some() => None,
            ResyncState::FromLocal { until } | ResyncState::FromRemote { until } => Some(until),
            ResyncState::Finished => None,
        }
    }

    /// The section's flags for `show peers`, by HAProxy 3.0's numbers (stick-tables §8).
    pub(super) fn flags(&self) -> u32 {
        let phase = match self.state {
            ResyncState::FromLocal { .. } => 0,
            ResyncState::FromRemote { .. } => 1,
            ResyncState::Finished => 3,
        };
        phase | if self.assigned.is_some() { 4 } else { 0 } | self.history
    }
}
