//! What passes between a section and its driver.

use std::sync::Arc;

use super::PeerKind;
use crate::{Hello, Limits, PeerLevel, Session, SessionError, Status, TableSet};

/// A connection, from the attempt or the hello on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(super) u64);

/// A member, from the moment it joins until it is forgotten. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerId(pub(super) u64);

/// A configured remote peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredPeer {
    /// Its name.
    pub name: String,
    /// The shard it is sent, 0 for all.
    pub shard: u32,
    /// Who it is to a hub.
    pub level: PeerLevel,
    /// Whether this side connects to it; else it is waited for.
    pub is_called: bool,
}

impl From<(String, u32)> for ConfiguredPeer {
    /// A peer of a name and a shard that is called.
    fn from((name, shard): (String, u32)) -> Self {
        Self { name, shard, level: PeerLevel::Below, is_called: true }
    }
}

/// What a section is made from.
pub struct SectionConfig {
    /// The section's name.
    pub name: String,
    /// This side's name.
    pub local_name: String,
    /// Remote peers, names unique.
    pub peers: Vec<ConfiguredPeer>,
    /// Most members under names that are not configured; 0 when those are refused.
    pub max_dynamic_peers: usize,
    /// Whether members may be added by [`Section::discover`](crate::Section::discover).
    pub discovers: bool,
    /// How long a member that is not configured is remembered without a session, in ms.
    pub forget_ms: u64,
    /// Whether live updates of one peer are passed on to all others.
    pub relay: bool,
    /// The tables.
    pub tables: Arc<TableSet>,
    /// Bounds of each session.
    pub limits: Limits,
    /// Whether a process before this one is expected to teach (`-sf`).
    pub expects_predecessor: bool,
    /// Process id for the hello; receivers ignore it.
    pub pid: u32,
    /// Seed of the random pauses.
    pub seed: u64,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to a peer and send the hello; answer with [`Section::connected`](crate::Section::connected), then [`Section::handle_status`](crate::Section::handle_status) or
    /// [`Section::connect_failed`](crate::Section::connect_failed).
    Connect {
        /// Which one.
        peer: PeerId,
        /// Its name.
        name: String,
        /// The new connection.
        session: SessionId,
        /// What to send in one write (peers-protocol §2.4).
        hello: Hello,
    },
    /// Close a connection, established or not, and report its end with [`Section::session_ended`](crate::Section::session_ended) when it had a session.
    Close {
        /// Which one.
        session: SessionId,
        /// Why, for the log.
        reason: &'static str,
    },
    /// A member left for good: nothing is known of it any more.
    Forgotten {
        /// Its name, which may join again.
        name: String,
        /// How it had come to be a member.
        kind: PeerKind,
    },
    /// Call [`Session::request_lesson`].
    RequestLesson {
        /// On which one.
        session: SessionId,
    },
}

/// The answer to a hello.
pub enum Greeting {
    /// Send status 200; the session is established.
    Welcome {
        /// The new connection.
        id: SessionId,
        /// Its peer.
        peer: PeerId,
        /// Its session.
        session: Box<Session>,
        /// How its peer came to be a member.
        kind: PeerKind,
        /// Whether it takes the place of an established session.
        replaces: bool,
    },
    /// Send this status and close.
    Refuse(Status),
    /// Close without a status: the peer is welcome another time, and would not come back after a status
    /// (peers-protocol §2.3).
    Drop(&'static str),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The session found an error.
    Error(SessionError),
    /// The connection ended or failed.
    Connection(String),
    /// [`Action::Close`].
    Closed(&'static str),
}
