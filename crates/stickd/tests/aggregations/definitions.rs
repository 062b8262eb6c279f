//! Nodes are reloaded one after another with a changed table: the hub follows them without a restart, and keeps the values of
//! what stays the same.

use std::time::Duration;

use stickd_testkit::{Config, Release, wait};

use crate::cluster::Cluster;
use crate::trials::tests;

tests!(
    a_hub_follows_the_definitions_of_its_nodes,
    a_hub_that_is_replaced_in_the_middle_of_a_change_follows_it
);

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

/// Keys of which both nodes tell something, so that a change takes the hub several slices of its work.
const KEYS: u64 = 1_500;
/// Commands on one line of HAProxy's socket.
const COMMANDS: u64 = 100;

/// Lets a node count all keys, as an operator can set them.
fn set_all(cluster: &Cluster, node: usize, count: u64) {
    for first in (0..KEYS).step_by(COMMANDS as usize) {
        let keys = first..(first + COMMANDS).min(KEYS);
        let commands: Vec<_> =
            keys.map(|key| format!("set table p/t key key{key} data.http_req_cnt {count}")).collect();
        cluster.nodes[node].cli().run(&commands.join(";"));
    }
}

/// Waits until the hub and both nodes read this sum of all keys.
#[track_caller]
fn wait_all(cluster: &Cluster, sum: u64, what: &str) {
    for (side, table) in cluster.sides() {
        let right = || {
            let table = side.table(table);
            let of = |key: u64| Some(table.entries.get(&format!("key{key}"))?.number("http_req_cnt"));
            (0..KEYS).filter(|key| of(*key) == Some(sum)).count() as u64
        };
        let state = || {
            format!("{} of {KEYS} are right\n", right())
                + &cluster.hub.cli().run("show aggregations")
                + &cluster.hub.daemon().log()
        };
        wait::until_or(SETTLED, &format!("all sums at {side}: {what}"), state, || {
            (right() == KEYS).then_some(())
        });
    }
}

/// The hub is replaced while half of the nodes have the new definition, then at the moment at which the last node has it, then a
/// little later, when the contributions are on their way into the new table.
fn a_hub_that_is_replaced_in_the_middle_of_a_change_follows_it(release: &Release) {
    let table = |minutes: usize| {
        let rest = format!("store http_req_cnt,http_req_rate({minutes}m)");
        format!("type string len 32 size 10k expire 1h {rest}")
    };
    let mut cluster = Cluster::start(release, &table(1), "", counting);
    wait_complete(&cluster, true, "the start");
    set_all(&cluster, 0, 3);
    set_all(&cluster, 1, 5);
    wait_all(&cluster, 8, "the start");
    let config = cluster.config.clone();
    for (number, delay_ms) in [None, Some(0), Some(150), Some(600)].into_iter().enumerate() {
        let (table, what) = (table(number + 2), format!("replaced after {delay_ms:?} ms"));
        cluster.reload_node(0, &table);
        // A node says how its table is defined when it has something to tell.
        cluster.request(0, "/count", "other", 1);
        wait_complete(&cluster, false, &what);
        if let Some(delay_ms) = delay_ms {
            let old = cluster.begin_reload(1, &table);
            std::thread::sleep(Duration::from_millis(delay_ms));
            cluster.change_hub(&config);
            old.wait_exit(SETTLED);
        } else {
            cluster.change_hub(&config);
            wait_complete(&cluster, false, &what);
            cluster.reload_node(1, &table);
        }
        let rate = format!("http_req_rate({})", (number + 2) * 60_000);
        wait::until_or(
            SETTLED,
            &what,
            || cluster.state(),
            || {
                [0, 1].iter().for_each(|node| drop(cluster.request(*node, "/count", "other", 1)));
                let hub = cluster.hub.cli().table("data/t.agg");
                hub.entries.get("other")?.fields.contains_key(&rate).then_some(())
            },
        );
        wait_complete(&cluster, true, &what);
        wait_all(&cluster, 8, &what);
        let key = format!("after{number}");
        cluster.request(0, "/count", &key, 4);
        cluster.request(1, "/count", &key, 5);
        cluster.wait_sum(&key, "http_req_cnt", |sum| sum == 9);
        cluster.wait_sum(&key, &rate, |sum| (8..=10).contains(&sum));
    }
    let log = cluster.hub.daemon().log();
    assert!(!log.contains("ERROR"), "{log}");
}
