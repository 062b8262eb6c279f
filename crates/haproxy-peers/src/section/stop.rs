//! The end of a process: teaching the next one (peers-protocol §13.4).

use stick_table::Millis;
use stick_table::defect::Defect;

use super::peer::{Beside, Link, Peer};
use super::{Action, Section, SessionId};
use crate::LastStatus;

/// Longest search for a successor, in ms; suspended while a lesson is running.
const SEARCH_MS: u64 = 5_000;
/// Longest search for a successor that answers but is taught by another process, in ms.
const BUSY_MS: u64 = 60_000;
/// Time between attempts to reach the successor, in ms.
const ATTEMPT_MS: u64 = 500;
/// The end of that, which is left for one more attempt, in ms.
const LAST_ATTEMPT_MS: u64 = 1_000;
/// Longest wait for the sessions with remote peers to end before the successor is looked for, in ms.
const LEAVE_MS: u64 = 1_000;
/// Lessons of a successor that may break off before it is given up.
const MAX_BROKEN_LESSONS: u32 = 3;

/// How far a stopping section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopProgress {
    /// Looking for the successor, or teaching it.
    Teaching,
    /// The successor confirmed its lesson.
    Taught,
    /// No successor was found, or it did not take the lesson to its end.
    Alone,
}

/// A stop under way.
pub(super) struct Stop {
    /// Whether this process still waits for its own predecessor's lesson: what only that one knew must go on.
    learns: bool,
    until: Millis,
    /// Whether one more attempt was made since the search has taken its time: a machine that is suspended for that long, or a clock
    /// that jumps, must not end it unsought.
    is_last: bool,
    /// Until when a successor may be busy.
    busy_until: Millis,
    /// Sessions with remote peers that have not ended: what they still receive must be in the lesson.
    leaving: Vec<SessionId>,
    leave_until: Millis,
    attempt_at: Option<Millis>,
    lesson: Option<SessionId>,
    broken_lessons: u32,
    progress: StopProgress,
}

impl Stop {
    /// Whether this process still waits for its predecessor's lesson.
    pub(super) fn learns(&self) -> bool {
        self.learns
    }

    /// Begins the search for a successor, which has all its time from now on.
    fn search(&mut self, now: Millis) {
        self.search_on(now, SEARCH_MS);
        self.busy_until = now + BUSY_MS;
        self.leave_until = now + LEAVE_MS;
        self.attempt_at = Some(now);
    }

    /// Gives the search `ms` milliseconds from `now`, its last attempt included.
    fn search_on(&mut self, now: Millis, ms: u64) {
        (self.until, self.is_last) = (now + ms.saturating_sub(LAST_ATTEMPT_MS), false);
    }
}

impl Section {
    /// Begins a soft stop: closes the sessions with all remote peers and looks for a successor to teach it everything. The
    /// driver must have closed its listener before.
    ///
    /// A section that itself waits for the lesson of the process before it, or is in it, looks for its successor when that
    /// lesson has ended: three reloads in a row must not lose what only the first process knew.
    pub fn stop(&mut self, now: Millis) {
        if self.stop.is_some() {
            return;
        }
        let learns = self.awaits_predecessor() && !Defect::HandsOverUntaught.is_on();
        let mut stop = Stop {
            learns,
            until: now,
            is_last: false,
            busy_until: now,
            leaving: self.peers.iter().filter_map(Peer::established).collect(),
            leave_until: now,
            attempt_at: None,
            lesson: None,
            broken_lessons: 0,
            progress: StopProgress::Teaching,
        };
        stop.search(now);
        self.stop = Some(stop);
        for place in 0..self.peers.len() {
            let peer = &mut self.peers[place];
            peer.connect_at = None;
            peer.probe_at = None;
            if let Some(Beside { session, .. }) = peer.beside.take() {
                self.actions.push_back(Action::Close { session, reason: "this process is stopping" });
            }
            if place > 0 || !learns {
                self.close_link(place, now, "this process is stopping");
            }
        }
        self.tick_stop(now);
    }

    /// How far the stop is; `None` when none was begun.
    pub fn stop_progress(&self) -> Option<StopProgress> {
        self.stop.as_ref().map(|stop| stop.progress)
    }

    /// There is no successor, and none will come.
    pub fn no_successor(&mut self) {
        if let Some(stop) = &mut self.stop
            && stop.lesson.is_none()
        {
            stop.progress = StopProgress::Alone;
        }
    }

    /// When [`tick_stop`](Self::tick_stop) may change something. A lesson that is running ends by its session.
    pub(super) fn stop_timeout(&self, stop: &Stop) -> Option<Millis> {
        if stop.progress != StopProgress::Teaching || stop.lesson.is_some() {
            return None;
        }
        if stop.learns {
            return self.resync.timeout();
        }
        let next = if stop.leaving.is_empty() { stop.attempt_at } else { Some(stop.leave_until) };
        Some(next.map_or(stop.until, |at| at.min(stop.until)))
    }

    pub(super) fn tick_stop(&mut self, now: Millis) {
        if self.stop.as_ref().is_some_and(|stop| stop.learns) {
            self.resync.tick(now, self.is_alone());
        }
        let learns = self.awaits_predecessor();
        let Some(stop) = &mut self.stop else { return };
        if stop.progress != StopProgress::Teaching || stop.lesson.is_some() {
            return;
        }
        if stop.learns {
            if learns {
                return;
            }
            stop.learns = false;
            stop.search(now);
        }
        if now >= stop.until && stop.is_last {
            stop.progress = StopProgress::Alone;
            self.close_link(0, now, "no successor answered");
            return;
        }
        if now >= stop.until {
            (stop.is_last, stop.until, stop.attempt_at) = (true, now + LAST_ATTEMPT_MS, Some(now));
        }
        if !stop.leaving.is_empty() && now < stop.leave_until {
            return;
        }
        stop.leaving.clear();
        if stop.attempt_at.is_some_and(|at| now >= at) {
            stop.attempt_at = None;
            // A predecessor that has taught everything and does not go.
            self.close_link(0, now, "this process is stopping");
            self.connect(0, now);
        }
    }

    /// The successor is looked for after this session has ended.
    pub(super) fn successor_waits_for(&mut self, session: SessionId) {
        if let Some(stop) = &mut self.stop {
            stop.leaving.push(session);
        }
    }

    /// The successor is there, and another process teaches it.
    pub(super) fn successor_is_busy(&mut self, now: Millis) {
        if let Some(stop) = &mut self.stop {
            stop.search_on(now, SEARCH_MS.min(stop.busy_until.saturating_sub(now)));
        }
    }

    /// A session ended, perhaps the last one that was waited for.
    pub(super) fn session_left(&mut self, session: SessionId, now: Millis) {
        let Some(stop) = &mut self.stop else { return };
        let count = stop.leaving.len();
        stop.leaving.retain(|leaving| *leaving != session);
        if stop.leaving.len() < count {
            self.tick_stop(now);
        }
    }

    pub(super) fn successor_accepted(&mut self, session: SessionId) {
        if let Some(stop) = &mut self.stop {
            stop.lesson = Some(session);
        }
    }

    pub(super) fn successor_taught(&mut self, session: SessionId) {
        // A successor that asks once more before its session is closed changes nothing.
        if let Some(stop) = &mut self.stop
            && stop.lesson == Some(session)
            && stop.progress == StopProgress::Teaching
        {
            stop.progress = StopProgress::Taught;
            self.actions.push_back(Action::Close { session, reason: "the successor has everything" });
        }
    }

    /// An attempt failed, was refused, or the lesson broke off.
    pub(super) fn retry_successor(&mut self, now: Millis) {
        self.peers[0].link = Link::Idle;
        self.peers[0].last_status = LastStatus::None;
        if let Some(stop) = &mut self.stop
            && stop.progress == StopProgress::Teaching
        {
            if stop.lesson.take().is_some() {
                // The search was suspended meanwhile.
                stop.search_on(now, SEARCH_MS);
                stop.broken_lessons += 1;
                if stop.broken_lessons >= MAX_BROKEN_LESSONS {
                    stop.progress = StopProgress::Alone;
                    return;
                }
            }
            if !stop.learns {
                stop.attempt_at = Some(now + ATTEMPT_MS);
            }
        }
    }
}
