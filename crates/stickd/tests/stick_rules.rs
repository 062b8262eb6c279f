//! Servers that keys stick to, between two HAProxys that know nobody but a relaying stickd. Modelled on what HAProxy's own
//! tests of shared server names do.

use std::net::SocketAddr;
use std::time::Duration;

use stickd_testkit::stickd::config;
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, StickdProcess, http, on_every_release, ports, wait,
};

on_every_release!(
    keys_stick_to_the_same_server_through_a_table_that_is_pasted_as_it_is,
    a_table_without_a_store_list_relays_whatever_the_haproxys_store
);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// As it stands in the `peers` section of HAProxy, which stores what its `stick` lines need.
const TABLE: &str = "table mytable type string size 10m";
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
const CONNECTED: Duration = Duration::from_secs(30);
const KEYS: usize = 12;

/// The server that a HAProxy has for a key.
fn server(haproxy: &HaproxyProcess, key: &str) -> Option<String> {
    let table = haproxy.cli().table("p/mytable");
    let entry = table.entries.get(key)?;
    let server = entry.field("server_key");
    (server != "-").then(|| server.to_owned())
}

fn keys_stick_to_the_same_server_through_a_table_that_is_pasted_as_it_is(release: &Release) {
    let [a, b, hub] = [(); 3].map(|()| ports::free_address());
    let section = config(hub, &[("A", a), ("B", b)]) + &format!("  relay\n  {TABLE}\n");
    let stickd = StickdProcess::start(STICKD, Some(&section), &[]);
    let haproxy = |name: &str, own: SocketAddr| {
        let config = Config::new(name)
            .peer(name, own)
            .peer("stickd", hub)
            .peers_line(TABLE)
            .http(ports::free_address(), ports::free_address())
            .stick("st", "req.hdr(x-key)", "p/mytable");
        HaproxyProcess::start(release, config)
    };
    let sides = [haproxy("A", a), haproxy("B", b)];
    let request = |side: &HaproxyProcess, key: &str| {
        http::get(side.http_address(), "/st", &[("x-key", key)]).expect("a response");
    };
    let failed = || format!("{}{}", stickd.cli().run("show table p/mytable"), stickd.daemon().log());
    wait::until_or(CONNECTED, "sessions with both", failed, || {
        let sessions = stickd.cli().run("show peers").matches("status=ESTA").count();
        (sessions >= 2).then_some(())
    });
    // Half of the keys come to each side first.
    let keys: Vec<_> = (0..KEYS).map(|number| format!("key{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        request(&sides[number % 2], key);
    }
    let servers: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let first = server(&sides[number % 2], key).expect("a server was chosen");
            wait::until_or(CONNECTED, &format!("{key} at the other side"), failed, || {
                server(&sides[1 - number % 2], key).filter(|other| *other == first)
            })
        })
        .collect();
    assert!(servers.iter().any(|server| *server != servers[0]), "both servers are used: {servers:?}");
    for (key, first) in keys.iter().zip(&servers) {
        for side in &sides {
            request(side, key);
            assert_eq!(server(side, key).as_ref(), Some(first), "{key}");
        }
    }
    let log = stickd.daemon().log();
    assert!(!log.contains("is defined differently"), "{log}");
}

/// The HAProxys count, and the line here has no list.
fn a_table_without_a_store_list_relays_whatever_the_haproxys_store(release: &Release) {
    let [a, b, hub] = [(); 3].map(|()| ports::free_address());
    let section = config(hub, &[("A", a), ("B", b)]) + &format!("  relay\n  {TABLE}\n");
    let mut stickd = StickdProcess::start(STICKD, Some(&section), &[]);
    let haproxy = |name: &str, own: SocketAddr| {
        let config = Config::new(name)
            .peer(name, own)
            .peer("stickd", hub)
            .peers_line(format!("{TABLE} store gpc0,http_req_rate(10m),http_req_cnt"))
            .http(ports::free_address(), ports::free_address())
            .track("count", "req.hdr(x-key)", "p/mytable");
        HaproxyProcess::start(release, config)
    };
    let mut sides = [haproxy("A", a), haproxy("B", b)];
    let wait = |stickd: &StickdProcess, side: &Cli, key: &str, counts: [u64; 3]| {
        let state = || {
            side.run("show table p/mytable")
                + &stickd.cli().run("show table p/mytable")
                + &stickd.cli().run("show peers")
                + &stickd.daemon().log()
        };
        wait::until_or(CONNECTED, &format!("{counts:?} of {key} on {side}"), state, || {
            let table = side.table("p/mytable");
            let entry = table.entries.get(key)?;
            let fields = ["gpc0", "http_req_rate(600000)", "http_req_cnt"];
            // Less than all of them is stored before a peer came.
            let is_there = fields.iter().all(|field| entry.fields.contains_key(*field));
            (is_there && fields.map(|field| entry.number(field)) == counts).then_some(())
        });
    };
    let request = |side: &HaproxyProcess, key: &str, times: usize| {
        for _ in 0..times {
            http::get(side.http_address(), "/count", &[("x-key", key)]).expect("a response");
        }
    };
    request(&sides[0], "a", 3);
    request(&sides[1], "b", 2);
    for (key, count, other) in [("a", 3, 1), ("b", 2, 0)] {
        for side in [stickd.cli(), sides[other].cli()] {
            wait(&stickd, &side, key, [0, count, count]);
        }
    }
    sides[0].cli().run("set table p/mytable key a data.gpc0 7");
    for side in [stickd.cli(), sides[1].cli()] {
        wait(&stickd, &side, "a", [7, 3, 3]);
    }
    // All of it is taught: to a HAProxy that begins again, and to the next process here.
    sides[1].restart();
    wait(&stickd, &sides[1].cli(), "a", [7, 3, 3]);
    let old = stickd.replace(Some(&section), &[]).expect("the next process starts");
    old.wait_exit(CONNECTED);
    for key in ["a", "b"] {
        wait(&stickd, &stickd.cli(), key, if key == "a" { [7, 3, 3] } else { [0, 2, 2] });
    }
    request(&sides[0], "a", 1);
    wait(&stickd, &sides[1].cli(), "a", [7, 4, 4]);
    let log = stickd.daemon().log();
    assert!(!log.contains("WARN"), "{log}");
}
