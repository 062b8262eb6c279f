//! The memory that the limits of a configuration allow, added up from the limits themselves.
//!
//! Each part asks the constant that bounds it, so that a limit which changes is right here too. What is not bounded by a
//! limit of the configuration is not in it: the program (some MiB), and the buffers of the `state` writer (a few MiB).

use std::fmt;
use std::sync::Arc;

use haproxy_peers::{DynamicTables, Session};
use serde::Serialize;
use stick_table::{DataType, TableDefinition};

use crate::config::{Config, Global, PeersSection};
use crate::peers::{CONNECTION_BYTES, Cluster, HELLO_BYTES};
use crate::{log, runtime};

/// What TLS holds of a connection: records on their way in, and text that waits to go out.
const TLS_BYTES: u64 = 96 << 10;

/// Bytes that each kind of limit allows in the worst case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Configured tables when they are full, with a string for each entry where `server_key` is stored.
    pub tables: u64,
    /// Tables that are made from definitions (`dynamic-tables … memory`).
    pub dynamic_tables: u64,
    /// Contributions and results of hubs (`tables … memory`).
    pub hubs: u64,
    /// Sessions and connections of peers.
    pub peers: u64,
    /// Clients of the runtime API and of HTTP.
    pub clients: u64,
    /// Lines of the log that wait for their reader.
    pub log: u64,
    /// Whether a limit that counts is switched off (`memory 0`): then there is no worst case.
    pub is_open: bool,
}

impl Budget {
    /// The budget of a process with this configuration and the clusters made from it.
    pub(crate) fn new(config: &Config, clusters: &[Arc<Cluster>]) -> Self {
        let entries = config.sections.iter().flat_map(|section| &section.tables).chain(&config.local_tables);
        let longest = u64::from(config.global.max_server_key);
        let mut budget = Self {
            tables: entries.map(|entry| full(&entry.definition, longest)).sum(),
            clients: runtime::most_bytes(&config.global) + http_bytes(&config.global),
            log: log::usage().limit,
            ..Self::default()
        };
        for cluster in clusters {
            let section = cluster.config();
            if let Some(dynamic) = section.dynamic_tables {
                let part = if section.hub.is_some() { &mut budget.hubs } else { &mut budget.dynamic_tables };
                *part += dynamic.memory;
                budget.is_open |= dynamic.memory == 0;
            }
            let session = Session::most_memory(cluster.tables(), cluster.limits());
            budget.peers += connections(section, session);
        }
        budget
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.tables + self.dynamic_tables + self.hubs + self.peers + self.clients + self.log
    }
}

#[cfg(feature = "http")]
fn http_bytes(global: &Global) -> u64 {
    if global.http.binds.is_empty() { 0 } else { crate::http::MOST_BYTES as u64 }
}

#[cfg(not(feature = "http"))]
const fn http_bytes(_: &Global) -> u64 {
    0
}

/// Bytes of a full table: each entry may have a `server_key` of its own.
fn full(table: &TableDefinition, longest_string: u64) -> u64 {
    let beside = DynamicTables::STRING_BYTES as u64;
    let string = table.column(DataType::ServerKey).map_or(0, |_| longest_string + beside);
    table.full_bytes() + u64::from(table.size) * string
}

/// Bytes of a section's connections: with each peer one session and one attempt that may replace it, and those that have not
/// said their hello.
fn connections(section: &PeersSection, session: u64) -> u64 {
    let has_tls = section.local.listeners.iter().any(|bind| bind.tls.is_some())
        || section.remotes.iter().any(|remote| remote.tls.is_some())
        || section.templates.iter().any(|template| template.tls.is_some());
    let tls = if has_tls { TLS_BYTES } else { 0 };
    let dynamic = section.dynamic_peers.as_ref().map_or(0, |dynamic| dynamic.max);
    let peers = u64::from(section.configured_peers().saturating_add(dynamic));
    let hello = HELLO_BYTES as u64 + tls;
    peers * (session + CONNECTION_BYTES as u64 + tls + hello) + u64::from(section.handshakes.max) * hello
}

/// `2970 MiB of memory (dynamic tables 1024 MiB, …)`: parts of nothing are left out.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("tables", self.tables),
            ("dynamic tables", self.dynamic_tables),
            ("hubs", self.hubs),
            ("peers", self.peers),
            ("clients", self.clients),
            ("log", self.log),
        ];
        write!(f, "{} of memory", Size(self.total()))?;
        let mut before = " (";
        for (name, bytes) in parts.into_iter().filter(|(_, bytes)| *bytes > 0) {
            write!(f, "{before}{name} {}", Size(bytes))?;
            before = ", ";
        }
        if before == ", " { f.write_str(")") } else { Ok(()) }
    }
}

/// Bytes as a person reads them, rounded up: a worst case is not made smaller.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.0.div_ceil(1 << 20);
        if mib < 10 << 10 { write!(f, "{mib} MiB") } else { write!(f, "{} GiB", mib.div_ceil(1 << 10)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up() {
        let shown = |bytes: u64| Size(bytes).to_string();
        assert_eq!(shown(0), "0 MiB");
        assert_eq!(shown(1), "1 MiB");
        assert_eq!(shown((1 << 20) + 1), "2 MiB");
        assert_eq!(shown(10 << 30), "10 GiB");
        assert_eq!(shown((10 << 30) + 1), "11 GiB");
    }

    #[test]
    fn parts_of_nothing_are_left_out() {
        let budget = Budget { tables: 5 << 20, log: 1 << 20, ..Budget::default() };
        assert_eq!(budget.to_string(), "6 MiB of memory (tables 5 MiB, log 1 MiB)");
        assert_eq!(Budget::default().to_string(), "0 MiB of memory");
    }

    #[test]
    fn a_string_for_each_entry_counts_where_server_key_is_stored() {
        let plain = TableDefinition::new("t", stick_table::KeyType::Ip, 1_000);
        let with_key = plain.clone().with_column("server_key".parse().unwrap()).unwrap();
        assert_eq!(full(&plain, 256), plain.full_bytes());
        assert_eq!(full(&with_key, 256), with_key.full_bytes() + 1_000 * (256 + 64));
    }
}
