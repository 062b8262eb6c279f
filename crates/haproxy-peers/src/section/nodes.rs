//! The nodes of a hub: which ones are awaited before anything is published, whose values count no more, and whether the sums
//! have everything that the nodes tell.

use stick_table::defect::Defect;
use stick_table::{Millis, Origin};

use super::peer::{LESSON_ATTEMPTS, Peer};
use super::{PeerKind, Section, SessionId};
use crate::{LeftOut, LeftOutReason, PeerLevel};

/// How long a hub that just started waits for what its nodes know before it publishes, in ms. Not longer: lessons do not wait,
/// and own values must not come before sums.
const HOLD_MS: u64 = 5_000;
/// How often it is looked for nodes that may be asked again, in ms.
const ASK_AGAIN_MS: u64 = 1_000;

/// When an expected node was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastHeard {
    /// Its session knows.
    Session(SessionId),
    /// Its session ended then.
    At(Millis),
    /// Not since this process began, or so long ago that its values count no more.
    Never,
}

/// Whether the sums of a hub are whole, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubState {
    /// Nodes that tell their values now: load balancers and lower hubs with a session.
    pub nodes: u32,
    /// Nodes that are configured or listed, and others that came and are not forgotten.
    pub expected: u32,
    /// What is left out of the sums, besides what nodes without a session count now.
    pub left_out: Vec<LeftOut>,
    /// When each expected node was heard last.
    pub heard: Vec<LastHeard>,
}

impl HubState {
    /// Whether there are nodes, all of them have a session, and nothing that they tell is left out.
    pub fn is_complete(&self) -> bool {
        self.expected > 0 && self.is_whole()
    }

    /// The same where a hub may have no node at all: nothing is missing then either.
    pub fn is_whole(&self) -> bool {
        self.nodes == self.expected && self.left_out.is_empty()
    }
}

impl Section {
    /// Whether the sums of this hub are whole, and what is missing. `knows_nodes` says whether it is known by name of each
    /// node: not before the name service has answered.
    pub fn hub_state(&self, knows_nodes: bool) -> HubState {
        let tables = &self.config.tables;
        let node_timeout = tables.hub().map_or(0, |hub| hub.node_timeout);
        let mut state = HubState { left_out: tables.left_out(), ..HubState::default() };
        let own =
            [(tables.holds_results(), LeftOutReason::Held), (!knows_nodes, LeftOutReason::NodesUnknown)];
        for (_, reason) in own.into_iter().filter(|(is_so, _)| *is_so) {
            state.left_out.push(LeftOut { node: None, table: None, reason });
        }
        // A node that left for good is remembered for longer than it counts, and not missed any more.
        let has_left = |peer: &Peer| peer.forget_at.is_some() && peer.counts_until.is_none();
        for peer in self.peers.iter().filter(|peer| peer.level.is_below() && !has_left(peer)) {
            state.expected += 1;
            let Some(session) = peer.established() else {
                let left_at = peer.counts_until.map(|until| until.saturating_sub(node_timeout));
                state.heard.push(left_at.map_or(LastHeard::Never, LastHeard::At));
                continue;
            };
            state.nodes += 1;
            state.heard.push(LastHeard::Session(session));
            let mut add = |reason| {
                state.left_out.push(LeftOut { node: Some(peer.origin), table: None, reason });
            };
            if !peer.told_all() {
                add(LeftOutReason::NotTold);
            }
            if peer.level == PeerLevel::Lower && tables.levels().has_gaps(peer.origin) {
                add(LeftOutReason::LowerHub);
            }
        }
        if Defect::AbsenceIsComplete.is_on() {
            state.left_out.clear();
        }
        state
    }

    /// The nodes of this hub with their names.
    pub fn nodes(&self) -> Vec<(Origin, String)> {
        let below = self.peers.iter().filter(|peer| peer.is_node());
        below.map(|peer| (peer.origin, peer.name.clone())).collect()
    }

    /// Expects a node that told values before this process began: what is [put back](stick_aggregate::Aggregate::put_back) of it
    /// counts until it comes back, or for `node_timeout` from now on. One that is not configured becomes a member without a
    /// session. `None` when there can be no such node, or there are as many members as may be.
    pub fn expect_node(&mut self, now: Millis, name: &str) -> Option<Origin> {
        let node_timeout = self.config.tables.hub()?.node_timeout;
        let there = self.peers.iter().position(|peer| peer.name == name);
        let place = match there {
            Some(place) => place,
            None => self.join_without_session(name, now)?,
        };
        let peer = &mut self.peers[place];
        if !peer.is_node() {
            return None;
        }
        if peer.established().is_none() {
            peer.counts_until = Some(now + node_timeout);
        }
        Some(peer.origin)
    }

    /// Notes that a peer has no session any more.
    pub(super) fn node_left(&mut self, place: usize, now: Millis) {
        // A process of this node tells nothing of its own.
        let peer = &self.peers[place];
        let tells = peer.kind != PeerKind::Local && peer.level.shares_values();
        if let Some(hub) = self.config.tables.hub().filter(|_| tells) {
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
                peer.lessons.has_told = false;
                // What it told and this side acknowledged it would not tell again.
                if !Defect::ForgottenForGood.is_on() {
                    (peer.lessons_wanted, peer.lesson_at) = (LESSON_ATTEMPTS, now);
                }
            }
        }
        self.ask_for_refused(now);
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

    /// Asks nodes for what was refused of them, where there is room again.
    fn ask_for_refused(&mut self, now: Millis) {
        let tables = &self.config.tables;
        if !tables.wants_lessons() {
            return;
        }
        self.asks_again_at = now + ASK_AGAIN_MS;
        for peer in self.peers.iter_mut().filter(|peer| peer.kind != PeerKind::Local) {
            // A lesson that is running began when there was no room.
            let is_teaching = peer.session().is_some_and(|session| self.resync.has_asked(session));
            if peer.established().is_some() && !is_teaching && tables.wants_lesson(peer.origin) {
                tables.asked(peer.origin);
                (peer.lessons_wanted, peer.lesson_at) = (LESSON_ATTEMPTS, now);
            }
        }
    }

    /// When [`tick_nodes`](Self::tick_nodes) has something to do.
    pub(super) fn nodes_timeout(&self) -> Option<Millis> {
        let counts_until = self.peers.iter().filter_map(|peer| peer.counts_until).min();
        let release_at = self.config.tables.holds_results().then_some(self.started + HOLD_MS);
        let asks_again_at = self.config.tables.wants_lessons().then_some(self.asks_again_at);
        [counts_until, release_at, asks_again_at].into_iter().flatten().min()
    }
}
