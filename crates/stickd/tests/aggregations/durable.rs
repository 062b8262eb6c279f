//! Hubs that keep what their nodes told on disk (`state`).

use std::time::{Duration, Instant};

use stickd_testkit::{Config, HaproxyProcess, Release, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(everything_is_killed_and_every_sum_is_right, what_is_gone_or_cleared_does_not_come_back);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(60s),gpt0";
/// What a lifetime may differ by, in ms.
const TOLERANCE: u64 = 1_000;

fn count(config: Config) -> Config {
    config.track("count", "req.hdr(x-key)", "p/t")
}

/// Six requests counted by one node, four by the other, and the hub keeps them.
fn ten_requests(release: &Release, section: &str) -> Cluster {
    let mut cluster = Cluster::start(release, TABLE, section, count);
    cluster.config = cluster.config.replacen("global\n", "global\n  state state every 50ms\n", 1);
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    cluster.request(0, "/count", "k", 6);
    cluster.request(1, "/count", "k", 4);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    cluster
}

/// Waits until everything that was changed until now is durable.
#[track_caller]
fn wait_durable(cluster: &Cluster) {
    let (cli, changed) = (cluster.hub.cli(), Instant::now());
    wait::until_or(
        CONNECTED,
        "all to be durable",
        || cluster.state(),
        || {
            let elapsed = changed.elapsed();
            let lag: u64 = cli.info("Stickd_state_lag_ms")?.parse().ok()?;
            (elapsed > Duration::from_millis(lag + 2)).then_some(())
        },
    );
}

fn sum(cluster: &Cluster, key: &str) -> Option<u64> {
    let table = cluster.hub.cli().find_table("data/t.agg")?;
    Some(table.entries.get(key)?.number("http_req_cnt"))
}

fn everything_is_killed_and_every_sum_is_right(release: &Release) {
    let mut cluster = ten_requests(release, "");
    wait_durable(&cluster);
    let entry = |cluster: &Cluster| {
        let table = cluster.hub.cli().table("data/t.agg");
        let entry = table.entry("k");
        (entry.exp, entry.number("http_req_rate(60000)"))
    };
    let ((before, rate), read) = (entry(&cluster), Instant::now());
    assert_eq!(rate, 10);
    cluster.nodes.iter().for_each(HaproxyProcess::kill9);
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    // No node is there.
    assert_eq!(sum(&cluster, "k"), Some(10), "{}", cluster.hub.daemon().log());
    let ((after, rate), passed) = (entry(&cluster), read.elapsed().as_millis() as u64);
    assert!(after.abs_diff(before - passed) <= TOLERANCE, "{after} ms left, {before} ms {passed} ms ago");
    assert!(rate == 9 || rate == 10, "{rate}");
    let aggregations = cluster.hub.cli().run("show aggregations");
    assert!(aggregations.contains(" nodes:0, expected:2, complete:0,"), "{aggregations}");
    cluster.nodes.iter_mut().for_each(HaproxyProcess::restart);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    for (node, own) in cluster.nodes.iter().zip([6, 4]) {
        wait::until_or(
            CONNECTED,
            "its own values",
            || cluster.state(),
            || {
                let table = node.cli().table("p/t");
                (table.entries.get("k")?.number("http_req_cnt") == own).then_some(())
            },
        );
    }
    // What a node counts on top is counted once.
    cluster.request(0, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 11);
    cluster.request(1, "/count", "k", 2);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 13);
    wait::until_or(
        CONNECTED,
        "sums that are complete",
        || cluster.state(),
        || cluster.hub.cli().run("show aggregations").contains("complete:1,").then_some(()),
    );
    // The hub alone: its nodes go on.
    wait_durable(&cluster);
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    assert_eq!(sum(&cluster, "k"), Some(13), "{}", cluster.hub.daemon().log());
    cluster.request(1, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 14);
}

fn what_is_gone_or_cleared_does_not_come_back(release: &Release) {
    let mut cluster = ten_requests(release, "  node-timeout 2s\n");
    cluster.request(0, "/count", "cleared", 3);
    cluster.wait_sum("cleared", "http_req_cnt", |sum| sum == 3);
    cluster.nodes[1].kill9();
    wait::until_or(
        CONNECTED,
        "the sum of one",
        || cluster.state(),
        || (sum(&cluster, "k") == Some(6)).then_some(()),
    );
    cluster.hub.cli().run("clear table data/t key cleared cluster");
    wait::until_or(
        CONNECTED,
        "no sum of what was cleared",
        || cluster.state(),
        || sum(&cluster, "cleared").is_none_or(|sum| sum == 0).then_some(()),
    );
    wait_durable(&cluster);
    cluster.nodes[0].kill9();
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    assert_eq!(sum(&cluster, "k"), Some(6), "{}", cluster.hub.daemon().log());
    assert_eq!(
        sum(&cluster, "cleared").unwrap_or(0),
        0,
        "{}",
        cluster.hub.cli().run("show table data/t.agg")
    );
    // Nobody comes back.
    wait::until_or(
        CONNECTED,
        "nothing of nodes that are gone",
        || cluster.state(),
        || sum(&cluster, "k").is_none_or(|sum| sum == 0).then_some(()),
    );
    wait_durable(&cluster);
    cluster.hub.restart(Some(&cluster.config.clone()), &[]);
    assert_eq!(sum(&cluster, "k").unwrap_or(0), 0, "{}", cluster.hub.cli().run("show table data/t.agg"));
}
