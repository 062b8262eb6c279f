//! What passes between a section and its driver.

use std::collections::HashSet;
use std::sync::Arc;

use stick_table::Origins;
use thiserror::Error;

use super::PeerKind;
use super::members::{MAX_NAME, is_good_name};
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
    /// Remote peers: names are unique, and none is that of this side.
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
    /// Process id for the hello: a stickd asks a peer again that comes back with another one; HAProxy ignores it. 0 says nothing.
    pub pid: u32,
    /// Seed of the random pauses.
    pub seed: u64,
}

/// Why a section is not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SectionError {
    #[error(
        "{0:?} is not the name of a peer: a name is a printable word of 1 to {MAX_NAME} bytes without blanks"
    )]
    Name(String),
    #[error("the peer \"{0}\" is there twice")]
    Twice(String),
    #[error("the peer \"{0}\" has the name of this side: leave it out")]
    Itself(String),
    #[error("more than {limit} peers in all sections", limit = Origins::MAX)]
    TooManyPeers,
}

/// Whether the names of a section's members are right.
pub(super) fn check(config: &SectionConfig) -> Result<(), SectionError> {
    let mut seen = HashSet::new();
    for name in std::iter::once(&config.local_name).chain(config.peers.iter().map(|peer| &peer.name)) {
        if !is_good_name(name) {
            return Err(SectionError::Name(name.clone()));
        }
        if !seen.insert(name) {
            let is_own = *name == config.local_name;
            let error = if is_own { SectionError::Itself } else { SectionError::Twice };
            return Err(error(name.clone()));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_members_of_different_names() {
        let error = |local: &str, peers: &[&str]| {
            let config = SectionConfig {
                name: "p".into(),
                local_name: local.into(),
                peers: peers.iter().map(|&name| (name.to_owned(), 0).into()).collect(),
                max_dynamic_peers: 0,
                discovers: false,
                forget_ms: 0,
                relay: false,
                tables: TableSet::new("p", [], None, None, 1).unwrap().into(),
                limits: Limits::default(),
                expects_predecessor: false,
                pid: 1,
                seed: 1,
            };
            crate::Section::new(config, 0).err().map(|error| error.to_string())
        };
        assert_eq!(error("me", &["a", "b"]), None);
        assert_eq!(error("me", &["a", "b", "a"]).unwrap(), "the peer \"a\" is there twice");
        assert_eq!(
            error("me", &["a", "me"]).unwrap(),
            "the peer \"me\" has the name of this side: leave it out"
        );
        let long = "a".repeat(256);
        for (local, peer, shown) in
            [("", "a", ""), ("me", "", ""), ("me", "a b", "a b"), ("me", "a\n", "a\\n"), ("me", &long, &long)]
        {
            assert_eq!(
                error(local, &[peer]).unwrap(),
                format!(
                    "\"{shown}\" is not the name of a peer: a name is a printable word of 1 to 255 bytes without blanks"
                )
            );
        }
        assert_eq!(error("me", &[&long[1..]]), None);
    }
}
