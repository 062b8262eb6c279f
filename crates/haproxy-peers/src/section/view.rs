//! What a section looks like from outside: for `show peers`.

use stick_table::{Millis, Origin};

use super::resync::ResyncState;
use super::{PeerCounters, PeerKind, Section, SessionId, StopProgress};
use crate::{LastStatus, PeerLevel};

/// A section at one moment.
#[derive(Clone, Debug)]
pub struct SectionView {
    /// The section's name.
    pub name: String,
    /// Flags by HAProxy 3.0's numbers (stick-tables §8).
    pub flags: u32,
    /// Whether the section is up to date, or from whom it waits to become so.
    pub resync: ResyncState,
    /// Whether live updates of one peer are passed on to all others.
    pub relay: bool,
    /// Set while the process stops.
    pub stop: Option<StopProgress>,
    /// The members, the local one first.
    pub peers: Vec<PeerView>,
}

/// A member at one moment.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Name.
    pub name: String,
    /// How it came to be a member.
    pub kind: PeerKind,
    /// Whether it was discovered and is not listed any more.
    pub withdrawn: bool,
    /// When it is forgotten unless it gets a session before.
    pub forget_at: Option<Millis>,
    /// Whether it said that it passes live updates on.
    pub relay: bool,
    /// The shard it is sent, 0 for all.
    pub shard: u32,
    /// Who it is to a hub.
    pub level: PeerLevel,
    /// By which tables know it.
    pub origin: Origin,
    /// Whether it told what it knew when this process began, or was asked for it in vain.
    pub told_all: bool,
    /// Its session, also while the handshake lasts.
    pub session: Option<SessionId>,
    /// Whether the session is established.
    pub established: bool,
    /// Whether it is spoken to in version 2.0.
    pub downgraded: bool,
    /// Last status of a handshake.
    pub last_status: LastStatus,
    /// When a handshake succeeded last.
    pub last_handshake: Option<Millis>,
    /// When this side tries to connect next.
    pub connect_at: Option<Millis>,
    /// Whether a lesson from it is running.
    pub assigned: bool,
    /// Whether it is not asked for a lesson any more.
    pub not_up_to_date: bool,
    /// When what it told counts no more in a hub, while it is away.
    pub counts_until: Option<Millis>,
    /// Counts.
    pub counters: PeerCounters,
    /// What went wrong last.
    pub last_reason: Option<String>,
}

impl Section {
    /// The section at this moment.
    pub fn view(&self, now: Millis) -> SectionView {
        let peers = self.peers.iter().map(|peer| PeerView {
            name: peer.name.clone(),
            kind: peer.kind,
            withdrawn: peer.is_withdrawn(),
            forget_at: peer.forget_at,
            relay: self.relays.contains(peer.origin),
            shard: peer.shard,
            level: peer.level,
            origin: peer.origin,
            told_all: peer.told_all(),
            session: peer.session(),
            established: peer.established().is_some(),
            downgraded: peer.is_downgraded(now),
            last_status: peer.last_status,
            last_handshake: peer.last_handshake,
            connect_at: peer.connect_at,
            assigned: peer.session().is_some_and(|session| self.resync.has_asked(session)),
            not_up_to_date: peer.kind != PeerKind::Local && peer.lessons_wanted == 0,
            counts_until: peer.counts_until,
            counters: peer.counters,
            last_reason: peer.last_reason.clone(),
        });
        SectionView {
            name: self.config.name.clone(),
            flags: self.resync.flags(),
            resync: self.resync.state,
            relay: self.relays.is_on(),
            stop: self.stop_progress(),
            peers: peers.collect(),
        }
    }
}
