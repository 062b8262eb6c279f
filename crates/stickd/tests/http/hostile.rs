//! Clients that keep places, say too much, too little or nonsense, or do not take their answers; honest ones are answered
//! meanwhile, and memory does not grow with them.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use stickd_testkit::wait::{self, SOON};

use crate::client::read_answer;
use crate::node::Node;

/// Growth that has other reasons, in KiB.
const SLACK: u64 = 24 << 10;

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Memory of the daemon, in KiB.
fn memory(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.stickd.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[track_caller]
fn is_answered(node: &Node) {
    assert_eq!(node.client().get("/v1/tables").status, 200);
    assert!(node.stickd.cli().run("show version").starts_with(env!("CARGO_PKG_VERSION")));
}

#[track_caller]
fn has_not_grown(node: &Node, before: u64) {
    let grown = memory(node).saturating_sub(before);
    assert!(grown < SLACK, "{grown} KiB more");
}

#[test]
fn connections_that_say_nothing_leave_for_others() {
    let node = Node::start("level user", "");
    let before = memory(&node);
    let idle: Vec<_> = (0..600).map(|_| connect(&node)).collect();
    is_answered(&node);
    // Each is closed in time, also when nobody needs its place.
    let mut first = idle.into_iter().next().unwrap();
    assert_eq!(first.read(&mut [0; 10]).unwrap_or(0), 0);
    has_not_grown(&node, before);
}

#[test]
fn heads_letter_by_letter_and_without_end() {
    let node = Node::start("level user", "");
    let before = memory(&node);
    thread::scope(|scope| {
        for number in 0..8 {
            let mut stream = connect(&node);
            scope.spawn(move || {
                let started = Instant::now();
                let (part, pause): (&[u8], u64) =
                    if number % 2 == 0 { (b"x", 100) } else { (&[b'x'; 4096], 0) };
                let _ = stream.write_all(b"GET /");
                while stream.write_all(part).is_ok() {
                    assert!(started.elapsed() < SOON, "not closed");
                    thread::sleep(Duration::from_millis(pause));
                }
            });
        }
        is_answered(&node);
    });
    let mut stream = connect(&node);
    let fields: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
    assert_eq!(read_answer(&mut BufReader::new(stream)).unwrap().status, 431);
    has_not_grown(&node, before);
}

#[test]
fn bodies_that_are_too_long_or_never_come() {
    let node = Node::start("level operator", "");
    let before = memory(&node);
    let client = node.client();
    let long = vec![b' '; (1 << 20) + 1];
    // The answer may come before the body was taken: then the connection breaks while the client still sends.
    let status = |path: &str, content_type: &str, body: &[u8]| {
        client
            .try_ask(
                if content_type.ends_with("x-ndjson") { "POST" } else { "PUT" },
                path,
                content_type,
                body,
            )
            .map(|answer| answer.status)
    };
    if let Ok(status) = status("/v1/tables/t/entries/10.0.0.1", "application/json", &long) {
        assert_eq!(status, 413);
    }
    let many = b"{}\n".repeat(200_001);
    assert_eq!(status("/v1/tables/t/entries", "application/x-ndjson", &many).unwrap(), 413);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(status("/v1/tables/t/entries/10.0.0.1", "application/json", deep.as_bytes()).unwrap(), 400);
    // Half of a body holds up nobody and changes nothing.
    let halves: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(&node);
            let head = "PUT /v1/tables/t/entries/10.0.0.1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    is_answered(&node);
    drop(halves);
    is_answered(&node);
    assert_eq!(node.stickd.table("t").entries.len(), 0);
    has_not_grown(&node, before);
}

#[test]
fn answers_that_are_not_taken() {
    let node = Node::start("level operator", "");
    let mut body = String::new();
    for number in 0..100_000 {
        body += &format!(
            "{{\"key\":\"10.{}.{}.{}\",\"data\":{{\"gpc0\":1}}}}\n",
            number >> 16,
            number >> 8 & 255,
            number & 255
        );
    }
    let client = node.client();
    let answer = client.ask("POST", "/v1/tables/t/entries", "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(node.stickd.cli().table("t").entries.len(), 100_000);
    let before = memory(&node);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", node.stickd.pid())).unwrap().count();
    let idle = files();
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect(&node);
            // Else the kernel takes a whole answer for the client.
            SockRef::from(&stream).set_recv_buffer_size(64 << 10).unwrap();
            let request = b"GET /v1/tables/t/entries?format=ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n";
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    is_answered(&node);
    has_not_grown(&node, before);
    // After 10 s without a byte each is closed: a part of the answer is there, and no end.
    wait::until(SOON * 2, "the end of an answer that nobody took", || {
        // All of them: one that is open goes on when it is read.
        (files() <= idle).then_some(())
    });
    let mut part = Vec::new();
    let _ = (&deaf[0]).read_to_end(&mut part);
    assert!(!part.is_empty() && !part.ends_with(b"0\r\n\r\n"), "{} bytes", part.len());
}

#[test]
fn nonsense_is_refused() {
    let node = Node::start("level operator", "");
    for (request, status) in [
        ("nonsense\r\n\r\n", Some(400)),
        ("GET / HTTP/9.9\r\n\r\n", Some(400)),
        (
            "GET /v1/tables HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            Some(400),
        ),
        ("GET /v1/tables/%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", Some(400)),
        (
            "GET /v1/tables/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            Some(404),
        ),
        (
            "GET http://evil.example/v1/tables HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            Some(421),
        ),
        ("\0\0\0\0\r\n\r\n", Some(400)),
        ("HAProxyS 2.1\nstickd\nlb1 1 1\n", None),
    ] {
        let mut stream = connect(&node);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = read_answer(&mut BufReader::new(stream));
        let found = answer.ok().map(|answer| answer.status);
        assert!(status.is_none() || found == status, "{request:?}: {found:?}");
    }
    is_answered(&node);
    let log = node.stickd.daemon().log();
    assert!(!log.contains("panic") && !log.contains("a fault in stickd"), "{log}");
}
