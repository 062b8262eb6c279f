//! The nodes of a hub: who is awaited before anything is published, and whose values count no more.

use stick_table::Millis;
use stick_table::defect::Defect;

use super::peer::{LESSON_ATTEMPTS, Peer};
use super::{PeerKind, Section};

/// How long a hub that just started waits for what its nodes know before it publishes, in ms. Not longer: lessons do not wait,
/// and own values must not come before sums.
const HOLD_MS: u64 = 5_000;

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
                self.config.tables.forget(peer.origin);
                // What it told and this side acknowledged it would not tell again.
                if !Defect::ForgottenForGood.is_on() {
                    (peer.lessons_wanted, peer.lesson_at) = (LESSON_ATTEMPTS, now);
                }
            }
        }
        if self.config.tables.holds_results() {
            let mut nodes =
                self.peers.iter().filter(|peer| peer.kind == PeerKind::Static && peer.level.is_below());
            let told_all = nodes.all(Peer::told_all);
            let alone = !self.may_be_joined();
            if (told_all && alone) || now >= self.started + HOLD_MS {
                self.config.tables.release_results();
            }
        }
    }

    /// When [`tick_nodes`](Self::tick_nodes) has something to do.
    pub(super) fn nodes_timeout(&self) -> Option<Millis> {
        let counts_until = self.peers.iter().filter_map(|peer| peer.counts_until).min();
        let release_at = self.config.tables.holds_results().then_some(self.started + HOLD_MS);
        [counts_until, release_at].into_iter().flatten().min()
    }
}
