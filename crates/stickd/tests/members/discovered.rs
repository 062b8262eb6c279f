//! What stickd makes of DNS, with members that only take the hello.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use stickd_testkit::wait::{self, SOON};

use crate::Node;
use stickd_testkit::name_server::{Mood, NameServer, Record};

const DOMAIN: &str = "_peers._tcp.lbs.test";

fn start(names: &NameServer, lines: &str) -> Node {
    Node::start(&format!("  {lines}\n  nameserver {}\n  resolve-every 100ms\n  forget 1s\n", names.address))
}

/// A member that waits to be called.
struct Member(TcpListener);

impl Member {
    fn at(ip: [u8; 4], port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((ip, port))).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The name by which it is called, and the connection, which waits for a status.
    #[track_caller]
    fn called(&self, node: &Node) -> (String, TcpStream) {
        let (mut stream, _) = wait::until_or(SOON, "a call", || node.state(), || self.0.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut hello = [0; 1024];
        let count = stream.read(&mut hello).unwrap();
        let hello = String::from_utf8(hello[..count].to_vec()).unwrap();
        let [version, target, sender] = hello.lines().collect::<Vec<_>>()[..] else { panic!("{hello}") };
        assert!(version == "HAProxyS 2.1" && sender.starts_with("stickd "), "{hello}");
        (target.to_owned(), stream)
    }
}

fn service(target: &str, port: u16) -> Record {
    Record::Service { port, target: target.to_owned() }
}

fn address(last: u8) -> Record {
    Record::Address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

#[test]
fn what_cannot_be_resolved_stays_as_it_is() {
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    names.set(DOMAIN, [service("a.lbs.test", member.port())]);
    names.set("a.lbs.test", [address(1)]);
    let node = start(&names, &format!("server-template lb 5 {DOMAIN}"));
    let (name, mut stream) = member.called(&node);
    assert_eq!(name, "a");
    stream.write_all(b"200\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING", "listed=1"]);
    // A round of questions to one server is two.
    for (mood, line) in [(Mood::Failing, "\"server failure\""), (Mood::Silent, "does not answer")] {
        names.set_mood(mood);
        node.wait("the failure in the log", || (node.logged(line) > 0).then_some(()));
        names.wait_questions(4);
        assert_eq!(node.logged(line), 1, "once: {}", node.stickd.daemon().log());
        node.wait_member("a", &["listed=1"]);
    }
    names.set_mood(Mood::Well);
    node.stickd.daemon().wait_log("resolving works again", SOON);
    names.wait_questions(4);
    assert_eq!(node.logged("resolving works again"), 1);
    assert_eq!(node.logged("cannot resolve the name, and the members stay"), 2);
    assert_eq!((node.logged("a member is listed"), node.logged("DNS no longer lists a member")), (1, 0));
    // "There is no such name" is an answer.
    names.set_mood(Mood::Ignorant);
    node.wait_member("a", &["listed=0"]);
    assert_eq!(node.logged("the name lists no host"), 1, "{}", node.stickd.daemon().log());
}

/// A pod that is started again has its name and another address.
#[test]
fn a_member_that_moves_is_called_where_it_is_now() {
    let names = NameServer::start();
    let old = Member::at([127, 0, 0, 2], 0);
    let new = Member::at([127, 0, 0, 3], old.port());
    names.set(DOMAIN, [service("a.lbs.test", old.port()), service("stickd.lbs.test", old.port())]);
    names.set("a.lbs.test", [address(2)]);
    names.set("stickd.lbs.test", [address(2)]);
    let node = start(&names, &format!("server-template lb 5 {DOMAIN}"));
    let (_, stream) = old.called(&node);
    names.set("a.lbs.test", [address(3)]);
    node.stickd.daemon().wait_log("a member is listed at another address", SOON);
    drop((stream, old));
    let (name, mut stream) = new.called(&node);
    assert_eq!(name, "a");
    stream.write_all(b"200\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING", "addr=127.0.0.3:"]);
    // The node itself is in the list, too, and no member of its own.
    assert_eq!(node.info("Stickd_discovered_peers"), 1);
}

#[test]
fn addresses_are_numbered_up_to_the_limit() {
    let names = NameServer::start();
    let first = Member::at([127, 0, 0, 6], 0);
    let port = first.port();
    let others = [7, 8].map(|last| Member::at([127, 0, 0, last], port));
    // By way of an alias, of which the server says nothing at once.
    names.set("lbs.test", [Record::Alias("pool.test".to_owned())]);
    names.set("pool.test", [address(8), address(6)]);
    let node = start(&names, &format!("server-template lb 2-3 lbs.test:{port}"));
    assert_eq!(first.called(&node).0, "lb2");
    assert_eq!(others[1].called(&node).0, "lb3");
    names.set("pool.test", [address(8), address(7), address(6)]);
    let line = "the name lists more than 2 members";
    node.wait("the limit in the log", || (node.logged(line) == 1).then_some(()));
    names.wait_questions(6);
    assert_eq!(node.logged(line), 1, "once");
    assert_eq!((node.info("Stickd_discovered_peers"), node.info("Stickd_discovered_peers_limit")), (2, 2));
    // The number that is free is the next one's.
    names.set("pool.test", [address(7), address(8)]);
    assert_eq!(others[0].called(&node).0, "lb2");
}

/// So many that the answer comes over TCP.
#[test]
fn hundreds_are_listed() {
    const MANY: usize = 200;
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    let all = (0..MANY).map(|number| service(&format!("pod-{number}.lbs.test"), member.port()));
    names.set(DOMAIN, all);
    for number in 0..MANY {
        names.set(&format!("pod-{number}.lbs.test"), [address(1)]);
    }
    let node = start(&names, &format!("server-template lb 500 {DOMAIN}"));
    node.wait_info("Stickd_discovered_peers", MANY as u64);
    assert!(names.over_tcp() > 0);
    names.set(DOMAIN, []);
    node.wait_info("Stickd_discovered_peers", 0);
    assert_eq!(node.logged("forgot a member that stayed away"), MANY);
}

/// A peer may come before DNS knows it: by itself, where `dynamic-peers` lets it.
#[test]
fn a_member_that_came_by_itself_becomes_a_discovered_one() {
    let names = NameServer::start();
    let node = start(&names, &format!("server-template lb 5 {DOMAIN}\n  dynamic-peers from 127.0.0.0/8"));
    let mut stream = TcpStream::connect(node.bind).unwrap();
    stream.write_all(b"HAProxyS 2.1\nstickd\na 1 1\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING", "member=dynamic"]);
    names.set(DOMAIN, [service("a.lbs.test", node.bind.port())]);
    names.set("a.lbs.test", [address(1)]);
    node.wait_member("a", &["member=discovered from=_peers._tcp.lbs.test listed=1", "coll=0"]);
    drop(stream);
}

/// A pod's address may be the next one's soon after.
#[test]
fn an_address_that_another_member_has_now_is_called_by_its_name() {
    let names = NameServer::start();
    let here = Member::at([127, 0, 0, 2], 0);
    let port = here.port();
    let there = Member::at([127, 0, 0, 4], port);
    names.set(DOMAIN, [service("a.lbs.test", port)]);
    names.set("a.lbs.test", [address(2)]);
    let node = start(&names, &format!("server-template lb 5 {DOMAIN}"));
    let (name, mut stream) = here.called(&node);
    assert_eq!(name, "a");
    stream.write_all(b"200\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING", "addr=127.0.0.2:"]);
    names.set("a.lbs.test", [address(4)]);
    names.set("b.lbs.test", [address(2)]);
    names.set(DOMAIN, [service("a.lbs.test", port), service("b.lbs.test", port)]);
    let (name, mut second) = here.called(&node);
    assert_eq!(name, "b");
    second.write_all(b"200\n").unwrap();
    node.wait_member("b", &["app_state=RUNNING", "addr=127.0.0.2:", "listed=1"]);
    // It moved, and its session with where it was ends.
    drop(stream);
    assert_eq!(there.called(&node).0, "a");
    node.wait_member("a", &["addr=127.0.0.4:", "listed=1"]);
}

/// The same name on two lines is the first one's, and the other's when that one lists it no more.
#[test]
fn a_name_goes_from_one_line_to_another() {
    const OTHER: &str = "_peers._tcp.more.test";
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    let one = || [service("a.lbs.test", member.port())];
    names.set("a.lbs.test", [address(1)]);
    names.set(DOMAIN, one());
    let node = start(&names, &format!("server-template lb 5 {DOMAIN}\n  server-template lb 5 {OTHER}"));
    let (_, mut stream) = member.called(&node);
    stream.write_all(b"200\n").unwrap();
    let from = |domain: &str| format!("member=discovered from={domain} listed=1");
    for round in 0..5 {
        let (old, new) = if round % 2 == 0 { (DOMAIN, OTHER) } else { (OTHER, DOMAIN) };
        names.set(new, one());
        node.wait_member("a", &["app_state=RUNNING", &from(old)]);
        names.set(old, []);
        node.wait_member("a", &["app_state=RUNNING", &from(new)]);
        let mut heartbeat = Vec::new();
        haproxy_peers::Control::Heartbeat.encode(&mut heartbeat);
        stream.write_all(&heartbeat).unwrap();
    }
    assert_eq!(node.info("Stickd_discovered_peers"), 1);
}

/// Of more services than there may be members only so many are asked for.
#[test]
fn a_list_that_is_too_long_is_not_asked_for_in_full() {
    const MANY: usize = 400;
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    let all = (0..MANY).map(|number| service(&format!("pod-{number:03}.lbs.test"), member.port()));
    names.set(DOMAIN, all);
    for number in 0..MANY {
        names.set(&format!("pod-{number:03}.lbs.test"), [address(1)]);
    }
    let node = start(&names, &format!("server-template lb 3 {DOMAIN}"));
    node.wait_info("Stickd_discovered_peers", 3);
    names.wait_questions(20);
    assert!(["pod-000", "pod-001", "pod-002"].iter().all(|name| node.member(name).is_some()));
    assert!(!names.was_asked("pod-003.lbs.test"));
    assert_eq!(node.logged("the name lists more than 3 members: the others are left out"), 1);
}

/// A name server that lists many and then says nothing: members stay, and the log is short.
#[test]
fn a_name_server_that_falls_silent_in_between_takes_nobody_away() {
    const MANY: usize = 200;
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    let services = || {
        (0..MANY).map(|number| service(&format!("pod-{number}.lbs.test"), member.port())).collect::<Vec<_>>()
    };
    names.set(DOMAIN, services());
    for number in 0..MANY {
        names.set(&format!("pod-{number}.lbs.test"), [address(1)]);
    }
    let node = start(&names, &format!("server-template lb 500 {DOMAIN}"));
    node.wait_info("Stickd_discovered_peers", MANY as u64);
    names.set_mood(Mood::SilentOfAddresses);
    // Only the name itself is answered, and without one of them.
    names.set(DOMAIN, services().into_iter().skip(1));
    node.wait_member("pod-0", &["listed=0"]);
    node.wait_member("pod-1", &["listed=1"]);
    let silent = node.logged("no address of");
    assert!((1..=16).contains(&silent), "{silent} lines");
    assert_eq!(node.logged("DNS no longer lists a member"), 1);
}

/// The next process asks anew, and lists whom this one knew.
#[test]
fn members_are_found_again_at_a_hand_over() {
    let names = NameServer::start();
    let member = Member::at([127, 0, 0, 1], 0);
    names.set(DOMAIN, [service("a.lbs.test", member.port())]);
    names.set("a.lbs.test", [address(1)]);
    let mut node = start(&names, &format!("server-template lb 5 {DOMAIN}"));
    let (_, mut stream) = member.called(&node);
    stream.write_all(b"200\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING"]);
    node.stickd.cli().quiet("set table t key k data.gpc0 7");
    let old = node.stickd.replace(Some(&node.config), &[]).expect("a new process");
    let (name, mut second) = member.called(&node);
    assert_eq!(name, "a");
    second.write_all(b"200\n").unwrap();
    node.wait_member("a", &["app_state=RUNNING", "listed=1"]);
    node.wait("what the old process knew", || {
        (node.stickd.cli().table("t").entries.get("k")?.number("gpc0") == 7).then_some(())
    });
    let log = old.log();
    assert!(!log.contains("no longer lists") && !log.contains("has no place"), "{log}");
}
