//! Real HAProxys that are found by DNS, and what they count together.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use haproxy_peers::Control;
use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, on_every_release, ports};

use crate::{Node, TABLE};
use stickd_testkit::name_server::{Mood, NameServer, Record};

on_every_release!(haproxys_that_are_found_contribute_until_they_are_forgotten);

const DOMAIN: &str = "_peers._tcp.lbs.test";
/// HAProxy waits up to 5 s for a lesson before it considers itself up to date.
const CONNECTED: Duration = Duration::from_secs(30);

/// A hub that asks where its load balancers are.
fn hub(names: &NameServer, lines: &str) -> Node {
    let bind = ports::free_address();
    // What was told counts for an hour, but not of a node that is forgotten.
    let text = format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
         aggregations data\n  peer stickd {bind} local\n  server-template lb 5 {DOMAIN}\n  nameserver {}\n  \
         resolve-every 100ms\n  forget 1s\n  node-timeout 1h\n  from any to .agg\n{lines}",
        names.address
    );
    Node::with(bind, text)
}

/// A HAProxy that is called by the hub, and cannot reach it itself.
fn balancer(release: &Release, names: &NameServer, name: &str, last: u8) -> (HaproxyProcess, SocketAddr) {
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), ports::free()));
    names.set(&host(name), [Record::Address(own.ip())]);
    let config = Config::new(name)
        .peer(name, own)
        .peer("stickd", ports::free_address())
        .peers_line(format!("table t {TABLE}"))
        .peers_line(format!("table t.agg {TABLE}"));
    (HaproxyProcess::start(release, config), own)
}

fn host(name: &str) -> String {
    format!("{name}.lbs.test")
}

fn list(names: &NameServer, nodes: &[(&str, SocketAddr)]) {
    let service = |(name, own): &(&str, SocketAddr)| Record::Service { port: own.port(), target: host(name) };
    names.set(DOMAIN, nodes.iter().map(service));
}

/// Waits until a side reads this sum of the key `k`.
#[track_caller]
fn wait_sum(side: &Cli, table: &str, sum: u64, hub: &Node) {
    let state = || side.run("show table") + &hub.stickd.cli().run("show aggregations") + &hub.state();
    wait::until_or(CONNECTED, &format!("{sum} in {table} on {side}"), state, || {
        (side.table(table).entries.get("k")?.number("gpc0") == sum).then_some(())
    });
}

/// Waits until the hub says this of its nodes.
#[track_caller]
fn wait_state(hub: &Node, text: &str, mut meanwhile: impl FnMut()) {
    let show = || hub.stickd.cli().run("show aggregations");
    wait::until_or(CONNECTED, text, show, || {
        meanwhile();
        show().contains(text).then_some(())
    });
}

/// As long as nobody knows who is listed, somebody may be missing. And a peer with a line is none that DNS lists, also one that is
/// waited for.
#[test]
fn sums_are_whole_only_when_dns_has_answered() {
    let names = NameServer::start();
    names.set_mood(Mood::Silent);
    names.set("x.lbs.test", [Record::Address(Ipv4Addr::LOCALHOST.into())]);
    let hub = hub(&names, "  peer x\n");
    let mut x = TcpStream::connect(hub.bind).unwrap();
    x.set_read_timeout(Some(SOON)).unwrap();
    x.write_all(b"HAProxyS 2.1\nstickd\nx 1 1\n").unwrap();
    // The status, and some time a request for a lesson.
    let mut heard = Vec::new();
    while !(heard.starts_with(b"200\n") && heard.windows(2).any(|pair| pair == [0, 0])) {
        let mut bytes = [0; 256];
        let count = x.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{heard:?}");
        heard.extend_from_slice(&bytes[..count]);
    }
    let [finished, heartbeat] = [Control::ResyncFinished, Control::Heartbeat].map(|control| {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        bytes
    });
    x.write_all(&finished).unwrap();
    let mut lives = || x.write_all(&heartbeat).unwrap();
    wait_state(&hub, "told-all=1", &mut lives);
    wait_state(&hub, "nodes:1, expected:1, complete:0", &mut lives);
    names.set(DOMAIN, [Record::Service { port: 1, target: host("x") }]);
    names.set_mood(Mood::Well);
    wait_state(&hub, "nodes:1, expected:1, complete:1", &mut lives);
    names.wait_questions(4);
    assert_eq!((hub.logged("a member is listed"), hub.logged("has no place")), (0, 0));
    assert!(hub.member("x").is_some_and(|member| member.contains("member=static")));
}

fn haproxys_that_are_found_contribute_until_they_are_forgotten(release: &Release) {
    let names = NameServer::start();
    let (lb0, at0) = balancer(release, &names, "lb-0", 2);
    let (mut lb1, at1) = balancer(release, &names, "lb-1", 3);
    list(&names, &[("lb-0", at0)]);
    let hub = hub(&names, "");
    let all = |sum| {
        for side in [&lb0.cli(), &lb1.cli()] {
            wait_sum(side, "p/t.agg", sum, &hub);
        }
        wait_sum(&hub.stickd.cli(), "data/t.agg", sum, &hub);
    };
    let from = "member=discovered from=_peers._tcp.lbs.test listed=1";
    hub.wait_member("lb-0", &["app_state=RUNNING", from]);
    lb0.cli().quiet("set table p/t key k data.gpc0 3");
    wait_sum(&lb0.cli(), "p/t.agg", 3, &hub);

    list(&names, &[("lb-0", at0), ("lb-1", at1)]);
    hub.wait_member("lb-1", &["app_state=RUNNING", from]);
    lb1.cli().quiet("set table p/t key k data.gpc0 4");
    all(7);
    let state = |text: &str| wait_state(&hub, text, || ());
    state("nodes:2, expected:2, complete:1");

    // Not listed any more, it counts as long as it is there.
    list(&names, &[("lb-0", at0)]);
    hub.wait_member("lb-1", &["app_state=RUNNING", "listed=0"]);
    lb1.cli().quiet("set table p/t key k data.gpc0 5");
    all(8);
    lb1.kill9();
    hub.wait("the member to be forgotten", || hub.member("lb-1").is_none().then_some(()));
    wait_sum(&lb0.cli(), "p/t.agg", 3, &hub);
    wait_sum(&hub.stickd.cli(), "data/t.agg", 3, &hub);
    state("nodes:1, expected:1, complete:1");

    // Another process, of which nothing is known.
    lb1.restart();
    list(&names, &[("lb-0", at0), ("lb-1", at1)]);
    wait_sum(&lb1.cli(), "p/t.agg", 3, &hub);
    lb1.cli().quiet("set table p/t key k data.gpc0 1");
    wait_sum(&lb0.cli(), "p/t.agg", 4, &hub);
}
