//! Lessons that this process takes (peers-protocol §13.1), and the end of a process (§13.4).

use haproxy_peers::{LastStatus, Status};
use stick_table::Millis;

use super::Haproxy;

/// How long each phase is waited for, in ms.
const RESYNC_MS: Millis = 5_000;

/// Where the process expects what it does not know from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    FromLocal,
    FromRemote,
    Finished,
}

pub(super) struct Resync {
    pub(super) phase: Phase,
    /// The peer that teaches.
    assigned: Option<usize>,
    timer: Option<Millis>,
}

/// What a process that stops is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// It is to teach its successor, whom it looks for until this time.
    Until(Millis),
    /// It may end.
    Over,
}

impl Resync {
    pub(super) fn new() -> Self {
        Self { phase: Phase::FromLocal, assigned: None, timer: None }
    }

    /// When the phase ends, if no lesson comes.
    pub(super) fn timeout(&self) -> Option<Millis> {
        self.timer.filter(|_| self.assigned.is_none() && self.phase != Phase::Finished)
    }
}

impl Haproxy {
    /// Arms what is armed at the start.
    pub(super) fn start_resync(&mut self, now: Millis) {
        if self.config.quirks.bounds_wait_for_predecessor {
            self.resync.timer = Some(now + RESYNC_MS);
        }
    }

    /// Goes on to the next phase when it is time, and asks somebody for a lesson.
    pub(super) fn sync_resync(&mut self, now: Millis) {
        if self.resync.assigned.is_some() {
            return;
        }
        let is_over = |timer: Option<Millis>| timer.is_some_and(|at| at <= now);
        if self.resync.phase == Phase::FromLocal
            && (!self.config.has_predecessor || is_over(self.resync.timer))
        {
            self.resync.phase = Phase::FromRemote;
            self.resync.timer = Some(now + RESYNC_MS);
        }
        if self.resync.phase != Phase::FromRemote {
            return;
        }
        let may_teach = |peer: &&mut super::peer::Peer| {
            !peer.is_local && peer.session.as_ref().is_some_and(|session| !session.not_up_to_date)
        };
        let teacher = self.peers.iter_mut().enumerate().find(|(_, peer)| may_teach(peer));
        if let Some((place, session)) =
            teacher.and_then(|(place, peer)| Some((place, peer.session.as_mut()?)))
        {
            (session.learning, session.sends_request) = (true, true);
            self.resync.assigned = Some(place);
        } else if is_over(self.resync.timer)
            || self.config.quirks.needs_no_wait_without_remotes && self.config.peers.is_empty()
        {
            self.resync.phase = Phase::Finished;
        }
    }

    /// The predecessor connected: it teaches unasked.
    pub(super) fn predecessor_came(&mut self, place: usize) {
        if self.resync.phase == Phase::FromLocal
            && self.resync.assigned.is_none()
            && let Some(session) = &mut self.peers[place].session
        {
            session.learning = true;
            self.resync.assigned = Some(place);
        }
    }

    /// The end of a lesson came, asked for or not; each is confirmed.
    pub(super) fn lesson_ended(&mut self, now: Millis, place: usize, is_finished: bool) {
        let peer = &mut self.peers[place];
        let Some(session) = &mut peer.session else { return };
        session.confirms = session.confirms.saturating_add(1);
        if !std::mem::take(&mut session.learning) {
            return;
        }
        self.resync.assigned = None;
        if is_finished {
            self.resync.phase = Phase::Finished;
            return;
        }
        session.not_up_to_date = true;
        self.resync.timer = Some(now + RESYNC_MS);
        if peer.is_local {
            self.resync.phase = Phase::FromRemote;
        }
    }

    /// A session ended; if a lesson was under way in it, another is sought.
    pub(super) fn lesson_lost(&mut self, now: Millis, place: usize) {
        if self.resync.assigned == Some(place) {
            self.resync.assigned = None;
            self.resync.timer = Some(now + RESYNC_MS);
        }
    }

    /// Begins the soft stop.
    pub(super) fn start_stopping(&mut self, now: Millis) {
        if self.stopping.is_some() {
            return;
        }
        for place in 0..self.peers.len() {
            if self.peers[place].link.is_some() {
                self.close_session(now, place);
            }
        }
        self.drop_callers();
        let may_teach = self.resync.phase == Phase::Finished
            || !self.config.quirks.teaches_successor_only_when_up_to_date;
        self.stopping = Some(if may_teach { Stopping::Until(now + RESYNC_MS) } else { Stopping::Over });
        if let Some(local) = self.peers.iter_mut().find(|peer| peer.is_local) {
            (local.reconnect, local.status) = (None, LastStatus::None);
        }
    }

    /// Looks for the successor.
    pub(super) fn sync_stopping(&mut self, now: Millis) {
        let Some(Stopping::Until(until)) = self.stopping else { return };
        let Some(place) = self.peers.iter().position(|peer| peer.is_local) else { return };
        let peer = &mut self.peers[place];
        if peer.session.is_some() {
            return;
        }
        let may_retry = matches!(
            peer.status,
            LastStatus::None
                | LastStatus::Handshake
                | LastStatus::Answered(Status::Accepted | Status::TryLater)
        );
        if now >= until || peer.link.is_none() && !may_retry {
            self.close_session(now, place);
            self.stopping = Some(Stopping::Over);
        } else if peer.link.is_none() && peer.is_due(now) {
            let pause = self.config.quirks.successor_retry_ms;
            self.connect(now, place, pause);
        }
    }

    /// The successor has got everything.
    pub(super) fn successor_is_taught(&mut self) {
        self.stopping = Some(Stopping::Over);
        self.drop_all();
    }
}
