//! Two hubs beside each other and their HAProxys: both publish the same sums, whichever of the processes starts again.

use std::net::SocketAddr;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, Signal, StickdProcess, http, ports, wait};

use crate::cluster::{CONNECTED, STICKD};
use crate::trials::tests;

tests!(
    a_node_that_one_hub_taught_counts_once_at_both,
    sums_of_both_hubs_stay_when_a_hub_starts_again,
    sums_of_both_hubs_stay_when_nodes_are_reloaded
);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(1m)";
const HUBS: [&str; 2] = ["one", "two"];
const NODES: [&str; 2] = ["lb1", "lb2"];

struct Beside {
    hubs: [StickdProcess; 2],
    configs: [String; 2],
    nodes: [HaproxyProcess; 2],
}

impl Beside {
    fn start(release: &Release) -> Self {
        let [one, two, lb1, lb2] = [(); 4].map(|()| ports::free_address());
        let hub = |(own, other): (usize, usize)| {
            let addresses = [one, two];
            format!(
                "global\n  localpeer {0}\n  stats socket unix@{SOCKET} level admin\naggregations data\n  \
                 peer {0} {1} local\n  peer {2} {3} beside\n  peer lb1 {lb1}\n  peer lb2 {lb2}\n  from any to .agg\n",
                HUBS[own], addresses[own], HUBS[other], addresses[other]
            )
        };
        let configs = [(0, 1), (1, 0)].map(hub);
        let hubs = [0, 1].map(|hub: usize| StickdProcess::start(STICKD, Some(&configs[hub]), &[]));
        let node = |(name, own): (&str, SocketAddr)| {
            let config = Config::new(name).peer(name, own).peer("one", one).peer("two", two);
            let config = ["t", "t.agg"]
                .iter()
                .fold(config, |config, table| config.peers_line(format!("table {table} {TABLE}")));
            let config = config.http(ports::free_address(), ports::free_address());
            HaproxyProcess::start(release, config.track("count", "req.hdr(x-key)", "p/t"))
        };
        let cluster = Self { hubs, configs, nodes: [(NODES[0], lb1), (NODES[1], lb2)].map(node) };
        cluster.wait_hubs();
        cluster
    }

    /// Waits until the hubs have a session with each other, and both have heard from all nodes.
    #[track_caller]
    fn wait_hubs(&self) {
        for (hub, other) in [(0, 1), (1, 0)] {
            let what = format!("all sessions of hub {}", HUBS[hub]);
            wait::until_or(
                CONNECTED,
                &what,
                || self.state(),
                || {
                    let cli = self.hubs[hub].cli();
                    let peers = cli.run("show peers");
                    let start = peers.find(&format!("id={}(", HUBS[other]))?;
                    let is_there = peers[start..].lines().next()?.contains("app_state=RUNNING");
                    (is_there && cli.run("show aggregations").contains(" complete:1,")).then_some(())
                },
            );
        }
    }

    fn count(&self, node: usize, key: &str, times: usize) {
        for _ in 0..times {
            http::get(self.nodes[node].http_address(), "/count", &[("x-key", key)]).expect("a response");
        }
    }

    fn sum_at(cli: &Cli, table: &str, key: &str) -> Option<u64> {
        Some(cli.find_table(table)?.entries.get(key)?.number("http_req_cnt"))
    }

    /// Waits until both hubs and both nodes read this sum.
    #[track_caller]
    fn wait_sum(&self, key: &str, sum: u64, after: &str) {
        let nodes = self.nodes.iter().map(|node| (node.cli(), "p/t.agg"));
        let hubs = self.hubs.iter().map(|hub| (hub.cli(), "data/t.agg"));
        for (cli, table) in nodes.chain(hubs) {
            wait::until_or(
                CONNECTED,
                &format!("{key} = {sum} at {cli} after {after}"),
                || self.state(),
                || (Self::sum_at(&cli, table, key) == Some(sum)).then_some(()),
            );
        }
    }

    fn state(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            text += &["show table p/t", "show table p/t.agg"].map(|it| node.cli().run(it)).concat();
        }
        for hub in &self.hubs {
            text += &["show aggregations", "show table data/t.agg"].map(|it| hub.cli().run(it)).concat();
            for key in ["k", "new"] {
                text += &hub.cli().run(&format!("show contributions data/t key {key}"));
            }
            text += &hub.daemon().log();
        }
        text
    }
}

/// What a node counted before it was killed, one hub teaches it, and the node then tells both hubs. The other hub holds what the
/// former process told and has seen the new one begin below that.
fn a_node_that_one_hub_taught_counts_once_at_both(release: &Release) {
    let mut cluster = Beside::start(release);
    cluster.count(0, "k", 3);
    cluster.count(1, "k", 10);
    cluster.wait_sum("k", 13, "the start");
    // Both hubs stand still until the new process has counted for itself.
    cluster.hubs.iter().for_each(|hub| hub.signal(Signal::STOP));
    cluster.nodes[1].restart();
    cluster.count(1, "k", 6);
    cluster.hubs.iter().for_each(|hub| hub.signal(Signal::CONT));
    wait::until_or(
        CONNECTED,
        "the node's own sixteen",
        || cluster.state(),
        || (Beside::sum_at(&cluster.nodes[1].cli(), "p/t", "k") == Some(16)).then_some(()),
    );
    // Whatever it tells next holds what it was taught.
    cluster.count(1, "k", 1);
    cluster.wait_sum("k", 20, "a lesson");
    cluster.count(0, "k", 1);
    cluster.count(1, "k", 1);
    cluster.wait_sum("k", 22, "a lesson, and traffic");
}

fn sums_of_both_hubs_stay_when_a_hub_starts_again(release: &Release) {
    let mut cluster = Beside::start(release);
    cluster.count(0, "k", 3);
    cluster.count(1, "k", 4);
    cluster.wait_sum("k", 7, "the start");
    for hub in [0, 1] {
        let config = cluster.configs[hub].clone();
        // Once killed, once reloaded.
        if hub == 0 {
            cluster.hubs[hub].restart(Some(&config), &[]);
        } else {
            let old = cluster.hubs[hub].replace(Some(&config), &[]).expect("the next process starts");
            old.wait_exit(CONNECTED);
        }
        cluster.count(0, "k", 1);
        let sum = 8 + 3 * hub as u64;
        cluster.wait_sum("k", sum, "the restart of a hub");
        cluster.wait_hubs();
        cluster.wait_sum("k", sum, "all sessions");
        cluster.count(1, "k", 2);
        cluster.count(0, "new", 1);
        cluster.wait_sum("k", sum + 2, "traffic");
        cluster.wait_sum("new", 1 + hub as u64, "traffic");
    }
}

fn sums_of_both_hubs_stay_when_nodes_are_reloaded(release: &Release) {
    let mut cluster = Beside::start(release);
    let mut sum = 0;
    for round in 0..2 {
        for node in [0, 1] {
            cluster.count(0, "k", 3);
            cluster.count(1, "k", 4);
            sum += 7;
            cluster.wait_sum("k", sum, &format!("{round} rounds"));
            // What the old process counts after it has taught the new one is lost to HAProxy itself.
            cluster.nodes[node].reload_same().wait_exit(CONNECTED);
            cluster.wait_sum("k", sum, "a reload");
            cluster.count(0, "k", 2);
            cluster.count(1, "k", 1);
            sum += 3;
            cluster.wait_sum("k", sum, "a reload, and traffic");
            cluster.wait_hubs();
            cluster.wait_sum("k", sum, "a reload");
        }
    }
}
