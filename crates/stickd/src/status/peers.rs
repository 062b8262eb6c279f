//! The view of a section and its peers: what the section knows, and what the sessions know.

use std::collections::HashMap;
use std::sync::Arc;

use haproxy_peers::{PeerKind, ProtocolVersion, ResyncState, SessionId, SharedTable, TablePart};
use stick_table::Millis;

use crate::peers::{Cluster, Connection, Direction};
use crate::view::{
    DictionaryView, LearnState, Membership, PeerState, PeerView, SectionView, SessionView, SharedTableView,
    TableRef, Timer,
};

type Connections = HashMap<SessionId, Arc<Connection>>;

pub(super) fn section(cluster: &Cluster, now: Millis) -> SectionView {
    let view = cluster.view();
    let connections = cluster.connections();
    let resync_timeout = match view.resync {
        ResyncState::FromLocal { until } | ResyncState::FromRemote { until } => {
            Timer::until(Some(until), now)
        }
        ResyncState::Finished => Timer::Never,
    };
    SectionView {
        name: view.name,
        disabled: false,
        flags: view.flags,
        relay: view.relay,
        resync_timeout,
        peers: view.peers.iter().rev().map(|peer| peer_view(cluster, peer, &connections, now)).collect(),
    }
}

fn peer_view(
    cluster: &Cluster,
    peer: &haproxy_peers::PeerView,
    connections: &Connections,
    now: Millis,
) -> PeerView {
    let connection = peer.session.and_then(|session| connections.get(&session));
    let mut view = PeerView {
        name: peer.name.clone(),
        local: peer.kind == PeerKind::Local,
        address: address(cluster, peer, connection),
        membership: membership(cluster, peer),
        state: match (peer.session, peer.established) {
            (None, _) => PeerState::Stopped,
            (Some(_), false) => PeerState::Starting,
            (Some(_), true) => PeerState::Running,
        },
        learning: match (peer.assigned, peer.not_up_to_date) {
            (true, _) => LearnState::Processing,
            (false, true) if peer.established => LearnState::Finished,
            _ => LearnState::NotAssigned,
        },
        not_up_to_date: peer.not_up_to_date,
        version: if peer.downgraded { ProtocolVersion::V2_0 } else { ProtocolVersion::V2_1 }.to_string(),
        downgraded: peer.downgraded,
        relay: peer.relay,
        last_status: peer.last_status,
        last_handshake_ms: peer.last_handshake.map(|at| now.saturating_sub(at)),
        last_reason: peer.last_reason.clone(),
        reconnect: Timer::until(peer.connect_at, now),
        forgotten: Timer::until(peer.forget_at, now),
        connections: peer.counters.attempts + peer.counters.sessions,
        silences: peer.counters.silences,
        protocol_errors: peer.counters.protocol_errors,
        collisions: peer.counters.collisions,
        namesakes: cluster.namesakes(&peer.name),
        session: None,
        tables: Vec::new(),
        ignored_tables: 0,
    };
    if let Some(connection) = connection {
        add_session(&mut view, connection, now);
    }
    if view.tables.is_empty() {
        view.tables = shared_tables(cluster);
    }
    view
}

fn membership(cluster: &Cluster, peer: &haproxy_peers::PeerView) -> Membership {
    match peer.kind {
        PeerKind::Local | PeerKind::Static => Membership::Static,
        PeerKind::Dynamic => Membership::Dynamic,
        PeerKind::Discovered => Membership::Discovered {
            from: cluster.listed(&peer.name).map_or_else(String::new, |(from, _)| from.to_owned()),
            listed: !peer.withdrawn,
        },
    }
}

/// The tables of a peer without a session, such as the local one: nothing was sent yet.
fn shared_tables(cluster: &Cluster) -> Vec<SharedTableView> {
    let tables = cluster.tables().all();
    let shown = tables.iter().filter(|shared| !matches!(shared.part(), TablePart::Orders { .. }));
    let view = |shared: &Arc<SharedTable>| SharedTableView {
        table: TableRef { name: shared.definition().name.clone(), local_id: shared.id(), remote_id: 0 },
        ..SharedTableView::default()
    };
    shown.map(view).collect()
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
        view.session = Some(SessionView { tls: connection.tls, ..SessionView::default() });
        return;
    };
    let session = established.session.lock();
    let (state, counters) = (session.view(), session.counters());
    let (received, sent) = (session.received(), session.sent());
    let heartbeat = Timer::until(Some(session.poll_timeout()), now);
    drop(session);
    let reference = |name: Option<String>| {
        let table = state.tables.iter().find(|table| Some(&table.name) == name.as_ref())?;
        Some(table_ref(table))
    };
    view.version = state.version.to_string();
    view.tables = state.tables.iter().map(table_view).collect();
    view.ignored_tables = state.ignored_tables;
    view.session = Some(SessionView {
        established: true,
        inbound: connection.direction == Direction::Inbound,
        tls: connection.tls,
        remote: established.remote.clone(),
        local: established.local.clone(),
        teaching: state.teaching,
        heartbeat,
        confirms: counters.confirms,
        heartbeats_sent: counters.heartbeats_sent,
        heartbeats_received: counters.heartbeats_received,
        updates_received: received.updates,
        updates_sent: sent.live_updates + sent.lesson_updates,
        bytes_received: counters.bytes_received,
        bytes_sent: counters.bytes_sent,
        remote_table: reference(state.remote_table.clone()),
        last_local_table: reference(state.last_local_table.clone()),
        dictionary: DictionaryView { sent: state.sent_strings, received: state.received_strings },
    });
}

fn table_ref(table: &haproxy_peers::SharedTableView) -> TableRef {
    TableRef { name: table.name.clone(), local_id: table.local_id, remote_id: table.remote_id }
}

fn table_view(table: &haproxy_peers::SharedTableView) -> SharedTableView {
    SharedTableView {
        table: table_ref(table),
        remote_data: table.remote_data,
        last_acked: table.last_acked,
        last_pushed: table.last_pushed,
        last_received: table.last_get,
        behind: table.behind,
        mismatches: table.agreement.iter().flat_map(haproxy_peers::Agreement::texts).collect(),
    }
}
