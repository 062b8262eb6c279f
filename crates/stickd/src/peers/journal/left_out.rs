//! Log lines about what the sums of a hub leave out: one when it begins, with what the operator can do, and one when it ends.

use std::collections::HashMap;

use haproxy_peers::{HubState, LeftOut, LeftOutReason, PeerView};
use stick_table::{Millis, Origin};

use super::lines::Gap;
use crate::peers::cluster::Cluster;

/// What passes by itself is logged when it lasts longer than this, in ms.
const PATIENCE_MS: Millis = 6_000;

/// What is left out, and what was logged of it.
#[derive(Default)]
pub(in crate::peers) struct LeftOutLog {
    lines: Vec<Line>,
}

struct Line {
    what: LeftOut,
    since: Millis,
    is_logged: bool,
}

impl LeftOutLog {
    /// Logs what is new since the last call, and what has ended.
    pub(in crate::peers) fn update(&mut self, cluster: &Cluster, state: &HubState, now: Millis) {
        if self.lines.is_empty() && state.left_out.is_empty() {
            return;
        }
        let view = cluster.view();
        let peers: HashMap<Origin, &PeerView> = view.peers.iter().map(|peer| (peer.origin, peer)).collect();
        let is_same = |line: &Line, what: &LeftOut| line.what == *what;
        let before = std::mem::take(&mut self.lines);
        for line in &before {
            let is_named = |what: &LeftOut| what.node == line.what.node && what.table == line.what.table;
            if line.is_logged && !state.left_out.iter().any(is_named) {
                cluster.journal.left_out_no_more(&gap(cluster, &line.what, &peers));
            }
        }
        for what in &state.left_out {
            let known = before.iter().find(|line| is_same(line, what));
            let since = known.map_or(now, |line| line.since);
            let passes = matches!(
                what.reason,
                LeftOutReason::NotTold | LeftOutReason::Held | LeftOutReason::NodesUnknown
            );
            let is_due = !passes || now >= since + PATIENCE_MS;
            let was_logged = known.is_some_and(|line| line.is_logged);
            let is_logged = was_logged || (is_due && cluster.journal.left_out(&gap(cluster, what, &peers)));
            self.lines.push(Line { what: what.clone(), since, is_logged });
        }
    }
}

/// What is left out, as a line names it.
fn gap<'a>(cluster: &'a Cluster, what: &'a LeftOut, peers: &HashMap<Origin, &PeerView>) -> Gap<'a> {
    let (peer, address) = peer_of(cluster, what, peers);
    let table = what.table.as_deref().map(|table| cluster.tables().local_name(table));
    Gap { what, peer, address, table }
}

/// Name and address of the node that tells what is left out; empty when it is this hub, or the node is forgotten.
fn peer_of(cluster: &Cluster, what: &LeftOut, peers: &HashMap<Origin, &PeerView>) -> (String, String) {
    let Some(peer) = what.node.and_then(|node| peers.get(&node)) else { return Default::default() };
    let connections = cluster.connections();
    let connection = peer.session.and_then(|session| connections.get(&session));
    let established = connection.and_then(|connection| connection.established());
    (peer.name.clone(), established.map_or_else(String::new, |established| established.remote.clone()))
}
