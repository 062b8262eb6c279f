//! What `show info` prints, as plain data that the daemon fills in.

use std::time::Duration;

/// Facts and counters of the process. Counters start with the process.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Version of stickd.
    pub version: String,
    /// Date of that version, `YYYY/MM/DD`.
    pub release_date: String,
    /// Threads that run sessions.
    pub threads: u32,
    /// Process id.
    pub process_id: u32,
    /// Time since the start.
    pub uptime: Duration,
    /// When the process started, in seconds since 1970.
    pub start_time: u64,
    /// Most open files of the process.
    pub open_files_limit: u32,
    /// Connections open now: of peers and of the runtime API.
    pub connections: u32,
    /// Connections so far, both made and accepted.
    pub total_connections: u32,
    /// Name of the node.
    pub node: String,
    /// The configured text, if any.
    pub description: Option<String>,
    /// Whether the process is stopping.
    pub stopping: bool,
    /// Sockets it listens on.
    pub listeners: u32,
    /// Peers with a session or an attempt at one.
    pub active_peers: u32,
    /// Peers with an established session.
    pub connected_peers: u32,
    /// Tables.
    pub tables: u32,
    /// Most entries, over all tables.
    pub table_size: u64,
    /// Entries, over all tables.
    pub entries: u64,
    /// Updates received from peers.
    pub updates_received: u64,
    /// Updates sent to peers.
    pub updates_sent: u64,
    /// Updates that found their table full.
    pub updates_refused: u64,
    /// Lessons learned to the end.
    pub lessons_learned: u64,
    /// Lessons taught to the end.
    pub lessons_taught: u64,
    /// Connections refused: unknown peers, wrong hellos, too many at a time.
    pub refused_connections: u64,
    /// Sessions closed because of malformed messages.
    pub protocol_errors: u64,
    /// Tables whose definition a peer sees otherwise.
    pub mismatched_tables: u32,
    /// Limit: largest message on the wire, in bytes.
    pub message_bytes_limit: u32,
    /// Limit: updates pushed to a peer in one pass.
    pub updates_at_once_limit: u32,
    /// Limit: peers that are not configured, over all sections.
    pub dynamic_peers_limit: u32,
    /// Limit: tables that are not configured, over all sections.
    pub dynamic_tables_limit: u32,
    /// Limit: connections of the runtime API at a time.
    pub runtime_connections_limit: u32,
}
