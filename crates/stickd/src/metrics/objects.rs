//! What is shown of each table, peer, hub and sum. The labels are the names in the view.

use super::{Kind, Metric, Unit};
use crate::view::{HubView, PeerView, SumView, TableView};

/// Of each table, labelled by its name and the type of its keys.
pub const TABLE: &[Metric<TableView>] = &[
    Metric::limit("table_size", "Most entries of the table", |view: &TableView| view.size.into())
        .exported_as("haproxy_sticktable_size"),
    Metric::gauge("table_entries", "Entries of the table", |view: &TableView| view.entries.into())
        .exported_as("haproxy_sticktable_used"),
    Metric::counter("table_local_updates", "Changes that this process made", |view: &TableView| {
        view.local_updates
    })
    .exported_as("haproxy_sticktable_local_updates"),
    Metric::counter("table_learned", "Changes that peers told", |view: &TableView| view.learned),
    Metric::counter("table_pushed", "Changes that peers were told live", |view: &TableView| view.pushed),
    Metric::counter("table_expired", "Entries freed after their end", |view: &TableView| view.expired),
    Metric::counter(
        "table_evicted",
        "Entries that made room for others before their end",
        |view: &TableView| view.evicted,
    ),
    Metric::counter("table_refused", "Changes that found the table full", |view: &TableView| view.refused),
    Metric::gauge(
        "table_mismatched_peers",
        "Peers in session that define the table otherwise",
        |view: &TableView| view.mismatched_peers.into(),
    ),
];

/// Of each peer, labelled by its section and name.
pub const PEER: &[Metric<PeerView>] = &[
    Metric::gauge("peer_connected", "1 while the peer has a session", |view: &PeerView| {
        view.is_connected().into()
    })
    .unit(Unit::Flag),
    Metric::if_any(
        Kind::Duration,
        "peer_last_handshake_ms",
        "Time since the last handshake with the peer that succeeded",
        |view: &PeerView| view.last_handshake_ms,
    )
    .unit(Unit::Milliseconds),
    Metric::gauge("peer_behind", "Changes that the peer has not been sent yet", PeerView::behind),
    Metric::gauge("peer_mismatched_tables", "Tables that the peer defines otherwise", |view: &PeerView| {
        view.mismatches() as u64
    }),
    Metric::counter(
        "peer_connections_made",
        "Connections made to the peer or accepted from it",
        |view: &PeerView| view.connections,
    ),
    Metric::counter("peer_silences", "Sessions closed because the peer was silent", |view: &PeerView| {
        view.silences
    }),
    Metric::counter(
        "peer_protocol_errors",
        "Sessions closed for malformed messages of the peer",
        |view: &PeerView| view.protocol_errors,
    ),
    Metric::counter("peer_collisions", "Sessions replaced by a new one of the peer", |view: &PeerView| {
        view.collisions
    }),
    Metric::if_any(
        Kind::Counter,
        "peer_session_updates_received",
        "Updates received in the peer's session",
        |view: &PeerView| Some(view.established()?.updates_received),
    ),
    Metric::if_any(
        Kind::Counter,
        "peer_session_updates_sent",
        "Updates sent in the peer's session",
        |view: &PeerView| Some(view.established()?.updates_sent),
    ),
    Metric::if_any(
        Kind::Counter,
        "peer_session_bytes_received",
        "Bytes received in the peer's session",
        |view: &PeerView| Some(view.established()?.bytes_received),
    )
    .unit(Unit::Bytes),
    Metric::if_any(
        Kind::Counter,
        "peer_session_bytes_sent",
        "Bytes sent in the peer's session",
        |view: &PeerView| Some(view.established()?.bytes_sent),
    )
    .unit(Unit::Bytes),
    Metric::if_any(
        Kind::Counter,
        "peer_session_heartbeats_received",
        "Heartbeats received in the peer's session",
        |view: &PeerView| Some(view.established()?.heartbeats_received),
    ),
    Metric::if_any(
        Kind::Counter,
        "peer_session_heartbeats_sent",
        "Heartbeats sent in the peer's session",
        |view: &PeerView| Some(view.established()?.heartbeats_sent),
    ),
];

/// Of each hub, labelled by its section.
pub const HUB: &[Metric<HubView>] = &[
    Metric::gauge("hub_nodes", "Nodes that send their values now", |view: &HubView| view.nodes.into()),
    Metric::gauge("hub_nodes_expected", "Nodes that should", |view: &HubView| view.expected.into()),
    Metric::gauge("hub_complete", "1 while the sums have the values of all nodes", |view: &HubView| {
        view.complete.into()
    })
    .unit(Unit::Flag),
    Metric::gauge("hub_holding", "1 while results are held back", |view: &HubView| view.holding.into())
        .unit(Unit::Flag),
    Metric::gauge("hub_left_out", "What the sums leave out now", |view: &HubView| view.left_out.len() as u64),
    Metric::if_any(
        Kind::Duration,
        "hub_age_ms",
        "Time since the node that was heard least recently was heard",
        |view: &HubView| view.age_ms,
    )
    .unit(Unit::Milliseconds),
    Metric::gauge("hub_bytes", "Bytes of all sums of the hub", |view: &HubView| view.memory.used)
        .unit(Unit::Bytes),
    Metric::limit("hub_bytes_limit", "Limit of those (tables memory), 0 for none", |view: &HubView| {
        view.memory.limit
    })
    .unit(Unit::Bytes),
    Metric::counter("hub_refused", "Tables and updates that the sums left out", |view: &HubView| {
        view.memory.hits
    }),
];

/// Of each sum, labelled by its section, source and result.
pub const SUM: &[Metric<SumView>] = &[
    Metric::gauge("sum_keys", "Keys that are summed", |view: &SumView| view.keys),
    Metric::limit("sum_size", "Most keys of the sum", |view: &SumView| view.size.into()),
    Metric::gauge("sum_contributions", "Contributions of nodes to all keys", |view: &SumView| {
        view.contributions
    }),
    Metric::gauge("sum_bytes", "Bytes of the sum", |view: &SumView| view.bytes).unit(Unit::Bytes),
];
