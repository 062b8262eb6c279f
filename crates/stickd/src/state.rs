//! The state of the process in the log, as SIGHUP asks for it: what `show info`, `show peers`, `show table` and
//! `show aggregations` have, a line for each object.

use tracing::info;

use crate::metrics::counter::Counter;
use crate::view::{SectionView, View};

/// Most peers, and most tables, that get a line of their own.
const MAX_LINES: usize = 100;

/// Writes the state.
pub(crate) fn log_state(view: &View) {
    let View { process, tables, sections, hubs } = view;
    info!(
        pid = process.process_id,
        version = process.version,
        uptime_s = process.uptime_s,
        entries = process.entries,
        received = process.counts.get(Counter::UpdatesReceived),
        sent = process.counts.get(Counter::UpdatesSent),
        "state: process"
    );
    for section in sections {
        let connected = section.peers.iter().filter(|peer| peer.is_connected()).count();
        let (name, peers) = (&section.name, section.peers.iter().filter(|peer| !peer.local).count());
        info!(
            section = name,
            peers,
            connected,
            disabled = section.disabled,
            relay = section.relay,
            "state: section"
        );
    }
    log_peers(sections);
    for table in tables.iter().take(MAX_LINES) {
        info!(
            table = table.name,
            r#type = table.key_type,
            size = table.size,
            used = table.entries,
            "state: table"
        );
    }
    log_rest("tables", tables.len());
    for hub in hubs {
        let keys: u64 = hub.sums.iter().map(|sum| sum.keys).sum();
        info!(
            section = hub.name,
            nodes = hub.nodes,
            expected = hub.expected,
            complete = hub.complete,
            holding = hub.holding,
            keys,
            "state: aggregations"
        );
    }
}

fn log_peers(sections: &[SectionView]) {
    let mut peers = sections.iter().flat_map(|section| section.peers.iter().map(move |peer| (section, peer)));
    for (section, peer) in peers.by_ref().take(MAX_LINES) {
        info!(
            section = section.name,
            peer = peer.name,
            local = peer.local,
            address = peer.address,
            state = %peer.state,
            last_status = %peer.last_status.word(),
            behind = peer.behind(),
            reason = peer.last_reason,
            "state: peer"
        );
    }
    log_rest("peers", MAX_LINES + peers.count());
}

/// Says how many there are that got no line.
fn log_rest(of: &'static str, all: usize) {
    if let Some(more) = all.checked_sub(MAX_LINES).filter(|&more| more > 0) {
        info!(more, "state: more {of} than have lines here; \"show {of}\" of the runtime API has them all");
    }
}
