//! The process.

use serde::Serialize;

use super::LimitsView;
use crate::metrics::counter::Counts;

/// Facts and counts of the process. Counts start with the process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessView {
    /// Version of stickd.
    pub version: String,
    /// Date of that version, `YYYY/MM/DD`.
    pub release_date: String,
    /// Name of the node.
    pub node: String,
    /// The configured text, if any.
    pub description: Option<String>,
    /// Process id.
    pub process_id: u32,
    /// Threads that run sessions.
    pub threads: u32,
    /// Time since the start, in seconds.
    pub uptime_s: u64,
    /// When the process started, in seconds since 1970.
    pub start_time_s: u64,
    /// Whether the process is stopping.
    pub stopping: bool,
    /// Most open files of the process.
    pub open_files_limit: u32,
    /// Most files that the limits let it open.
    pub open_files_needed: u32,
    /// Sockets it listens on.
    pub listeners: u32,
    /// Connections of peers that are open now.
    pub connections: u32,
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
    /// Tables whose definition a peer sees otherwise.
    pub mismatched_tables: u32,
    /// What the sums of hubs leave out now: tables of nodes, or all of a node.
    pub sums_left_out: u64,
    /// Tables of nodes that were left out of the sums, and updates that found no room in them, so far.
    pub sums_refused: u64,
    /// What was counted so far.
    pub counts: Counts,
    /// Limits, and what is taken of them.
    pub limits: LimitsView,
    /// Tables on disk; `None` without a `state` line.
    pub state: Option<StateView>,
}

/// Tables on disk.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StateView {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub segments: u64,
    /// Time since everything was durable, in ms.
    pub lag_ms: u64,
    /// Writes that failed.
    pub failures: u64,
}
