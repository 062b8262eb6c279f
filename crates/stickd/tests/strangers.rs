//! Peers that are not who they should be, or do not speak as they should; peers of protocol 2.0.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use haproxy_peers::{Control, Frame, UpdateForm, class, decode_frame, kind};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

on_every_release!(a_haproxy_joins_the_built_in_configuration);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type ip size 1k expire 1h store gpc0";
/// Longest hello and message accepted by the stickd of these tests, in bytes.
const BUFSIZE: usize = 16_384;

struct Node {
    stickd: StickdProcess,
    bind: SocketAddr,
}

impl Node {
    /// Knows the peer A at `a`.
    fn start(a: SocketAddr) -> Self {
        let bind = ports::free_address();
        let text = config(bind, &[("A", a), ("B", ports::free_address())]) + &table("t", TABLE);
        Self { stickd: StickdProcess::start(STICKD, Some(&text), &[]), bind }
    }

    fn alone() -> Self {
        Self::start(ports::free_address())
    }

    fn connect(&self) -> TcpStream {
        connect(self.bind)
    }

    /// Says `hello` and returns all that comes back.
    fn refused(&self, hello: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(hello).unwrap();
        String::from_utf8(read_to_end(&mut stream)).unwrap()
    }

    /// A session as peer `name` at version 2.`minor`. It tries again when it is closed without a status, as it is while stickd
    /// takes its hello for one that crossed stickd's own.
    fn join(&self, name: &str, minor: u32) -> TcpStream {
        wait::until(SOON, "a status", || {
            let mut stream = self.connect();
            stream.write_all(format!("HAProxyS 2.{minor}\nstickd\n{name} 1 1\n").as_bytes()).ok()?;
            let mut status = [0; 4];
            stream.read_exact(&mut status).ok()?;
            assert_eq!(&status, b"200\n");
            Some(stream)
        })
    }

    /// Lines of the log with `text`.
    fn logged(&self, text: &str) -> Vec<String> {
        self.stickd.daemon().log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Reads until the other side closes, which it may do with bytes of ours unread.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("not closed: {error}"),
        }
    }
}

#[test]
fn each_wrong_hello_has_its_status() {
    let node = Node::alone();
    for (hello, status) in [
        ("HAProxyS 2.1\nstickd\nnobody 1 1\n", "504\n"),
        ("HAProxyS 2.1\nsomebody\nA 1 1\n", "503\n"),
        ("HAProxyS 2.2\nstickd\nA 1 1\n", "502\n"),
        ("HAProxyS 3.0\nstickd\nA 1 1\n", "502\n"),
        ("GET / HTTP/1.1\r\n\r\n", "501\n"),
        ("HAProxyS 2.1\nstickd\nA\n", "501\n"),
    ] {
        assert_eq!(node.refused(hello.as_bytes()), status, "{hello:?}");
    }
    // A peer that is known is welcome all the same.
    node.join("A", 1);
}

#[test]
fn an_unknown_peer_is_logged_once_a_minute() {
    let node = Node::alone();
    for name in ["nobody", "nobody", "somebody"] {
        assert_eq!(node.refused(format!("HAProxyS 2.1\nstickd\n{name} 1 1\n").as_bytes()), "504\n");
    }
    let lines = node.logged("refused an unknown peer");
    assert_eq!(lines.len(), 2, "one for each name: {lines:?}");
    assert!(lines[1].contains("peer=\"somebody\""), "{lines:?}");
    for part in ["WARN", "127.0.0.1:", "peer=\"nobody\"", "section=\"p\"", "status=504"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    assert_eq!(
        node.stickd.cli().info("Stickd_refused_connections").as_deref(),
        Some("3"),
        "{}",
        node.stickd.cli().run("show info")
    );
}

#[test]
fn hellos_without_end_are_closed_without_a_status() {
    let node = Node::alone();
    assert_eq!(node.refused(&vec![b'x'; BUFSIZE]), "", "an oversized hello");
    assert_eq!(node.logged("over the limit").len(), 1, "{}", node.stickd.daemon().log());
    let started = Instant::now();
    assert_eq!(node.refused(b"HAProxyS 2.1\nstickd\n"), "", "a hello that stops");
    let took = started.elapsed();
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
}

/// The definition of a table like `t`.
fn define(id: u8, name: u8) -> Vec<u8> {
    // Id, name, key type 4 (IPv4) of 4 bytes, data types: bit 2 (gpc0), expire.
    let mut payload = vec![id, 1, name, 4, 4, 4];
    payload.extend(varint(3_600_000));
    [vec![class::STICK_TABLE, kind::DEFINE, payload.len() as u8], payload].concat()
}

/// An update of key 192.0.2.`last` with gpc0 = `value`.
fn update(last: u8, value: u8) -> Vec<u8> {
    vec![class::STICK_TABLE, kind::UPDATE, 9, 0, 0, 0, last, 192, 0, 2, last, value]
}

fn teach(last: u8, value: u8) -> Vec<u8> {
    [define(1, b't'), update(last, value)].concat()
}

/// peers-protocol §5.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value < 240 {
        return vec![value as u8];
    }
    bytes.push(value as u8 | 240);
    value = (value - 240) >> 4;
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value = (value - 128) >> 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn a_malformed_message_ends_its_session_only() {
    let node = Node::alone();
    let mut good = node.join("B", 1);
    good.write_all(&teach(1, 11)).unwrap();
    let value = |last: u8| {
        let table = node.stickd.table("t");
        table.entries.get(&format!("192.0.2.{last}")).map(|entry| entry.number("gpc0"))
    };
    wait::until_or(SOON, "an entry", || node.stickd.daemon().log(), || value(1).filter(|&value| value == 11));
    let oversized = {
        let mut bytes = vec![class::STICK_TABLE, kind::UPDATE];
        bytes.extend(varint(BUFSIZE as u64 + 1));
        bytes
    };
    let malformed = [
        (vec![class::RESERVED, 0], [class::ERROR, 0]),
        (vec![class::STICK_TABLE, kind::UPDATE, 2, 0, 0], [class::ERROR, 0]),
        (oversized, [class::ERROR, 1]),
    ];
    for (last, (bytes, error)) in (2..).zip(malformed) {
        let mut bad = node.join("A", 1);
        bad.write_all(&[teach(last, last), bytes.clone()].concat()).unwrap();
        let said = read_to_end(&mut bad);
        assert!(said.ends_with(&error), "{bytes:?} was answered {said:?}");
        assert_eq!(value(last), Some(last.into()), "what came before must stay");
        // The line comes after the connection is closed.
        wait::until_or(
            SOON,
            "the line of the log",
            || node.stickd.daemon().log(),
            || {
                let closed = node.logged("session closed: malformed message: at byte");
                (closed.len() == usize::from(last) - 1).then_some(())
            },
        );
    }
    // The other session was not touched.
    good.write_all(&teach(9, 99)).unwrap();
    wait::until(SOON, "an entry of the other session", || value(9).filter(|&value| value == 99));
    assert_eq!(value(1), Some(11));
    assert!(
        node.stickd.cli().run("show peers").contains("proto_err=3"),
        "{}",
        node.stickd.cli().run("show peers")
    );
}

/// Asks for a lesson and returns the types of the updates up to its end; what is pushed live may come before it.
fn lesson(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    Control::ResyncRequest.encode(&mut request);
    stream.write_all(&request).unwrap();
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "closed in a lesson");
        bytes.extend_from_slice(&part[..count]);
        let frames = frames(&bytes);
        let ends = |frame: &Frame<'_>| frame.class == class::CONTROL && matches!(frame.kind, 1 | 2);
        if frames.iter().any(ends) {
            let mut confirm = Vec::new();
            Control::ResyncConfirm.encode(&mut confirm);
            stream.write_all(&confirm).unwrap();
            let updates = frames.iter().filter(|frame| frame.class == class::STICK_TABLE);
            return updates
                .map(|frame| frame.kind)
                .filter(|&kind| UpdateForm::from_kind(kind).is_some())
                .collect();
        }
    }
}

fn assert_untimed(kinds: &[u8]) {
    assert!(!kinds.is_empty() && kinds.iter().all(|&kind| kind == kind::UPDATE), "{kinds:?}");
}

fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((frame, size)) = decode_frame(bytes, 0, BUFSIZE).unwrap() {
        frames.push(frame);
        bytes = &bytes[size..];
    }
    frames
}

/// Takes stickd's next call; its version and the connection, which waits for a status.
fn called(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut hello = [0; 1024];
    let count = stream.read(&mut hello).unwrap();
    let hello = String::from_utf8(hello[..count].to_vec()).unwrap();
    assert!(hello.contains("\nA\nstickd "), "{hello}");
    let version = hello.lines().next().unwrap().strip_prefix("HAProxyS ").unwrap();
    (version.to_owned(), stream)
}

#[test]
fn a_peer_of_2_0_gets_untimed_lessons_until_it_is_upgraded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::start(listener.local_addr().unwrap());
    node.stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 1");
    let (version, mut stream) = called(&listener);
    assert_eq!(version, "2.1");
    stream.write_all(b"502\n").unwrap();
    let (version, mut stream) = called(&listener);
    assert_eq!(version, "2.0");
    stream.write_all(b"200\n").unwrap();
    assert_untimed(&lesson(&mut stream));
    assert!(node.stickd.cli().run("show peers").contains("stickd: version=2.0"));
    // The upgraded peer calls with 2.1; the session takes the place of the old one.
    let mut upgraded = node.join("A", 1);
    assert_eq!(lesson(&mut upgraded).last(), Some(&kind::TIMED_UPDATE));
    read_to_end(&mut stream);
    // And when that ends, stickd calls with 2.1 again, although it was refused a moment ago.
    drop(upgraded);
    let (version, mut stream) = called(&listener);
    assert_eq!(version, "2.1");
    stream.write_all(b"200\n").unwrap();
    assert_eq!(lesson(&mut stream).last(), Some(&kind::TIMED_UPDATE));
}

/// A peer that called with 2.0 may speak 2.1 by now: stickd looks after 5 s, beside the session.
#[test]
fn a_session_of_2_0_is_lifted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::start(listener.local_addr().unwrap());
    node.stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 1");
    drop(called(&listener));
    let mut stream = node.join("A", 0);
    assert_untimed(&lesson(&mut stream));
    let (version, mut probe) = called(&listener);
    assert_eq!(version, "2.1");
    probe.write_all(b"200\n").unwrap();
    assert_eq!(lesson(&mut probe).last(), Some(&kind::TIMED_UPDATE));
    read_to_end(&mut stream);
}

fn a_haproxy_joins_the_built_in_configuration(release: &Release) {
    let bind = ports::free_address();
    let (stickd, own) = (built_in(bind, "", ""), ports::free_address());
    let config = Config::new("lb1")
        .peer("lb1", own)
        .peer("stickd", bind)
        .table("t_ip", "type ip size 1k expire 1h store gpc0,conn_rate(10s)")
        .table("t_str", "type string len 40 size 1k expire 30m store gpc0");
    let haproxy = HaproxyProcess::start(release, config);
    haproxy.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
    haproxy.cli().quiet("set table t_str key someone data.gpc0 8");
    let state = || format!("{}{}", stickd.cli().run("show peers"), stickd.daemon().log());
    wait::until_or(Duration::from_secs(30), "tables made from definitions", state, || {
        let tables = stickd.cli().run("show table");
        (tables.contains("# table: t_ip, type: ip,") && tables.contains("# table: t_str, type: string,"))
            .then_some(())
    });
    wait::until_or(SOON, "their entries", state, || {
        let (ip, text) = (stickd.table("t_ip"), stickd.table("t_str"));
        let [ip, text] = [(ip, "192.0.2.1"), (text, "someone")]
            .map(|(table, key)| table.entries.get(key).map(|entry| entry.number("gpc0")));
        ((ip, text) == (Some(7), Some(8))).then_some(())
    });
    let peers = stickd.cli().run("show peers");
    assert!(peers.contains("id=lb1(remote,active)") && peers.contains("member=dynamic"), "{peers}");
    stickd.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 70");
    wait::until_or(SOON, "a change on its way back", state, || {
        (haproxy.table("t_ip").entry("192.0.2.1").number("gpc0") == 70).then_some(())
    });
}

/// The built-in configuration at another address (its own may be in use on the machine that tests), with
/// further words for its last two lines.
fn built_in(bind: SocketAddr, peers: &str, tables: &str) -> StickdProcess {
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "no {from} in the built-in configuration");
        text.replace(from, to)
    };
    let text = replace(stickd::config::builtin::TEXT.to_owned(), "127.0.0.1:10000", &bind.to_string());
    let text = replace(text, "127.0.0.1:8404", &ports::free_address().to_string());
    let text = replace(text, "dynamic-peers from", &format!("dynamic-peers {peers} from"));
    let text = replace(text, "dynamic-tables", &format!("dynamic-tables {tables}"));
    StickdProcess::start(STICKD, Some(&text), &["-L", "stickd"])
}

#[test]
fn limits_of_members_and_tables_hold() {
    let bind = ports::free_address();
    let stickd = built_in(bind, "max 2", "size 10 max 2");
    let node = Node { stickd, bind };
    let mut first = node.join("one", 1);
    let _second = node.join("two", 1);
    assert_eq!(node.refused(b"HAProxyS 2.1\nstickd\nthree 1 1\n"), "504\n");
    for (id, name) in (1..).zip(*b"abc") {
        first.write_all(&define(id, name)).unwrap();
        for last in 1..=20 {
            first.write_all(&update(last, 1)).unwrap();
        }
    }
    node.stickd.daemon().wait_log("updates of table c are ignored", SOON);
    let tables = node.stickd.cli().run("show table");
    assert_eq!(tables.matches("# table: ").count(), 2, "{tables}{}", node.stickd.daemon().log());
    for name in ["a", "b"] {
        assert!(tables.contains(&format!("# table: {name}, type: ip, size:10, used:10")), "{tables}");
    }
    // The session goes on.
    assert!(node.stickd.cli().run("show peers").contains("id=one(remote,active)"));
}
