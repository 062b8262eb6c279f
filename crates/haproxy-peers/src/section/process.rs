//! Whether a peer is still the process that it was, and what a new one is asked for.
//!
//! A process that begins learns from others and pushes nothing of that. What the process before it had not pushed to this side
//! comes in a lesson only (peers-protocol §12.2).

use stick_table::Millis;

use super::peer::{LESSON_ATTEMPTS, Link};
use super::{PeerKind, Section};
use crate::Hello;

/// Pause before a new process is asked for a lesson, in ms: what it changed itself it pushes first, as long as nobody asks. HAProxy
/// up to 2.3 does not push again what it told in a lesson, and a lesson says of no value whose it is.
const PUSHES_FIRST_MS: Millis = 3_000;
/// The same after the lesson that the peer asked for itself: it pushes nothing to its teacher meanwhile.
const PUSHES_AFTER_LESSON_MS: Millis = 1_000;
/// How long the lesson of the peer itself is waited for at most, in ms.
const ITS_LESSON_MS: Millis = 60_000;

/// What tells the processes of a peer apart.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// The process id of the last hello that named one.
    pid: Option<u32>,
    /// Whether it had a session.
    had_session: bool,
    /// Whether it gave a lesson, in a session that either side opened.
    has_taught: bool,
    /// Whether it did so in a session before the present one.
    taught_before: bool,
    /// Whether it is known to be another process than that of the session before.
    is_new: bool,
    /// Whether a new process was not asked yet: not in sessions without timed updates, where a lesson starts lifetimes again.
    is_to_ask: bool,
}

impl Process {
    /// A session began. `pid` is the process id of the peer's hello. Returns whether the process may be another one than the
    /// one that told something before.
    fn session_began(&mut self, pid: Option<u32>) -> bool {
        self.taught_before = self.has_taught;
        let had_session = std::mem::replace(&mut self.had_session, true);
        let Some(pid) = pid else {
            self.is_new = false;
            return false;
        };
        let is_other = self.pid.replace(pid).map(|former| former != pid);
        // Who has not taught yet is asked in any case.
        self.is_new = is_other.unwrap_or(self.has_taught);
        self.is_to_ask |= self.is_new;
        is_other.unwrap_or(had_session)
    }

    /// Something was said that only a process says which began a short while ago. Returns whether that is news.
    fn is_young(&mut self) -> bool {
        self.taught_before && !std::mem::replace(&mut self.is_new, true)
    }

    /// A lesson came to its end.
    pub(super) fn taught(&mut self) {
        self.has_taught = true;
    }
}

/// The process id in a hello; 0 stands for a hello without one.
pub(super) fn named_pid(hello: &Hello) -> Option<u32> {
    Some(hello.pid).filter(|pid| *pid != 0)
}

impl Section {
    /// Whether a peer shares values as an equal: a node of a hub is asked when it asks itself.
    pub(super) fn is_equal(&self, place: usize) -> bool {
        self.peers[place].kind != PeerKind::Local && !self.feeds_a_hub(place)
    }

    /// A session with a remote peer began.
    pub(super) fn note_process(&mut self, place: usize, pid: Option<u32>, now: Millis) {
        if self.is_equal(place) {
            let peer = &mut self.peers[place];
            if peer.process.session_began(pid) {
                peer.resume.note_other_process();
            }
            self.ask_new_process(place, now);
        }
    }

    /// The peer asks for a lesson, as processes do that begin, or its update ids start over.
    pub(super) fn note_young_process(&mut self, place: usize, now: Millis) {
        let process = &mut self.peers[place].process;
        process.is_to_ask |= process.is_young();
        self.ask_new_process(place, now);
    }

    /// The peer asked for a lesson, and pushes nothing before that ends.
    pub(super) fn wait_for_its_lesson(&mut self, place: usize, now: Millis) {
        let peer = &mut self.peers[place];
        if peer.process.is_new && peer.lessons_wanted > 0 {
            peer.lesson_at = peer.lesson_at.max(now + ITS_LESSON_MS);
        }
    }

    /// The lesson that the peer asked for has ended.
    pub(super) fn its_lesson_ended(&mut self, place: usize, now: Millis) {
        let peer = &mut self.peers[place];
        if peer.process.is_new && peer.lessons_wanted > 0 {
            peer.lesson_at = now + PUSHES_AFTER_LESSON_MS;
        }
    }

    /// Lets a peer that came back as another process teach what it knows, as when this process began.
    fn ask_new_process(&mut self, place: usize, now: Millis) {
        let peer = &mut self.peers[place];
        if !peer.process.is_to_ask {
            return;
        }
        peer.resume.note_other_process();
        let timed = matches!(peer.link, Link::Established(_, version) if version.has_timed_updates());
        if timed && peer.level.shares_values() {
            peer.process.is_to_ask = false;
            peer.lessons_wanted = LESSON_ATTEMPTS;
            peer.lesson_at = peer.lesson_at.max(now + PUSHES_FIRST_MS);
        }
    }
}
