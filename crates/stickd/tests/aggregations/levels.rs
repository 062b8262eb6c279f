//! Hubs above hubs, and hubs side by side.

use std::net::SocketAddr;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, http, ports, wait};

use crate::cluster::{CONNECTED, STICKD};
use crate::trials::tests;

tests!(
    a_second_level_sums_what_the_first_ones_sum,
    an_upper_hub_says_that_a_lower_one_lacks_something,
    two_hubs_publish_the_same_and_nothing_is_counted_twice;
    once hubs_that_sum_each_other_say_so_and_do_not
);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(1m)";

/// A HAProxy that counts in `first` of these tables and has the others for results.
fn node(
    release: &Release,
    name: &str,
    own: SocketAddr,
    hubs: &[(&str, SocketAddr)],
    tables: &[&str],
) -> HaproxyProcess {
    let config = hubs
        .iter()
        .fold(Config::new(name).peer(name, own), |config, (name, address)| config.peer(name, *address));
    let config =
        tables.iter().fold(config, |config, table| config.peers_line(format!("table {table} {TABLE}")));
    let config = config.http(ports::free_address(), ports::free_address());
    HaproxyProcess::start(release, config.track("count", "req.hdr(x-key)", &format!("p/{}", tables[0])))
}

fn hub(name: &str, lines: &str) -> StickdProcess {
    let config = format!(
        "global\n  localpeer {name}\n  stats socket unix@{SOCKET} level admin\naggregations data\n{lines}"
    );
    StickdProcess::start(STICKD, Some(&config), &[])
}

fn count(node: &HaproxyProcess, times: usize) {
    for _ in 0..times {
        http::get(node.http_address(), "/count", &[("x-key", "k")]).expect("a response");
    }
}

/// Waits until a node's copy of a result reads so many requests.
#[track_caller]
fn wait_sum(node: &HaproxyProcess, table: &str, count: u64, hubs: &[&StickdProcess]) {
    let state = || {
        let hubs = hubs.iter().map(|hub| {
            let cli = hub.cli();
            cli.run("show aggregations") + &cli.run("show peers") + &hub.daemon().log()
        });
        node.cli().run(&format!("show table {table}")) + &hubs.collect::<String>()
    };
    let read = || Some(node.cli().table(table).entries.get("k")?.number("http_req_cnt"));
    wait::until_or(CONNECTED, &format!("{count} in {table}"), state, || {
        (read() == Some(count)).then_some(())
    });
}

fn a_second_level_sums_what_the_first_ones_sum(release: &Release) {
    let [lb1, lb2, first, second, top] = [(); 5].map(|()| ports::free_address());
    let lower = |name: &str, own, node: &str, below| {
        let lines = format!(
            "  peer {name} {own} local\n  peer {node} {below}\n  peer top {top} up\n  from .local to .aggr\n"
        );
        hub(name, &lines)
    };
    let upper = hub(
        "top",
        &format!(
            "  peer top {top} local\n  peer first {first} down\n  peer second {second} down\n  from .aggr to .l2\n"
        ),
    );
    let hubs = [lower("first", first, "lb1", lb1), lower("second", second, "lb2", lb2)];
    let tables = ["t.local", "t.aggr", "t.l2"];
    let nodes = [
        node(release, "lb1", lb1, &[("first", first)], &tables),
        node(release, "lb2", lb2, &[("second", second)], &tables),
    ];
    let all = [&upper, &hubs[0], &hubs[1]];
    count(&nodes[0], 3);
    count(&nodes[1], 4);
    wait_sum(&nodes[0], "p/t.aggr", 3, &all);
    wait_sum(&nodes[1], "p/t.aggr", 4, &all);
    for node in &nodes {
        wait_sum(node, "p/t.l2", 7, &all);
    }
    count(&nodes[0], 1);
    for node in &nodes {
        wait_sum(node, "p/t.l2", 8, &all);
    }
    // Nodes hear of it from their own hub only.
    let refused = upper.cli().run("clear table data/t.l2 cluster");
    assert_eq!(refused.trim(), "lower hubs sum some of the nodes: give the command to them (first, second)");
    assert_eq!(hubs[0].cli().run("clear table data/t.aggr key k cluster").trim(), "");
    wait_sum(&nodes[1], "p/t.l2", 4, &all);
}

fn an_upper_hub_says_that_a_lower_one_lacks_something(release: &Release) {
    let [lb1, lb2, first, top] = [(); 4].map(|()| ports::free_address());
    let upper = hub(
        "top",
        &format!(
            "  peer top {top} local\n  peer first {first} down\n  from .aggr to .l2\n  status-table hub\n"
        ),
    );
    let lower = hub(
        "first",
        &format!(
            "  peer first {first} local\n  peer lb1 {lb1}\n  peer lb2 {lb2}\n  peer top {top} up\n  \
             from .local to .aggr\n"
        ),
    );
    let start = |name: &str, own| {
        let state = "table hub type string len 32 size 16 expire 3s store gpt0";
        let config = Config::new(name).peer(name, own).peer("first", first).peers_line(state);
        let tables = ["t.local", "t.aggr", "t.l2"];
        let config = tables.iter().fold(config, |it, table| it.peers_line(format!("table {table} {TABLE}")));
        HaproxyProcess::start(release, config)
    };
    let nodes = [start("lb1", lb1)];
    let state = || {
        let hubs = [&upper, &lower].map(|hub| hub.cli().run("show aggregations") + &hub.daemon().log());
        nodes[0].cli().run("show table p/hub") + &hubs.concat()
    };
    // What the upper hub publishes of itself comes to nodes by the lower one.
    let reads = |key: &str| Some(nodes[0].cli().table("p/hub").entries.get(key)?.number("gpt0"));
    wait::until_or(CONNECTED, "a lower hub without one of its nodes", state, || {
        let shown = upper.cli().run("show aggregations");
        let is_said = shown.contains("refused peer=first") && shown.contains(" reason=lower-hub ");
        (is_said && reads("complete") == Some(0) && reads("refused") >= Some(1)).then_some(())
    });
    let _lb2 = start("lb2", lb2);
    wait::until_or(CONNECTED, "a lower hub with all of its nodes", state, || {
        (reads("complete") == Some(1) && reads("refused") == Some(0)).then_some(())
    });
}

fn two_hubs_publish_the_same_and_nothing_is_counted_twice(release: &Release) {
    let [lb1, lb2, one, two] = [(); 4].map(|()| ports::free_address());
    let start = |name: &str, own| {
        hub(
            name,
            &format!("  peer {name} {own} local\n  peer lb1 {lb1}\n  peer lb2 {lb2}\n  from any to .agg\n"),
        )
    };
    let hubs = [start("one", one), start("two", two)];
    let both = [("one", one), ("two", two)];
    let nodes =
        [("lb1", lb1), ("lb2", lb2)].map(|(name, own)| node(release, name, own, &both, &["t", "t.agg"]));
    let all = [&hubs[0], &hubs[1]];
    count(&nodes[0], 3);
    count(&nodes[1], 4);
    for node in &nodes {
        wait_sum(node, "p/t.agg", 7, &all);
    }
    // One is enough.
    hubs[0].daemon().kill9();
    count(&nodes[1], 2);
    for node in &nodes {
        wait_sum(node, "p/t.agg", 9, &all[1..]);
    }
}

/// Each is told to sum the other.
fn hubs_that_sum_each_other_say_so_and_do_not() {
    let [one, two] = [(); 2].map(|()| ports::free_address());
    let lower = |name: &str, own, other: &str, there, mapping: &str| {
        hub(name, &format!("  peer {name} {own} local\n  peer {other} {there} down\n  {mapping}\n"))
    };
    let hubs =
        [lower("one", one, "two", two, "from .x to .y"), lower("two", two, "one", one, "from .y to .x")];
    wait::until_or(
        CONNECTED,
        "a refusal",
        || hubs[0].daemon().log(),
        || {
            let logs = [0, 1].map(|place: usize| hubs[place].daemon().log());
            logs.iter()
                .any(|log| log.contains("it sums what this hub publishes, and this hub what it publishes"))
                .then_some(())
        },
    );
}
