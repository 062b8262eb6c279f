//! Who is asked for a lesson, and what its end means.

use std::sync::atomic::Ordering;

use stick_table::Millis;
use stick_table::defect::Defect;

use super::peer::{LESSON_ATTEMPTS, Peer};
use super::resync::{self, ResyncState, history};
use super::{Action, PeerKind, Section, SessionId};

/// Pause before a peer that ended a lesson as partial is asked once more, in ms. If it waits for its own first lesson, it
/// gives up 5 s after the last partial one it got, which may have been this side's.
const ASK_AGAIN_MS: u64 = 6_000;

/// How a lesson ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LessonEnd {
    /// The peer told everything and is up to date itself.
    Finished,
    /// It told everything it has, and is not up to date itself.
    Partial,
    /// It did not come, or broke off.
    Abandoned,
}

impl Section {
    pub(super) fn lesson_ended(&mut self, place: usize, session: SessionId, end: LessonEnd, now: Millis) {
        let complete = end == LessonEnd::Finished;
        let assigned = self.resync.assigned == Some(session);
        let is_local = self.peers[place].kind == PeerKind::Local;
        self.resync.history |= match (is_local, complete) {
            (true, true) => history::LOCAL_FINISHED,
            (true, false) => history::LOCAL_PARTIAL,
            (false, true) => history::REMOTE_FINISHED,
            (false, false) => history::REMOTE_PARTIAL,
        };
        let lacks = is_local && std::mem::take(&mut self.resync.lacks);
        if is_local && complete && !lacks && !self.config.tables.is_hub() {
            // The process before this one knew what the others know. Of a hub it teaches the results, not who told what.
            self.peers.iter_mut().for_each(|peer| peer.lessons_wanted = 0);
        }
        let peer = &mut self.peers[place];
        peer.lessons_wanted = if complete { 0 } else { peer.lessons_wanted.saturating_sub(1) };
        peer.lesson_at = now + ASK_AGAIN_MS;
        if end != LessonEnd::Abandoned {
            peer.process.taught();
        }
        if !is_local && end != LessonEnd::Abandoned {
            self.config.tables.defined_all(self.peers[place].origin);
        }
        if self.feeds_a_hub(place) {
            self.node_told(place, end, now);
        }
        let peer = &mut self.peers[place];
        // Also one that ends as partial told all that the peer has.
        peer.awaits_values.store(false, Ordering::Relaxed);
        let shard = peer.shard;
        self.tick_nodes(now);
        if !assigned && !self.resync.left_beside(session) {
            return;
        }
        if complete && (shard == 0 || self.knows_all_shards()) {
            if assigned {
                self.resync.unassign();
            }
            self.resync.state = ResyncState::Finished;
        } else if assigned {
            self.resync.wait_again(now);
            if is_local {
                self.resync.state = ResyncState::FromRemote { until: now + resync::RESYNC_MS };
            }
        }
        self.tick_resync(now);
    }

    /// The lesson of a node of a hub ended.
    fn node_told(&mut self, place: usize, end: LessonEnd, now: Millis) {
        if end == LessonEnd::Abandoned {
            // It is asked until it tells: what it holds is missing in the sums.
            self.peers[place].lessons_wanted = self.peers[place].lessons_wanted.max(1);
            return;
        }
        self.peers[place].lessons.has_told = true;
        self.config.tables.told_all(self.peers[place].origin);
        if self.config.tables.left_outs().lesson_ended(self.peers[place].origin) {
            // Something is taken only since the lesson began.
            self.ask_again(place, now + ASK_AGAIN_MS);
        }
    }

    /// Lets a node of a hub tell everything once more. Once is enough, also if it is not up to date itself: what it counts it knows.
    pub(super) fn ask_again(&mut self, place: usize, at: Millis) {
        let peer = &mut self.peers[place];
        if peer.lessons_wanted == 0 {
            (peer.lessons_wanted, peer.lesson_at) = (1, at);
        }
    }

    /// Lets a node of a hub tell everything before it is taught, as far as its session is young.
    pub(super) fn ask_at_once(&mut self, place: usize, now: Millis) {
        let peer = &mut self.peers[place];
        peer.lessons_wanted = peer.lessons_wanted.max(1);
        peer.lesson_at = now;
        peer.awaits_values.store(true, Ordering::Relaxed);
    }

    /// Whether what a peer tells is summed here.
    pub(super) fn feeds_a_hub(&self, place: usize) -> bool {
        self.config.tables.is_hub() && self.peers[place].level.is_below()
    }

    /// Whether a successor needs to ask nobody else: every peer gave a lesson, or a predecessor said so much. Being up to date
    /// is not enough, as a section that waited in vain says that of itself.
    pub(super) fn knows_what_others_know(&self) -> bool {
        let asked = |peer: &Peer| peer.kind == PeerKind::Local || peer.lessons_wanted < LESSON_ATTEMPTS;
        let gave_up = !self.peers.iter().all(asked) && !Defect::PredecessorGaveUp.is_on();
        self.is_up_to_date() && !gave_up
    }

    /// Whether each shard that some peer has was learned from one of its peers (peers-protocol §15).
    pub(super) fn knows_all_shards(&self) -> bool {
        let sharded = || self.peers.iter().filter(|peer| peer.shard != 0);
        sharded().all(|peer| sharded().any(|other| other.shard == peer.shard && other.lessons_wanted == 0))
    }

    /// Asks the next peer for a lesson when none is running. A hub asks several nodes at once: each teaches what it counts itself.
    ///
    /// The first complete lesson makes the section up to date, as in HAProxy. Unlike it, the other peers are asked once
    /// as well, one after the other: they may know what the first did not, and what they pushed without remaining
    /// lifetimes when they connected gets them. Lessons never overwrite what somebody else wrote.
    pub(super) fn tick_resync(&mut self, now: Millis) {
        self.resync.tick(now, self.is_alone());
        self.up_to_date.store(self.resync.state == ResyncState::Finished, Ordering::Relaxed);
        let is_hub = self.config.tables.is_hub();
        while self.resync.may_ask(is_hub) && !matches!(self.resync.state, ResyncState::FromLocal { .. }) {
            let next = self.peers.iter().find_map(|peer| {
                let session = peer.established()?;
                let ready = peer.kind != PeerKind::Local && peer.lessons_wanted > 0 && now >= peer.lesson_at;
                (ready && !self.resync.has_asked(session)).then_some((session, peer.origin))
            });
            let Some((session, origin)) = next else { return };
            if is_hub {
                self.config.tables.left_outs().lesson_requested(origin);
            }
            self.resync.note_asked(session);
            self.resync.history |= history::REMOTE_ASSIGNED;
            self.actions.push_back(Action::RequestLesson { session });
        }
    }

    /// Whether no remote peer is a member or may become one.
    pub(super) fn is_alone(&self) -> bool {
        !self.may_be_joined() && self.peers.len() == 1
    }

    pub(super) fn teacher_left(&mut self, session: SessionId, now: Millis) {
        self.resync.left_beside(session);
        if self.resync.assigned != Some(session) {
            return;
        }
        let local = matches!(self.resync.state, ResyncState::FromLocal { .. });
        self.resync.history |= if local { history::LOCAL_ABORT } else { history::REMOTE_ABORT };
        self.resync.wait_again(now);
    }
}
