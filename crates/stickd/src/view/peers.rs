//! Sections and their peers (stick-tables §8).

use std::fmt;
use std::sync::Arc;

use haproxy_peers::LastStatus;
use serde::{Serialize, Serializer};

use super::Timer;

/// A `peers` or `aggregations` section.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SectionView {
    /// Its name.
    pub name: String,
    /// Whether it neither listens nor connects.
    pub disabled: bool,
    /// HAProxy's flags of 3.0 and later: 1 local resync over, 2 remote resync over (3: up to date), 4 a teacher is
    /// assigned; the bits from 0x100000 on tell how the resync went.
    pub flags: u32,
    /// Whether it passes live updates of one peer on to all others.
    pub relay: bool,
    /// When the current step of the resync is given up.
    pub resync_timeout: Timer,
    /// Its peers, the most recently declared first.
    pub peers: Vec<PeerView>,
}

/// A peer of a section.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Whether it is this node.
    pub local: bool,
    /// Its address: `<ip>:<port>`, or a path.
    pub address: String,
    /// How it became a member of the section.
    pub membership: Membership,
    /// How far its session has come.
    pub state: PeerState,
    /// Whether we learn from it.
    pub learning: LearnState,
    /// Whether it is not asked for a lesson any more.
    pub not_up_to_date: bool,
    /// Protocol version spoken, or to be spoken at the next attempt: `2.1` or `2.0`.
    pub version: String,
    /// Whether it is spoken to in version 2.0.
    pub downgraded: bool,
    /// Whether it says that it passes live updates on.
    pub relay: bool,
    /// How the last handshake ended, in HAProxy's word.
    #[serde(serialize_with = "status_word")]
    pub last_status: LastStatus,
    /// Time since the last handshake that succeeded, `None` before the first.
    pub last_handshake_ms: Option<u64>,
    /// Why the last session ended or the last attempt failed.
    pub last_reason: Option<String>,
    /// When this side connects to it next.
    pub reconnect: Timer,
    /// When it is forgotten unless it comes back; never while it has a session.
    pub forgotten: Timer,
    /// Connections made or accepted.
    pub connections: u64,
    /// Sessions closed because nothing was heard in time.
    pub silences: u64,
    /// Sessions closed because of malformed messages.
    pub protocol_errors: u64,
    /// Sessions closed because both sides had connected.
    pub collisions: u64,
    /// The processes that share its name and take the session from each other.
    pub namesakes: Option<String>,
    /// The connection, if there is one.
    pub session: Option<SessionView>,
    /// The tables shared with it.
    pub tables: Vec<SharedTableView>,
    /// Tables that the peer defines and of which nothing is taken.
    pub ignored_tables: usize,
}

/// A connection with a peer, and its session once that is established.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SessionView {
    /// Whether the handshake is done.
    pub established: bool,
    /// Whether the peer opened the connection.
    pub inbound: bool,
    /// Whether it is encrypted.
    pub tls: bool,
    /// The peer's end, `<ip>:<port>` or `unix:<n>`.
    pub remote: String,
    /// This end.
    pub local: String,
    /// Whether a lesson is given to the peer.
    pub teaching: bool,
    /// When the next heartbeat is due.
    pub heartbeat: Timer,
    /// Lessons confirmed to the peer.
    pub confirms: u64,
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Heartbeats received.
    pub heartbeats_received: u64,
    /// Updates received.
    pub updates_received: u64,
    /// Updates sent, in lessons and live.
    pub updates_sent: u64,
    /// Bytes received after the handshake.
    pub bytes_received: u64,
    /// Bytes sent after the handshake.
    pub bytes_sent: u64,
    /// The table its next updates are for.
    pub remote_table: Option<TableRef>,
    /// The table our last update was for.
    pub last_local_table: Option<TableRef>,
    /// The dictionaries of the session.
    #[serde(skip)]
    pub dictionary: DictionaryView,
}

/// A table by its place in a session.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableRef {
    /// Full local name.
    pub name: String,
    /// Our number for it on the wire.
    pub local_id: u32,
    /// The peer's number for it on the wire, 0 when unknown.
    pub remote_id: u32,
}

/// A table shared with a peer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SharedTableView {
    /// Its name and numbers.
    #[serde(flatten)]
    pub table: TableRef,
    /// Bits of the data types in the peer's definition.
    pub remote_data: u64,
    /// Last of our updates that the peer acknowledged.
    pub last_acked: u32,
    /// Last of our updates that was sent.
    pub last_pushed: u32,
    /// Last of the peer's updates that we received.
    pub last_received: u32,
    /// Changes of ours that the peer was not sent yet: how far it is behind.
    pub behind: u64,
    /// What the peer's definition has otherwise than ours, one text each.
    pub mismatches: Vec<String>,
}

/// The dictionaries of a session.
#[derive(Clone, Debug, Default)]
pub struct DictionaryView {
    /// Texts sent, by id; it ends before the first id without a text.
    pub sent: Vec<Arc<str>>,
    /// Texts received, by id; missing ones print as `-`.
    pub received: Vec<Option<Arc<str>>>,
}

/// How far the session of a peer has come; printed in HAProxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// There is none.
    #[default]
    Stopped,
    /// The connection or the handshake is under way.
    Starting,
    /// Established.
    Running,
}

/// How far learning from a peer has come; printed in HAProxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnState {
    /// It was not asked for a lesson.
    #[default]
    NotAssigned,
    /// Its lesson is under way.
    Processing,
    /// Its lesson ended.
    Finished,
}

/// How a peer became a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Membership {
    /// It is in the configuration.
    #[default]
    Static,
    /// It connected, and `dynamic-peers` lets it.
    Dynamic,
    /// DNS lists it, or did.
    Discovered {
        /// The name that was asked for.
        from: String,
        /// Whether it is listed now.
        listed: bool,
    },
}

impl SharedTableView {
    /// Whether the peer's definition agrees with ours as far as it is known.
    pub fn agrees(&self) -> bool {
        self.mismatches.is_empty()
    }
}

impl PeerView {
    /// Whether the session is established.
    pub fn is_connected(&self) -> bool {
        self.state == PeerState::Running
    }

    /// Whether there is a session, or an attempt at one.
    pub fn is_active(&self) -> bool {
        self.state != PeerState::Stopped
    }

    /// The session, once it is established.
    pub fn established(&self) -> Option<&SessionView> {
        self.session.as_ref().filter(|session| session.established)
    }

    /// Tables that the peer defines otherwise than this side, and those of which nothing is taken.
    pub fn mismatches(&self) -> usize {
        self.tables.iter().filter(|table| !table.agrees()).count() + self.ignored_tables
    }

    /// Changes of ours that the peer was not sent yet, over all tables.
    pub fn behind(&self) -> u64 {
        self.tables.iter().map(|table| table.behind).sum()
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
        })
    }
}

impl fmt::Display for LearnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAssigned => "NOTASSIGNED",
            Self::Processing => "PROCESSING",
            Self::Finished => "FINISHED",
        })
    }
}

fn status_word<S: Serializer>(status: &LastStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.word())
}
