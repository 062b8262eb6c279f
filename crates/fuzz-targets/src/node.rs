//! Tables and sessions for the targets that need some.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use haproxy_peers::{
    DynamicTables, Limits, PeerLevel, ProtocolVersion, Relays, Resume, Role, SessionSetup, SharedTable,
    TableSet,
};
use stick_table::{KeyType, Millis, Origin, Table, TableDefinition, Walk};

/// Where clocks begin: soon the low 32 bits wrap.
pub(crate) const START: Millis = (1 << 33) - 20_000;

/// A definition from its words.
pub(crate) fn definition(
    name: &str,
    key_type: KeyType,
    size: u32,
    expire_ms: u32,
    columns: &[&str],
) -> TableDefinition {
    let empty = TableDefinition::new(name, key_type, size).with_expire(Some(expire_ms));
    columns.iter().fold(empty, |table, column| {
        let column = column.parse().expect("the columns are written in the targets");
        table.with_column(column).expect("the columns fit together")
    })
}

/// Entries of the tables and of the last one, where some are to be full at times.
pub(crate) const SMALL: (u32, u32) = (300, 4);
/// Entries of the tables where none is ever to be full.
pub(crate) const LARGE: (u32, u32) = (10_000, 10_000);

/// The tables of a section: every kind of key and value, the second with a copy, one of nothing but long keys, and one
/// whose messages are as long as they may be to be written the quick way.
pub(crate) fn tables((size, last): (u32, u32), dynamic: bool, shards: Option<NonZeroU32>) -> Arc<TableSet> {
    let string = KeyType::String { max_len: 20 };
    let copied = ["server_id", "gpc0", "http_req_rate(10s)", "bytes_in_cnt", "server_key"];
    let definitions = [
        definition("t_int", KeyType::Integer, size, 60_000, &["gpc0", "conn_rate(10s)"]),
        definition("p/s", string, size, 5_000, &copied),
        definition("t_arr", KeyType::Ip, size, 0, &["gpt(3)", "gpc(4)", "gpc_rate(2,10s)", "conn_cur"]),
        definition("small", KeyType::Binary { len: 3 }, last, 1_000, &["gpc0", "bytes_out_cnt"]),
        definition("p/keys", KeyType::String { max_len: 300 }, size, 60_000, &[]),
        definition("wide", KeyType::Ipv6, size, 60_000, &["gpc(42)"]),
    ];
    let copy = definition("copy", string, size, 0, &["server_id", "gpc0", "server_key"]);
    let mut copy = Some(Arc::new(Table::new(copy, 9).unwrap()));
    let tables = definitions.into_iter().enumerate().map(|(place, definition)| {
        let copy = if place == 1 { copy.take() } else { None };
        (Arc::new(Table::new(definition, 7).unwrap()), copy)
    });
    let dynamic =
        dynamic.then_some(DynamicTables { size, max_tables: 40, max_bytes: 1 << 30, max_server_key: 256 });
    Arc::new(TableSet::new("p", tables, shards, dynamic, 3).unwrap())
}

/// A session's setup with everything as usual.
pub(crate) fn setup(tables: &Arc<TableSet>, version: ProtocolVersion, role: Role) -> SessionSetup {
    SessionSetup {
        tables: Arc::clone(tables),
        version,
        role,
        origin: Origin::peer(1).unwrap(),
        shard: 0,
        level: PeerLevel::Below,
        up_to_date: Arc::new(AtomicBool::new(true)),
        limits: Limits::default(),
        resume: Resume::default(),
        relays: Relays::default(),
        awaits_values: Arc::default(),
    }
}

/// What a table holds: for each key its data words with strings resolved, remaining lifetime and who wrote it.
pub(crate) type Contents = BTreeMap<Vec<u8>, (Vec<u32>, Option<Arc<str>>, Option<u32>, u16)>;

/// The contents of a table at a moment.
pub(crate) fn contents(table: &Table, now: Millis) -> Contents {
    let string = table.layout().offset(stick_table::DataType::ServerKey, 0);
    let (mut contents, mut walk) = (Contents::new(), Walk::default());
    loop {
        let more = table.walk(&mut walk, 1_000, now, |entry| {
            let mut words = entry.words().to_vec();
            let text = string.and_then(|at| entry.string(std::mem::take(&mut words[at])).cloned());
            let row = (words, text, entry.remaining(), entry.origin().number());
            assert!(contents.insert(entry.key().to_vec(), row).is_none(), "a key stands twice in a table");
        });
        if !more {
            break;
        }
    }
    assert!(contents.len() <= table.len() as usize && table.len() <= table.definition().size);
    contents
}

/// The contents of all tables of a section and of their copies, by name.
pub(crate) fn all_contents(tables: &TableSet, now: Millis) -> BTreeMap<String, Contents> {
    let both =
        |shared: &Arc<SharedTable>| [Some(shared.table()), shared.copy()].map(Option::<&Arc<Table>>::cloned);
    let tables = tables.all();
    let tables = tables.iter().flat_map(both).flatten();
    tables.map(|table| (table.definition().name.clone(), contents(&table, now))).collect()
}
