//! Events: changes of a table and of peers, as they happen, and from where a reader left off.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;
use stickd_testkit::wait::SOON;

use crate::node::Node;

/// A reader of events as lines of JSON.
struct Reader(BufReader<TcpStream>);

impl Reader {
    fn open(node: &Node, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request =
            format!("GET /v1/events?format=ndjson{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = Self(BufReader::new(stream));
        assert!(reader.line().starts_with("HTTP/1.1 200 "));
        reader
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
        line
    }

    /// The next event of a kind.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            // Heads and sizes of chunks stand between the lines.
            let line = self.line();
            let Ok(event) = serde_json::from_str::<Value>(line.trim()) else { continue };
            if event["event"] == kind {
                return event;
            }
        }
    }
}

#[test]
fn changes_arrive_once_with_their_newest_values_and_a_reader_goes_on() {
    let node = Node::start("level operator", "");
    let client = node.client();
    let put = |key: u8, gpc0: u32| {
        let path = format!("/v1/tables/t/entries/10.0.0.{key}");
        assert_eq!(client.send("PUT", &path, &format!("{{\"data\":{{\"gpc0\":{gpc0}}}}}")).status, 200);
    };
    put(1, 1);
    let mut reader = Reader::open(&node, "&table=t", "");
    let begin = reader.next("position")["id"].as_str().unwrap().to_owned();
    put(2, 5);
    let event = reader.next("entry");
    assert_eq!(
        (&event["data"]["key"], &event["data"]["data"]["gpc0"]),
        (&"10.0.0.2".into(), &5.into()),
        "{event}"
    );
    // The socket's changes as well.
    node.stickd.cli().quiet("set table t key 10.0.0.3 data.gpc0 9");
    assert_eq!(reader.next("entry")["data"]["key"], "10.0.0.3");
    node.stickd.cli().quiet("clear table t key 10.0.0.2");
    assert_eq!(reader.next("removed")["data"]["key"], "10.0.0.2");
    drop(reader);
    // Another reader has what changed since, and not what was there before.
    let mut reader = Reader::open(&node, "&table=t", &format!("Last-Event-ID: {begin}\r\n"));
    let keys = [reader.next("entry"), reader.next("position")];
    assert_eq!(keys[0]["data"]["key"], "10.0.0.3");
    // An id of another process starts over.
    let mut reader = Reader::open(&node, "&table=t", "Last-Event-ID: 1.0\r\n");
    reader.next("start_over");
    // One may come twice, as removals are not known any more.
    let mut keys = BTreeSet::new();
    while keys.len() < 2 {
        keys.insert(reader.next("entry")["data"]["key"].to_string());
    }
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["\"10.0.0.1\"", "\"10.0.0.3\""]);
    let mut reader = Reader::open(&node, "&table=t&all=true", "");
    reader.next("entry");
}

#[test]
fn readers_are_bounded_and_need_their_level() {
    let node = Node::start("level user", "");
    assert_eq!(node.client().get("/v1/events?table=t").status, 403);
    let readers: Vec<_> = (0..32).map(|_| Reader::open(&node, "", "")).collect();
    let answer = node.client().get("/v1/events");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(node.client().get("/v1/tables").status, 200);
    drop(readers);
    stickd_testkit::wait::until(SOON, "a place for a reader", || {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.starts_with("HTTP/1.1 200 ").then_some(())
    });
}

#[test]
fn server_sent_events_have_names_and_ids() {
    let node = Node::start("level operator", "");
    let mut stream = TcpStream::connect(node.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /v1/events?table=t&all=true HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    node.stickd.cli().quiet("set table t key 10.0.0.3 data.gpc0 9");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next = |start: &str| lines.find(|line| line.starts_with(start)).unwrap();
    next("content-type: text/event-stream");
    next("retry: 1000");
    next("event: entry");
    assert!(next("data: ").contains("\"key\":\"10.0.0.3\""));
    next("event: position");
    next("id: ");
}
