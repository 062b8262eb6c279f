//! A node with fixed tables and a fixed clock, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haproxy_peers::SharedTable;
use stick_table::{KeyType, Millis, Table, TableDefinition};

use crate::config::Level;
use crate::view::{ProcessView, SectionView};

use super::Context;
use super::command::Session;
use super::mode::Mode;
use super::reply::Reply;
use super::words::words;

/// The words of a command, as a connection would split them.
pub(crate) fn split(text: &str) -> Vec<Vec<u8>> {
    words(text.as_bytes()).unwrap()
}

/// A table from its name, type and columns.
pub(crate) fn table(
    name: &str,
    key_type: KeyType,
    size: u32,
    expire: u32,
    columns: &[&str],
) -> TableDefinition {
    let definition = TableDefinition::new(name, key_type, size).with_expire(Some(expire));
    columns
        .iter()
        .fold(definition, |definition, column| definition.with_column(column.parse().unwrap()).unwrap())
}

/// A daemon of a few tables, whose clock moves only when told to.
pub(crate) struct Node {
    tables: Vec<Arc<Table>>,
    sections: Vec<SectionView>,
    now: AtomicU64,
    changes: AtomicU32,
    /// How often the section of a table was searched.
    searches: AtomicU32,
}

impl Node {
    pub(crate) fn new(tables: Vec<Arc<Table>>) -> Arc<Self> {
        Arc::new(Self {
            tables,
            sections: Vec::new(),
            now: AtomicU64::new(1_000_001),
            changes: AtomicU32::new(0),
            searches: AtomicU32::new(0),
        })
    }

    pub(crate) fn with_sections(sections: Vec<SectionView>) -> Arc<Self> {
        let now = AtomicU64::new(1_000_001);
        let (changes, searches) = (AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { tables: Vec::new(), sections, now, changes, searches })
    }

    /// Tables of every key type; `p/s` holds two entries and refuses more.
    pub(crate) fn sample() -> Arc<Self> {
        let text = KeyType::String { max_len: 16 };
        let columns = ["server_id", "server_key", "conn_cur", "bytes_in_cnt", "bytes_out_rate(1s)"];
        let mut strings = table("p/s", text, 2, 0, &columns);
        strings.no_purge = true;
        strings.brates_factor = 4;
        let definitions = [
            table("p/t1", KeyType::Ip, 1024, 600_000, &["gpc0", "conn_cnt", "conn_rate(10s)"]),
            table("p/n", KeyType::Integer, 10, 0, &["gpt(3)", "gpc(4)", "gpc_rate(2,10s)"]),
            strings,
            table("p/bin", KeyType::Binary { len: 4 }, 10, 0, &["gpc0"]),
            table("be", KeyType::Ipv6, 1024, 30_000, &["gpc0"]),
        ];
        Self::new(definitions.map(|definition| Arc::new(Table::new(definition, 0).unwrap())).to_vec())
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// How often the peers were told of a change.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// How often the section of a table was searched.
    pub(crate) fn searches(&self) -> u32 {
        self.searches.load(Ordering::Relaxed)
    }

    pub(crate) fn run(self: &Arc<Self>, command: &str) -> String {
        self.run_as(Level::Admin, command)
    }

    pub(crate) fn run_as(self: &Arc<Self>, level: Level, command: &str) -> String {
        self.run_bytes(level, command.as_bytes())
    }

    /// The whole answer to a command, with the empty line that ends it.
    pub(crate) fn run_bytes(self: &Arc<Self>, level: Level, command: &[u8]) -> String {
        let sockets = [("unix@/run/s".to_owned(), Level::Admin), ("127.0.0.1:9".to_owned(), Level::User)];
        let timeout = Duration::from_secs(10);
        let mut session = Session { level, mode: Mode::default(), timeout, sockets: sockets.into() };
        let context: Arc<dyn Context> = Arc::clone(self) as _;
        let mut answer = match session.run(&context, command) {
            Reply::Text(text) | Reply::Message(_, text) => text,
            Reply::Work(work) => work(),
            Reply::Close => return String::new(),
            Reply::Chunks(mut chunks) => {
                let mut out = String::new();
                loop {
                    let mut chunk = String::new();
                    let more = chunks.next_chunk(&mut chunk);
                    out.push_str(&chunk);
                    if !more {
                        break out;
                    }
                }
            }
        };
        answer.push('\n');
        answer
    }
}

impl Context for Node {
    fn now(&self) -> Millis {
        self.now.load(Ordering::Relaxed)
    }

    fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_555_327_681)
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.clone()
    }

    fn shared(&self, _table: &Table) -> Option<Arc<SharedTable>> {
        self.searches.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn sections(&self) -> Vec<SectionView> {
        self.sections.clone()
    }

    fn process(&self) -> ProcessView {
        ProcessView { version: "0.1.0-test".to_owned(), uptime_s: 61, ..ProcessView::default() }
    }
}
