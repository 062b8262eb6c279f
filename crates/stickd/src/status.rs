//! What the daemon tells its runtime API.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use haproxy_peers::{
    LastStatus, Order, OrderError, Orders, PeerKind, PeerLevel, ProtocolVersion, ResyncState, SessionId,
    SharedTable, TablePart,
};
use stick_aggregate::Aggregate;
use stick_table::{Millis, Table};

use crate::daemon::Daemon;
use crate::files;
use crate::log;
use crate::peers::{Cluster, Connection, Direction, Totals};
use crate::runtime::{
    AppState, Context, DictionaryView, HandshakeStatus, HubPeerView, HubView, Info, LearnState, LeftOutView,
    Limits, Membership, PeerView, SectionView, SessionView, SharedTableView, TableRef, TableState, Timer,
    Transport, Usage,
};

/// Peer flags by HAProxy 3.0's numbers (stick-tables §8).
mod flag {
    pub(super) const TEACHING: u32 = 1;
    pub(super) const NOT_UP_TO_DATE: u32 = 8;
    pub(super) const ALIVE: u32 = 0x20;
    pub(super) const DOWNGRADED: u32 = 0x80;
}

/// The runtime API's view of the daemon.
pub struct Status {
    daemon: Arc<Daemon>,
}

impl Status {
    /// The view of a daemon.
    pub fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    fn sum(&self, of: impl Fn(&Cluster) -> &AtomicU64) -> u64 {
        self.daemon.clusters.iter().map(|cluster| of(cluster).load(Ordering::Relaxed)).sum()
    }
}

impl Context for Status {
    fn now(&self) -> Millis {
        self.daemon.clock.now()
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        self.daemon.all_tables()
    }

    fn shared(&self, table: &Table) -> Option<Arc<SharedTable>> {
        let name = &table.definition().name;
        self.daemon.clusters.iter().find_map(|cluster| cluster.tables().by_local_name(name))
    }

    fn changed(&self) {
        self.daemon.clusters.iter().for_each(|cluster| cluster.changed());
    }

    fn sections(&self) -> Vec<SectionView> {
        let now = self.now();
        let running = self.daemon.clusters.iter().map(|cluster| section(cluster, now));
        let disabled = self.daemon.config.sections.iter().filter(|section| section.disabled);
        let disabled = disabled.map(|section| SectionView {
            id: section.name.clone(),
            disabled: true,
            ..SectionView::default()
        });
        let mut all: Vec<_> = running.chain(disabled).collect();
        let place = |id: &str| self.daemon.config.sections.iter().position(|section| section.name == id);
        all.sort_by_key(|section| std::cmp::Reverse(place(&section.id)));
        all
    }

    fn hubs(&self) -> Vec<HubView> {
        let hubs = self.daemon.clusters.iter().filter(|cluster| cluster.tables().is_hub());
        hubs.map(|cluster| hub(cluster, self.now())).collect()
    }

    fn sum(&self, name: &str) -> Option<Arc<Aggregate>> {
        let sums = self.daemon.clusters.iter().flat_map(|cluster| cluster.tables().aggregates());
        sums.into_iter().find(|sum| sum.source().name == name || sum.output().definition().name == name)
    }

    fn orders<'o>(&self, sum: &Arc<Aggregate>, order: Order<'o>) -> Result<Orders<'o>, OrderError> {
        let is_its =
            |cluster: &&Arc<Cluster>| cluster.tables().aggregates().iter().any(|it| Arc::ptr_eq(it, sum));
        let cluster = self.daemon.clusters.iter().find(is_its).ok_or(OrderError::Gone)?;
        let view = cluster.view();
        let at = |level| view.peers.iter().filter(move |peer| peer.level == level);
        let lower: Vec<_> = at(PeerLevel::Lower).map(|peer| peer.name.as_str()).collect();
        if !lower.is_empty() {
            return Err(OrderError::LowerHubs(lower.join(", ")));
        }
        let connections = cluster.connections();
        // Those that have the table.
        let nodes = at(PeerLevel::Below).filter(|peer| {
            let connection = peer.session.and_then(|session| connections.get(&session));
            let Some(established) = connection.and_then(|connection| connection.established()) else {
                return false;
            };
            let tables = established.session.lock().view().tables;
            tables.iter().any(|table| table.name == sum.source().name && table.remote_id != 0)
        });
        let nodes = nodes.map(|peer| peer.origin).collect();
        cluster.tables().orders(sum, nodes, order)
    }

    fn info(&self) -> Info {
        let daemon = &self.daemon;
        let tables = self.tables();
        let mut connections = Vec::new();
        for cluster in &daemon.clusters {
            connections.extend(cluster.connections().into_values());
        }
        let live = Live::of(&connections);
        let peer_listeners: usize =
            daemon.clusters.iter().map(|cluster| cluster.config().local.listeners.len()).sum();
        let (limits, log) = (&daemon.config.global, log::usage());
        let hubs = || daemon.clusters.iter().filter(|cluster| cluster.tables().is_hub());
        let since = daemon.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            release_date: env!("STICKD_RELEASE_DATE").to_owned(),
            threads: std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32),
            process_id: std::process::id(),
            uptime: daemon.clock.uptime(),
            start_time: since,
            open_files_limit: u32::try_from(files::limit()).unwrap_or(u32::MAX),
            open_files_needed: (files::apart_from_peers(&daemon.config) + daemon.places.max() as u64) as u32,
            connections: connections.len() as u32,
            total_connections: self.sum(|cluster| &cluster.totals().connections) as u32,
            node: limits.node.clone().unwrap_or_else(|| daemon.config.local_peer.clone()),
            description: limits.description.clone(),
            stopping: daemon.stopping.load(Ordering::Relaxed),
            listeners: (limits.stats_sockets.len() + peer_listeners) as u32,
            active_peers: connections.len() as u32,
            connected_peers: connections
                .iter()
                .filter(|connection| connection.established().is_some())
                .count() as u32,
            tables: tables.len() as u32,
            table_size: tables.iter().map(|table| u64::from(table.definition().size)).sum(),
            entries: tables.iter().map(|table| u64::from(table.len())).sum(),
            updates_received: live.received + self.sum(|cluster| &cluster.totals().updates_received),
            updates_sent: live.sent + self.sum(|cluster| &cluster.totals().updates_sent),
            updates_refused: live.refused + self.sum(|cluster| &cluster.totals().updates_refused),
            lessons_learned: self.sum(|cluster| &cluster.totals().lessons_learned),
            lessons_taught: self.sum(|cluster| &cluster.totals().lessons_taught),
            refused_connections: self.sum(|cluster| &cluster.totals().refused_connections),
            protocol_errors: self.sum(|cluster| &cluster.totals().protocol_errors),
            mismatched_tables: live.mismatched,
            left_out: hubs().map(|cluster| cluster.hub_report().state.left_out.len() as u64).sum(),
            refusals: hubs().map(|cluster| cluster.tables().refusals()).sum(),
            limits: self.limits(&live),
            namesakes: self.sum(|cluster| &cluster.totals().namesakes),
            lines_left_out: self.sum(|cluster| &cluster.totals().lines_left_out),
            log_bytes: Usage { used: log.waiting, limit: log.limit, hits: log.lost },
            state: daemon.state.get().map(|usage| usage.info(self.now())),
        }
    }
}

impl Status {
    /// What is taken of each limit, the limit, and how often it was reached.
    fn limits(&self, live: &Live) -> Limits {
        let (daemon, global) = (&self.daemon, &self.daemon.config.global);
        let running = || daemon.clusters.iter();
        let totals = |of: fn(&Totals) -> &AtomicU64| self.sum(|cluster| of(cluster.totals()));
        let tables: Vec<_> = running().map(|cluster| cluster.tables().dynamic_usage()).collect();
        let dynamic_tables = || running().filter_map(|cluster| cluster.config().dynamic_tables);
        let refused_tables = tables.iter().map(|usage| usage.refused).sum();
        Limits {
            peer_connections: Usage {
                used: daemon.places.open() as u64,
                limit: daemon.places.max() as u64,
                hits: totals(|totals| &totals.connections_over_limit),
            },
            handshakes: Usage {
                used: running().map(|cluster| cluster.handshakes() as u64).sum(),
                limit: running().map(|cluster| u64::from(cluster.config().handshakes.max)).sum(),
                hits: totals(|totals| &totals.handshakes_dropped),
            },
            handshakes_timed_out: totals(|totals| &totals.handshakes_timed_out),
            dynamic_peers: Usage {
                used: running().map(|cluster| cluster.dynamic_peers() as u64).sum(),
                limit: running()
                    .filter_map(|cluster| cluster.config().dynamic_peers.as_ref())
                    .map(|dynamic| u64::from(dynamic.max))
                    .sum(),
                hits: totals(|totals| &totals.dynamic_peers_refused),
            },
            discovered_peers: Usage {
                used: running().map(|cluster| cluster.discovered_peers() as u64).sum(),
                limit: running().map(|cluster| u64::from(cluster.config().discovered_peers())).sum(),
                hits: 0,
            },
            dynamic_tables: Usage {
                used: tables.iter().map(|usage| usage.tables as u64).sum(),
                limit: dynamic_tables().map(|dynamic| u64::from(dynamic.max)).sum(),
                hits: refused_tables,
            },
            dynamic_table_bytes: Usage {
                used: tables.iter().map(|usage| usage.bytes).sum(),
                limit: dynamic_tables().map(|dynamic| dynamic.memory).sum(),
                hits: refused_tables,
            },
            message_bytes: global.bufsize.into(),
            oversized_messages: totals(|totals| &totals.oversized_messages),
            server_key_bytes: global.max_server_key.into(),
            ignored_server_keys: live.ignored_strings + totals(|totals| &totals.ignored_strings),
            updates_at_once: global.max_updates_at_once.into(),
            runtime_connections: Usage {
                used: daemon.runtime.connections() as u64,
                limit: global.stats_max_connections.into(),
                hits: daemon.runtime.dropped(),
            },
        }
    }
}

/// Sums over the sessions of this moment.
#[derive(Default)]
struct Live {
    received: u64,
    refused: u64,
    sent: u64,
    ignored_strings: u64,
    mismatched: u32,
}

impl Live {
    fn of(connections: &[Arc<Connection>]) -> Self {
        let mut live = Self::default();
        for established in connections.iter().filter_map(|connection| connection.established()) {
            let session = established.session.lock();
            let (received, sent) = (session.received(), session.sent());
            live.received += received.updates;
            live.refused += received.refused_updates;
            live.sent += sent.live_updates + sent.lesson_updates;
            live.ignored_strings += received.ignored_strings;
            live.mismatched += session.mismatched_tables() as u32;
        }
        live
    }
}

fn section(cluster: &Cluster, now: Millis) -> SectionView {
    let view = cluster.view();
    let connections = cluster.connections();
    let resync_timeout = match view.resync {
        ResyncState::FromLocal { until } | ResyncState::FromRemote { until } => timer(Some(until), now),
        ResyncState::Finished => Timer::Never,
    };
    SectionView {
        id: view.name,
        disabled: false,
        flags: view.flags,
        relay: view.relay,
        resync_timeout,
        task_calls: 0,
        peers: view.peers.iter().rev().map(|peer| peer_view(cluster, peer, &connections, now)).collect(),
    }
}

/// What a peer of a hub is.
fn level_word(peer: &haproxy_peers::PeerView) -> &'static str {
    match peer.level {
        PeerLevel::Below | PeerLevel::Itself => "balancer",
        PeerLevel::Lower => "down",
        PeerLevel::Above => "up",
        PeerLevel::Beside => "beside",
    }
}

fn hub(cluster: &Cluster, now: Millis) -> HubView {
    let (report, view, connections) = (cluster.hub_report(), cluster.view(), cluster.connections());
    let state = report.state;
    let peers = view.peers.iter().filter(|peer| peer.kind != PeerKind::Local).map(|peer| {
        let connection = peer.session.and_then(|session| connections.get(&session));
        let established = connection.and_then(|connection| connection.established());
        HubPeerView {
            name: peer.name.clone(),
            level: level_word(peer),
            origin: peer.origin,
            heard: established.map(|established| established.session.lock().silent_for(now)),
            told_all: peer.told_all,
            // What comes first: a peer that is forgotten counts no more.
            forgotten_in: peer
                .counts_until
                .map(|at| peer.forget_at.map_or(at, |forget| at.min(forget)).saturating_sub(now)),
        }
    });
    HubView {
        id: view.name.clone(),
        nodes: state.nodes,
        expected: state.expected,
        complete: state.is_complete(),
        left_out: state.left_out.iter().map(|left_out| left_out_view(cluster, &view, left_out)).collect(),
        holding: cluster.tables().holds_results(),
        node_timeout: cluster.tables().hub().map_or(0, |hub| hub.node_timeout),
        peers: peers.collect(),
        sums: cluster.tables().aggregates(),
    }
}

fn left_out_view(
    cluster: &Cluster,
    view: &haproxy_peers::SectionView,
    left_out: &haproxy_peers::LeftOut,
) -> LeftOutView {
    let peer = view.peers.iter().find(|peer| Some(peer.origin) == left_out.node);
    LeftOutView {
        peer: peer.map(|peer| peer.name.clone()),
        table: left_out.table.as_deref().map(|table| cluster.tables().local_name(table)),
        reason: left_out.reason.word(),
        text: left_out.reason.to_string(),
        remedy: left_out.reason.remedy(),
    }
}

fn peer_view(
    cluster: &Cluster,
    peer: &haproxy_peers::PeerView,
    connections: &HashMap<SessionId, Arc<Connection>>,
    now: Millis,
) -> PeerView {
    let connection = peer.session.and_then(|session| connections.get(&session));
    let mut view = PeerView {
        id: peer.name.clone(),
        local: peer.kind == PeerKind::Local,
        relay: peer.relay,
        active: peer.session.is_some(),
        address: address(cluster, peer, connection),
        app_state: match (peer.session, peer.established) {
            (None, _) => AppState::Stopped,
            (Some(_), false) => AppState::Starting,
            (Some(_), true) => AppState::Running,
        },
        learn_state: match (peer.assigned, peer.not_up_to_date) {
            (true, _) => LearnState::Processing,
            (false, true) if peer.established => LearnState::Finished,
            _ => LearnState::NotAssigned,
        },
        last_status: handshake_status(peer.last_status),
        last_handshake: peer.last_handshake.map(|at| now.saturating_sub(at)),
        reconnect: timer(peer.connect_at, now),
        no_heartbeat: peer.counters.silences,
        new_connections: peer.counters.attempts + peer.counters.sessions,
        protocol_errors: peer.counters.protocol_errors,
        collisions: peer.counters.collisions,
        version: if peer.downgraded {
            version(ProtocolVersion::V2_0)
        } else {
            version(ProtocolVersion::V2_1)
        },
        membership: match peer.kind {
            PeerKind::Local | PeerKind::Static => Membership::Static,
            PeerKind::Dynamic => Membership::Dynamic,
            PeerKind::Discovered => Membership::Discovered {
                from: cluster.listed(&peer.name).map_or_else(String::new, |(from, _)| from.to_owned()),
                listed: !peer.withdrawn,
            },
        },
        forgotten: timer(peer.forget_at, now),
        namesakes: cluster.namesakes(&peer.name),
        last_reason: peer.last_reason.clone(),
        ..PeerView::default()
    };
    view.flags |= if peer.not_up_to_date { flag::NOT_UP_TO_DATE } else { 0 };
    view.flags |= if peer.downgraded { flag::DOWNGRADED } else { 0 };
    if let Some(connection) = connection {
        add_session(&mut view, connection, now);
    }
    if view.tables.is_empty() {
        view.tables = shared_tables(cluster);
    }
    view
}

/// The tables of a peer without a session, such as the local one: nothing was told yet.
fn shared_tables(cluster: &Cluster) -> Vec<SharedTableView> {
    let tables = cluster.tables().all();
    let told = tables.iter().filter(|shared| !matches!(shared.part(), TablePart::Orders { .. }));
    let view = |shared: &Arc<SharedTable>| SharedTableView {
        table: TableRef { id: shared.definition().name.clone(), local_id: shared.id(), remote_id: 0 },
        state: TableState { references: 1, ..TableState::default() },
        ..SharedTableView::default()
    };
    told.map(view).collect()
}

fn address(
    cluster: &Cluster,
    peer: &haproxy_peers::PeerView,
    connection: Option<&Arc<Connection>>,
) -> String {
    let config = cluster.config();
    if peer.kind == PeerKind::Local {
        return config.local.listeners.first().map_or_else(String::new, |bind| bind.address.to_string());
    }
    let configured = config.remotes.iter().find(|remote| remote.name == peer.name);
    let known = configured.and_then(|remote| remote.address.clone());
    let known = known.or_else(|| Some(cluster.listed(&peer.name)?.1));
    known.map(|address| address.to_string()).unwrap_or_else(|| {
        let established = connection.and_then(|connection| connection.established());
        established.map_or_else(String::new, |established| established.remote.clone())
    })
}

/// Adds what only the session knows.
fn add_session(view: &mut PeerView, connection: &Connection, now: Millis) {
    let Some(established) = connection.established() else {
        // HAProxy's number of a session that is connecting.
        view.session = Some(SessionView { st0: 1, connection_state: Some("CON"), ..SessionView::default() });
        return;
    };
    let session = established.session.lock();
    let (state, counters) = (session.view(), session.counters());
    view.heartbeat = timer(Some(session.poll_timeout()), now);
    drop(session);
    view.confirm = counters.confirms;
    view.tx_heartbeats = counters.heartbeats_sent;
    view.rx_heartbeats = counters.heartbeats_received;
    view.version = version(state.version);
    view.flags |= flag::ALIVE | if state.teaching { flag::TEACHING } else { 0 };
    let inbound = connection.direction == Direction::Inbound;
    let transport = inbound.then(|| Transport {
        tls: connection.tls,
        source: established.remote.clone(),
        destination: established.local.clone(),
    });
    // HAProxy's number of a session that waits for messages.
    view.session =
        Some(SessionView { st0: 7, connection_state: Some("EST"), transport, ..SessionView::default() });
    let reference = |name: Option<String>| {
        let table = state.tables.iter().find(|table| Some(&table.name) == name.as_ref())?;
        Some(table_ref(table))
    };
    view.remote_table = reference(state.remote_table.clone());
    view.last_local_table = reference(state.last_local_table.clone());
    view.tables = state.tables.iter().map(table_view).collect();
    view.ignored_tables = state.ignored_tables;
    view.dictionary = DictionaryView { sent: state.sent_strings, received: state.received_strings };
}

fn table_ref(table: &haproxy_peers::SharedTableView) -> TableRef {
    TableRef { id: table.name.clone(), local_id: table.local_id, remote_id: table.remote_id }
}

fn table_view(table: &haproxy_peers::SharedTableView) -> SharedTableView {
    let update = table.last_pushed.wrapping_add(table.behind as u32);
    SharedTableView {
        table: table_ref(table),
        flags: 0,
        remote_data: table.remote_data,
        last_acked: table.last_acked,
        last_pushed: table.last_pushed,
        last_get: table.last_get,
        teaching_origin: 0,
        update,
        state: TableState { update, local_update: update, references: 1 },
        behind: table.behind,
        mismatches: table.agreement.iter().flat_map(haproxy_peers::Agreement::texts).collect(),
    }
}

fn version(version: ProtocolVersion) -> (u8, u8) {
    (version.major as u8, version.minor as u8)
}

fn handshake_status(status: LastStatus) -> HandshakeStatus {
    match status.word() {
        "CONN" => HandshakeStatus::Connecting,
        "HSHK" => HandshakeStatus::Handshake,
        "ESTA" => HandshakeStatus::Established,
        "RETR" => HandshakeStatus::Retry,
        "PROT" => HandshakeStatus::Protocol,
        "VERS" => HandshakeStatus::Version,
        "NAME" => HandshakeStatus::LocalName,
        "UNKN" => HandshakeStatus::Unknown,
        _ => HandshakeStatus::None,
    }
}

fn timer(at: Option<Millis>, now: Millis) -> Timer {
    match at {
        None => Timer::Never,
        Some(at) if at <= now => Timer::Past,
        Some(at) => Timer::In(at - now),
    }
}
