//! A section that was copied from a HAProxy: this node listens where its own line says, and waits for a node without an address.

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";

/// Waits until a side holds a value.
#[track_caller]
fn expect(side: &Cli, key: &str, value: u64, log: impl Fn() -> String) {
    wait::until_or(SOON, "the value", log, || {
        side.table("t").entries.get(key).filter(|entry| entry.number("gpc0") == value).map(|_| ())
    });
}

fn a_node_without_an_address_is_waited_for(release: &Release) {
    let (address, mine) = (ports::free_address(), ports::free_address());
    // The `bind` line is of lb1: nobody could listen there on this machine.
    let section = format!("peers p\n  bind 192.0.2.1:10000\n  server lb1\n  server stickd {address}\n");
    let text = format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n{section}backend t\n  stick-table {TABLE} peers p\n"
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    stickd.cli().quiet("set table t key ours data.gpc0 5");
    let hap = Config::new("lb1").http(ports::free_address(), ports::free_address());
    let hap = hap.peer("lb1", mine).peer("stickd", address).table("t", TABLE);
    let hap = HaproxyProcess::start(release, hap);
    let log = || stickd.daemon().log();
    expect(&hap.cli(), "ours", 5, log);
    hap.cli().quiet("set table t key theirs data.gpc0 7");
    expect(&stickd.cli(), "theirs", 7, log);
    assert!(!log().contains("cannot reach"), "{}", log());
}

on_every_release!(a_node_without_an_address_is_waited_for);
