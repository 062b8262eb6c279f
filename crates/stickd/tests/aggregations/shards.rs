//! Several hubs that share the keys by HAProxy's `shards`: each key has its sum at one hub, and limits hold over all nodes.

use std::net::SocketAddr;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, Signal, Source, StickdProcess, http, ports, wait,
};

use crate::cluster::{CONNECTED, STICKD};
use crate::trials::tests;

tests!(; once
    two_hubs_share_the_keys,
    three_hubs_share_the_keys,
    a_hub_that_is_lost_takes_its_keys_along_and_no_others,
    from_two_hubs_to_three
);

/// HAProxy knows `shards` since 2.7.
const NODES: [(&str, Source); 4] = [
    ("lb1", Source::PythonWheel),
    ("lb2", Source::DebianTrixie),
    ("lb3", Source::DebianSid),
    ("lb4", Source::DebianTrixie),
];
const KEYS: usize = 40;
const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt";

struct Shards {
    hubs: Vec<StickdProcess>,
    configs: Vec<String>,
    nodes: Vec<HaproxyProcess>,
    /// Where hubs listen, and may listen later.
    places: [SocketAddr; 3],
    own: [SocketAddr; NODES.len()],
}

fn key(number: usize) -> String {
    format!("key{number}")
}

/// The condition that all hubs are complete.
fn whole(hubs: usize) -> String {
    let one = |hub: usize| format!("{{ str(complete),table_gpt0(p/hub{hub}) eq 1 }}");
    (1..=hubs).map(one).collect::<Vec<_>>().join(" ")
}

impl Shards {
    fn start(hubs: usize) -> Self {
        let places = [(); 3].map(|()| ports::free_address());
        let own = [(); NODES.len()].map(|()| ports::free_address());
        let mut cluster = Self { hubs: Vec::new(), configs: Vec::new(), nodes: Vec::new(), places, own };
        (0..hubs).for_each(|_| cluster.add_hub());
        for (number, (_, source)) in NODES.into_iter().enumerate() {
            let process = HaproxyProcess::start(&Release::of(source), cluster.node(number, hubs));
            cluster.nodes.push(process);
        }
        cluster.wait_complete(hubs);
        cluster
    }

    /// One more hub: a section like that of the others, as a hub does not know which keys are its own.
    fn add_hub(&mut self) {
        let number = self.hubs.len() + 1;
        let nodes: String =
            NODES.iter().zip(self.own).map(|((name, _), at)| format!("  peer {name} {at}\n")).collect();
        let config = format!(
            "global\n  localpeer hub{number}\n  stats socket unix@{SOCKET} level admin\n\
             aggregations data\n  peer hub{number} {} local\n{nodes}  from any to .agg\n  status-table hub{number}\n  \
             node-timeout 2s\n",
            self.places[number - 1]
        );
        self.hubs.push(StickdProcess::start(STICKD, Some(&config), &[]));
        self.configs.push(config);
    }

    /// The configuration of a node that shares its keys among `hubs` hubs. Its rules allow ten requests over all nodes, and two on
    /// each node while a hub is missing.
    fn node(&self, number: usize, hubs: usize) -> Config {
        let (name, _) = NODES[number];
        let mut config = Config::new(name).peer(name, self.own[number]);
        config = config.peers_line(format!("shards {hubs}"));
        for hub in 1..=hubs {
            config = config.peers_line(format!("peer hub{hub} {} shard {hub}", self.places[hub - 1]));
            config =
                config.peers_line(format!("table hub{hub} type string len 32 size 16 expire 3s store gpt0"));
        }
        for table in ["t", "t.agg"] {
            config = config.peers_line(format!("table {table} {TABLE}"));
        }
        // A condition of HAProxy cannot negate a conjunction: each hub has its own rule for the fallback.
        let whole = whole(hubs);
        let over = "{ req.hdr(x-key),table_http_req_cnt(p/t.agg) ge 10 }";
        config = config.limit("count", &format!("{whole} {over}"));
        for hub in 1..=hubs {
            config = config.limit(
                "count",
                &format!(
                    "!{{ str(complete),table_gpt0(p/hub{hub}) eq 1 }} {{ req.hdr(x-key),table_http_req_cnt(p/t) ge 2 }}"
                ),
            );
        }
        config.http(ports::free_address(), ports::free_address()).track("count", "req.hdr(x-key)", "p/t")
    }

    /// Waits until all nodes read `complete` 1 from each of the first `hubs` hubs.
    #[track_caller]
    fn wait_complete(&self, hubs: usize) {
        for node in &self.nodes {
            for hub in 1..=hubs {
                let is_whole = || {
                    let table = node.cli().find_table(&format!("p/hub{hub}"))?;
                    (table.entries.get("complete")?.number("gpt0") == 1).then_some(())
                };
                wait::until_or(CONNECTED, &format!("a whole hub{hub}"), || self.state(), is_whole);
            }
        }
    }

    fn request(&self, node: usize, key: &str) -> u16 {
        http::get(self.nodes[node].http_address(), "/count", &[("x-key", key)]).expect("a response").status
    }

    /// Every key once at every node.
    fn count_all(&self) {
        for number in 0..KEYS {
            for node in 0..NODES.len() {
                assert_eq!(self.request(node, &key(number)), 200, "{}", self.state());
            }
        }
    }

    fn sum(cli: &Cli, table: &str, key: &str) -> Option<u64> {
        Some(cli.find_table(table)?.entries.get(key)?.number("http_req_cnt"))
    }

    /// Waits until all nodes read this sum of a key.
    #[track_caller]
    fn wait_sum(&self, key: &str, sum: u64) {
        for node in &self.nodes {
            let reads = || (Self::sum(&node.cli(), "p/t.agg", key) == Some(sum)).then_some(());
            wait::until_or(CONNECTED, &format!("{key} = {sum}"), || self.state(), reads);
        }
    }

    /// The hub of each key, which must be one, with this sum.
    #[track_caller]
    fn owners(&self, sum: u64) -> Vec<usize> {
        let hubs: Vec<_> = self.hubs.iter().map(StickdProcess::cli).collect();
        let owner = |number: usize| {
            let key = key(number);
            let held: Vec<_> = hubs.iter().map(|cli| Self::sum(cli, "data/t.agg", &key)).collect();
            let mut owners = held.iter().enumerate().filter(|(_, held)| held.is_some());
            match (owners.next(), owners.next()) {
                (Some((owner, held)), None) => {
                    assert_eq!(*held, Some(sum), "{key}: {}", self.state());
                    owner
                }
                _ => panic!("{key} is summed at {held:?}: {}", self.state()),
            }
        };
        (0..KEYS).map(owner).collect()
    }

    fn state(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            text += &["show table p/t", "show table p/t.agg", "show table p/hub1", "show peers"]
                .map(|it| node.cli().run(it))
                .concat();
        }
        for hub in &self.hubs {
            text += &hub.daemon().log();
        }
        text
    }
}

fn share_the_keys(hubs: usize) {
    let cluster = Shards::start(hubs);
    cluster.count_all();
    (0..KEYS).for_each(|number| cluster.wait_sum(&key(number), 4));
    let owners = cluster.owners(4);
    for hub in 0..hubs {
        let own = owners.iter().filter(|&&owner| owner == hub).count();
        assert!(own >= KEYS / hubs / 3, "hub{} has {own} of {KEYS} keys: {owners:?}", hub + 1);
    }
    // One limit over all nodes, whichever hub has the key.
    for number in [0, 1, 2] {
        for more in 0..6 {
            assert_eq!(cluster.request(more % 4, &key(number)), 200, "{}", cluster.state());
        }
        cluster.wait_sum(&key(number), 10);
        for node in 0..NODES.len() {
            assert_eq!(cluster.request(node, &key(number)), 429, "{}", cluster.state());
        }
    }
}

fn two_hubs_share_the_keys() {
    share_the_keys(2);
}

fn three_hubs_share_the_keys() {
    share_the_keys(3);
}

/// The rules fall back for all keys while a hub is away; sums of the other hub go on, and those of the lost one come back.
fn a_hub_that_is_lost_takes_its_keys_along_and_no_others() {
    let mut cluster = Shards::start(2);
    cluster.count_all();
    (0..KEYS).for_each(|number| cluster.wait_sum(&key(number), 4));
    let owners = cluster.owners(4);
    let of = |hub: usize| key(owners.iter().position(|&owner| owner == hub).expect("a key of each hub"));
    let (lost, kept) = (of(0), of(1));

    let hub = cluster.hubs.remove(0);
    hub.signal(Signal::KILL);
    for node in &cluster.nodes {
        let is_gone = || {
            let table = node.cli().find_table("p/hub1")?;
            table.entries.is_empty().then_some(())
        };
        wait::until_or(CONNECTED, "the end of hub1's state", || cluster.state(), is_gone);
    }
    // Each node allows two: one was counted before.
    assert_eq!((cluster.request(0, &lost), cluster.request(0, &lost)), (200, 429), "{}", cluster.state());
    assert_eq!((cluster.request(1, &kept), cluster.request(1, &kept)), (200, 429), "{}", cluster.state());
    // Refused requests do not count here.
    cluster.wait_sum(&kept, 5);

    drop(hub);
    cluster.hubs.insert(0, StickdProcess::start(STICKD, Some(&cluster.configs[0]), &[]));
    cluster.wait_complete(2);
    cluster.wait_sum(&lost, 5);
    cluster.wait_sum(&kept, 5);
}

/// docs/guides/several-hubs.md, "From two to three": hub, nodes, then the old hubs once more.
fn from_two_hubs_to_three() {
    let mut cluster = Shards::start(2);
    cluster.count_all();
    (0..KEYS).for_each(|number| cluster.wait_sum(&key(number), 4));
    let before = cluster.owners(4);

    cluster.add_hub();
    for number in 0..NODES.len() {
        let config = cluster.node(number, 3);
        cluster.nodes[number].reload(config).wait_exit(CONNECTED);
        // Traffic goes on meanwhile.
        assert_eq!(cluster.request(number, "between"), 200, "{}", cluster.state());
    }
    cluster.wait_complete(3);
    for hub in [0, 1] {
        cluster.hubs[hub].signal(Signal::TERM);
        wait::until(CONNECTED, "the end of the hub", || cluster.hubs[hub].cli().try_run("show info").err());
        cluster.hubs[hub] = StickdProcess::start(STICKD, Some(&cluster.configs[hub]), &[]);
        cluster.wait_complete(3);
    }
    cluster.count_all();
    (0..KEYS).for_each(|number| cluster.wait_sum(&key(number), 8));
    cluster.wait_sum("between", 4);
    let after = cluster.owners(8);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!(after.contains(&2) && moved >= KEYS / 3, "{moved} of {KEYS} keys moved: {before:?}, {after:?}");
}
