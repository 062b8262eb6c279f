//! Bounds of what peers and clients of the runtime API can take.

use serde::Serialize;

use crate::budget::Budget;

/// The limits, and what is taken of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LimitsView {
    /// Connections that peers opened, over all sections.
    pub peer_connections: Usage,
    /// Connections that have not said their hello.
    pub handshakes: Usage,
    /// Peers that are not configured, over all sections.
    pub dynamic_peers: Usage,
    /// Peers that DNS lists, over all sections.
    pub discovered_peers: Usage,
    /// Tables that are not configured, over all sections.
    pub dynamic_tables: Usage,
    /// Bytes of those tables when they are full.
    pub dynamic_table_bytes: Usage,
    /// Connections of the runtime API at a time.
    pub runtime_connections: Usage,
    /// Bytes of the log that wait to be written.
    pub log_bytes: Usage,
    /// Memory that all limits allow, by kind.
    pub budget: Budget,
    /// Largest message on the wire, in bytes.
    pub message_bytes: u64,
    /// Longest `server_key` kept, in bytes.
    pub server_key_bytes: u64,
    /// Updates pushed to a peer in one pass.
    pub updates_at_once: u64,
}

/// What is taken of a limit.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Taken now.
    pub used: u64,
    /// The limit; 0 for none.
    pub limit: u64,
    /// How often it was reached.
    pub hits: u64,
}
