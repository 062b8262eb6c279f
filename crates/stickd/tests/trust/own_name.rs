//! Strangers that say a node's own name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

use crate::STICKD;
use crate::scripted::{counters, finished, hello, updates};

on_every_release!(a_stranger_does_not_change_the_sums_of_a_hub);

const TABLE: &str = "type integer size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts.
const RECONNECTED: Duration = Duration::from_secs(30);
/// The line of the log.
const LINE: &str = "says this node's own name";

fn a_stranger_does_not_change_the_sums_of_a_hub(release: &Release) {
    let [hub, lb1] = [(); 2].map(|()| ports::free_address());
    let text = format!(
        "global\n  localpeer hub\n  stats socket unix@{SOCKET} level admin\n\
         aggregations data\n  peer hub {hub} local\n  peer lb1 {lb1}\n  from any to .agg\n"
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let node = Config::new("lb1").peer("lb1", lb1).peer("hub", hub);
    let node = node.peers_line(format!("table c {TABLE}")).peers_line(format!("table c.agg {TABLE}"));
    let node = HaproxyProcess::start(release, node);
    node.cli().quiet("set table p/c key 5 data.gpc0 7");
    let sum = || node.cli().table("p/c.agg").entries.get("5").map(|entry| entry.number("gpc0"));
    let state = || format!("{:?}\n{}\n{}", sum(), stickd.cli().run("show peers"), stickd.daemon().log());
    wait::until_or(RECONNECTED, "the sum", state, || (sum() == Some(7)).then_some(()));
    let (mut stranger, status) = hello(hub, "hub", "hub");
    // What follows is refused with the hello; the connection may be closed already.
    let _ = stranger.write_all(&[finished(), updates(&counters("c.agg"), 5..6, 200)].concat());
    let _ = stranger.read(&mut [0; 1024]);
    node.cli().quiet("set table p/c key 6 data.gpc0 1");
    let other = || node.cli().table("p/c.agg").entries.get("6").map(|entry| entry.number("gpc0"));
    wait::until_or(RECONNECTED, "another sum", state, || (other() == Some(1)).then_some(()));
    println!("{release}: status {status:?}, sum {:?}", sum());
    assert_eq!((sum(), status.as_str()), (Some(7), "504\n"), "{}", state());
    assert_eq!(stickd.table("data/c.agg").entry("5").number("gpc0"), 7);
}

/// A peer that a stickd reaches only after a stranger was there is asked for a lesson all the same.
#[test]
fn a_stranger_does_not_end_the_search_for_a_lesson() {
    let (bind, a) = (ports::free_address(), ports::free_address());
    let text = config(bind, &[("A", a)]) + &table("c", TABLE);
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let (mut stranger, status) = hello(bind, "stickd", "stickd");
    let _ = stranger.write_all(&finished());
    let _ = stranger.read(&mut [0; 16]);
    let requested = asks_for_a_lesson(&TcpListener::bind(a).unwrap());
    println!("status {status:?}, asked for a lesson: {requested}");
    assert!(requested, "{}", stickd.daemon().log());
    assert_eq!(status, "504\n");
}

/// Accepts a session and says whether a lesson is asked for in it.
fn asks_for_a_lesson(listener: &TcpListener) -> bool {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _hello = stream.read(&mut [0; 1024]).unwrap();
    stream.write_all(b"200\n").unwrap();
    let mut all = Vec::new();
    let mut part = [0; 1024];
    // Heartbeats come all the time; the request comes with the first bytes.
    for _ in 0..5 {
        match stream.read(&mut part) {
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(_) => continue,
        }
        if all.windows(2).any(|bytes| bytes == [0, 0]) {
            return true;
        }
    }
    false
}

/// As when a machine was cloned: it connects again and again. One line names it and what to do.
#[test]
fn a_node_with_a_copied_name_is_named_once() {
    for dynamic in [false, true] {
        let bind = ports::free_address();
        let mut text = config(bind, &[]);
        text += if dynamic { "  dynamic-peers from 127.0.0.0/8\n" } else { "" };
        let stickd = StickdProcess::start(STICKD, Some(&(text + &table("c", TABLE))), &[]);
        for _ in 0..20 {
            assert_eq!(hello(bind, "stickd", "stickd").1, "504\n");
        }
        stickd.daemon().wait_log(LINE, SOON);
        let log = stickd.daemon().log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(LINE)).collect();
        println!("{lines:?}");
        assert_eq!(lines.len(), 1, "{log}");
        for part in ["WARN", "localpeer", "address=\"127.0.0.1:", "section=\"p\"", "status=504"] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
        let refused = stickd.cli().info("Stickd_refused_connections");
        assert_eq!(refused.as_deref(), Some("20"));
        let peers = stickd.cli().run("show peers");
        assert!(!peers.contains("ESTA"), "{peers}");
    }
}

/// Two stickds of one name: neither becomes the other's predecessor, and their entries stay apart.
#[test]
fn two_stickds_of_one_name_refuse_each_other() {
    let [one, two] = [(); 2].map(|()| ports::free_address());
    let text = |bind, other| {
        let section = config(bind, &[]).replace("server stickd\n", "server stickd\n  server twin ");
        section + &format!("{other}\n") + &table("c", TABLE)
    };
    let first = StickdProcess::start(STICKD, Some(&text(one, two)), &[]);
    first.cli().quiet("set table c key 1 data.gpc0 1");
    let second = StickdProcess::start(STICKD, Some(&text(two, one)), &[]);
    // Each calls the other "twin", and is "stickd" by its own word.
    second.daemon().wait_log("its local peer name is another one", SOON);
    assert!(second.table("c").entries.is_empty());
    assert_eq!(said(one, "stickd", "stickd"), "504\n");
    assert_eq!(first.table("c").entry("1").number("gpc0"), 1);
}

fn said(address: SocketAddr, target: &str, name: &str) -> String {
    let (stream, status): (TcpStream, String) = hello(address, target, name);
    drop(stream);
    status
}
