//! The target of dialogues with the runtime API.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stick_table::{DataType, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value};
use stickd::config::Level;
use stickd::runtime::{Context, ServerOptions, serve};
use stickd::view::{
    DictionaryView, PeerState, PeerView, ProcessView, SectionView, SessionView, SharedTableView, TableRef,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use crate::cuts::cuts;
use crate::node::{Contents, contents, definition};

const NOW: Millis = 1_000_001;
/// Most bytes of a line, small so that long ones are tried.
const MAX_LINE: usize = 600;
/// Most bytes that one write may bring: a chunk of an answer, and the item that made it one.
const MOST_WRITTEN: usize = 64 << 10;

/// A whole dialogue as a client of some level types it: the answers are the same however the input is cut and the output
/// taken, keep to their chunks, and end; a user changes nothing; who changed something tells the peers.
pub fn runtime(data: &[u8]) {
    let Some((&level, input)) = data.split_first() else { return };
    let level = [Level::Admin, Level::Operator, Level::User, Level::Admin][usize::from(level % 4)];
    let before = Node::new().contents();
    let [whole, _, other, _] = cuts(input);
    let (whole, other) = (talk(level, &whole), talk(level, &other));
    assert_eq!(whole.said, other.said, "another answer to another splitting");
    assert_eq!(whole.contents, other.contents);
    if level == Level::User {
        assert_eq!(whole.contents, before, "a user changed a table");
    }
    let grew = whole
        .contents
        .iter()
        .zip(&before)
        .any(|(now, before)| now.iter().any(|(key, row)| before.get(key) != Some(row)));
    assert!(!grew || whole.changes > 0, "peers are not told of a change");
}

/// What came of a dialogue.
struct Outcome {
    said: String,
    contents: Vec<Contents>,
    changes: u32,
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_time().build().expect("a runtime of one thread can be made"),
    );
}

fn talk(level: Level, pieces: &[&[u8]]) -> Outcome {
    let node = Arc::new(Node::new());
    let said = Arc::new(Mutex::new(Vec::new()));
    let pieces = pieces.iter().rev().map(|piece| piece.to_vec()).collect::<Vec<_>>();
    let take = if pieces.len() == 1 { usize::MAX } else { 700 };
    let client = Client { pieces, take, said: Arc::clone(&said) };
    let options = ServerOptions {
        sockets: Vec::new(),
        timeout: Duration::from_secs(600),
        max_connections: 1,
        max_line: MAX_LINE,
        predecessors: Vec::new(),
        usage: Arc::default(),
    };
    let context: Arc<dyn Context> = Arc::clone(&node) as _;
    let served = RUNTIME
        .with_borrow_mut(|runtime| runtime.block_on(serve(Box::new(client), context, level, &options)));
    assert!(served.is_ok(), "{served:?}");
    let said = String::from_utf8(said.lock().map(|said| said.clone()).unwrap_or_default());
    Outcome {
        said: said.expect("answers are text"),
        contents: node.contents(),
        changes: node.changes.load(Ordering::Relaxed),
    }
}

/// A client that types everything at once or piece by piece, takes so much of the answer at a time, and then hangs up.
struct Client {
    /// What is typed, the last piece first.
    pieces: Vec<Vec<u8>>,
    take: usize,
    said: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(bytes.len() <= MOST_WRITTEN, "{} bytes of output are kept", bytes.len());
        let taken = bytes.len().min(self.take);
        if let Ok(mut said) = self.said.lock() {
            said.extend_from_slice(&bytes[..taken]);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A daemon of a few small tables whose clock stands still.
struct Node {
    tables: Vec<Arc<Table>>,
    changes: AtomicU32,
}

impl Node {
    fn new() -> Self {
        let texts = ["server_id", "server_key", "conn_cur", "bytes_in_cnt", "bytes_out_rate(1s)"];
        let mut strings = definition("p/s", KeyType::String { max_len: 16 }, 3, 0, &texts);
        strings.no_purge = true;
        strings.brates_factor = 4;
        let definitions = [
            definition("p/t1", KeyType::Ip, 10, 600_000, &["gpc0", "conn_cnt", "conn_rate(10s)"]),
            definition("p/n", KeyType::Integer, 10, 0, &["gpt(3)", "gpc(4)", "gpc_rate(2,10s)"]),
            strings,
            definition("p/bin", KeyType::Binary { len: 4 }, 10, 0, &["gpc0"]),
            definition("be", KeyType::Ipv6, 10, 30_000, &["gpc0"]),
        ];
        Self { tables: definitions.map(table).to_vec(), changes: AtomicU32::new(0) }
    }

    fn contents(&self) -> Vec<Contents> {
        self.tables.iter().map(|table| contents(table, NOW)).collect()
    }
}

/// A table of two entries.
fn table(definition: TableDefinition) -> Arc<Table> {
    let key_type = definition.key_type;
    let table = Table::new(definition, 0).unwrap();
    for number in [1, 2] {
        let key = match key_type {
            KeyType::String { .. } => vec![b'a' + number],
            _ => vec![number; key_type.max_bytes()],
        };
        let updated = table.update(&key, Origin::LOCAL, Lifetime::Restart, NOW, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(number.into()));
            entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some("srv;1 \u{e9}".into())));
        });
        assert!(updated.is_ok());
    }
    Arc::new(table)
}

impl Context for Node {
    fn now(&self) -> Millis {
        NOW
    }

    fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_555_327_681)
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.clone()
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn sections(&self) -> Vec<SectionView> {
        let table = TableRef { name: "p/t1".into(), local_id: 1, remote_id: 2 };
        let shared = SharedTableView { table, remote_data: 5, ..SharedTableView::default() };
        let dictionary = DictionaryView { sent: vec!["srv".into()], received: vec![None, Some("x".into())] };
        let peer = PeerView {
            name: "lb1".into(),
            state: PeerState::Starting,
            session: Some(SessionView { dictionary, ..SessionView::default() }),
            tables: vec![shared],
            last_reason: Some("refused".into()),
            ..PeerView::default()
        };
        vec![SectionView { name: "p".into(), peers: vec![peer], ..SectionView::default() }]
    }

    fn process(&self) -> ProcessView {
        ProcessView { version: "0.1.0-fuzz".to_owned(), uptime_s: 61, ..ProcessView::default() }
    }
}
