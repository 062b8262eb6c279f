//! `show info`: facts and counters of the process, in HAProxy's four formats.
//!
//! Names, places and tags are HAProxy's where it has the same fact; what only stickd has starts with `Stickd_` and has
//! places from 1000 on. Facts that stickd does not have are left out.

use super::reply::{Reply, put};
use crate::metrics::{self, Kind, Metric};
use crate::view::ProcessView;

/// One row.
struct Row {
    /// Its place in HAProxy's list.
    place: u16,
    name: &'static str,
    /// Origin, nature and scope, a letter each.
    tags: &'static str,
    value: Value,
    text: &'static str,
}

enum Value {
    Text(String),
    U32(u32),
    U64(u64),
}

/// Runs `show info [desc|json|typed|float]*`. As in HAProxy, the last format wins and other words are ignored.
pub(crate) fn run(process: &ProcessView, arguments: &[Vec<u8>]) -> Reply {
    let rows = rows(process);
    let mut out = String::new();
    let has = |word: &[u8]| arguments.iter().any(|argument| argument == word);
    if has(b"json") {
        put_json(&mut out, &rows);
        return Reply::Text(out);
    }
    for Row { place, name, tags, value, text } in &rows {
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

/// All rows, by place.
fn rows(process: &ProcessView) -> Vec<Row> {
    let mut rows = facts(process);
    rows.extend(metrics::process().iter().filter_map(|metric| Row::of(metric, process)));
    rows.sort_by_key(|row| row.place);
    rows
}

/// What is no counter, gauge or limit.
fn facts(process: &ProcessView) -> Vec<Row> {
    let uptime = process.uptime_s;
    let (days, hours) = (uptime / 86_400, uptime / 3_600 % 24);
    let (minutes, seconds) = (uptime / 60 % 60, uptime % 60);
    let mut facts = Vec::new();
    let mut add = |place, name, tags, value, text| facts.push(Row { place, name, tags, value, text });
    let text = |text: &str| Value::Text(text.to_owned());
    add(0, "Name", "POS", text("stickd"), "Product name");
    add(1, "Version", "POS", text(&process.version), "Product version");
    add(2, "Release_date", "POS", text(&process.release_date), "Date of the version");
    add(4, "Nbproc", "CGS", Value::U32(1), "Processes, always 1");
    add(5, "Process_num", "KGP", Value::U32(1), "Number of this process, always 1");
    add(6, "Pid", "SGP", Value::U32(process.process_id), "Process id");
    let long = format!("{days}d {hours}h{minutes:02}m{seconds:02}s");
    add(7, "Uptime", "MDP", Value::Text(long), "Time since the start");
    add(50, "node", "COS", text(&process.node), "Name of the node");
    if let Some(description) = &process.description {
        add(51, "description", "COS", text(description), "Description of the node");
    }
    facts
}

impl Row {
    fn of(metric: &Metric<ProcessView>, process: &ProcessView) -> Option<Self> {
        let value = metric.read(process)?;
        let own_tags = match metric.kind {
            Kind::Counter => "MCP",
            Kind::Gauge => "MGP",
            Kind::Limit => "CLP",
            Kind::Duration => "MDP",
        };
        let is_wide = metric.haproxy.is_none_or(|haproxy| haproxy.is_wide);
        Some(Self {
            place: metric.place,
            name: metric.name,
            tags: metric.haproxy.map_or(own_tags, |haproxy| haproxy.tags),
            value: if is_wide { Value::U64(value) } else { Value::U32(value as u32) },
            text: metric.help,
        })
    }
}

impl Value {
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

fn put_json(out: &mut String, rows: &[Row]) {
    for (number, Row { place, name, tags, value, .. }) in rows.iter().enumerate() {
        let [origin, nature, scope] = tag_words(tags);
        let shown = value.text();
        let shown = if matches!(value, Value::Text(_)) { json_string(&shown) } else { shown };
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

/// The words of a row's three letters; a letter means different things in different places.
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
    use crate::view::StateView;

    fn show(options: &str) -> String {
        let process = ProcessView {
            version: "0.1.0".to_owned(),
            release_date: "2026/11/22".to_owned(),
            process_id: 42,
            uptime_s: 90_061,
            node: "a \"b\"\n".to_owned(),
            entries: 1 << 40,
            ..ProcessView::default()
        };
        match run(&process, &super::super::testing::split(options)) {
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
        let (description, state) = (Some(String::new()), Some(StateView::default()));
        let rows = rows(&ProcessView { description, state, ..ProcessView::default() });
        assert!(rows.is_sorted_by(|a, b| a.place < b.place));
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
        let own: Vec<_> = rows.iter().map(|row| row.place).filter(|&place| place >= 1000).collect();
        assert_eq!(own, (1000..1000 + own.len() as u16).collect::<Vec<_>>(), "no place is left out");
    }

    #[test]
    fn the_version_is_shown_alone() {
        assert_eq!(Node::sample().run("show version"), "0.1.0-test\n\n");
    }
}
