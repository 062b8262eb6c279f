//! The view of a hub.

use std::sync::Arc;

use haproxy_peers::{LeftOut, PeerKind, PeerLevel, PeerView, SectionView};
use stick_table::Millis;

use crate::peers::Cluster;
use crate::view::{HubPeerView, HubView, LeftOutView, SumView, Usage};

pub(super) fn hub(cluster: &Cluster, now: Millis) -> HubView {
    let (report, view, connections) = (cluster.hub_report(), cluster.view(), cluster.connections());
    let (state, tables) = (report.state, cluster.tables());
    let peers = view.peers.iter().filter(|peer| peer.kind != PeerKind::Local).map(|peer| {
        let connection = peer.session.and_then(|session| connections.get(&session));
        let established = connection.and_then(|connection| connection.established());
        HubPeerView {
            name: peer.name.clone(),
            level: level_word(peer.level),
            origin: peer.origin.number(),
            heard_ms: established.map(|established| established.session.lock().silent_for(now)),
            told_all: peer.told_all,
            // What comes first: a peer that is forgotten counts no more.
            forgotten_in_ms: peer
                .counts_until
                .map(|at| peer.forget_at.map_or(at, |forget| at.min(forget)).saturating_sub(now)),
        }
    });
    let room = tables.room();
    HubView {
        name: view.name.clone(),
        nodes: state.nodes,
        expected: state.expected,
        complete: state.is_complete(),
        holding: tables.holds_results(),
        age_ms: report.age,
        node_timeout_ms: tables.hub().map_or(0, |hub| hub.node_timeout),
        memory: Usage { used: room.used(), limit: room.limit(), hits: tables.refusals() },
        peers: peers.collect(),
        left_out: state.left_out.iter().map(|left_out| left_out_view(cluster, &view, left_out)).collect(),
        sums: tables.aggregates().iter().map(Arc::as_ref).map(SumView::of).collect(),
    }
}

/// What a peer of a hub is.
fn level_word(level: PeerLevel) -> &'static str {
    match level {
        PeerLevel::Below | PeerLevel::Itself => "balancer",
        PeerLevel::Lower => "down",
        PeerLevel::Above => "up",
        PeerLevel::Beside => "beside",
    }
}

fn left_out_view(cluster: &Cluster, view: &SectionView, left_out: &LeftOut) -> LeftOutView {
    let is_its = |peer: &&PeerView| Some(peer.origin) == left_out.node;
    LeftOutView {
        peer: view.peers.iter().find(is_its).map(|peer| peer.name.clone()),
        table: left_out.table.as_deref().map(|table| cluster.tables().local_name(table)),
        reason: left_out.reason.word(),
        text: left_out.reason.to_string(),
        remedy: left_out.reason.remedy(),
    }
}
