//! The nodes of a hub: who is awaited before anything is published, and whose values count no more.

use stick_table::Millis;
use stick_table::defect::Defect;

use super::peer::{LESSON_ATTEMPTS, Peer};
use super::{PeerKind, Section};

/// How long a hub that just started waits for its nodes before it publishes, in ms: HAProxy tries every 5 s.
pub(super) const HOLD_MS: u64 = 5_000;
/// How long it waits in all for those that are there to tell what they know, one after the other, in ms.
const MAX_HOLD_MS: u64 = 30_000;

impl Section {
    /// Notes that a peer has no session any more.
    pub(super) fn node_left(&mut self, place: usize, now: Millis) {
        // A process of this node tells nothing of its own.
        if let Some(hub) = self.config.tables.hub().filter(|_| self.peers[place].kind != PeerKind::Local) {
            let timeout = if Defect::ForgetsAtOnce.is_on() { 0 } else { hub.node_timeout };
            self.peers[place].counts_until = Some(now + timeout).filter(|_| !Defect::NeverForgets.is_on());
            self.config.tables.levels().forget(self.peers[place].origin);
        }
    }

    /// Drops what peers told that are away for too long, and lets results be told when all nodes have told what they know.
    pub(super) fn tick_nodes(&mut self, now: Millis) {
        for peer in &mut self.peers {
            if peer.counts_until.is_some_and(|at| now >= at) {
                peer.counts_until = None;
                self.config.tables.forget(peer.origin, now);
                // What it told and this side acknowledged it would not tell again.
                if !Defect::ForgottenForGood.is_on() {
                    (peer.lessons_wanted, peer.lesson_at) = (LESSON_ATTEMPTS, now);
                }
            }
        }
        if self.config.tables.holds_results() {
            let nodes = || self.peers.iter().filter(|peer| peer.level.is_below());
            let all_told = !self.may_be_joined()
                && nodes().filter(|peer| peer.kind == PeerKind::Static).all(Peer::told_all);
            let those_there_told = nodes().all(|peer| peer.established().is_none() || peer.was_asked());
            let is_late = |ms| now >= self.started + ms;
            if all_told || (those_there_told && is_late(HOLD_MS)) || is_late(MAX_HOLD_MS) {
                self.config.tables.release_results();
            } else if is_late(HOLD_MS) {
                self.hold_until = self.started + MAX_HOLD_MS;
            }
        }
    }

    /// When [`tick_nodes`](Self::tick_nodes) has something to do.
    pub(super) fn nodes_timeout(&self) -> Option<Millis> {
        let counts_until = self.peers.iter().filter_map(|peer| peer.counts_until).min();
        let release_at = self.config.tables.holds_results().then_some(self.hold_until);
        [counts_until, release_at].into_iter().flatten().min()
    }
}
