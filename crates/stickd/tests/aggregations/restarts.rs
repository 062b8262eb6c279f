//! Nodes and hubs that restart: no limit starts again.

use stickd_testkit::{Config, Release, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(
    a_node_that_was_killed_gets_its_own_values_back,
    a_hub_that_was_killed_sums_as_before,
    a_hub_that_is_replaced_sums_as_before,
    a_node_that_is_gone_counts_no_more,
    a_key_of_nobody_else_is_nothing_when_its_node_is_gone
);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt";

fn count(config: Config) -> Config {
    config.track("count", "req.hdr(x-key)", "p/t")
}

/// Six requests counted by one node, four by the other.
fn ten_requests(release: &Release, section: &str) -> Cluster {
    let cluster = Cluster::start(release, TABLE, section, count);
    cluster.request(0, "/count", "k", 6);
    cluster.request(1, "/count", "k", 4);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    cluster
}

fn a_node_that_was_killed_gets_its_own_values_back(release: &Release) {
    let mut cluster = ten_requests(release, "");
    cluster.nodes[0].restart();
    wait::until_or(
        CONNECTED,
        "its own six",
        || cluster.state(),
        || {
            let own = cluster.nodes[0].cli().table("p/t");
            (own.entries.get("k")?.number("http_req_cnt") == 6).then_some(())
        },
    );
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    cluster.request(0, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 11);
    let lives = cluster.nodes[0].cli().table("p/t.agg").entry("k").exp;
    assert!(lives > 3_500_000, "{lives}");
}

fn a_hub_that_was_killed_sums_as_before(release: &Release) {
    let mut cluster = ten_requests(release, "");
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    cluster.request(1, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 11);
}

fn a_hub_that_is_replaced_sums_as_before(release: &Release) {
    let mut cluster = ten_requests(release, "");
    let config = cluster.config.clone();
    let old = cluster.hub.replace(Some(&config), &[]).expect("the next process starts");
    old.wait_exit(CONNECTED);
    cluster.request(0, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 11);
    cluster.request(1, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 12);
}

fn a_node_that_is_gone_counts_no_more(release: &Release) {
    let mut cluster = ten_requests(release, "  node-timeout 2s\n");
    cluster.nodes.remove(1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 6);
    let aggregations = cluster.hub.cli().run("show aggregations");
    assert!(aggregations.contains(" nodes:1, expected:2, complete:0,"), "{aggregations}");
}

/// Nobody says anything any more, and no status table makes the hub talk.
fn a_key_of_nobody_else_is_nothing_when_its_node_is_gone(release: &Release) {
    let mut cluster = ten_requests(release, "  node-timeout 2s\n");
    cluster.request(1, "/count", "only", 3);
    cluster.wait_sum("only", "http_req_cnt", |sum| sum == 3);
    cluster.nodes.remove(1);
    wait::until_or(
        CONNECTED,
        "nothing of the node that is gone",
        || cluster.state(),
        || {
            let left = cluster.nodes[0].cli().table("p/t.agg");
            left.entries.get("only").is_none_or(|entry| entry.number("http_req_cnt") == 0).then_some(())
        },
    );
}
