//! A real HAProxy that is found by DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use stickd_testkit::wait;
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, on_every_release, ports};

use crate::{Node, TABLE};
use stickd_testkit::name_server::{NameServer, Record};

on_every_release!(
    a_haproxy_is_found_withdrawn_and_forgotten,
    of_the_addresses_of_a_host_the_one_that_works_is_found
);

const DOMAIN: &str = "_peers._tcp.lbs.test";
/// HAProxy waits up to 5 s for a lesson before it considers itself up to date.
const CONNECTED: Duration = Duration::from_secs(30);

#[track_caller]
fn wait_value(side: &Cli, key: &str, value: u64, node: &Node) {
    let state = || side.run("show table t") + &side.run("show peers") + &node.state();
    wait::until_or(CONNECTED, &format!("{key} = {value} on {side}"), state, || {
        (side.table("t").entries.get(key)?.number("gpc0") == value).then_some(())
    });
}

fn a_haproxy_is_found_withdrawn_and_forgotten(release: &Release) {
    let names = NameServer::start();
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), ports::free()));
    let host = "lb-0.lbs.test";
    let service = || Record::Service { port: own.port(), target: host.to_owned() };
    names.set(host, [Record::Address(own.ip())]);
    let node = Node::start(&format!(
        "  server-template lb 1-3 {DOMAIN}\n  nameserver {}\n  resolve-every 100ms\n  forget 1s\n",
        names.address
    ));
    // It cannot reach stickd: only stickd connects.
    let config =
        Config::new("lb-0").peer("lb-0", own).peer("stickd", ports::free_address()).table("t", TABLE);
    let mut haproxy = HaproxyProcess::start(release, config);
    let (cli, stickd) = (haproxy.cli(), node.stickd.cli());
    names.wait_questions(2);
    assert!(node.member("lb-0").is_none(), "{}", node.state());

    names.set(DOMAIN, [service()]);
    let address = format!("addr={own}");
    node.wait_member(
        "lb-0",
        &["(remote,active)", &address, "member=discovered from=_peers._tcp.lbs.test listed=1"],
    );
    assert_eq!(node.info("Stickd_discovered_peers"), 1);
    cli.quiet("set table t key a data.gpc0 1");
    wait_value(&stickd, "a", 1, &node);
    stickd.quiet("set table t key b data.gpc0 2");
    wait_value(&cli, "b", 2, &node);

    // Not listed any more, and at work all the same.
    names.set(DOMAIN, []);
    node.wait_member("lb-0", &["app_state=RUNNING", "listed=0"]);
    cli.quiet("set table t key a data.gpc0 11");
    wait_value(&stickd, "a", 11, &node);
    assert_eq!(node.logged("forgot a member"), 0);

    // Its end is final.
    haproxy.kill9();
    node.wait("the member to be forgotten", || node.member("lb-0").is_none().then_some(()));
    assert_eq!(node.logged("forgot a member that stayed away"), 1, "{}", node.stickd.daemon().log());
    assert_eq!(node.info("Stickd_discovered_peers"), 0);

    // And so is its return.
    haproxy.restart();
    names.set(DOMAIN, [service()]);
    wait_value(&cli, "a", 11, &node);
    wait_value(&cli, "b", 2, &node);
    let log = node.stickd.daemon().log();
    for (line, count) in
        [("a member is listed", 2), ("DNS no longer lists a member", 1), ("the name lists no host", 2)]
    {
        assert_eq!(node.logged(line), count, "{line}: {log}");
    }
}

/// A host of both families and of several networks; the HAProxy listens at one address.
fn of_the_addresses_of_a_host_the_one_that_works_is_found(release: &Release) {
    let names = NameServer::start();
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 3), ports::free()));
    let host = "lb-0.lbs.test";
    let others = [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into(), IpAddr::from([127, 0, 0, 2])];
    names.set(host, others.into_iter().chain([own.ip()]).map(Record::Address));
    names.set(DOMAIN, [Record::Service { port: own.port(), target: host.to_owned() }]);
    let node = Node::start(&format!(
        "  server-template lb 1-3 {DOMAIN}\n  nameserver {}\n  resolve-every 100ms\n",
        names.address
    ));
    let failure = |ip: IpAddr| {
        let address = SocketAddr::new(ip, own.port());
        format!("{address}: Connection refused")
    };
    // While nobody listens, the log names every address.
    for ip in others.into_iter().chain([own.ip()]) {
        node.stickd.daemon().wait_log(&failure(ip), CONNECTED);
    }
    let config =
        Config::new("lb-0").peer("lb-0", own).peer("stickd", ports::free_address()).table("t", TABLE);
    let haproxy = HaproxyProcess::start(release, config);
    haproxy.cli().quiet("set table t key a data.gpc0 5");
    wait_value(&node.stickd.cli(), "a", 5, &node);
    node.wait_member("lb-0", &["app_state=RUNNING"]);
    assert_eq!(
        node.logged(&format!("connected section=\"p\" peer=\"lb-0\" address=\"{own}\"")),
        1,
        "{}",
        node.state()
    );
}
