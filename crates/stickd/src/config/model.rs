//! What a configuration means: the typed structures the daemon is built from.
//!
//! Every structure is complete and checked: names are unique, references lead somewhere, numbers are in range.

mod log;
pub use log::{LogFormat, LogLevel, LogOutput, LogTarget};

mod socket;
pub use socket::{Level, Owner, SeverityOutput, StatsSocket};

mod tls;
pub use tls::{BindTls, CaFile, ServerTls, TlsVersion, TlsVersions, Verify};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use stick_table::TableDefinition;

use super::address::{Address, WildcardFamilies};
use super::cidr::Cidr;
use super::http::Http;
use super::hub::{Hub, PeerLevel};
use super::source::Span;
use super::template::{Membership, ServerTemplate};

/// The `global` sections taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The argument of `localpeer`. The name in force is [`Config::local_peer`](super::Config::local_peer).
    pub local_peer: Option<String>,
    /// Name of the node shown by `show info`; the host name when `None`.
    pub node: Option<String>,
    /// Text shown by `show info`.
    pub description: Option<String>,
    /// Sockets of the runtime API.
    pub stats_sockets: Vec<StatsSocket>,
    /// Time after which an idle runtime connection is closed, in ms. Default 10 s, as in HAProxy.
    pub stats_timeout: u32,
    /// Most runtime connections at a time, over all sockets. Default 10, as in HAProxy.
    pub stats_max_connections: u32,
    /// Where log lines go; empty when no `log` line was given.
    pub logs: Vec<LogTarget>,
    /// Most updates pushed to a peer in one pass, at least 1 (stick-tables §9).
    pub max_updates_at_once: u32,
    /// Largest message on the wire, in bytes (peers-protocol §14.2).
    pub bufsize: u32,
    /// Most connections that peers open at a time, over all sections; as many as the sections allow when `None`.
    pub max_connections: Option<MaxConnections>,
    /// Longest `server_key` kept, in bytes.
    pub max_server_key: u32,
    /// Where connections that this node opens to peers come from; a port of 0 is any. The system decides when `None`.
    pub source: Option<SocketAddr>,
    /// Listeners for several sections each (`bind`).
    pub shared: Vec<SharedListener>,
    /// Where tables are kept on disk (`state`); nowhere when `None`.
    pub state: Option<StateLine>,
    /// Listeners for metrics, the API and the page (`http`).
    pub http: Http,
}

/// A `state` line: tables that survive a stop of all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLine {
    /// The directory, of this process alone.
    pub directory: PathBuf,
    /// Time between two writes, in ms: so much may be lost when the power fails.
    pub every_ms: u32,
    /// Most bytes of all files; `None` for no limit.
    pub max_disk: Option<u64>,
    /// Whether a file system of another machine is taken as well.
    pub force: bool,
    /// The directory in the configuration.
    pub span: Span,
}

impl StateLine {
    /// Default of [`every_ms`](Self::every_ms).
    pub const EVERY_MS: u32 = 500;
}

/// A `bind` line of `global`: one listener for several `aggregations` sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedListener {
    /// Where it listens.
    pub bind: Bind,
    /// Names of the sections that it serves, at least one, in the order of their declaration.
    pub sections: Vec<String>,
}

/// A `maxconn` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxConnections {
    /// The number, at least 1.
    pub number: u32,
    /// The number in the configuration.
    pub span: Span,
}

impl Global {
    /// Default of [`max_updates_at_once`](Self::max_updates_at_once).
    pub const MAX_UPDATES_AT_ONCE: u32 = 200;
    /// Default of [`bufsize`](Self::bufsize).
    pub const BUFSIZE: u32 = 16384;
    /// Default of [`stats_timeout`](Self::stats_timeout), in ms.
    pub const STATS_TIMEOUT: u32 = 10_000;
    /// Default of [`stats_max_connections`](Self::stats_max_connections).
    pub const STATS_MAX_CONNECTIONS: u32 = 10;
    /// Default of [`max_server_key`](Self::max_server_key): the names of servers and addresses are shorter.
    pub const MAX_SERVER_KEY: u32 = 256;
}

impl Default for Global {
    fn default() -> Self {
        Self {
            local_peer: None,
            node: None,
            description: None,
            stats_sockets: Vec::new(),
            stats_timeout: Self::STATS_TIMEOUT,
            stats_max_connections: Self::STATS_MAX_CONNECTIONS,
            logs: Vec::new(),
            max_updates_at_once: Self::MAX_UPDATES_AT_ONCE,
            bufsize: Self::BUFSIZE,
            max_connections: None,
            max_server_key: Self::MAX_SERVER_KEY,
            source: None,
            shared: Vec::new(),
            state: None,
            http: Http::default(),
        }
    }
}

/// A `peers` or an `aggregations` section: a cluster of peers and the tables they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersSection {
    /// Name of the section. Peers do not see it, but shards depend on it (peers-protocol §15).
    pub name: String,
    /// Whether the section neither listens nor connects; its tables exist all the same.
    pub disabled: bool,
    /// This node.
    pub local: LocalPeer,
    /// The other nodes in declaration order, names unique and different from the local one.
    pub remotes: Vec<RemotePeer>,
    /// The shared tables in declaration order, those of proxies and of this section, network names unique.
    pub tables: Vec<TableEntry>,
    /// Number of shards, at least 1; `None` without a `shards` line.
    pub shards: Option<u32>,
    /// Bounds of connections that have not said their hello.
    pub handshakes: Handshakes,
    /// Set when peers that are not listed may connect.
    pub dynamic_peers: Option<DynamicPeers>,
    /// Members that DNS lists.
    pub templates: Vec<ServerTemplate>,
    /// How members that are not listed are found and forgotten.
    pub membership: Membership,
    /// Set when tables that are not listed are created from the definitions peers send.
    pub dynamic_tables: Option<DynamicTables>,
    /// Whether live updates of one peer are passed on to all others.
    pub relay: bool,
    /// Set in an `aggregations` section. That has no tables of its own, no shards and no `relay`, but `dynamic_tables`.
    pub hub: Option<Hub>,
    /// The name in the section's first line.
    pub span: Span,
}

impl PeersSection {
    /// The word the section begins with.
    pub fn keyword(&self) -> &'static str {
        if self.hub.is_some() { "aggregations" } else { "peers" }
    }

    /// Peers that are configured and may connect: the others, as many as DNS may list, and the process before this one.
    pub fn configured_peers(&self) -> u32 {
        self.discovered_peers().saturating_add(self.remotes.len() as u32 + 1)
    }

    /// Most members that DNS may list.
    pub fn discovered_peers(&self) -> u32 {
        self.templates.iter().map(ServerTemplate::most).fold(0, u32::saturating_add)
    }

    /// Most connections that peers can have opened at a time.
    pub fn most_connections(&self) -> u32 {
        let dynamic = self.dynamic_peers.as_ref().map_or(0, |dynamic| dynamic.max);
        self.configured_peers().saturating_add(dynamic).saturating_add(self.handshakes.max)
    }
}

/// `handshakes`: bounds of connections that have not said their hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshakes {
    /// Most such connections at a time; for one more the oldest of the busiest source is closed.
    pub max: u32,
    /// Time for the whole hello, that of TLS included, in ms.
    pub timeout: u32,
}

impl Handshakes {
    /// Default of [`max`](Self::max).
    pub const MAX: u32 = 1024;
    /// Default of [`timeout`](Self::timeout): HAProxy gives a hello the same (peers-protocol §3).
    pub const TIMEOUT: u32 = 5_000;
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { max: Self::MAX, timeout: Self::TIMEOUT }
    }
}

/// This node in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// The name other peers know this node by.
    pub name: String,
    /// Where it listens: at most one; none in a section that is disabled, that only calls others, or that
    /// [`shared`](Global::shared) listeners serve.
    pub listeners: Vec<Bind>,
    /// Set to connect to the own listener over TLS, for a hand-over.
    pub tls: Option<ServerTls>,
    /// The name on the `peer` or `server` line, or the section's name when there is no such line.
    pub span: Span,
}

/// A listener for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where to listen.
    pub address: Address,
    /// What it serves at an IPv6 wildcard.
    pub families: WildcardFamilies,
    /// Set when peers connect over TLS.
    pub tls: Option<BindTls>,
    /// The address in the configuration.
    pub span: Span,
}

/// Another node of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePeer {
    /// Its name.
    pub name: String,
    /// Where to connect, never a wildcard; `None` for one that is waited for, in an `aggregations` section a load balancer only.
    pub address: Option<Address>,
    /// The shard it gets, 1 to the section's `shards`; 0 when it gets all (peers-protocol §15).
    pub shard: u32,
    /// Set to connect over TLS.
    pub tls: Option<ServerTls>,
    /// Which way its values go; [`PeerLevel::Balancer`] in a `peers` section.
    pub level: PeerLevel,
    /// The name in the configuration.
    pub span: Span,
}

/// A declared table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// What it is, under its full local name.
    pub definition: TableDefinition,
    /// Its name on the `table` line, or the proxy's name.
    pub span: Span,
    /// Whether it is kept where `state` says (not with `no-state`).
    pub is_stored: bool,
    /// Whether its line has a `store` list. Without one the table stores what the first peer that defines it stores.
    pub has_list: bool,
}

/// `dynamic-peers`: which peers may connect without being listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicPeers {
    /// Addresses they may come from; empty means any.
    pub from: Vec<Cidr>,
    /// Most such peers at a time.
    pub max: u32,
}

impl DynamicPeers {
    /// Default of [`max`](Self::max).
    pub const MAX: u32 = 1024;

    /// Whether a peer at this address may connect, by its address alone.
    pub fn accepts(&self, address: IpAddr) -> bool {
        self.from.is_empty() || self.from.iter().any(|block| block.contains(address))
    }
}

/// `dynamic-tables`: tables created from the definitions peers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicTables {
    /// Most entries of such a table; definitions on the wire carry no size.
    pub size: u32,
    /// Most such tables in the section.
    pub max: u32,
    /// Most bytes that all of them would take when they were full, and in an `aggregations` section that they take; 0 for no
    /// limit.
    pub memory: u64,
}

impl DynamicTables {
    /// Default of [`size`](Self::size): `100k` in HAProxy's units.
    pub const SIZE: u32 = 100 << 10;
    /// Default of [`max`](Self::max).
    pub const MAX: u32 = 256;
    /// Default of [`size`](Self::size) in an `aggregations` section: memory is the limit.
    pub const AGGREGATED_SIZE: u32 = haproxy_peers::DynamicTables::MOST_KEYS;
    /// Default of [`memory`](Self::memory): `1g`.
    pub const MEMORY: u64 = 1 << 30;
}

impl DynamicTables {
    /// What a `tables` line of an `aggregations` section begins with.
    pub const fn aggregated() -> Self {
        Self { size: Self::AGGREGATED_SIZE, max: Self::MAX, memory: Self::MEMORY }
    }
}

impl Default for DynamicTables {
    fn default() -> Self {
        Self { size: Self::SIZE, max: Self::MAX, memory: Self::MEMORY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_peers_come_from_their_blocks() {
        let any = DynamicPeers { from: Vec::new(), max: 1 };
        let loopback = DynamicPeers { from: vec!["127.0.0.0/8".parse().unwrap()], max: 1 };
        let address = "10.0.0.1".parse().unwrap();
        assert!(any.accepts(address));
        assert!(!loopback.accepts(address));
        assert!(loopback.accepts("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn levels_include_lower_ones() {
        assert!(Level::Admin > Level::Operator && Level::Operator > Level::User);
        assert!(LogLevel::Debug > LogLevel::Error);
    }
}
