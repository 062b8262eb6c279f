//! `show table … json` and `show peers json`: the same data as over HTTP, for scripts on the socket.

use std::sync::Arc;

use serde::Serialize;
use stick_table::{Table, Walk};

use super::Context;
use super::filter::Filter;
use super::reply::{CHUNK_BYTES, Chunks, Reply};
use crate::view::TableView;
use crate::view::entry::{Frame, Shown};

/// The word that asks for it.
pub(crate) const WORD: &[u8] = b"json";
/// Most entries looked at for one chunk.
const ENTRIES_PER_CHUNK: usize = 4096;
/// Most entries looked at in one hold of a stripe's lock.
const ENTRIES_PER_HOLD: usize = 64;

/// Anything as one line of JSON.
pub(crate) fn line(value: &impl Serialize) -> Reply {
    Reply::Text(text(value) + "\n")
}

/// All tables.
pub(crate) fn tables(context: &dyn Context) -> Reply {
    line(&TableView::all(&context.tables(), &context.sections()))
}

/// The entry of a canonical key, in an array of one or none.
pub(crate) fn entry(context: &dyn Context, table: &Table, key: &[u8]) -> Reply {
    let frame = Frame { shared: context.shared(table), now: context.now() };
    let definition = table.definition();
    let shown = table.get(key, frame.now, |entry| text(&Shown { frame: &frame, definition, entry: &entry }));
    match shown {
        Ok(found) => Reply::Text(format!("[{}]\n", found.unwrap_or_default())),
        Err(error) => Reply::line(error),
    }
}

/// The entries for which all filters hold, as an array with an entry on each line.
pub(crate) fn entries(context: Arc<dyn Context>, table: Arc<Table>, filters: Vec<Filter>) -> Reply {
    Reply::Chunks(Box::new(Dump { context, table, filters, walk: Walk::default(), is_first: true }))
}

pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts are JSON")
}

struct Dump {
    context: Arc<dyn Context>,
    table: Arc<Table>,
    filters: Vec<Filter>,
    walk: Walk,
    /// Whether no entry was written yet.
    is_first: bool,
}

impl Chunks for Dump {
    fn next_chunk(&mut self, out: &mut String) -> bool {
        let Self { context, table, filters, walk, is_first } = self;
        let definition = table.definition();
        let frame = Frame { shared: context.shared(table), now: context.now() };
        for _ in 0..ENTRIES_PER_CHUNK / ENTRIES_PER_HOLD {
            let more = table.walk(walk, ENTRIES_PER_HOLD, frame.now, |entry| {
                if filters.iter().all(|filter| filter.holds(&entry, definition, frame.now)) {
                    out.push_str(if std::mem::take(is_first) { "[\n" } else { ",\n" });
                    out.push_str(&text(&Shown { frame: &frame, definition, entry: &entry }));
                }
            });
            if !more {
                out.push_str(if *is_first { "[]\n" } else { "\n]\n" });
                return false;
            }
            if out.len() >= CHUNK_BYTES {
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Node;
    use super::*;
    use crate::config::Level;

    fn answer(node: &Arc<Node>, command: &str) -> Value {
        let answer = node.run(command);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    #[test]
    fn tables_and_entries_are_json() {
        let node = Node::sample();
        assert_eq!(answer(&node, "show table json")[0]["name"], "p/t1");
        assert_eq!(answer(&node, "show table p/t1 json"), json!([]));
        for number in 1..=3 {
            node.run(&format!("set table p/t1 key 10.0.0.{number} data.gpc0 {number}"));
        }
        let all = answer(&node, "show table p/t1 json");
        assert_eq!(all.as_array().unwrap().len(), 3);
        assert_eq!(all[0]["data"].as_object().unwrap().len(), 3);
        assert_eq!(answer(&node, "show table p/t1 data.gpc0 gt 1 json").as_array().unwrap().len(), 2);
        let one = answer(&node, "show table p/t1 key 10.0.0.2 json");
        let expected = json!([{"key": "10.0.0.2", "expires_ms": 600_000, "shard": 0, "data": {"gpc0": 2, "conn_cnt": 0, "conn_rate": 0}}]);
        assert_eq!(one, expected);
        assert_eq!(answer(&node, "show table p/t1 key 10.0.0.9 json"), json!([]));
        assert!(node.run_as(Level::User, "show table p/t1 json").starts_with("Permission denied"));
        assert_eq!(node.run("show table zz json"), "No such table\n\n");
        assert_eq!(answer(&node, "show peers json"), json!([]));
    }
}
