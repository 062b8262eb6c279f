//! What a session does by the clock: heartbeats, and an end for peers that are silent or do not teach.

use stick_table::Millis;

use super::learner::{Learning, Received};
use super::{Role, Session, SessionError, SessionEvent};

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

impl Session {
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

    /// Gives a lesson up that does not come. `before` is what had been received earlier.
    pub(super) fn watch_lesson(&mut self, now: Millis, before: Received) {
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
}
