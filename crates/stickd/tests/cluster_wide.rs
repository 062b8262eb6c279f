//! `clear table … cluster` and `set table` reach real HAProxys, as far as the protocol permits.

use std::net::SocketAddr;
use std::time::Duration;

use stickd_testkit::stickd::{config, table};
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, StickdProcess, http, on_every_release, ports, wait,
};

on_every_release!(entries_are_cleared_everywhere, tags_are_set_everywhere);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,gpt0";
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
const CONNECTED: Duration = Duration::from_secs(30);

struct Cluster {
    stickd: StickdProcess,
    nodes: [HaproxyProcess; 2],
}

impl Cluster {
    fn start(release: &Release) -> Self {
        let [a, b, own] = [(); 3].map(|()| ports::free_address());
        let section = config(own, &[("A", a), ("B", b)]) + "  relay\n" + &table("t", TABLE);
        let stickd = StickdProcess::start(STICKD, Some(&section), &[]);
        let nodes = [("A", a), ("B", b)].map(|(name, address)| node(release, name, address, own));
        let cluster = Self { stickd, nodes };
        // HAProxy forgets what is written while it learns.
        wait::until_or(
            CONNECTED,
            "everybody to know everything",
            || cluster.state(),
            || {
                cluster.count("k", 1);
                cluster.sides().iter().all(|side| side.table("t").entries.contains_key("k")).then_some(())
            },
        );
        cluster
    }

    fn sides(&self) -> [Cli; 3] {
        [self.nodes[0].cli(), self.nodes[1].cli(), self.stickd.cli()]
    }

    fn count(&self, key: &str, times: usize) {
        for _ in 0..times {
            http::get(self.nodes[0].http_address(), "/count", &[("x-key", key)]).expect("a response");
        }
    }

    #[track_caller]
    fn wait(&self, what: &str, holds: impl Fn(&Cli) -> bool) {
        for side in self.sides() {
            wait::until_or(CONNECTED, what, || self.state(), || holds(&side).then_some(()));
        }
    }

    fn state(&self) -> String {
        let tables = self.sides().map(|side| side.run("show table t"));
        tables.concat() + &self.stickd.cli().run("show peers") + &self.stickd.daemon().log()
    }
}

fn node(release: &Release, name: &str, own: SocketAddr, stickd: SocketAddr) -> HaproxyProcess {
    let config = Config::new(name)
        .peer(name, own)
        .peer("stickd", stickd)
        .table("t", TABLE)
        .http(ports::free_address(), ports::free_address())
        .track("count", "req.hdr(x-key)", "t");
    HaproxyProcess::start(release, config)
}

fn entries_are_cleared_everywhere(release: &Release) {
    let cluster = Cluster::start(release);
    cluster.count("other", 2);
    cluster.wait("two requests of the other", |side| {
        side.table("t").entries.get("other").is_some_and(|entry| entry.number("http_req_cnt") == 2)
    });
    assert_eq!(cluster.stickd.cli().run("clear table t key k cluster").trim(), "");
    // Zeros at once, and gone a few seconds later.
    cluster.wait("no counts of k", |side| {
        side.table("t").entries.get("k").is_none_or(|entry| entry.number("http_req_cnt") == 0)
    });
    cluster.wait("k to be gone", |side| !side.table("t").entries.contains_key("k"));
    for side in cluster.sides() {
        assert_eq!(side.table("t").entry("other").number("http_req_cnt"), 2, "{side}");
    }
    // Who counts on begins with 1, and its entry lives as long as any.
    cluster.count("k", 1);
    cluster.wait("one request of k", |side| {
        side.table("t")
            .entries
            .get("k")
            .is_some_and(|entry| entry.number("http_req_cnt") == 1 && entry.exp > 3_000_000)
    });
    cluster.stickd.cli().run("clear table t data.http_req_cnt gt 1 cluster");
    cluster.wait("the other to be gone", |side| !side.table("t").entries.contains_key("other"));
    for side in cluster.sides() {
        assert_eq!(side.table("t").entry("k").number("http_req_cnt"), 1, "{side}");
    }
    cluster.stickd.cli().run("clear table t cluster");
    cluster.wait("all to be gone", |side| side.table("t").entries.is_empty());
}

fn tags_are_set_everywhere(release: &Release) {
    let cluster = Cluster::start(release);
    cluster.stickd.cli().run("set table t key banned data.gpt0 7");
    cluster.wait("the tag", |side| {
        side.table("t").entries.get("banned").is_some_and(|entry| entry.number("gpt0") == 7)
    });
}
