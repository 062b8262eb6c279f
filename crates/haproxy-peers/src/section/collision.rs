//! Both sides connect at once (peers-protocol §2.5).
//!
//! Each side then has an attempt of its own under way when the other's hello arrives. A HAProxy closes its attempt and takes
//! the other's, whichever it is; if this side did the same, no session would be left. So this side keeps its attempt:
//!
//! - the side with the lower name closes the other's connection and waits for the answer to its own hello;
//! - the side with the higher name takes the other's connection *and* waits for the answer. A stickd closes that attempt, as
//!   the line above says; a HAProxy accepts it, and has closed its own, so the attempt takes the session's place.
//!
//! Two stickds thus keep the connection that the lower name opened, and a HAProxy the one that this side opened.

use stick_table::Millis;

use super::peer::{Beside, BesideKind, Link};
use super::{Greeting, Section};

/// How long a hello may stay unanswered and still count as crossing the other side's, in ms. Afterwards it may be lost.
const CROSSING_MS: u64 = 1_000;
/// How long after the answer a hello of the other side may have been sent before that answer was, in ms.
const LATE_MS: u64 = 250;

impl Section {
    /// Makes room for the session of a hello that just arrived. `Some` when it is not to be: then the connection is closed
    /// without an answer.
    pub(super) fn collide(&mut self, place: usize, now: Millis) -> Option<Greeting> {
        self.peers[place].session()?;
        self.peers[place].counters.collisions += 1;
        let is_lower = self.config.local_name < self.peers[place].name;
        let peer = &mut self.peers[place];
        let crosses = peer.hello_sent_at.is_some_and(|at| now < at + CROSSING_MS);
        match peer.link {
            Link::Connecting(..) if crosses && is_lower => {
                return Some(Greeting::Drop("both sides connect at once: this side's connection is kept"));
            }
            Link::Connecting(session, version) if crosses => {
                peer.link = Link::Idle;
                peer.beside = Some(Beside { session, version, kind: BesideKind::Crossing });
            }
            Link::Established(..) if peer.answered_at.is_some_and(|at| now < at + LATE_MS) => {
                return Some(Greeting::Drop("both sides connected at once: this side's session is kept"));
            }
            _ => self.close_link(place, now, "the peer opened a new session"),
        }
        None
    }
}
