//! `show table`: what tables there are, and what they hold.

use std::fmt;
use std::sync::Arc;

use haproxy_peers::SharedTable;
use stick_table::{
    Column, DataType, EntryRef, KeyText, KeyType, Millis, Table, TableDefinition, Value, Walk,
};

use crate::config::Level;
use crate::view::TableView;

use super::Context;
use super::cluster_wide::take_last;
use super::filter::{Filter, reading};
use super::level::DENIED;
use super::reply::{CHUNK_BYTES, Chunks, Reply, put};
use super::show_json;
use super::table_command::{Action, Target, TargetError};

/// Most entries looked at for one chunk, so that filters that match little do not hold up other connections.
const ENTRIES_PER_CHUNK: usize = 8192;
/// Most entries looked at in one hold of a stripe's lock.
const ENTRIES_PER_HOLD: usize = 64;

/// Runs `show table` with its arguments.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    if let [word] = arguments
        && word == show_json::WORD
        && context.table("json").is_none()
    {
        return show_json::tables(&**context);
    }
    if arguments.is_empty() {
        let mut out = String::new();
        for table in context.tables().iter().rev() {
            put_header(&mut out, table);
        }
        return Reply::Text(out);
    }
    show(context, level, arguments).unwrap_or_else(Reply::line)
}

fn show(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Result<Reply, TargetError> {
    let table = Action::Show.table(&**context, arguments)?;
    let (words, is_json) = take_last(&arguments[1..], show_json::WORD);
    if is_json && level < Level::Operator {
        return Ok(Reply::line(DENIED));
    }
    let filters = match Action::Show.target(&**context, &table, words)? {
        Target::Key(_) if level < Level::Operator => return Ok(Reply::line(DENIED)),
        Target::Key(key) if is_json => return Ok(show_json::entry(&**context, &table, &key)),
        Target::Key(key) => return Ok(show_one(&**context, &table, &key)),
        Target::Matching(filters) => filters,
        Target::All => Vec::new(),
    };
    if is_json {
        return Ok(show_json::entries(Arc::clone(context), table, filters));
    }
    let mut header = String::new();
    put_header(&mut header, &table);
    if level < Level::Operator {
        header.push_str("# contents not dumped due to insufficient privileges\n");
        return Ok(Reply::Text(header));
    }
    Ok(Reply::Chunks(Box::new(Dump::new(Arc::clone(context), table, filters, header))))
}

/// The header and the entry, or nothing at all when there is none.
fn show_one(context: &dyn Context, table: &Table, key: &[u8]) -> Reply {
    let mut out = String::new();
    put_header(&mut out, table);
    let now = context.now();
    let shared = context.shared(table);
    let found = table.get(key, now, |entry| put_entry(&mut out, shared.as_deref(), table, &entry, now));
    match found {
        Ok(Some(())) => Reply::Text(out),
        Ok(None) => Reply::done(),
        Err(error) => Reply::line(error),
    }
}

/// The header and the entries of some canonical keys, in their order, as far as they are there.
pub(crate) fn put_found(context: &dyn Context, table: &Table, keys: &[Vec<u8>]) -> String {
    let mut out = String::new();
    put_header(&mut out, table);
    let (now, shared) = (context.now(), context.shared(table));
    for key in keys {
        // Keys of the table are canonical.
        let _ = table.get(key, now, |entry| put_entry(&mut out, shared.as_deref(), table, &entry, now));
    }
    out
}

/// The entries of a table, rendered slice by slice. The table's locks are held only within a call.
struct Dump {
    context: Arc<dyn Context>,
    table: Arc<Table>,
    shared: Option<Arc<SharedTable>>,
    filters: Vec<Filter>,
    header: Option<String>,
    walk: Walk,
    /// Entries looked at in one hold: fewer where lines are long, so that chunks stay within bounds.
    per_hold: usize,
}

impl Dump {
    fn new(context: Arc<dyn Context>, table: Arc<Table>, filters: Vec<Filter>, header: String) -> Self {
        let definition = table.definition();
        let elements: usize = definition.columns().iter().map(|column| column.count() as usize).sum();
        // A byte of a key takes at most 4 characters, an element seldom more than 40.
        let line = 100 + 4 * definition.key_type.max_bytes() + 40 * elements;
        let per_hold = (CHUNK_BYTES / line).clamp(1, ENTRIES_PER_HOLD);
        let (shared, walk) = (context.shared(&table), Walk::default());
        Self { context, table, shared, filters, header: Some(header), walk, per_hold }
    }
}

impl Chunks for Dump {
    fn next_chunk(&mut self, out: &mut String) -> bool {
        if let Some(header) = self.header.take() {
            out.push_str(&header);
        }
        let Self { context, table, shared, filters, walk, .. } = self;
        let definition = table.definition();
        for _ in 0..ENTRIES_PER_CHUNK / self.per_hold {
            if out.len() >= CHUNK_BYTES {
                return true;
            }
            let now = context.now();
            let more = table.walk(walk, self.per_hold, now, |entry| {
                if filters.iter().all(|filter| filter.holds(&entry, definition, now)) {
                    put_entry(out, shared.as_deref(), table, &entry, now);
                }
            });
            if !more {
                return false;
            }
        }
        true
    }
}

fn put_header(out: &mut String, table: &Table) {
    let TableView { name, key_type, size, entries, .. } = TableView::of(table);
    put(out, format_args!("# table: {name}, type: {key_type}, size:{size}, used:{entries}\n"));
}

/// Writes an entry. The lock of its stripe is held meanwhile.
fn put_entry(
    out: &mut String,
    shared: Option<&SharedTable>,
    table: &Table,
    entry: &EntryRef<'_>,
    now: Millis,
) {
    let definition = table.definition();
    let key = definition.key_type.text(entry.key());
    let expires = entry.remaining().unwrap_or(0);
    let shard = shared.map_or(0, |shared| shared.shard_of(entry.key()));
    put(out, format_args!("{:#x}: key={key} use=0 exp={expires} shard={shard}", entry.handle()));
    put_values(out, definition, now, |data_type, element| entry.value(data_type, element));
    out.push('\n');
}

/// A word of a peer as one word of a line, escaped as keys are: it could otherwise look like further fields and lines.
pub(crate) fn word(text: &str) -> KeyText<'_> {
    KeyType::String { max_len: 0 }.text(text.as_bytes())
}

/// Writes the values of all columns as ` name=value`, those that `value_of` has.
pub(crate) fn put_values(
    out: &mut String,
    definition: &TableDefinition,
    now: Millis,
    value_of: impl Fn(DataType, u32) -> Option<Value>,
) {
    for column in definition.columns() {
        for element in 0..column.count() {
            let Some(value) = value_of(column.data_type(), element) else { continue };
            put(out, format_args!(" {}", PrintedName { column, element }));
            match &value {
                Value::Dictionary(text) => {
                    put(out, format_args!("={}", word(text.as_deref().unwrap_or("-"))));
                }
                _ => put(out, format_args!("={}", reading(&value, column, definition, now))),
            }
        }
    }
}

/// The name of an element as it is printed: `gpc0`, `gpt1` for the second of an array, `http_req_rate(10000)` with the period.
struct PrintedName<'c> {
    column: &'c Column,
    element: u32,
}

/// The name of an element as it is printed.
pub(crate) fn printed_name(column: &Column, element: u32) -> String {
    PrintedName { column, element }.to_string()
}

impl fmt::Display for PrintedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, element } = self;
        let name = column.data_type().name();
        match name.split_once('_') {
            _ if !column.data_type().is_array() => f.write_str(name)?,
            Some((prefix, suffix)) => write!(f, "{prefix}{element}_{suffix}")?,
            None => write!(f, "{name}{element}")?,
        }
        if column.data_type().has_period() { write!(f, "({})", column.period()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use stick_table::{KeyType, Lifetime, Origin};

    #[test]
    fn tables_are_listed_the_last_declared_first() {
        let node = Node::sample();
        node.run("set table p/t1 key 10.0.0.1");
        assert_eq!(
            node.run_as(Level::User, "show table"),
            "# table: be, type: ipv6, size:1024, used:0\n\
             # table: p/bin, type: binary, size:10, used:0\n\
             # table: p/s, type: string, size:2, used:0\n\
             # table: p/n, type: integer, size:10, used:0\n\
             # table: p/t1, type: ip, size:1024, used:1\n\n"
        );
    }

    #[test]
    fn an_entry_is_one_line() {
        let node = Node::sample();
        node.run("set table p/t1 key 10.0.0.1 data.conn_rate 10 data.gpc0 3");
        node.advance(1500);
        let expected = "# table: p/t1, type: ip, size:1024, used:1\n\
                        0x100000000: key=10.0.0.1 use=0 exp=598500 shard=0 gpc0=3 conn_cnt=0 conn_rate(10000)=10\n\n";
        for command in [
            "show table p/t1",
            "show table p/t1 key 10.0.0.1",
            "show table p/t1 key 10.0.0.1 and more",
            "show table p/t1 ptr 0x100000000",
            "show table p/t1 data.gpc0 eq 3 data.conn_rate gt 9",
        ] {
            assert_eq!(node.run(command), expected, "{command}");
        }
        assert_eq!(node.run("show table p/t1 key 10.0.0.2"), "\n");
        assert_eq!(
            node.run("show table p/t1 data.gpc0 gt 3"),
            "# table: p/t1, type: ip, size:1024, used:1\n\n"
        );
    }

    #[test]
    fn every_kind_of_value_is_written() {
        let node = Node::sample();
        node.run("set table p/n key 5 data.gpt[1] 3 data.gpc[3] 9 data.gpc_rate[1] 77");
        assert_eq!(
            node.run("show table p/n key 5"),
            "# table: p/n, type: integer, size:10, used:1\n\
             0x100000000: key=5 use=0 exp=0 shard=0 gpt0=0 gpt1=3 gpt2=0 gpc0=0 gpc1=0 gpc2=0 gpc3=9 \
             gpc0_rate(10000)=0 gpc1_rate(10000)=77\n\n"
        );
        node.run(r"set table p/s key a\ b data.server_id -5 data.bytes_out_rate 10 data.bytes_in_cnt -1");
        assert_eq!(
            node.run(r"show table p/s key a\ b"),
            "# table: p/s, type: string, size:2, used:1\n\
             0x100000000: key=a\\ b use=0 exp=0 shard=0 server_id=-5 conn_cur=0 \
             bytes_in_cnt=18446744073709551615 bytes_out_rate(1000)=40 server_key=-\n\n"
        );
        let table = node.table("p/s").unwrap();
        let name = Value::Dictionary(Some("srv1".into()));
        table
            .update(b"a b", Origin::peer(1).unwrap(), Lifetime::Restart, node.now(), |entry| {
                entry.set(DataType::ServerKey, 0, &name)
            })
            .unwrap();
        assert!(node.run("show table p/s").contains(" server_key=srv1\n"));
    }

    #[test]
    fn contents_need_operator() {
        let node = Node::sample();
        node.run("set table be key ::1");
        let header = "# table: be, type: ipv6, size:1024, used:1\n\
                      # contents not dumped due to insufficient privileges\n\n";
        for (command, expected) in [
            ("show table be", header),
            ("show table be data.gpc0 gt 0", header),
            ("show table be key ::1", "Permission denied\n\n"),
            ("show table be key ::2", "Permission denied\n\n"),
            ("show table be ptr 0x100000000", "Permission denied\n\n"),
            ("show table be ptr 0x1", "No entry can be found matching ptr.\n\n"),
            ("show table be data.foo gt 0", "Filter entry #1: Unknown data type\n\n"),
        ] {
            assert_eq!(node.run_as(Level::User, command), expected, "{command}");
        }
        assert!(node.run_as(Level::Operator, "show table be").contains("key=::1 "));
    }

    #[test]
    fn chunks_are_bounded_whatever_the_table() {
        let mut long = TableDefinition::new("long", KeyType::String { max_len: 12_000 }, 100);
        long.add_column("gpc(100)".parse().unwrap()).unwrap();
        let short = TableDefinition::new("short", KeyType::Integer, 50_000);
        for (definition, count) in [(long, 100u32), (short, 50_000)] {
            let table = Arc::new(Table::new(definition, 0).unwrap());
            let key_type = table.definition().key_type;
            for number in 0..count {
                let key = match key_type {
                    KeyType::Integer => number.to_be_bytes().to_vec(),
                    _ => [&[0xff; 11_990][..], format!("{number}").as_bytes()].concat(),
                };
                table.update(&key, Origin::LOCAL, Lifetime::Restart, 0, |_| ()).unwrap();
            }
            let node = Node::new(vec![Arc::clone(&table)]);
            let mut dump = Dump::new(Arc::clone(&node) as _, table, Vec::new(), "#\n".to_owned());
            let mut lines = 0;
            loop {
                let mut chunk = String::new();
                let more = dump.next_chunk(&mut chunk);
                assert!(chunk.len() <= 3 * CHUNK_BYTES, "{}", chunk.len());
                lines += chunk.lines().count();
                if !more {
                    break;
                }
            }
            assert_eq!(lines, count as usize + 1);
            assert_eq!(node.searches(), 1, "the section is searched once and not for each entry");
        }
    }
}
