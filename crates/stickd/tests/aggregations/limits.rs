//! Limits that HAProxys hold together: each reads its local copy of the sum.

use stickd_testkit::{Config, Release, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::trials::tests;

tests!(
    counters_deny_at_the_limit_of_the_cluster,
    rates_deny_and_let_pass_again,
    arrays_and_bytes_are_summed_too
);

const KEY: &str = "req.hdr(x-key)";

fn count_requests(config: Config) -> Config {
    config.limit("count", "{ req.hdr(x-key),table_http_req_cnt(p/t.agg) ge 10 }").track("count", KEY, "p/t")
}

fn counters_deny_at_the_limit_of_the_cluster(release: &Release) {
    let table = "type string len 32 size 1k expire 1h store http_req_cnt,conn_cnt,gpc0";
    let cluster = Cluster::start(release, table, "", count_requests);
    assert_eq!(cluster.request(0, "/count", "k", 6), [200; 6]);
    assert_eq!(cluster.request(1, "/count", "k", 4), [200; 4]);
    cluster.wait_sum("k", "http_req_cnt", |sum| sum == 10);
    for node in [0, 1] {
        assert_eq!(cluster.request(node, "/count", "k", 2), [429; 2]);
        assert_eq!(cluster.request(node, "/count", "other", 1), [200]);
    }
    let contributions = cluster.hub.cli().run("show contributions data/t key k");
    let mut nodes: Vec<_> = contributions.lines().filter(|line| line.starts_with("node=")).collect();
    nodes.sort_unstable();
    assert_eq!(nodes.len(), 2, "{contributions}");
    for (line, words) in nodes.iter().zip([["node=lb1", "http_req_cnt=6"], ["node=lb2", "http_req_cnt=4"]]) {
        assert!(words.iter().all(|word| line.split(' ').any(|it| it == *word)), "{contributions}");
    }
}

fn rate_of_requests(config: Config) -> Config {
    config.limit("rate", "{ req.hdr(x-key),table_http_req_rate(p/t.agg) ge 20 }").track("rate", KEY, "p/t")
}

fn rates_deny_and_let_pass_again(release: &Release) {
    let table = "type string len 32 size 1k expire 1h store http_req_rate(5s)";
    let cluster = Cluster::start(release, table, "", rate_of_requests);
    // Connected first, so that what is counted is told at once.
    cluster.request(0, "/rate", "warm", 1);
    cluster.wait_sum("warm", "http_req_rate(5000)", |sum| sum == 1);
    for _ in 0..10 {
        cluster.request(0, "/rate", "k", 1);
        cluster.request(1, "/rate", "k", 1);
    }
    wait::until_or(
        CONNECTED,
        "both to deny",
        || cluster.state(),
        || {
            let statuses = [0, 1].map(|node| cluster.request(node, "/rate", "k", 1)[0]);
            (statuses == [429; 2]).then_some(())
        },
    );
    // Denied requests are not counted here, so the rate falls, and falls away without anybody saying anything.
    wait::until_or(
        CONNECTED,
        "both to let pass",
        || cluster.state(),
        || {
            let statuses = [0, 1].map(|node| cluster.request(node, "/rate", "k", 1)[0]);
            (statuses == [200; 2]).then_some(())
        },
    );
}

fn count_of_all_sorts(config: Config) -> Config {
    config.track("all", KEY, "p/t").rule("all", "sc-inc-gpc(2,0)").rule("all", "sc-set-gpt0(0) 7").limit(
        "bytes",
        "{ req.hdr(x-key),table_bytes_out_rate(p/t.agg) gt 0 } { req.hdr(x-key),table_gpc(2,p/t.agg) ge 3 }",
    )
}

fn arrays_and_bytes_are_summed_too(release: &Release) {
    let table =
        "type string len 32 size 1k expire 1h store gpc(4),gpt0,bytes_out_cnt,bytes_out_rate(1m),conn_cur";
    let cluster = Cluster::start(release, table, "", count_of_all_sorts);
    cluster.request(0, "/all", "k", 1);
    cluster.request(1, "/all", "k", 2);
    cluster.wait_sum("k", "gpc2", |sum| sum == 3);
    cluster.wait_sum("k", "gpt0", |tag| tag == 7);
    let own = |node: usize| cluster.nodes[node].cli().table("p/t").entry("k").number("bytes_out_cnt");
    let bytes = own(0) + own(1);
    cluster.wait_sum("k", "bytes_out_cnt", |sum| sum == bytes);
    cluster.wait_sum("k", "bytes_out_rate(60000)", |sum| sum > 0);
    for node in [0, 1] {
        assert_eq!(cluster.request(node, "/bytes", "k", 1), [429]);
    }
}
