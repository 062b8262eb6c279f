//! A program with a table of its own that bans addresses and takes bans back, as a peer of a real HAProxy.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_peers::{
    Hello, Limits, PeerLevel, ProtocolVersion, Relays, Resume, Role, Session, SessionSetup, Status,
    StatusParser, StatusProgress, TableSet,
};
use stick_table::{DataType, Lifetime, Origin, Table, Value};
use stickd_testkit::{Config, EntryDump, HaproxyProcess, Release, on_every_release, ports, wait};

on_every_release!(an_entry_that_is_expired_ends_at_haproxy);

const LINE: &str = "type ip size 1k expire 1h store gpt0";
const PATIENCE: Duration = Duration::from_secs(15);

/// A session of the program with HAProxy, whose clock begins with it.
struct Program {
    stream: TcpStream,
    session: Session,
    table: Arc<Table>,
    begun: Instant,
}

impl Program {
    fn connect(haproxy: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(haproxy).unwrap();
        let (target, sender) = ("A".to_owned(), "program".to_owned());
        let hello = Hello { version: ProtocolVersion::V2_1, target, sender, pid: 1, relative_pid: 1 };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut parser = StatusParser::new(64);
        let mut byte = [0];
        let status = loop {
            stream.read_exact(&mut byte).unwrap();
            match parser.feed(&byte) {
                StatusProgress::Incomplete => {}
                other => break other,
            }
        };
        assert!(matches!(status, StatusProgress::Complete(Status::Accepted, 1)), "{status:?}");
        stream.set_nonblocking(true).unwrap();

        let definition = format!("table banned {LINE}").parse().unwrap();
        let table = Arc::new(Table::new(definition, 1).unwrap());
        let set = TableSet::new("p", [(Arc::clone(&table), None)], None, None, 1).unwrap();
        let setup = SessionSetup {
            tables: Arc::new(set),
            version: ProtocolVersion::V2_1,
            role: Role::Remote,
            origin: Origin::peer(1).unwrap(),
            shard: 0,
            level: PeerLevel::Below,
            up_to_date: Arc::default(),
            limits: Limits::default(),
            resume: Resume::default(),
            relays: Relays::default(),
            awaits_values: Arc::default(),
        };
        Self { stream, session: Session::new(setup, 0), table, begun: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Reads and writes what there is.
    fn poll(&mut self) {
        let mut input = [0; 4096];
        loop {
            match self.stream.read(&mut input) {
                Ok(0) => panic!("HAProxy closed the session"),
                Ok(count) => self.session.handle_input(self.now(), &input[..count]).unwrap(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.session.handle_timeout(self.now()).unwrap();
        let mut output = Vec::new();
        while self.session.poll_transmit(self.now(), 4096, &mut output) {}
        // A few bytes: the socket takes them.
        self.stream.write_all(&output).unwrap();
    }

    /// Polls until HAProxy's entry is as it should be.
    fn wait<R>(
        &mut self,
        haproxy: &HaproxyProcess,
        what: &str,
        look: impl Fn(Option<&EntryDump>) -> Option<R>,
    ) -> R {
        let dump = || haproxy.cli().run("show table banned");
        wait::until_or(PATIENCE, what, dump, || {
            self.poll();
            look(haproxy.table("banned").entries.get("192.0.2.1"))
        })
    }
}

fn an_entry_that_is_expired_ends_at_haproxy(release: &Release) {
    let [a, program] = [(); 2].map(|()| ports::free_address());
    let config = Config::new("A").peer("A", a).peer("program", program).table("banned", LINE);
    let haproxy = HaproxyProcess::start(release, config);
    let mut program = Program::connect(a);
    let key = [192, 0, 2, 1];
    let now = program.now();
    let ban = program.table.update(&key, Origin::LOCAL, Lifetime::Restart, now, |entry| {
        entry.set(DataType::Gpt0, 0, &Value::Unsigned(1))
    });
    assert_eq!(ban, Ok(true));
    let field = |entry: &EntryDump| entry.fields["gpt0"].clone();
    let left = program.wait(&haproxy, "the ban to arrive", |entry| {
        entry.filter(|entry| field(entry) == "1").map(|entry| entry.exp)
    });
    assert!(left > 3_500_000, "{left}");

    assert_eq!(program.table.expire(&key, program.now()), Ok(true));
    let left = program.wait(&haproxy, "the ban to be taken back", |entry| match entry {
        Some(entry) => (field(entry) == "0").then_some(entry.exp),
        None => Some(0),
    });
    assert!(left <= u64::from(Table::EXPIRE_MS), "{left}");
    program.wait(&haproxy, "the entry to end", |entry| entry.is_none().then_some(()));
    assert_eq!(program.table.get(&key, program.now() + 100, |_| ()), Ok(None));
}
