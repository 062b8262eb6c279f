//! The three lines by which rules trust sums only while they are whole: examples/hub has them.

use stickd_testkit::{Config, Release, on_every_release, wait};

use crate::cluster::{CONNECTED, Cluster};

on_every_release!(
    nodes_fall_back_to_their_own_limit_when_the_hub_is_killed,
    nodes_fall_back_to_their_own_limit_when_the_hub_is_silent,
    nodes_fall_back_to_their_own_limit_when_a_node_is_gone
);

const STATUS: &str = "  status-table hub\n  node-timeout 2s\n";

/// Ten requests over all nodes while the sums are whole, else five on each.
fn with_fallback(config: Config) -> Config {
    config
        .peers_line("table hub type string len 32 size 16 expire 3s store gpt0")
        .limit(
            "count",
            "{ str(complete),table_gpt0(p/hub) eq 1 } { req.hdr(x-key),table_http_req_cnt(p/t.agg) ge 10 }",
        )
        .limit(
            "count",
            "!{ str(complete),table_gpt0(p/hub) eq 1 } { req.hdr(x-key),table_http_req_cnt(p/t) ge 5 }",
        )
        .track("count", "req.hdr(x-key)", "p/t")
}

fn start(release: &Release) -> Cluster {
    let table = "type string len 32 size 1k expire 1h store http_req_cnt";
    let cluster = Cluster::start(release, table, STATUS, with_fallback);
    wait_complete(&cluster, &[0, 1], Some(1));
    // More than the own limit is allowed, as there is one for all.
    assert_eq!(cluster.request(0, "/count", "k", 7), [200; 7]);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 7);
    assert_eq!(cluster.request(1, "/count", "k", 3), [200; 3]);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    assert_eq!(cluster.request(1, "/count", "k", 1), [429]);
    cluster
}

/// Waits for what nodes read of the hub's state; `None` when there is nothing to read.
#[track_caller]
fn wait_complete(cluster: &Cluster, nodes: &[usize], wanted: Option<u64>) {
    for &node in nodes {
        wait::until_or(
            CONNECTED,
            "the hub's state",
            || cluster.state(),
            || {
                let table = cluster.nodes[node].cli().table("p/hub");
                let complete = table.entries.get("complete").map(|entry| entry.number("gpt0"));
                (complete == wanted).then_some(())
            },
        );
    }
}

/// The limits of `k` and of a new key when nobody knows the sum.
#[track_caller]
fn assert_own_limits(cluster: &Cluster, nodes: &[usize]) {
    for &node in nodes {
        assert_eq!(cluster.request(node, "/count", "new", 6), [200, 200, 200, 200, 200, 429]);
    }
}

fn nodes_fall_back_to_their_own_limit_when_the_hub_is_killed(release: &Release) {
    let cluster = start(release);
    cluster.hub.daemon().kill9();
    wait_complete(&cluster, &[0, 1], None);
    assert_eq!(cluster.request(1, "/count", "k", 3), [200, 200, 429], "three of its own five are counted");
    assert_own_limits(&cluster, &[0, 1]);
}

fn nodes_fall_back_to_their_own_limit_when_the_hub_is_silent(release: &Release) {
    let cluster = start(release);
    // Connections stay, and nothing comes: the process is stopped.
    cluster.hub.signal(stickd_testkit::Signal::STOP);
    wait_complete(&cluster, &[0, 1], None);
    assert_own_limits(&cluster, &[0, 1]);
    cluster.hub.signal(stickd_testkit::Signal::CONT);
    wait_complete(&cluster, &[0, 1], Some(1));
}

fn nodes_fall_back_to_their_own_limit_when_a_node_is_gone(release: &Release) {
    let mut cluster = start(release);
    cluster.nodes.remove(1);
    wait_complete(&cluster, &[0], Some(0));
    assert_own_limits(&cluster, &[0]);
}
