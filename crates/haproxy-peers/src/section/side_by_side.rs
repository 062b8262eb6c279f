//! Hubs of the same nodes: a node that began again is taught by one of them, which tells the others.
//!
//! Without that, a hub that did not teach the node counts what its former process told beside what the new one tells, which
//! holds it already.

use stick_table::Millis;

use super::Section;
use super::peer::Peer;
use crate::session::TOLD_FOR_MS;
use crate::{OwnValuesTaught, PeerLevel};

/// How much earlier than with the hub that taught it a process may have begun its session here, in ms. A HAProxy looks for
/// somebody who teaches it for 5 s after its start, and for as long again in its next try; a session that began earlier is of a
/// process before that one.
const SAME_PROCESS_MS: u64 = 10_000;
/// How long a node's messages of before its lesson may be on their way, in ms: what tells less counts on top so long. A session
/// in which nothing arrives for this time is closed.
const ON_ITS_WAY_MS: u64 = crate::SILENCE_MS;

/// What is known of a node's lessons by this hub and by those beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lessons {
    /// Whether the node has told all it holds, since this hub began or forgot it.
    pub(super) has_told: bool,
    /// The same when its session began: then its process is taught all that the one before told.
    knew_all: bool,
    /// When it asked for a lesson.
    asked: Option<Millis>,
    /// The lesson that a hub beside this one gave it last.
    elsewhere: Option<OwnValuesTaught>,
    /// When everything that it told before that lesson has arrived.
    settled_at: Option<Millis>,
}

impl Peer {
    fn session_began(&self) -> Option<Millis> {
        self.established().and(self.last_handshake)
    }

    /// The session with a node begins. `lacks` says whether something that it told is left out.
    pub(super) fn note_session_of_node(&mut self, lacks: bool) {
        self.lessons.knew_all = self.lessons.has_told && !lacks;
        self.lessons.asked = None;
        self.lessons.settled_at = None;
    }

    pub(super) fn settled_at(&self) -> Option<Millis> {
        self.lessons.settled_at
    }
}

impl Section {
    /// A node asked for a lesson.
    pub(super) fn node_asked(&mut self, place: usize, now: Millis) {
        self.peers[place].lessons.asked = Some(now);
    }

    /// A node confirmed its lesson: hubs beside this one are told, if it was taught all that its former process had told. They
    /// would drop what they know otherwise, and it might be more.
    pub(super) fn node_taught(&mut self, place: usize, now: Millis) {
        let peer = &self.peers[place];
        let has_beside = self.peers.iter().any(|peer| peer.level == PeerLevel::Beside);
        let (Some(session_began), Some(lesson_began)) = (peer.session_began(), peer.lessons.asked) else {
            return;
        };
        if has_beside && peer.lessons.knew_all && peer.level == PeerLevel::Below {
            let taught = OwnValuesTaught { node: peer.name.clone(), session_began, lesson_began };
            self.config.tables.announce_lesson(taught, now);
        }
    }

    /// A hub beside this one taught a node.
    pub(super) fn note_taught_elsewhere(&mut self, taught: &OwnValuesTaught, now: Millis) {
        let is_it = |peer: &Peer| peer.name == taught.node && peer.level == PeerLevel::Below;
        if let Some(place) = self.peers.iter().position(is_it) {
            self.peers[place].lessons.elsewhere = Some(taught.clone());
            self.apply_taught_elsewhere(place, now);
        }
    }

    /// Lets a node's former values count as taught, if the hub that taught them meant the process of its present session.
    pub(super) fn apply_taught_elsewhere(&mut self, place: usize, now: Millis) {
        let peer = &mut self.peers[place];
        let Some(began) = peer.session_began() else { return };
        let lessons = &mut peer.lessons;
        lessons.elsewhere.take_if(|taught| now >= taught.lesson_began + TOLD_FOR_MS);
        let Some(taught) = &lessons.elsewhere else { return };
        if began + SAME_PROCESS_MS < taught.session_began {
            return;
        }
        let since = taught.lesson_began;
        if began >= taught.session_began {
            // A session after this one is of the same process, which knows, or of a later one.
            lessons.elsewhere = None;
        }
        lessons.settled_at = Some(now + ON_ITS_WAY_MS);
        self.config.tables.taught_elsewhere(self.peers[place].origin, since);
    }

    /// Takes whatever nodes tell again that were taught by a hub beside this one.
    pub(super) fn settle_taught_elsewhere(&mut self, now: Millis) {
        for peer in &mut self.peers {
            if peer.lessons.settled_at.take_if(|at| now >= *at).is_some() {
                self.config.tables.taught(peer.origin);
            }
        }
    }
}
