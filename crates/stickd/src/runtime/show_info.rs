//! `show info`: facts and counters of the process, in HAProxy's four formats.
//!
//! Names, places and tags are HAProxy's where it has the same fact; what only stickd has starts with `Stickd_` and has
//! places from 1000 on. Facts that stickd does not have are left out.

use super::Info;
use super::reply::{Reply, put};

/// One fact.
struct Field {
    /// Its place in HAProxy's list.
    place: u16,
    name: &'static str,
    /// Origin, nature and scope, a letter each.
    tags: &'static str,
    value: FieldValue,
    text: &'static str,
}

const RUNTIME_LIMIT: &str = "Limit of connections to the runtime API at a time";
const RUNTIME_DROPPED: &str = "Runtime connections closed for waiting ones";

enum FieldValue {
    Text(String),
    U32(u32),
    U64(u64),
}

/// Runs `show info [desc|json|typed|float]*`. As in HAProxy, the last format wins and other words are ignored.
pub(crate) fn run(info: &Info, arguments: &[Vec<u8>]) -> Reply {
    let fields = fields(info);
    let mut out = String::new();
    let has = |word: &[u8]| arguments.iter().any(|argument| argument == word);
    if has(b"json") {
        put_json(&mut out, &fields);
        return Reply::Text(out);
    }
    for Field { place, name, tags, value, text } in &fields {
        let shown = value.text();
        if has(b"typed") {
            put(&mut out, format_args!("{place}.{name}.1:{tags}:{}:{shown}", value.kind()));
        } else {
            put(&mut out, format_args!("{name}: {shown}"));
        }
        if has(b"desc") {
            put(&mut out, format_args!(":\"{text}\""));
        }
        out.push('\n');
    }
    Reply::Text(out)
}

fn fields(info: &Info) -> Vec<Field> {
    let uptime = info.uptime.as_secs();
    let (days, hours) = (uptime / 86_400, uptime / 3_600 % 24);
    let (minutes, seconds) = (uptime / 60 % 60, uptime % 60);
    let mut fields = Vec::new();
    let mut add = |place, name, tags, value, text| fields.push(Field { place, name, tags, value, text });
    let text = |text: &str| FieldValue::Text(text.to_owned());
    add(0, "Name", "POS", text("stickd"), "Product name");
    add(1, "Version", "POS", text(&info.version), "Product version");
    add(2, "Release_date", "POS", text(&info.release_date), "Date of the version");
    add(3, "Nbthread", "CGS", FieldValue::U32(info.threads), "Threads that run sessions");
    add(4, "Nbproc", "CGS", FieldValue::U32(1), "Processes, always 1");
    add(5, "Process_num", "KGP", FieldValue::U32(1), "Number of this process, always 1");
    add(6, "Pid", "SGP", FieldValue::U32(info.process_id), "Process id");
    let long = format!("{days}d {hours}h{minutes:02}m{seconds:02}s");
    add(7, "Uptime", "MDP", FieldValue::Text(long), "Time since the start");
    add(8, "Uptime_sec", "MDP", FieldValue::U32(uptime as u32), "Time since the start in seconds");
    add(9, "Memmax_MB", "CLP", FieldValue::U32(0), "Limit of memory in MB, 0 for none");
    add(13, "Ulimit-n", "CLP", FieldValue::U32(info.open_files_limit), "Limit of open files");
    add(
        14,
        "Maxsock",
        "CLP",
        FieldValue::U32(info.open_files_needed),
        "Most files that the limits let it open",
    );
    let connections = info.limits.peer_connections.limit as u32;
    add(15, "Maxconn", "CLP", FieldValue::U32(connections), "Limit of connections that peers open");
    add(16, "Hard_maxconn", "CLP", FieldValue::U32(connections), "The same");
    add(17, "CurrConns", "MGP", FieldValue::U32(info.connections), "Connections open now");
    add(18, "CumConns", "MCP", FieldValue::U32(info.total_connections), "Connections so far");
    add(50, "node", "COS", text(&info.node), "Name of the node");
    if let Some(description) = &info.description {
        add(51, "description", "COS", text(description), "Description of the node");
    }
    add(52, "Stopping", "MGP", FieldValue::U32(info.stopping.into()), "1 while the process is stopping");
    add(55, "Listeners", "MGP", FieldValue::U32(info.listeners), "Sockets listened on");
    add(56, "ActivePeers", "MGP", FieldValue::U32(info.active_peers), "Peers with a session or an attempt");
    add(57, "ConnectedPeers", "MGP", FieldValue::U32(info.connected_peers), "Peers with a session");
    add(70, "Start_time_sec", "MDP", FieldValue::U64(info.start_time), "Start in seconds since 1970");
    fields.extend(own_fields(info));
    fields
}

fn own_fields(info: &Info) -> impl Iterator<Item = Field> {
    let limits = &info.limits;
    let fields = [
        ("Stickd_tables", "MGP", u64::from(info.tables), "Tables"),
        ("Stickd_table_size", "CLP", info.table_size, "Most entries, over all tables"),
        ("Stickd_entries", "MGP", info.entries, "Entries, over all tables"),
        ("Stickd_updates_received", "MCP", info.updates_received, "Updates received from peers"),
        ("Stickd_updates_sent", "MCP", info.updates_sent, "Updates sent to peers"),
        ("Stickd_updates_refused", "MCP", info.updates_refused, "Updates that found their table full"),
        ("Stickd_lessons_learned", "MCP", info.lessons_learned, "Lessons learned to the end"),
        ("Stickd_lessons_taught", "MCP", info.lessons_taught, "Lessons taught to the end"),
        ("Stickd_refused_connections", "MCP", info.refused_connections, "Connections refused"),
        ("Stickd_protocol_errors", "MCP", info.protocol_errors, "Sessions closed for malformed messages"),
        ("Stickd_mismatched_tables", "MGP", info.mismatched_tables.into(), "Tables a peer defines otherwise"),
        ("Stickd_sums_left_out", "MGP", info.left_out, "What sums of hubs leave out now"),
        ("Stickd_sums_refused", "MCP", info.refusals, "Tables and updates that sums of hubs left out"),
        ("Stickd_message_bytes_limit", "CLP", limits.message_bytes, "Limit of a message in bytes"),
        ("Stickd_updates_at_once_limit", "CLP", limits.updates_at_once, "Limit of updates in a pass"),
        ("Stickd_dynamic_peers_limit", "CLP", limits.dynamic_peers.limit, "Limit of dynamic peers"),
        ("Stickd_dynamic_tables_limit", "CLP", limits.dynamic_tables.limit, "Limit of dynamic tables"),
        ("Stickd_runtime_connections_limit", "CLP", limits.runtime_connections.limit, RUNTIME_LIMIT),
    ];
    let fields = fields.into_iter().chain(limit_fields(info)).chain(state_fields(info));
    (1000..).zip(fields).map(|(place, (name, tags, value, text))| Field {
        place,
        name,
        tags,
        value: FieldValue::U64(value),
        text,
    })
}

/// What is taken of each limit, and how often it was reached.
fn limit_fields(info: &Info) -> [(&'static str, &'static str, u64, &'static str); 25] {
    let limits = &info.limits;
    let (bytes, handshakes) = (&limits.dynamic_table_bytes, &limits.handshakes);
    [
        ("Stickd_peer_connections", "MGP", limits.peer_connections.used, "Connections that peers opened"),
        ("Stickd_peer_connections_limit", "CLP", limits.peer_connections.limit, "Limit of those (maxconn)"),
        ("Stickd_peer_connections_refused", "MCP", limits.peer_connections.hits, "Closed at that limit"),
        ("Stickd_handshakes", "MGP", handshakes.used, "Connections without a hello"),
        ("Stickd_handshakes_limit", "CLP", handshakes.limit, "Limit of connections without a hello"),
        ("Stickd_handshakes_dropped", "MCP", handshakes.hits, "Closed without a hello for a new one"),
        (
            "Stickd_handshakes_timed_out",
            "MCP",
            limits.handshakes_timed_out,
            "Hellos that did not come in time",
        ),
        ("Stickd_dynamic_peers", "MGP", limits.dynamic_peers.used, "Dynamic peers"),
        ("Stickd_dynamic_peers_refused", "MCP", limits.dynamic_peers.hits, "Dynamic peers refused"),
        ("Stickd_discovered_peers", "MGP", limits.discovered_peers.used, "Peers that DNS lists"),
        (
            "Stickd_discovered_peers_limit",
            "CLP",
            limits.discovered_peers.limit,
            "Limit of peers that DNS lists",
        ),
        ("Stickd_dynamic_tables", "MGP", limits.dynamic_tables.used, "Dynamic tables"),
        (
            "Stickd_dynamic_tables_refused",
            "MCP",
            limits.dynamic_tables.hits,
            "Definitions refused at a limit",
        ),
        ("Stickd_dynamic_table_bytes", "MGP", bytes.used, "Bytes of dynamic tables when they are full"),
        ("Stickd_dynamic_table_bytes_limit", "CLP", bytes.limit, "Limit of those, 0 for none"),
        ("Stickd_messages_oversized", "MCP", limits.oversized_messages, "Messages over their limit"),
        ("Stickd_server_key_bytes_limit", "CLP", limits.server_key_bytes, "Limit of a server_key in bytes"),
        ("Stickd_server_keys_ignored", "MCP", limits.ignored_server_keys, "Strings over that limit"),
        ("Stickd_runtime_connections", "MGP", limits.runtime_connections.used, "Runtime connections"),
        ("Stickd_runtime_connections_dropped", "MCP", limits.runtime_connections.hits, RUNTIME_DROPPED),
        ("Stickd_namesakes", "MCP", info.namesakes, "Sessions taken by another process of the same name"),
        ("Stickd_log_lines_left_out", "MCP", info.lines_left_out, "Lines of the log left out"),
        ("Stickd_log_bytes", "MGP", info.log_bytes.used, "Bytes of the log that wait to be written"),
        ("Stickd_log_bytes_limit", "CLP", info.log_bytes.limit, "Limit of those"),
        ("Stickd_log_lines_lost", "MCP", info.log_bytes.hits, "Lines of the log that found no room"),
    ]
}

/// Tables on disk, if any are kept there.
fn state_fields(info: &Info) -> impl Iterator<Item = (&'static str, &'static str, u64, &'static str)> {
    info.state.into_iter().flat_map(|state| {
        [
            ("Stickd_state_bytes", "MGP", state.bytes, "Bytes of tables on disk"),
            ("Stickd_state_segments", "MGP", state.segments, "Files of tables on disk"),
            ("Stickd_state_lag_ms", "MDP", state.lag_ms, "Time since all changes were durable, in ms"),
            ("Stickd_state_failures", "MCP", state.failures, "Writes of tables to disk that failed"),
        ]
    })
}

impl FieldValue {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::U32(number) => number.to_string(),
            Self::U64(number) => number.to_string(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "str",
            Self::U32(_) => "u32",
            Self::U64(_) => "u64",
        }
    }
}

fn put_json(out: &mut String, fields: &[Field]) {
    for (number, Field { place, name, tags, value, .. }) in fields.iter().enumerate() {
        let [origin, nature, scope] = tag_words(tags);
        let shown = value.text();
        let shown = if matches!(value, FieldValue::Text(_)) { json_string(&shown) } else { shown };
        put(
            out,
            format_args!(
                "{}{{\"field\":{{\"pos\":{place},\"name\":\"{name}\"}},\"processNum\":1,\"tags\":{{\"origin\":\"{origin}\",\
                 \"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\"value\":{{\"type\":\"{}\",\"value\":{shown}}}}}",
                if number == 0 { '[' } else { ',' },
                value.kind(),
            ),
        );
    }
    out.push_str("]\n");
}

/// The words of a field's three letters; a letter means different things in different places.
fn tag_words(tags: &str) -> [&'static str; 3] {
    let letters = tags.as_bytes();
    let origin = match letters[0] {
        b'M' => "Metric",
        b'S' => "Status",
        b'K' => "Key",
        b'C' => "Config",
        _ => "Product",
    };
    let nature = match letters[1] {
        b'G' => "Gauge",
        b'L' => "Limit",
        b'C' => "Counter",
        b'D' => "Duration",
        _ => "Output",
    };
    [origin, nature, if letters[2] == b'S' { "Service" } else { "Process" }]
}

fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\0'..' ' | '\x7f' => put(&mut out, format_args!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use std::time::Duration;

    fn show(options: &str) -> String {
        let info = Info {
            version: "0.1.0".to_owned(),
            release_date: "2026/11/22".to_owned(),
            process_id: 42,
            uptime: Duration::from_secs(90_061),
            node: "a \"b\"\n".to_owned(),
            entries: 1 << 40,
            ..Info::default()
        };
        match run(&info, &super::super::testing::split(options)) {
            Reply::Text(text) | Reply::Message(_, text) => text,
            _ => panic!("a text is expected"),
        }
    }

    #[test]
    fn lines_are_name_and_value() {
        let text = show("");
        let start = "Name: stickd\nVersion: 0.1.0\nRelease_date: 2026/11/22\nNbthread: 0\nNbproc: 1\n\
                     Process_num: 1\nPid: 42\nUptime: 1d 1h01m01s\nUptime_sec: 90061\nMemmax_MB: 0\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\nStickd_entries: 1099511627776\n"));
        assert!(!text.contains("description"));
        assert_eq!(show("foo float"), text);
    }

    #[test]
    fn other_formats() {
        assert!(show("typed").starts_with("0.Name.1:POS:str:stickd\n1.Version.1:POS:str:0.1.0\n"));
        assert!(show("typed").contains("\n8.Uptime_sec.1:MDP:u32:90061\n"));
        assert!(show("desc").starts_with("Name: stickd:\"Product name\"\n"));
        let json = show("json");
        assert!(json.starts_with(
            "[{\"field\":{\"pos\":0,\"name\":\"Name\"},\"processNum\":1,\"tags\":{\"origin\":\"Product\",\
             \"nature\":\"Output\",\"scope\":\"Service\"},\"value\":{\"type\":\"str\",\"value\":\"stickd\"}},"
        ));
        assert!(json.contains("\"value\":\"a \\\"b\\\"\\u000a\"}"), "{json}");
        assert!(json.ends_with("}]\n"));
    }

    #[test]
    fn places_rise_and_names_are_unique() {
        let fields = fields(&Info { description: Some(String::new()), ..Info::default() });
        assert!(fields.is_sorted_by(|a, b| a.place < b.place));
        let names: std::collections::BTreeSet<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), fields.len());
    }

    #[test]
    fn the_version_is_shown_alone() {
        assert_eq!(Node::sample().run("show version"), "0.1.0-test\n\n");
    }
}
