//! What is shown of the whole process.

use std::sync::LazyLock;

use super::counter::Counter;
use super::{Haproxy, Kind, Metric, Read, Unit};
use crate::view::ProcessView;

type Row = Metric<ProcessView>;

/// Everything that is shown of the process, by place.
pub fn process() -> &'static [Metric<ProcessView>] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let mut rows: Vec<_> =
            haproxys().into_iter().chain(counters()).chain(own()).chain(limits()).chain(budget()).collect();
        rows.sort_by_key(|row| row.place);
        rows
    });
    &ROWS
}

/// A row of HAProxy's with 32 bits.
const fn tagged(tags: &'static str) -> Haproxy {
    Haproxy { tags, is_wide: false }
}

/// What HAProxy shows too, under its names.
fn haproxys() -> [Row; 13] {
    [
        Row::gauge("Nbthread", "Threads that run sessions", |view| view.threads.into())
            .at(3)
            .haproxy(tagged("CGS"))
            .exported_as("haproxy_process_nbthread"),
        Row::new(
            Kind::Duration,
            "Uptime_sec",
            "Time since the start in seconds",
            Read::Always(|view| view.uptime_s),
        )
        .at(8)
        .unit(Unit::Seconds)
        .haproxy(tagged("MDP"))
        .exported_as("haproxy_process_uptime_seconds"),
        Row::limit("Ulimit-n", "Limit of open files", |view| view.open_files_limit.into())
            .at(13)
            .haproxy(tagged("CLP"))
            .exported_as("haproxy_process_max_fds"),
        Row::limit("Maxsock", "Most files that the limits let it open", |view| view.open_files_needed.into())
            .at(14)
            .haproxy(tagged("CLP"))
            .exported_as("haproxy_process_max_sockets"),
        Row::limit("Maxconn", "Limit of connections that peers open", |view| {
            view.limits.peer_connections.limit
        })
        .at(15)
        .haproxy(tagged("CLP"))
        .exported_as("haproxy_process_max_connections"),
        Row::limit("Hard_maxconn", "The same", |view| view.limits.peer_connections.limit)
            .at(16)
            .haproxy(tagged("CLP"))
            .exported_as("haproxy_process_hard_max_connections"),
        Row::gauge("CurrConns", "Connections open now", |view| view.connections.into())
            .at(17)
            .haproxy(tagged("MGP"))
            .exported_as("haproxy_process_current_connections"),
        Row::gauge("Stopping", "1 while the process is stopping", |view| view.stopping.into())
            .at(52)
            .unit(Unit::Flag)
            .haproxy(tagged("MGP"))
            .exported_as("haproxy_process_stopping"),
        Row::gauge("Listeners", "Sockets listened on", |view| view.listeners.into())
            .at(55)
            .haproxy(tagged("MGP"))
            .exported_as("haproxy_process_listeners"),
        Row::gauge("ActivePeers", "Peers with a session or an attempt", |view| view.active_peers.into())
            .at(56)
            .haproxy(tagged("MGP"))
            .exported_as("haproxy_process_active_peers"),
        Row::gauge("ConnectedPeers", "Peers with a session", |view| view.connected_peers.into())
            .at(57)
            .haproxy(tagged("MGP"))
            .exported_as("haproxy_process_connected_peers"),
        Row::new(
            Kind::Duration,
            "Start_time_sec",
            "Start in seconds since 1970",
            Read::Always(|view| view.start_time_s),
        )
        .at(70)
        .unit(Unit::Seconds)
        .haproxy(Haproxy { tags: "MDP", is_wide: true })
        .exported_as("haproxy_process_start_time_seconds"),
        Row::limit("Memmax_MB", "Limit of memory in MB, 0 for none", |_| 0)
            .at(9)
            .haproxy(tagged("CLP"))
            .exported_as("haproxy_process_max_memory_bytes"),
    ]
}

/// What is counted.
fn counters() -> impl Iterator<Item = Row> {
    Counter::ALL.iter().map(|&counter| {
        let declared = counter.declared();
        let read = Read::Count(counter, |view: &ProcessView| &view.counts);
        let row = Row::new(Kind::Counter, declared.name, declared.help, read)
            .at(declared.place)
            .unit(Counter::UNIT);
        match counter {
            Counter::Connections => {
                row.haproxy(tagged("MCP")).exported_as("haproxy_process_connections_total")
            }
            _ => row,
        }
    })
}

/// What only stickd shows, but for its limits.
fn own() -> [Row; 12] {
    [
        Row::gauge("Stickd_tables", "Tables", |view| view.tables.into()).at(1000),
        Row::limit("Stickd_table_size", "Most entries, over all tables", |view| view.table_size).at(1001),
        Row::gauge("Stickd_entries", "Entries, over all tables", |view| view.entries).at(1002),
        Row::gauge("Stickd_mismatched_tables", "Tables a peer defines otherwise", |view| {
            view.mismatched_tables.into()
        })
        .at(1010),
        Row::gauge("Stickd_sums_left_out", "What sums of hubs leave out now", |view| view.sums_left_out)
            .at(1011),
        Row::counter("Stickd_sums_refused", "Tables and updates that sums of hubs left out", |view| {
            view.sums_refused
        })
        .at(1012),
        Row::gauge("Stickd_log_bytes", "Bytes of the log that wait to be written", |view| {
            view.limits.log_bytes.used
        })
        .at(1040)
        .unit(Unit::Bytes),
        Row::counter("Stickd_log_lines_lost", "Lines of the log that found no room", |view| {
            view.limits.log_bytes.hits
        })
        .at(1042),
        Row::if_any(Kind::Gauge, "Stickd_state_bytes", "Bytes of tables on disk", |view| {
            Some(view.state?.bytes)
        })
        .at(1043)
        .unit(Unit::Bytes),
        Row::if_any(Kind::Gauge, "Stickd_state_segments", "Files of tables on disk", |view| {
            Some(view.state?.segments)
        })
        .at(1044),
        Row::if_any(
            Kind::Duration,
            "Stickd_state_lag_ms",
            "Time since all changes were durable, in ms",
            |view| Some(view.state?.lag_ms),
        )
        .at(1045)
        .unit(Unit::Milliseconds),
        Row::if_any(Kind::Counter, "Stickd_state_failures", "Writes of tables to disk that failed", |view| {
            Some(view.state?.failures)
        })
        .at(1046),
    ]
}

/// Limits, what is taken of them, and how often one was reached where that is no [`Counter`].
fn limits() -> [Row; 20] {
    [
        Row::limit("Stickd_message_bytes_limit", "Limit of a message in bytes", |view| {
            view.limits.message_bytes
        })
        .at(1013)
        .unit(Unit::Bytes),
        Row::limit("Stickd_updates_at_once_limit", "Limit of updates in a pass", |view| {
            view.limits.updates_at_once
        })
        .at(1014),
        Row::limit("Stickd_dynamic_peers_limit", "Limit of dynamic peers", |view| {
            view.limits.dynamic_peers.limit
        })
        .at(1015),
        Row::limit("Stickd_dynamic_tables_limit", "Limit of dynamic tables", |view| {
            view.limits.dynamic_tables.limit
        })
        .at(1016),
        Row::limit(
            "Stickd_runtime_connections_limit",
            "Limit of connections to the runtime API at a time",
            |view| view.limits.runtime_connections.limit,
        )
        .at(1017),
        Row::gauge("Stickd_peer_connections", "Connections that peers opened", |view| {
            view.limits.peer_connections.used
        })
        .at(1018),
        Row::limit("Stickd_peer_connections_limit", "Limit of those (maxconn)", |view| {
            view.limits.peer_connections.limit
        })
        .at(1019),
        Row::gauge("Stickd_handshakes", "Connections without a hello", |view| view.limits.handshakes.used)
            .at(1021),
        Row::limit("Stickd_handshakes_limit", "Limit of connections without a hello", |view| {
            view.limits.handshakes.limit
        })
        .at(1022),
        Row::gauge("Stickd_dynamic_peers", "Dynamic peers", |view| view.limits.dynamic_peers.used).at(1025),
        Row::gauge("Stickd_discovered_peers", "Peers that DNS lists", |view| {
            view.limits.discovered_peers.used
        })
        .at(1027),
        Row::limit("Stickd_discovered_peers_limit", "Limit of peers that DNS lists", |view| {
            view.limits.discovered_peers.limit
        })
        .at(1028),
        Row::gauge("Stickd_dynamic_tables", "Dynamic tables", |view| view.limits.dynamic_tables.used)
            .at(1029),
        Row::counter("Stickd_dynamic_tables_refused", "Definitions refused at a limit", |view| {
            view.limits.dynamic_tables.hits
        })
        .at(1030),
        Row::gauge("Stickd_dynamic_table_bytes", "Bytes of dynamic tables when they are full", |view| {
            view.limits.dynamic_table_bytes.used
        })
        .at(1031)
        .unit(Unit::Bytes),
        Row::limit("Stickd_dynamic_table_bytes_limit", "Limit of those, 0 for none", |view| {
            view.limits.dynamic_table_bytes.limit
        })
        .at(1032)
        .unit(Unit::Bytes),
        Row::limit("Stickd_server_key_bytes_limit", "Limit of a server_key in bytes", |view| {
            view.limits.server_key_bytes
        })
        .at(1034)
        .unit(Unit::Bytes),
        Row::gauge("Stickd_runtime_connections", "Runtime connections", |view| {
            view.limits.runtime_connections.used
        })
        .at(1036),
        Row::counter(
            "Stickd_runtime_connections_dropped",
            "Runtime connections closed for waiting ones",
            |view| view.limits.runtime_connections.hits,
        )
        .at(1037),
        Row::limit("Stickd_log_bytes_limit", "Limit of those", |view| view.limits.log_bytes.limit)
            .at(1041)
            .unit(Unit::Bytes),
    ]
}

/// Memory that the limits allow.
fn budget() -> [Row; 7] {
    const fn row(place: u16, name: &'static str, help: &'static str, read: fn(&ProcessView) -> u64) -> Row {
        Row::limit(name, help, read).at(place).unit(Unit::Bytes)
    }
    [
        row(1047, "Stickd_budget_bytes", "Bytes that all limits allow", |view| view.limits.budget.total()),
        row(1048, "Stickd_budget_table_bytes", "Of those, configured tables", |view| {
            view.limits.budget.tables
        }),
        row(1049, "Stickd_budget_dynamic_table_bytes", "Of those, dynamic tables", |view| {
            view.limits.budget.dynamic_tables
        }),
        row(1050, "Stickd_budget_hub_bytes", "Of those, hubs", |view| view.limits.budget.hubs),
        row(1051, "Stickd_budget_peer_bytes", "Of those, connections of peers", |view| {
            view.limits.budget.peers
        }),
        row(1052, "Stickd_budget_client_bytes", "Of those, clients of the runtime API and of HTTP", |view| {
            view.limits.budget.clients
        }),
        row(1053, "Stickd_budget_log_bytes", "Of those, the log", |view| view.limits.budget.log),
    ]
}
