//! A hub and its HAProxys.

use std::net::SocketAddr;
use std::time::Duration;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Cli, Config, Daemon, HaproxyProcess, Release, StickdProcess, http, ports, wait};

pub(crate) const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
pub(crate) const CONNECTED: Duration = Duration::from_secs(30);

/// A hub `data` that sums any table, and two HAProxys `lb1` and `lb2`.
pub(crate) struct Cluster {
    pub(crate) hub: StickdProcess,
    pub(crate) nodes: Vec<HaproxyProcess>,
    pub(crate) config: String,
    /// Where the hub and the nodes listen for peers.
    pub(crate) addresses: [SocketAddr; 3],
    release: Release,
    rules: Rules,
}

/// What a node does with requests.
pub(crate) type Rules = fn(Config) -> Config;

impl Cluster {
    /// `table` is what follows `table t` in the peers section of the nodes, `section` more lines of the hub's.
    pub(crate) fn start(release: &Release, table: &str, section: &str, rules: Rules) -> Self {
        let [hub, lb1, lb2] = [(); 3].map(|()| ports::free_address());
        let config = format!(
            "global\n  localpeer hub\n  stats socket unix@{SOCKET} level admin\n\
             aggregations data\n  peer hub {hub} local\n  peer lb1 {lb1}\n  peer lb2 {lb2}\n  from any to .agg\n{section}"
        );
        let process = StickdProcess::start(STICKD, Some(&config), &[]);
        let nodes = [("lb1", lb1), ("lb2", lb2)];
        let nodes = nodes
            .map(|(name, own)| HaproxyProcess::start(release, node(name, own, hub, (table, table), rules)));
        let (addresses, release) = ([hub, lb1, lb2], release.clone());
        Self { hub: process, nodes: nodes.into(), config, addresses, release, rules }
    }

    /// Ends a node and starts it with other tables: its own, and that of the sums.
    #[track_caller]
    pub(crate) fn change_node(&mut self, place: usize, own: &str, sums: &str) {
        self.nodes.remove(place);
        let name = ["lb1", "lb2"][place];
        let config = node(name, self.addresses[place + 1], self.addresses[0], (own, sums), self.rules);
        self.nodes.insert(place, HaproxyProcess::start(&self.release, config));
    }

    /// Reloads a node with another table of its own and of the sums: its new process is taught by the old one.
    #[track_caller]
    pub(crate) fn reload_node(&mut self, place: usize, table: &str) {
        self.begin_reload(place, table).wait_exit(CONNECTED);
    }

    /// The same, and does not wait for the end of the old process.
    #[track_caller]
    pub(crate) fn begin_reload(&mut self, place: usize, table: &str) -> Daemon {
        let name = ["lb1", "lb2"][place];
        let config = node(name, self.addresses[place + 1], self.addresses[0], (table, table), self.rules);
        self.nodes[place].reload(config)
    }

    /// Replaces the hub by a process with another configuration, as a reload does.
    #[track_caller]
    pub(crate) fn change_hub(&mut self, config: &str) {
        let old = self.hub.replace(Some(config), &[]).expect("the next process starts");
        old.wait_exit(CONNECTED);
        config.clone_into(&mut self.config);
    }

    /// Sends so many requests to a node and expects this status of each.
    #[track_caller]
    pub(crate) fn request(&self, node: usize, path: &str, key: &str, count: usize) -> Vec<u16> {
        let address = self.nodes[node].http_address();
        let one = || http::get(address, path, &[("x-key", key)]).expect("a response").status;
        (0..count).map(|_| one()).collect()
    }

    /// Waits until all nodes and the hub read this of a key's sum.
    #[track_caller]
    pub(crate) fn wait_sum(&self, key: &str, field: &str, wanted: impl Fn(u64) -> bool) {
        for (side, table) in self.sides() {
            wait::until_or(
                CONNECTED,
                &format!("the sum of {field} of {key} at {side}"),
                || self.state(),
                || wanted(side.find_table(table)?.entries.get(key)?.number(field)).then_some(()),
            );
        }
    }

    /// All sides and the name of the result there.
    pub(crate) fn sides(&self) -> Vec<(Cli, &'static str)> {
        let nodes = self.nodes.iter().map(|node| (node.cli(), "p/t.agg"));
        nodes.chain([(self.hub.cli(), "data/t.agg")]).collect()
    }

    /// What everybody holds and says, for messages of failed tests.
    pub(crate) fn state(&self) -> String {
        let mut text = String::new();
        for (number, node) in self.nodes.iter().enumerate() {
            text += &format!("lb{}:\n", number + 1);
            text +=
                &["show table p/t", "show table p/t.agg", "show peers"].map(|it| node.cli().run(it)).concat();
        }
        text += "hub:\n";
        text += &["show aggregations", "show table data/t.agg", "show peers"]
            .map(|it| self.hub.cli().run(it))
            .concat();
        text + &self.hub.daemon().log()
    }
}

fn node(name: &str, own: SocketAddr, hub: SocketAddr, (table, sums): (&str, &str), rules: Rules) -> Config {
    let config = Config::new(name)
        .peer(name, own)
        .peer("hub", hub)
        .peers_line(format!("table t {table}"))
        .peers_line(format!("table t.agg {sums}"))
        .http(ports::free_address(), ports::free_address());
    rules(config)
}
