//! Entries of all nodes that are cleared and set at the hub.

use stickd_testkit::{Config, Release, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(what_is_cleared_at_the_hub_begins_with_zero_everywhere, what_is_set_at_the_hub_is_set_everywhere);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,gpt0,gpc(2)";

fn count(config: Config) -> Config {
    config.track("count", "req.hdr(x-key)", "p/t")
}

/// Three requests of one node, four of the other.
fn start(release: &Release) -> Cluster {
    let cluster = Cluster::start(release, TABLE, "", count);
    for key in ["k", "other"] {
        assert_eq!(cluster.request(0, "/count", key, 3), [200; 3]);
        assert_eq!(cluster.request(1, "/count", key, 4), [200; 4]);
        cluster.wait_sum(key, "http_req_cnt", |sum| sum == 7);
    }
    cluster
}

/// Waits for what both nodes read in their own entry, `None` when there is none to be.
#[track_caller]
fn wait_own(cluster: &Cluster, key: &str, field: &str, wanted: Option<[u64; 2]>) {
    for (node, place) in cluster.nodes.iter().zip(0..) {
        wait::until_or(
            CONNECTED,
            &format!("{field} of {key}"),
            || cluster.state(),
            || {
                let own = node.cli().table("p/t").entries.get(key).map(|entry| entry.number(field));
                (own == wanted.map(|wanted| wanted[place])).then_some(())
            },
        );
    }
}

fn what_is_cleared_at_the_hub_begins_with_zero_everywhere(release: &Release) {
    let cluster = start(release);
    let cli = cluster.hub.cli();
    assert_eq!(cli.run("clear table data/t.agg key k cluster").trim(), "");
    wait_own(&cluster, "k", "http_req_cnt", None);
    for (side, table) in cluster.sides() {
        wait::until_or(
            CONNECTED,
            &format!("no k at {side}"),
            || cluster.state(),
            || (!side.table(table).entries.contains_key("k")).then_some(()),
        );
        assert_eq!(side.table(table).entry("other").number("http_req_cnt"), 7, "{side}");
    }
    // Who counts on begins with 1, and lives as long as any.
    cluster.request(0, "/count", "k", 1);
    cluster.request(1, "/count", "k", 2);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 3);
    assert!(cluster.nodes[0].cli().table("p/t.agg").entry("k").exp > 3_000_000);
    // Filters are about the sums: neither node alone has counted five.
    assert_eq!(cli.run("clear table data/t data.http_req_cnt gt 5 cluster").trim(), "");
    wait_own(&cluster, "other", "http_req_cnt", None);
    wait_own(&cluster, "k", "http_req_cnt", Some([1, 2]));
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 3);
}

fn what_is_set_at_the_hub_is_set_everywhere(release: &Release) {
    let cluster = start(release);
    let cli = cluster.hub.cli();
    assert_eq!(cli.run("set table data/t.agg key k data.gpt0 9 cluster").trim(), "");
    wait_own(&cluster, "k", "gpt0", Some([9, 9]));
    cluster.wait_sum("k", "gpt0", |tag| tag == 9);
    // What was counted stays.
    wait_own(&cluster, "k", "http_req_cnt", Some([3, 4]));
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 7);
    cluster.request(0, "/count", "k", 1);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 8);
    cluster.wait_sum("k", "gpt0", |tag| tag == 9);
    // Of an array all, also of a key that no node knows.
    assert_eq!(cli.run("set table data/t key new data.gpc[0] 2 data.gpc[1] 3 cluster").trim(), "");
    wait_own(&cluster, "new", "gpc1", Some([3, 3]));
    cluster.wait_sum("new", "gpc1", |sum| sum == 6);
    let refused = cli.run("set table data/t key new data.gpc[1] 3 cluster");
    assert_eq!(refused.trim(), "the protocol tells an array as a whole: give all 2 elements of gpc");
    let refused = cli.run("set table data/t.agg key k data.gpt0 1");
    assert!(refused.starts_with("The table holds sums"), "{refused}");
}
