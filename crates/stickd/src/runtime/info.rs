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
    /// Most files that the limits let it open.
    pub open_files_needed: u32,
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
    /// What the sums of hubs leave out now: tables of nodes, or all of a node.
    pub left_out: u64,
    /// Tables of nodes that were left out of the sums, and updates that found no room in them.
    pub refusals: u64,
    /// Sessions that one of several processes of the same name took from another.
    pub namesakes: u64,
    /// Lines of the log that were left out because somebody caused too many.
    pub lines_left_out: u64,
    /// Limits, and what is taken of them.
    pub limits: Limits,
    /// Bytes of the log that wait to be written.
    pub log_bytes: Usage,
    /// Tables on disk; `None` without a `state` line.
    pub state: Option<StateInfo>,
}

/// Tables on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateInfo {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub segments: u64,
    /// Time since everything was durable, in ms.
    pub lag_ms: u64,
    /// Writes that failed.
    pub failures: u64,
}

/// Bounds of what peers and clients of the runtime API can take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Connections that peers opened, over all sections.
    pub peer_connections: Usage,
    /// Connections that have not said their hello.
    pub handshakes: Usage,
    /// Connections that did not say it in time.
    pub handshakes_timed_out: u64,
    /// Peers that are not configured, over all sections.
    pub dynamic_peers: Usage,
    /// Peers that DNS lists, over all sections.
    pub discovered_peers: Usage,
    /// Tables that are not configured, over all sections.
    pub dynamic_tables: Usage,
    /// Bytes of those tables when they are full.
    pub dynamic_table_bytes: Usage,
    /// Largest message on the wire, in bytes.
    pub message_bytes: u64,
    /// Messages that were larger.
    pub oversized_messages: u64,
    /// Longest `server_key` kept, in bytes.
    pub server_key_bytes: u64,
    /// Strings that were longer.
    pub ignored_server_keys: u64,
    /// Updates pushed to a peer in one pass.
    pub updates_at_once: u64,
    /// Connections of the runtime API at a time.
    pub runtime_connections: Usage,
}

/// What is taken of a limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Taken now.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// How often it was reached.
    pub hits: u64,
}
