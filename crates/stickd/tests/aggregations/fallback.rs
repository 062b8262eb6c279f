//! A cluster whose nodes trust sums only while they are whole, by the rules of docs/hub.md: ten requests over all nodes, else five
//! on each.

use stickd_testkit::{Config, Release, wait};

use crate::cluster::{CONNECTED, Cluster};

const STATUS: &str = "  status-table hub\n  node-timeout 2s\n";

/// `table` is what follows `table t` at the nodes, `section` more lines of the hub's.
pub(crate) fn start(release: &Release, table: &str, section: &str) -> Cluster {
    Cluster::start(release, table, &format!("{STATUS}{section}"), with_fallback)
}

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

impl Cluster {
    /// Waits until these nodes read this of the hub's state; `None` is nothing to read.
    #[track_caller]
    pub(crate) fn wait_hub_says(&self, nodes: &[usize], key: &str, wanted: impl Fn(Option<u64>) -> bool) {
        for &node in nodes {
            wait::until_or(
                CONNECTED,
                &format!("the hub's \"{key}\""),
                || self.state(),
                || {
                    let table = self.nodes[node].cli().table("p/hub");
                    wanted(table.entries.get(key).map(|entry| entry.number("gpt0"))).then_some(())
                },
            );
        }
    }

    /// Asserts that one limit holds over both nodes for a key that nobody has counted.
    #[track_caller]
    pub(crate) fn assert_common_limit(&self, key: &str, after: &str) {
        assert_eq!(self.request(0, "/count", key, 7), [200; 7], "{after}: {}", self.state());
        self.wait_sum(key, "http_req_cnt", |sum| sum == 7);
        assert_eq!(self.request(1, "/count", key, 3), [200; 3], "{after}: {}", self.state());
        self.wait_sum(key, "http_req_cnt", |sum| sum == 10);
        for node in [0, 1] {
            assert_eq!(self.request(node, "/count", key, 1), [429], "{after}: {}", self.state());
        }
    }

    /// Asserts that each of these nodes holds its own limit for a key that nobody has counted.
    #[track_caller]
    pub(crate) fn assert_own_limits(&self, nodes: &[usize], key: &str, why: &str) {
        for &node in nodes {
            let statuses = self.request(node, "/count", key, 6);
            assert_eq!(statuses, [200, 200, 200, 200, 200, 429], "{why}: {}", self.state());
        }
    }
}
