//! Nodes are reloaded one after another with a changed table: the hub follows them without a restart, and keeps the values of
//! what stays the same.

use std::time::Duration;

use stickd_testkit::{Config, Release, on_every_release, wait};

use crate::cluster::Cluster;

on_every_release!(a_hub_follows_the_definitions_of_its_nodes);

/// Sessions come back after up to 5 s, and nodes are asked one after the other.
const SETTLED: Duration = Duration::from_secs(60);
const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(1m)";
/// The tables that nodes have one after another, whether values stay, and a data type that is summed then.
const TABLES: [(&str, &str, bool, &str); 4] = [
    (
        "a data type more",
        "type string len 32 size 1k expire 1h store http_req_cnt,conn_cnt,http_req_rate(1m)",
        true,
        "conn_cnt",
    ),
    (
        "another period",
        "type string len 32 size 1k expire 1h store http_req_cnt,conn_cnt,http_req_rate(2m)",
        true,
        "http_req_rate(120000)",
    ),
    (
        "a data type less",
        "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(2m)",
        true,
        "http_req_rate(120000)",
    ),
    (
        "another length of keys",
        "type string len 40 size 1k expire 1h store http_req_cnt,http_req_rate(2m)",
        false,
        "http_req_rate(120000)",
    ),
];

fn counting(config: Config) -> Config {
    config.track("count", "req.hdr(x-key)", "p/t")
}

/// Waits until the hub says this of its sums.
#[track_caller]
fn wait_complete(cluster: &Cluster, complete: bool, what: &str) {
    let word = format!(" complete:{},", u8::from(complete));
    let said = || cluster.hub.cli().run("show aggregations").contains(&word).then_some(());
    wait::until_or(SETTLED, &format!("{what}:{word}"), || cluster.state(), said);
}

fn a_hub_follows_the_definitions_of_its_nodes(release: &Release) {
    let mut cluster = Cluster::start(release, TABLE, "  node-timeout 5s\n", counting);
    wait_complete(&cluster, true, "the start");
    cluster.request(0, "/count", "first", 7);
    cluster.request(1, "/count", "first", 3);
    cluster.wait_sum("first", "http_req_cnt", |sum| sum == 10);
    let mut before = 10;
    for (number, (what, table, stays, data_type)) in TABLES.into_iter().enumerate() {
        cluster.reload_node(0, table);
        if what != "a data type less" {
            // What is missing leaves nothing out.
            cluster.request(0, "/count", "other", 1);
            wait_complete(&cluster, false, what);
        }
        if number == 1 {
            // The next process of the hub is taught the results by their old definition.
            let config = cluster.config.clone();
            cluster.change_hub(&config);
        }
        cluster.reload_node(1, table);
        cluster.request(1, "/count", "other", 1);
        wait::until_or(
            SETTLED,
            what,
            || cluster.state(),
            || {
                // A node says how its table is defined when it has something to tell.
                cluster.request(0, "/count", "other", 1);
                cluster.request(1, "/count", "other", 1);
                let hub = cluster.hub.cli();
                let is_followed =
                    hub.table("data/t.agg").entries.get("other")?.fields.contains_key(data_type);
                let is_gone = what != "a data type less"
                    || !hub.table("data/t.agg").entries.get("other")?.fields.contains_key("conn_cnt");
                (is_followed && is_gone).then_some(())
            },
        );
        wait_complete(&cluster, true, what);
        let key = format!("key{number}");
        cluster.request(0, "/count", &key, 4);
        cluster.request(1, "/count", &key, 5);
        cluster.wait_sum(&key, "http_req_cnt", |sum| sum == 9);
        cluster.wait_sum(&key, data_type, |sum| sum >= 8);
        if stays {
            cluster.request(0, "/count", "first", 1);
            before += 1;
            cluster.wait_sum("first", "http_req_cnt", |sum| sum == before);
        }
    }
    let log = cluster.hub.daemon().log();
    assert!(!log.contains("ERROR"), "{log}");
}
