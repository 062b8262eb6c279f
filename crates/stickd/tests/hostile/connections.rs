//! Connections that say no hello, or much too slowly, or there are very many of them.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, ports};

use crate::attack::{ELSEWHERE, connect_from, hello, is_closed, join};
use crate::honest::Honest;
use crate::node::Node;

/// Memory of a connection without a hello, at most, in KiB.
const PER_CONNECTION: u64 = 64;

#[test]
fn slow_hellos_are_closed_in_time() {
    const MANY: usize = 50;
    let node = Node::start("", "  handshakes timeout 1s\n");
    let honest = Honest::start(&node);
    let started = Instant::now();
    honest.unharmed_by(&node, "slow hellos", || {
        let mut slow: Vec<_> = (0..MANY).map(|_| connect_from(ELSEWHERE, node.bind)).collect();
        for letter in b"HAProxyS 2.1\nstickd\nevil 1 1\n".iter().cycle() {
            slow.retain_mut(|stream| stream.write_all(&[*letter]).is_ok() && !is_closed(stream));
            if slow.is_empty() {
                break;
            }
            assert!(started.elapsed() < SOON, "{} are still open", slow.len());
            thread::sleep(Duration::from_millis(100));
        }
    });
    node.wait_info("Stickd_handshakes_timed_out", |count| count == MANY as u64);
    node.wait_info("Stickd_handshakes", |count| count == 0);
    node.logged_once("limit reached");
    node.logged_once("handshakes timeout");
}

#[test]
fn an_endless_hello_takes_little_memory_whatever_messages_may_take() {
    const MANY: usize = 200;
    let node = Node::start("  tune.bufsize 16m\n", "  handshakes timeout 3s\n");
    let honest = Honest::start(&node);
    let before = node.memory();
    let mut most = before;
    honest.unharmed_by(&node, "endless hellos", || {
        let mut endless: Vec<_> = (0..MANY).map(|_| connect_from(ELSEWHERE, node.bind)).collect();
        let letters = vec![b'x'; 1 << 20];
        thread::scope(|scope| {
            for mut stream in &endless {
                let letters = &letters;
                scope.spawn(move || stream.write_all(letters).is_ok());
            }
        });
        wait::until(SOON, "them to be closed", || {
            most = most.max(node.memory());
            endless.iter_mut().all(is_closed).then_some(())
        });
    });
    let grown = most.saturating_sub(before);
    assert!(grown < MANY as u64 * PER_CONNECTION, "{grown} KiB more");
    assert!(node.logged("over the limit") <= 1, "{}", node.log());
}

#[test]
fn ten_thousand_connections_leave_room_for_honest_peers() {
    let limit = getrlimit(Resource::Nofile);
    let files = limit.current.unwrap_or(u64::MAX).min(limit.maximum.unwrap_or(u64::MAX));
    // As many as this process may have, up to 10,000.
    let many = (files.saturating_sub(500) as usize).min(10_000);
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    // A HAProxy joins in the middle of it.
    let own = ports::free_address();
    let mut open = Vec::new();
    let haproxy = honest.unharmed_by(&node, &format!("{many} connections"), || {
        for number in 0..many {
            open.push(connect_from(ELSEWHERE, node.bind));
            if number % 1_000 == 999 {
                assert!(node.info("Stickd_handshakes") <= 1024);
                assert_eq!(hello(&mut TcpStream::connect(node.bind).unwrap(), "evil"), "200\n");
            }
        }
        let config = Config::new("evil").peer("evil", own).peer("stickd", node.bind);
        let config = config.table("t", "type integer size 200k expire 1h store gpc0,server_key");
        let haproxy = HaproxyProcess::start(&Release::newest(), config);
        haproxy.cli().quiet("set table t key 77 data.gpc0 5");
        let state = || node.stickd.cli().run("show peers") + &node.log();
        wait::until_or(SOON, "what HAProxy counted", state, || {
            node.stickd.cli().run("show table t key 77").contains("gpc0=5").then_some(())
        });
        haproxy
    });
    node.wait_info("Stickd_handshakes_dropped", |count| count >= many as u64 - 1024 - 100);
    assert_eq!(node.info("Stickd_handshakes_limit"), 1024);
    assert!(node.logged("handshakes max") <= 1, "once a minute: {}", node.log());
    assert!(node.memory() < 100 * 1024, "{} KiB", node.memory());
    drop(haproxy);
    drop(open);
    node.wait_info("Stickd_handshakes", |count| count == 0);
}

#[test]
fn at_maxconn_configured_peers_have_their_places() {
    // Four of them are for configured peers and the process before this one.
    let node = Node::start("  maxconn 20\n", "  dynamic-peers max 100\n");
    let honest = Honest::start(&node);
    honest.unharmed_by(&node, "a cluster of strangers", || {
        let mut strangers = Vec::new();
        let refused = (0..100).find_map(|number| {
            let mut stream = connect_from(ELSEWHERE, node.bind);
            let status = hello(&mut stream, &format!("stranger{number}"));
            strangers.push(stream);
            (status != "200\n").then_some((number, status))
        });
        // The two honest peers have their places as well.
        assert_eq!(refused, Some((14, "504\n".to_owned())), "{}", node.log());
        let waiting: Vec<_> = (0..50).map(|_| connect_from(ELSEWHERE, node.bind)).collect();
        let evil = join(node.bind, "evil");
        assert!(node.info("Stickd_peer_connections") <= 20);
        drop((evil, waiting, strangers));
    });
    assert_eq!((node.info("Maxconn"), node.info("Stickd_peer_connections_limit")), (20, 20));
    node.wait_info("Stickd_dynamic_peers_refused", |count| count == 1);
}

#[test]
fn without_file_descriptors_it_waits_and_goes_on() {
    let node = Node::start("", "  handshakes timeout 30s\n");
    let honest = Honest::start(&node);
    let pid = Pid::from_raw(node.stickd.pid() as i32);
    let files = std::fs::read_dir(format!("/proc/{}/fd", node.stickd.pid())).unwrap().count() as u64;
    let few = Rlimit { current: Some(files + 50), maximum: Some(files + 50) };
    prlimit(pid, Resource::Nofile, few).unwrap();
    let busy = honest.unharmed_by(&node, "no file descriptors left", || {
        let open: Vec<_> = (0..500).map(|_| connect_from(ELSEWHERE, node.bind)).collect();
        node.stickd.daemon().wait_log("cannot accept a connection", SOON);
        // It does not spin: this is what the honest peers cost, and a look ten times a second.
        let (before, started) = (node.cpu(), Instant::now());
        thread::sleep(Duration::from_secs(1));
        let busy = (node.cpu() - before).div_f64(started.elapsed().as_secs_f64());
        // An honest peer is through when connections that say nothing were closed for it.
        let mut evil = TcpStream::connect(node.bind).unwrap();
        evil.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(hello(&mut evil, "evil"), "200\n", "{}", node.log());
        node.wait_info("Stickd_handshakes_dropped", |count| count > 0);
        drop(open);
        busy
    });
    assert!(busy < Duration::from_millis(700), "{busy:?} of each second");
    node.logged_once("cannot accept a connection");
}
