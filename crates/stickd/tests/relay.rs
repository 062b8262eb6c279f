//! A section that relays, between real HAProxys that do not know each other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stickd_testkit::stickd::{config, table};
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, StickdProcess, http, on_every_release, ports, wait,
};

on_every_release!(counts_reach_the_haproxys_that_do_not_know_each_other);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store http_req_cnt";
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
const CONNECTED: Duration = Duration::from_secs(30);

/// Requests in a round of the test.
const ROUND: usize = 20;
/// What the fastest of several rounds may take on a machine busy with other tests; without a wake-up it is over 2 s.
const AT_ONCE: Duration = Duration::from_secs(1);

fn haproxy(release: &Release, name: &str, own: SocketAddr, hub: SocketAddr) -> HaproxyProcess {
    let config = Config::new(name)
        .peer(name, own)
        .peer("stickd", hub)
        .table("t", TABLE)
        .http(ports::free_address(), ports::free_address())
        .track("count", "hdr(x-key)", "t");
    HaproxyProcess::start(release, config)
}

#[track_caller]
fn request(haproxy: &HaproxyProcess, key: &str) {
    http::get(haproxy.http_address(), "/count", &[("x-key", key)]).expect("a response");
}

/// Waits until a side counted so many requests of a key.
#[track_caller]
fn wait_count(side: &Cli, key: &str, count: u64, stickd: &StickdProcess) {
    wait::until_or(
        CONNECTED,
        &format!("{count} requests of {key} on {side}"),
        || {
            let peers = [side, &stickd.cli()].map(|cli| cli.run("show table t") + &cli.run("show peers"));
            format!("{}{}", peers.concat(), stickd.daemon().log())
        },
        || (side.table("t").entries.get(key)?.number("http_req_cnt") == count).then_some(()),
    );
}

fn counts_reach_the_haproxys_that_do_not_know_each_other(release: &Release) {
    let [a, b, hub] = [(); 3].map(|()| ports::free_address());
    let section = config(hub, &[("A", a), ("B", b)]) + "  relay\n" + &table("t", TABLE);
    let stickd = StickdProcess::start(STICKD, Some(&section), &[]);
    let sides = [haproxy(release, "A", a, hub), haproxy(release, "B", b, hub)];
    let cli = [sides[0].cli(), sides[1].cli()];

    // Each side's own keys, while the lessons of the beginning may still run.
    for (side, key) in sides.iter().zip(["of-a", "of-b"]) {
        request(side, key);
        request(side, key);
    }
    for side in [&cli[0], &cli[1], &stickd.cli()] {
        wait_count(side, "of-a", 2, &stickd);
        wait_count(side, "of-b", 2, &stickd);
    }

    // One counter that both sides raise in turn: each goes on from what the other had. Passed on at once, not when a
    // session has something else to do, as it has every 250 ms at first.
    let mut count = 0;
    let mut round = || {
        let start = Instant::now();
        for _ in 0..ROUND {
            request(&sides[count % 2], "shared");
            count += 1;
            wait_count(&cli[count % 2], "shared", count as u64, &stickd);
        }
        start.elapsed()
    };
    let rounds: Vec<_> = (0..5).map(|_| round()).collect();
    assert!(rounds.iter().any(|time| *time < AT_ONCE), "{rounds:?}");
    let peers = stickd.cli().run("show peers");
    assert!(peers.lines().next().is_some_and(|line| line.ends_with(" relay=1")), "{peers}");
    assert_eq!(peers.matches("member=static relay=0").count(), 3, "{peers}");
}
