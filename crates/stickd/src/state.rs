//! The state of the process in the log, as SIGHUP asks for it: what `show info`, `show peers`, `show table` and
//! `show aggregations` have, a line for each object.

use tracing::info;

use crate::runtime::{AppState, Context, SectionView};

/// Most peers, and most tables, that get a line of their own.
const MAX_LINES: usize = 100;

/// Writes the state.
pub(crate) fn log_state(context: &dyn Context) {
    let info = context.info();
    info!(
        pid = info.process_id,
        version = info.version,
        uptime_s = info.uptime.as_secs(),
        entries = info.entries,
        received = info.updates_received,
        sent = info.updates_sent,
        "state: process"
    );
    let sections = context.sections();
    for section in &sections {
        let connected = section.peers.iter().filter(|peer| peer.app_state == AppState::Running).count();
        let (name, peers) = (&section.id, section.peers.iter().filter(|peer| !peer.local).count());
        info!(
            section = name,
            peers,
            connected,
            disabled = section.disabled,
            relay = section.relay,
            "state: section"
        );
    }
    log_peers(&sections);
    let tables = context.tables();
    for table in tables.iter().take(MAX_LINES) {
        let definition = table.definition();
        let (name, kind, size) = (&definition.name, definition.key_type.word(), definition.size);
        info!(table = name, r#type = kind, size, used = table.len(), "state: table");
    }
    log_rest("tables", tables.len());
    for hub in context.hubs() {
        let keys: u64 = hub.sums.iter().map(|sum| sum.usage().keys).sum();
        info!(
            section = hub.id,
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
            section = section.id,
            peer = peer.id,
            local = peer.local,
            address = peer.address,
            state = %peer.app_state,
            last_status = %peer.last_status,
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
