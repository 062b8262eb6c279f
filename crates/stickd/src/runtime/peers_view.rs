//! What `show peers` prints, as plain data that the daemon fills in (stick-tables §8).

use std::sync::Arc;

/// A `peers` section.
#[derive(Clone, Debug, Default)]
pub struct SectionView {
    /// Its name.
    pub id: String,
    /// Whether it neither listens nor connects.
    pub disabled: bool,
    /// HAProxy's flags of 3.0 and later: 1 local resync over, 2 remote resync over (3: up to date), 4 a teacher is
    /// assigned; the bits from 0x100000 on tell how the resync went.
    pub flags: u32,
    /// Whether it passes live updates of one peer on to all others.
    pub relay: bool,
    /// When the current step of the resync is given up.
    pub resync_timeout: Timer,
    /// How often the section's task ran.
    pub task_calls: u64,
    /// Its peers, the most recently declared first.
    pub peers: Vec<PeerView>,
}

/// A peer of a section.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    /// Its name.
    pub id: String,
    /// Whether it is this node.
    pub local: bool,
    /// Whether there is a session, or an attempt at one.
    pub active: bool,
    /// Its address: `<ip>:<port>`, or a path.
    pub address: String,
    /// How far its session has come for the section.
    pub app_state: AppState,
    /// Whether we learn from it.
    pub learn_state: LearnState,
    /// How the last handshake ended.
    pub last_status: HandshakeStatus,
    /// Time since the last handshake in ms, `None` before the first.
    pub last_handshake: Option<u64>,
    /// When we connect to it next.
    pub reconnect: Timer,
    /// When the next heartbeat is due.
    pub heartbeat: Timer,
    /// Lessons that it confirmed and we have not accounted for yet.
    pub confirm: u64,
    /// Heartbeats sent.
    pub tx_heartbeats: u64,
    /// Heartbeats received.
    pub rx_heartbeats: u64,
    /// Sessions closed because nothing was heard in time.
    pub no_heartbeat: u64,
    /// Connections made or accepted.
    pub new_connections: u64,
    /// Protocol errors.
    pub protocol_errors: u64,
    /// Sessions closed because both sides had connected.
    pub collisions: u64,
    /// HAProxy's flags of 3.0 and later: 1 teaching, 2 teach finished, 4 local teach complete, 8 not up to date, 0x10
    /// waiting task, 0x20 alive, 0x40 heartbeat due, 0x80 downgraded, 0x100000 resync requested.
    pub flags: u32,
    /// The session, if there is one.
    pub session: Option<SessionView>,
    /// The table its next updates are for.
    pub remote_table: Option<TableRef>,
    /// The table our last update was for.
    pub last_local_table: Option<TableRef>,
    /// The tables shared with it.
    pub tables: Vec<SharedTableView>,
    /// Tables that the peer defines and of which nothing is taken.
    pub ignored_tables: usize,
    /// The dictionaries of the session.
    pub dictionary: DictionaryView,
    /// Protocol version spoken, or to be spoken at the next attempt: (2, 1) or (2, 0).
    pub version: (u8, u8),
    /// How it became a member of the section.
    pub membership: Membership,
    /// When it is forgotten unless it comes back; never while it has a session.
    pub forgotten: Timer,
    /// Whether it says that it passes live updates on.
    pub relay: bool,
    /// Why the last session ended or the last attempt failed.
    pub last_reason: Option<String>,
    /// The processes that share its name and take the session from each other.
    pub namesakes: Option<String>,
}

/// A session with a peer.
#[derive(Clone, Debug, Default)]
pub struct SessionView {
    /// Main state, HAProxy's number.
    pub st0: u32,
    /// State within the main state, HAProxy's number.
    pub st1: u32,
    /// How often its task ran.
    pub task_calls: u64,
    /// State of the connection in HAProxy's letters, such as `EST` or `CON`; `None` prints nothing after `task_calls`.
    pub connection_state: Option<&'static str>,
    /// Where an inbound connection came from and to, each `<ip>:<port>` or `unix:<n>`.
    pub transport: Option<Transport>,
}

/// The two ends of a connection.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Whether it is encrypted.
    pub tls: bool,
    /// The peer's end.
    pub source: String,
    /// Our end.
    pub destination: String,
}

/// A table by its place in a session.
#[derive(Clone, Debug, Default)]
pub struct TableRef {
    /// Full local name.
    pub id: String,
    /// Our number for it on the wire.
    pub local_id: u32,
    /// The peer's number for it on the wire, 0 when unknown.
    pub remote_id: u32,
}

/// A table shared with a peer.
#[derive(Clone, Debug, Default)]
pub struct SharedTableView {
    /// Its name and numbers.
    pub table: TableRef,
    /// 1 after the first stage of teaching, 2 after the second.
    pub flags: u32,
    /// Bits of the data types in the peer's definition.
    pub remote_data: u64,
    /// Last of our updates that the peer acknowledged.
    pub last_acked: u32,
    /// Last of our updates that was sent.
    pub last_pushed: u32,
    /// Last of the peer's updates that we received.
    pub last_get: u32,
    /// Where teaching began.
    pub teaching_origin: u32,
    /// Last of our updates that is to be sent.
    pub update: u32,
    /// The table itself.
    pub state: TableState,
    /// Changes of ours that the peer was not sent yet: how far it is behind.
    pub behind: u64,
    /// What the peer's definition has otherwise than ours, one text each.
    pub mismatches: Vec<String>,
}

/// The counters of a table, the same for all peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableState {
    /// Number of changes, local or learned.
    pub update: u32,
    /// The last local change.
    pub local_update: u32,
    /// How many hold the table.
    pub references: u32,
}

/// The dictionaries of a session.
#[derive(Clone, Debug, Default)]
pub struct DictionaryView {
    /// Texts sent, by id; it ends before the first id without a text.
    pub sent: Vec<Arc<str>>,
    /// Texts received, by id; missing ones print as `-`.
    pub received: Vec<Option<Arc<str>>>,
}

/// When something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timer {
    /// Not set.
    #[default]
    Never,
    /// The time has come.
    Past,
    /// In this many ms.
    In(u64),
}

/// HAProxy's state of a peer's application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "HAProxy's own words")]
pub enum AppState {
    #[default]
    Stopped,
    Starting,
    Running,
    Stopping,
}

/// HAProxy's state of learning from a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "HAProxy's own words")]
pub enum LearnState {
    #[default]
    NotAssigned,
    Assigned,
    Processing,
    Finished,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeStatus {
    /// There was none.
    #[default]
    None,
    /// Connecting.
    Connecting,
    /// Waiting for the answer.
    Handshake,
    /// Established: 200.
    Established,
    /// To be tried again: 300.
    Retry,
    /// Wrong protocol: 501.
    Protocol,
    /// Wrong version: 502.
    Version,
    /// Meant for another node: 503.
    LocalName,
    /// Unknown to the other: 504.
    Unknown,
}

/// How a peer became a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Tables that the peer defines otherwise than this side, and those of which nothing is taken.
    pub fn mismatches(&self) -> usize {
        self.tables.iter().filter(|table| !table.agrees()).count() + self.ignored_tables
    }

    /// Changes of ours that the peer was not sent yet, over all tables.
    pub fn behind(&self) -> u64 {
        self.tables.iter().map(|table| table.behind).sum()
    }
}
