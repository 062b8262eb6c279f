//! Whatever a hub leaves out of the sums, and for whatever reason: the rules of docs/hub.md fall back to each node's own limit,
//! the hub says which table of which node it is, and all is as before when the reason is gone.

use std::net::Ipv4Addr;

use stickd_testkit::name_server::{Mood, NameServer, Record};
use stickd_testkit::{Release, ports, wait};

use crate::cluster::{CONNECTED, Cluster};
use crate::fallback;
use crate::scripted::{self, Scripted, defined, update};
use crate::trials::tests;

tests!(
    nodes_fall_back_to_their_own_limit_while_a_definition_differs,
    nodes_fall_back_to_their_own_limit_while_the_hub_waits;
    once nodes_fall_back_to_their_own_limit_for_every_reason
);

const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(1m)";

/// The same with one thing changed, and what the hub says of it.
const OTHER_TABLES: [(&str, &str); 5] = [
    ("type string len 16 size 1k expire 1h store http_req_cnt,http_req_rate(1m)", "key size 17"),
    ("type ip size 1k expire 1h store http_req_cnt,http_req_rate(1m)", "key type ip, here string"),
    ("type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(2m)", "period of http_req_rate"),
    ("type string len 32 size 1k expire 1h store http_req_cnt,http_req_rate(1m),gpc1", "gpc1 sent"),
    ("type string len 32 size 1k expire 2h store http_req_cnt,http_req_rate(1m)", "expire 7200000 ms"),
];

/// A cluster whose sums are whole, and keys that nobody has counted.
struct Trial {
    cluster: Cluster,
    next: u8,
}

impl Trial {
    fn start(release: &Release, section: &str) -> Self {
        Self { cluster: fallback::start(release, TABLE, section), next: 0 }
    }

    fn new_key(&mut self) -> String {
        self.next += 1;
        format!("192.0.2.{}", self.next)
    }

    /// Waits until both nodes read this of the hub's state.
    #[track_caller]
    fn wait_state(&self, key: &str, wanted: impl Fn(u64) -> bool) {
        self.cluster.wait_hub_says(&[0, 1], key, |value| value.is_some_and(&wanted));
    }

    /// Waits until a node that left counts no more.
    #[track_caller]
    fn wait_forgotten(&self, name: &str) {
        let line = format!("  peer={name} level=balancer state=down");
        wait::until_or(
            CONNECTED,
            &line,
            || self.cluster.state(),
            || self.cluster.hub.cli().run("show aggregations").contains(&line).then_some(()),
        );
    }

    /// Asserts that one limit holds over both nodes.
    #[track_caller]
    fn assert_common_limit(&mut self, after: &str) {
        self.wait_state("complete", |complete| complete == 1);
        self.wait_state("refused", |refused| refused == 0);
        let key = self.new_key();
        self.cluster.assert_common_limit(&key, after);
    }

    /// Asserts that each node holds its own limit, and that the hub says why: a line of `show aggregations` and one of the log
    /// have all these words.
    #[track_caller]
    fn assert_own_limits(&mut self, why: &[&str]) {
        self.wait_state("complete", |complete| complete == 0);
        self.wait_state("refused", |refused| refused > 0);
        let has = |line: &str| why.iter().all(|word| line.contains(word));
        let shown = self.cluster.hub.cli().run("show aggregations");
        assert!(
            shown.lines().any(|line| line.starts_with("  refused ") && has(line)),
            "no line with {why:?}: {shown}"
        );
        wait::until_or(
            CONNECTED,
            &format!("a warning with {why:?}"),
            || self.cluster.state(),
            || {
                let log = self.cluster.hub.daemon().log();
                log.lines().any(|line| line.contains("WARN") && has(line)).then_some(())
            },
        );
        let count = self.cluster.hub.cli().info("Stickd_sums_left_out").expect("a counter of show info");
        assert_ne!(count, "0");
        let key = self.new_key();
        self.cluster.assert_own_limits(&[0, 1], &key, &format!("{why:?}"));
    }

    /// Starts the hub from scratch with this configuration, and asserts that each node holds its own limit as long as the hub
    /// holds its results back. It does so for 5 s, which a busy machine may miss: then it is started again.
    #[track_caller]
    fn assert_own_limits_while_held(&mut self, config: &str) -> Scripted {
        for _ in 0..5 {
            self.cluster.hub.restart(Some(config), &[]);
            let lb3 = Scripted::join(self.cluster.addresses[0], "lb3");
            let (hub, key) = (self.cluster.hub.cli(), self.new_key());
            let shown = || hub.run("show aggregations");
            let holds = || {
                shown().lines().any(|line| {
                    line.starts_with("  refused ")
                        && line.contains(" reason=held text=\"results are held back")
                })
            };
            let read = |node: usize, key: &str| {
                Some(self.cluster.nodes[node].cli().table("p/hub").entries.get(key)?.number("gpt0"))
            };
            let all_read = || {
                [0, 1]
                    .iter()
                    .all(|&node| read(node, "complete") == Some(0) && read(node, "refused") >= Some(1))
            };
            let is_met = wait::until_or(
                CONNECTED,
                "results that are held back",
                || self.cluster.state(),
                || match all_read() {
                    true => Some(true),
                    false => (!holds()).then_some(false),
                },
            );
            let statuses = [0, 1].map(|node| self.cluster.request(node, "/count", &key, 6));
            if is_met && holds() {
                assert_eq!(statuses, [(); 2].map(|()| vec![200, 200, 200, 200, 200, 429]), "{}", shown());
                return lb3;
            }
        }
        panic!("no hub held its results for long enough: {}", self.cluster.state());
    }

    /// What no node is to blame for. `config` has a line `peer lb3`.
    #[track_caller]
    fn go_through_reasons_of_the_hub_itself(&mut self, config: &str) {
        // Results are held back for 5 s when a hub begins from scratch and anybody may join.
        let joined = self.assert_own_limits_while_held(&format!("{config}  dynamic-peers from 127.0.0.1\n"));
        self.assert_common_limit("results that were held back");
        drop(joined);

        // The name service says who the nodes are, and does not answer.
        let names = NameServer::start();
        names.set_mood(Mood::Silent);
        names.set("lb3.lbs.test", [Record::Address(Ipv4Addr::LOCALHOST.into())]);
        let lists = Record::Service { port: ports::free(), target: "lb3.lbs.test".to_owned() };
        names.set("_peers._tcp.lbs.test", [lists]);
        let template = format!(
            "server-template lb 1-3 _peers._tcp.lbs.test\n  nameserver {}\n  resolve-every 100ms",
            names.address
        );
        self.cluster.change_hub(&config.replace("peer lb3", &template));
        self.assert_own_limits(&["nodes-unknown", "DNS has not listed"]);
        names.set_mood(Mood::Well);
        // It is known now, and not there.
        self.wait_state("refused", |refused| refused == 0);
        self.wait_state("expected", |expected| expected == 3);
        let key = self.new_key();
        self.cluster.assert_own_limits(&[0, 1], &key, "a node that DNS lists and that is not there");
        let _lb3 = Scripted::join(self.cluster.addresses[0], "lb3");
        self.assert_common_limit("an answer of the name service");
    }
}

fn nodes_fall_back_to_their_own_limit_while_a_definition_differs(release: &Release) {
    let mut trial = Trial::start(release, "");
    trial.assert_common_limit("the start");
    let (table, why) = OTHER_TABLES[0];
    trial.cluster.change_node(1, table, TABLE);
    trial.assert_own_limits(&["lb2", "data/t", why, "give the table the same"]);
    trial.cluster.change_node(1, TABLE, TABLE);
    trial.assert_common_limit(why);
}

fn nodes_fall_back_to_their_own_limit_while_the_hub_waits(release: &Release) {
    let mut trial = Trial::start(release, "  peer lb3\n");
    let lb3 = Scripted::join(trial.cluster.addresses[0], "lb3");
    trial.assert_common_limit("the start");
    drop(lb3);
    let config = trial.cluster.config.clone();
    trial.go_through_reasons_of_the_hub_itself(&config);
}

/// Each reason in turn, between two moments at which all is well.
fn nodes_fall_back_to_their_own_limit_for_every_reason() {
    // The hub would follow one node that defines a table otherwise again and again.
    let many = "table many type string len 32 size 1k expire 1h store gpc0,gpc1,gpt0,conn_cnt,http_req_cnt";
    let mut trial = Trial::start(&Release::newest(), &format!("  peer lb3\n  {many}\n"));
    let hub = trial.cluster.addresses[0];
    let config = trial.cluster.config.clone();
    let mut lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("the start");

    for (table, why) in OTHER_TABLES {
        trial.cluster.change_node(1, table, TABLE);
        trial.assert_own_limits(&["lb2", "data/t", why, "give the table the same"]);
        trial.cluster.change_node(1, TABLE, TABLE);
        trial.assert_common_limit(why);
    }

    // The sums come to a table of other keys, where the node reads nothing.
    trial.cluster.change_node(1, TABLE, OTHER_TABLES[0].0);
    trial.assert_own_limits(&["lb2", "/t.agg", "key size 17", "reads nothing of the sums"]);
    trial.cluster.change_node(1, TABLE, TABLE);
    trial.assert_common_limit("a result of other keys");

    // A lesson that does not come.
    drop(lb3);
    trial.wait_forgotten("lb3");
    lb3 = Scripted::join_silent(hub, "lb3");
    trial.assert_own_limits(&["lb3", "has not taught"]);
    lb3.teach(true);
    trial.assert_common_limit("a lesson that came late");

    // Updates of a table that was never defined.
    lb3.say_once(&[&[10, 0x83, 1, 9][..], &update(1, "x", &[1])].concat());
    trial.assert_own_limits(&["lb3", "(id 9)", "did not define"]);
    drop(lb3);
    lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("an undefined table");

    // More sets of data types than are kept apart.
    let types = ["gpc0", "gpc1", "gpt0", "conn_cnt", "http_req_cnt"];
    for set in (1..32_u32).rev() {
        let columns: Vec<_> = (0..5).filter(|bit| set >> bit & 1 != 0).map(|bit| types[bit]).collect();
        let key = format!("key{set}");
        lb3.say_once(&defined(7, &scripted::table("/many", 32, &columns), true));
        lb3.say_once(&update(set, &key, &vec![1; columns.len()]));
    }
    trial.assert_own_limits(&["lb3", "data/many", "different sets of data types"]);
    drop(lb3);
    trial.wait_forgotten("lb3");
    lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("too many sets");

    // A definition that says too little: an array without its number of elements.
    let unusable = defined(1, &scripted::table("/t", 32, &["gpc(2)"]), false);
    lb3.say(&unusable);
    trial.assert_own_limits(&["lb3", "/t", "the number of elements of gpc is missing"]);
    drop(lb3);
    lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("a definition that says too little");

    // One of HAProxy 1.6, which tells no expiry.
    lb3.say(&defined(1, &scripted::table("/old", 32, &["gpc0"]), false));
    trial.assert_own_limits(&["lb3", "/old", "table old type"]);
    drop(lb3);
    let _lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("a definition without an expiry");

    // Keys for which there is no room.
    trial.cluster.change_hub(&format!("{config}  tables size 2\n"));
    let _lb3 = Scripted::join(hub, "lb3");
    for _ in 0..3 {
        let key = trial.new_key();
        trial.cluster.request(0, "/count", &key, 1);
    }
    trial.assert_own_limits(&["lb1", "data/t", "no room", "tables size"]);
    trial.cluster.change_hub(&config);
    let _lb3 = Scripted::join(hub, "lb3");
    trial.assert_common_limit("no room");

    // Memory and tables for which there is no room.
    for (limit, words) in [
        // Less than the keys of the tests before take.
        ("tables memory 4k", ["lb1", "data/t", "tables memory"]),
        ("tables max 1", ["lb2", "data/t", "tables max"]),
    ] {
        trial.cluster.change_hub(&format!("{config}  {limit}\n"));
        let _lb3 = Scripted::join(hub, "lb3");
        trial.assert_own_limits(&words);
        trial.cluster.change_hub(&config);
        let _lb3 = Scripted::join(hub, "lb3");
        trial.assert_common_limit(limit);
    }

    trial.go_through_reasons_of_the_hub_itself(&config);
}
