//! The live table.

use super::paint::Paint;
use super::snapshot::{Snapshot, View};
use stickd_testkit::EntryDump;

/// Characters of a member's part of a line.
pub(super) const MEMBER: usize = 25;

/// One line a key with what each member holds, then one line a session.
pub(super) fn lines(snapshot: &Snapshot, titles: &[String], paint: Paint) -> Vec<String> {
    let columns = format!("{:>5} {:>5} {:>4} {:>8}", "reqs", "rate", "gpc0", "left");
    let mut lines = heading(titles, &vec![columns; titles.len()], paint);
    for key in snapshot.keys() {
        lines.push(row(key, snapshot.0.iter().map(|view| cell(view, key, paint)), paint));
    }
    lines.push(String::new());
    lines.push(paint.bold(&format!(
        " {:<12} {:<8} {:<8} {:>10} {:>12} {:>12} {:>12} {:>12}",
        "show peers", "peer", "status", "handshake", "pushed", "acked", "got", "connections"
    )));
    lines.extend(snapshot.0.iter().flat_map(|view| sessions(view, paint)));
    lines
}

/// The titles of the members, the names of the columns of each, and a rule below.
pub(super) fn heading(titles: &[String], columns: &[String], paint: Paint) -> Vec<String> {
    let bold = |title: &String| paint.bold(&format!("{title:<MEMBER$}"));
    let dim = |columns: &String| paint.dim(&format!("{columns:<MEMBER$}"));
    let rule = format!("┼{}", "─".repeat(MEMBER + 2)).repeat(titles.len());
    vec![
        row("", titles.iter().map(bold), paint),
        row("client", columns.iter().map(dim), paint),
        paint.dim(&format!("{}{rule}", "─".repeat(14))),
    ]
}

/// A line with a part for each member.
pub(super) fn row(first: &str, cells: impl Iterator<Item = String>, paint: Paint) -> String {
    let bar = paint.dim("│");
    let cells: String = cells.map(|cell| format!(" {bar} {cell}")).collect();
    format!(" {first:<12}{cells}")
}

/// What a member holds of a key.
fn cell(view: &View, key: &str, paint: Paint) -> String {
    match &view.entries {
        None => paint.bad(&format!("{:^MEMBER$}", "not running")),
        Some(entries) => entries.get(key).map_or_else(
            || paint.dim(&format!("{:^MEMBER$}", "-")),
            |entry| format!("{:<MEMBER$}", text(entry)),
        ),
    }
}

/// Requests, requests in the last ten seconds, gpc0, remaining lifetime in seconds.
fn text(entry: &EntryDump) -> String {
    format!(
        "{:>5} {:>5} {:>4} {:>8}",
        entry.number("http_req_cnt"),
        entry.number("http_req_rate"),
        entry.number("gpc0"),
        seconds(entry.exp)
    )
}

/// Milliseconds as seconds with one decimal.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

fn sessions(view: &View, paint: Paint) -> Vec<String> {
    let line = |session: &super::session::Session| {
        let status = format!("{:<8}", if session.connected { &session.status } else { "no conn" });
        let status = if session.established() { status } else { paint.bad(&status) };
        format!(
            " {:<12} {:<8} {status} {:>10} {:>12} {:>12} {:>12} {:>12}",
            view.name,
            session.peer,
            session.handshake,
            session.pushed,
            session.acked,
            session.got,
            session.connections
        )
    };
    if view.entries.is_none() {
        return vec![format!(" {:<12} {}", view.name, paint.bad("not running")), String::new()];
    }
    view.sessions.iter().map(line).collect()
}
