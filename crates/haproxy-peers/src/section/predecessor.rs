//! The process before this one, which teaches it (peers-protocol §13.4).
//!
//! It speaks with the section's own name. So may a stranger: the driver greets as predecessor only a process that it knows
//! to be the one to take over from.

use stick_table::Millis;

use super::resync::{self, ResyncState, history};
use super::{Arrival, Greeting, Section, SessionId};
use crate::{Hello, Role, Status};

impl Section {
    /// Answers the hello of the process before this one, which connected to teach. 504 when it says another name than the
    /// section's own, 300 while another one teaches.
    ///
    /// A section that stops before it was taught is still greeted: what it learns goes on to its own successor.
    pub fn greet_predecessor(&mut self, now: Millis, hello: &Hello) -> Greeting {
        if !self.is_local_name(&hello.sender) {
            return Greeting::Refuse(Status::UnknownPeer);
        }
        if self.stop.as_ref().is_some_and(|stop| !stop.learns()) {
            return Greeting::Drop("this process is stopping");
        }
        if self.peers[0].session().is_some() {
            // The stopping process tries again after this status (peers-protocol §2.5).
            return Greeting::Refuse(Status::TryLater);
        }
        let arrival = Arrival { version: hello.version, role: Role::Predecessor, pid: None };
        self.welcome(0, arrival, now)
    }

    pub(super) fn predecessor_teaches(&mut self, session: SessionId) {
        self.resync.assigned = Some(session);
        self.resync.history |= history::LOCAL_ASSIGNED;
        self.successor_waits_for(session);
    }

    /// The process before this one is alive and is about to teach: it is waited for 5 s more.
    pub fn predecessor_is_there(&mut self, now: Millis) {
        if let ResyncState::FromLocal { until } = &mut self.resync.state {
            *until = now + resync::RESYNC_MS;
        }
    }

    /// The process before this one ended. Without its lesson the remote peers are asked now.
    pub fn predecessor_is_gone(&mut self, now: Millis) {
        if let ResyncState::FromLocal { until } = &mut self.resync.state
            && self.resync.assigned.is_none()
        {
            *until = now;
            self.handle_timeout(now);
        }
    }

    /// Whether the process before this one teaches, or is waited for.
    pub(super) fn awaits_predecessor(&self) -> bool {
        let teaches = self.resync.assigned.is_some() && self.resync.assigned == self.peers[0].established();
        teaches || matches!(self.resync.state, ResyncState::FromLocal { .. })
    }
}
