//! Both families of IP addresses at one listener, with real HAProxys.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports, wait};

on_every_release!(haproxys_of_both_families_reach_an_ipv6_wildcard);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";
const GLOBAL: &str = "global\n  localpeer stickd\n  stats socket unix@stickd.sock level admin\n";
/// HAProxy waits 5 s between attempts.
const CONNECTED: Duration = Duration::from_secs(30);

fn v4(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn v6(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

/// A HAProxy that calls stickd at `hub`. Nobody can call it back: stickd waits for it.
fn haproxy(release: &Release, name: &str, hub: SocketAddr) -> HaproxyProcess {
    let config = Config::new(name).peer(name, ports::free_address()).peer("stickd", hub).table("t", TABLE);
    HaproxyProcess::start(release, config)
}

#[track_caller]
fn wait_value(side: &Cli, key: &str, value: u64, stickd: &StickdProcess) {
    let state = || side.run("show peers") + &stickd.cli().run("show peers") + &stickd.daemon().log();
    wait::until_or(CONNECTED, &format!("{key} = {value} on {side}"), state, || {
        (side.table("t").entries.get(key)?.number("gpc0") == value).then_some(())
    });
}

fn haproxys_of_both_families_reach_an_ipv6_wildcard(release: &Release) {
    let port = ports::free();
    let text = format!(
        "{GLOBAL}peers p\n  bind :::{port} v4v6\n  server stickd\n  dynamic-peers from 127.0.0.0/8 ::1/128\n\
         backend t\n  stick-table {TABLE} peers p\n"
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let sides = [haproxy(release, "A", v4(port)), haproxy(release, "B", v6(port))];
    for (side, key) in sides.iter().zip(["of-a", "of-b"]) {
        side.cli().quiet(&format!("set table t key {key} data.gpc0 7"));
        wait_value(&stickd.cli(), key, 7, &stickd);
    }
    stickd.cli().quiet("set table t key of-stickd data.gpc0 8");
    for side in &sides {
        wait_value(&side.cli(), "of-stickd", 8, &stickd);
    }
    let peers = stickd.cli().run("show peers");
    assert!(peers.contains("addr=127.0.0.1:"), "an IPv4 address is shown as one: {peers}");
}

/// Every kind of listener, with the word that says which families it serves, and without one.
#[test]
fn every_listener_serves_the_families_that_its_words_say() {
    let by_default = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap().trim() == "0";
    let section = |keyword: &str, line: String| match keyword {
        "bind" => format!("peers p\n  {line}\n  server stickd\n"),
        "default-bind" => format!("peers p\n  default-bind {line}\n"),
        "peer" => format!("peers p\n  {line}\n"),
        _ => format!("aggregations a\n  {line}\n  from any to .agg\n  dynamic-peers\n"),
    };
    for (word, serves_v4) in [("", by_default), (" v4v6", true), (" v6only", false), (" v4v6 v6only", false)]
    {
        let [port, runtime, hub] = [(); 3].map(|()| ports::free());
        let peers = match port % 3 {
            0 => section("bind", format!("bind [::]:{port}{word}")),
            1 => section("default-bind", format!("{}\n  peer stickd [::]:{port}", word.trim_start())),
            _ => section("peer", format!("peer stickd [::]:{port}{word}")),
        };
        // Without a word `default-bind` has nothing to say.
        let peers = peers.replace("  default-bind \n", "");
        let text = format!(
            "{GLOBAL}  stats socket [::]:{runtime} level admin{word}\n{peers}{}",
            section("aggregations", format!("peer stickd [::]:{hub} local{word}"))
        );
        let mut stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        // Once more for the process that takes over, whose listeners share the ports for a moment.
        for _ in 0..2 {
            for listener in [port, runtime, hub] {
                let outcome = TcpStream::connect(v4(listener)).map_err(|error| error.kind());
                match outcome {
                    Ok(_) => assert!(serves_v4, "{text}"),
                    Err(kind) => {
                        assert!(!serves_v4 && kind == ErrorKind::ConnectionRefused, "{kind}: {text}");
                    }
                }
                TcpStream::connect(v6(listener)).unwrap_or_else(|error| panic!("{error}: {text}"));
            }
            assert!(
                !serves_v4 || Cli::tcp(v4(runtime)).run("show info").contains("Name: stickd\n"),
                "{text}"
            );
            assert!(Cli::tcp(v6(runtime)).run("show info").contains("Name: stickd\n"), "{text}");
            let old = stickd.replace(Some(&text), &[]).unwrap_or_else(|ended| panic!("{ended}"));
            old.wait_exit(wait::SOON);
        }
    }
}

/// Without `-sf` a port that somebody has in either family is an error, and nobody's connections are taken.
#[test]
fn a_start_notices_a_listener_of_the_other_family() {
    let port = ports::free();
    let start = |address: &str| {
        let text = format!("{GLOBAL}peers p\n  peer stickd {address}:{port}\n");
        StickdProcess::try_start(STICKD, Some(&text), &[])
    };
    for (first, second) in [("0.0.0.0", "[::]"), ("[::]", "127.0.0.1"), ("127.0.0.1", "[::]")] {
        let running = start(first).unwrap_or_else(|ended| panic!("{first} {ended}"));
        let ended = start(second).err().unwrap_or_else(|| panic!("{second} beside {first} must fail"));
        assert!(ended.log.contains("Address already in use"), "{second} beside {first}: {ended}");
        running.stop();
    }
}
