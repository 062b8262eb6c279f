//! The view of the process: facts, counts and limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use crate::daemon::Daemon;
use crate::files;
use crate::log;
use crate::metrics::counter::{Counter, Counts};
use crate::peers::{Cluster, Connection};
use crate::view::{LimitsView, ProcessView, Usage};

pub(super) fn process(daemon: &Daemon) -> ProcessView {
    let (config, tables) = (&daemon.config, daemon.all_tables());
    let mut connections = Vec::new();
    for cluster in &daemon.clusters {
        connections.extend(cluster.connections().into_values());
    }
    let mut counts = Counts::default();
    daemon.clusters.iter().for_each(|cluster| cluster.totals().add_to(&mut counts));
    let mismatched_tables = add_sessions(&mut counts, &connections);
    let peer_listeners: usize =
        daemon.clusters.iter().map(|cluster| cluster.config().local.listeners.len()).sum();
    let hubs = || daemon.clusters.iter().filter(|cluster| cluster.tables().is_hub());
    let is_connected = |connection: &&Arc<Connection>| connection.established().is_some();
    let now = daemon.clock.now();
    ProcessView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        release_date: env!("STICKD_RELEASE_DATE").to_owned(),
        node: config.global.node.clone().unwrap_or_else(|| config.local_peer.clone()),
        description: config.global.description.clone(),
        process_id: std::process::id(),
        threads: std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32),
        uptime_s: daemon.clock.uptime().as_secs(),
        start_time_s: daemon.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        stopping: daemon.stopping.load(Ordering::Relaxed),
        open_files_limit: u32::try_from(files::limit()).unwrap_or(u32::MAX),
        open_files_needed: (files::apart_from_peers(config) + daemon.places.max() as u64) as u32,
        listeners: (config.global.stats_sockets.len() + peer_listeners) as u32,
        connections: connections.len() as u32,
        active_peers: connections.len() as u32,
        connected_peers: connections.iter().filter(is_connected).count() as u32,
        tables: tables.len() as u32,
        table_size: tables.iter().map(|table| u64::from(table.definition().size)).sum(),
        entries: tables.iter().map(|table| u64::from(table.len())).sum(),
        mismatched_tables,
        sums_left_out: hubs().map(|cluster| cluster.hub_report().state.left_out.len() as u64).sum(),
        sums_refused: hubs().map(|cluster| cluster.tables().refusals()).sum(),
        limits: limits(daemon, &counts),
        counts,
        state: daemon.state.get().map(|usage| usage.view(now)),
    }
}

/// Adds what the sessions of this moment count; totals have those that ended. Returns how many tables their peers define otherwise.
fn add_sessions(counts: &mut Counts, connections: &[Arc<Connection>]) -> u32 {
    let mut mismatched = 0;
    for established in connections.iter().filter_map(|connection| connection.established()) {
        let session = established.session.lock();
        let (received, sent) = (session.received(), session.sent());
        mismatched += session.mismatched_tables() as u32;
        drop(session);
        counts.add(Counter::UpdatesReceived, received.updates);
        counts.add(Counter::UpdatesRefused, received.refused_updates);
        counts.add(Counter::UpdatesSent, sent.live_updates + sent.lesson_updates);
        counts.add(Counter::IgnoredServerKeys, received.ignored_strings);
    }
    mismatched
}

/// What is taken of each limit, the limit, and how often it was reached.
fn limits(daemon: &Daemon, counts: &Counts) -> LimitsView {
    let (global, log) = (&daemon.config.global, log::usage());
    let sum = |of: fn(&Cluster) -> u64| daemon.clusters.iter().map(|cluster| of(cluster)).sum();
    let tables: Vec<_> = daemon.clusters.iter().map(|cluster| cluster.tables().dynamic_usage()).collect();
    let refused_tables = tables.iter().map(|usage| usage.refused).sum();
    LimitsView {
        peer_connections: Usage {
            used: daemon.places.open() as u64,
            limit: daemon.places.max() as u64,
            hits: counts.get(Counter::ConnectionsOverLimit),
        },
        handshakes: Usage {
            used: sum(|cluster| cluster.handshakes() as u64),
            limit: sum(|cluster| cluster.config().handshakes.max.into()),
            hits: counts.get(Counter::HandshakesDropped),
        },
        dynamic_peers: Usage {
            used: sum(|cluster| cluster.dynamic_peers() as u64),
            limit: sum(|cluster| {
                cluster.config().dynamic_peers.as_ref().map_or(0, |dynamic| dynamic.max.into())
            }),
            hits: counts.get(Counter::DynamicPeersRefused),
        },
        discovered_peers: Usage {
            used: sum(|cluster| cluster.discovered_peers() as u64),
            limit: sum(|cluster| cluster.config().discovered_peers().into()),
            hits: 0,
        },
        dynamic_tables: Usage {
            used: tables.iter().map(|usage| usage.tables as u64).sum(),
            limit: sum(|cluster| cluster.config().dynamic_tables.map_or(0, |dynamic| dynamic.max.into())),
            hits: refused_tables,
        },
        dynamic_table_bytes: Usage {
            used: tables.iter().map(|usage| usage.bytes).sum(),
            limit: sum(|cluster| cluster.config().dynamic_tables.map_or(0, |dynamic| dynamic.memory)),
            hits: refused_tables,
        },
        runtime_connections: Usage {
            used: daemon.runtime.connections() as u64,
            limit: global.stats_max_connections.into(),
            hits: daemon.runtime.dropped(),
        },
        log_bytes: Usage { used: log.waiting, limit: log.limit, hits: log.lost },
        budget: daemon.budget,
        message_bytes: global.bufsize.into(),
        server_key_bytes: global.max_server_key.into(),
        updates_at_once: global.max_updates_at_once.into(),
    }
}
