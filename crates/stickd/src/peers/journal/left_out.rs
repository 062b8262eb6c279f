//! Log lines about what the sums of a hub leave out: one when it begins, with what the operator can do, and one when it ends.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

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
        let nodes = Nodes { cluster, peers: OnceCell::new() };
        let before = std::mem::take(&mut self.lines);
        let present: HashSet<_> = state.left_out.iter().map(place).collect();
        for line in before.iter().filter(|line| line.is_logged && !present.contains(&place(&line.what))) {
            cluster.journal.left_out_no_more(&nodes.gap(&line.what));
        }
        let mut known: HashMap<_, Vec<&Line>> = HashMap::new();
        before.iter().for_each(|line| known.entry(place(&line.what)).or_default().push(line));
        for what in &state.left_out {
            let known =
                known.get(&place(what)).and_then(|lines| lines.iter().find(|line| line.what == *what));
            let (since, was_logged) = known.map_or((now, false), |line| (line.since, line.is_logged));
            let passes = matches!(
                what.reason,
                LeftOutReason::NotTold | LeftOutReason::Held | LeftOutReason::NodesUnknown
            );
            let is_due = !passes || now >= since + PATIENCE_MS;
            let is_logged = was_logged || (is_due && cluster.journal.left_out(&nodes.gap(what)));
            self.lines.push(Line { what: what.clone(), since, is_logged });
        }
    }
}

/// The node and the table of something that is left out.
fn place(what: &LeftOut) -> (Option<Origin>, Option<&str>) {
    (what.node, what.table.as_deref())
}

/// Who tells what is left out. The members are copied when the first line is due: few calls write any.
struct Nodes<'a> {
    cluster: &'a Cluster,
    peers: OnceCell<HashMap<Origin, PeerView>>,
}

impl Nodes<'_> {
    /// What is left out, as a line names it: name and address of the node are empty when it is this hub, or the node is forgotten.
    fn gap<'w>(&self, what: &'w LeftOut) -> Gap<'w> {
        let table = what.table.as_deref().map(|table| self.cluster.tables().local_name(table));
        let copy = || self.cluster.view().peers.into_iter().map(|peer| (peer.origin, peer)).collect();
        let peer = what.node.and_then(|node| self.peers.get_or_init(copy).get(&node));
        let connection = peer.and_then(|peer| self.cluster.connection(peer.session?));
        let established = connection.as_ref().and_then(|connection| connection.established());
        Gap {
            what,
            peer: peer.map_or_else(String::new, |peer| peer.name.clone()),
            address: established.map_or_else(String::new, |established| established.remote.clone()),
            table,
        }
    }
}
