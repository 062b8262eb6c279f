//! The memory that the limits allow: said at the start, shown by `show info`, and added up from the limits themselves.

use stickd_testkit::stickd::{config, table};
use stickd_testkit::{StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const PARTS: [&str; 6] = ["table", "dynamic_table", "hub", "peer", "client", "log"];

/// Bytes of each part, after a look at the line in the log.
fn parts(more: &str) -> [u64; 6] {
    let configuration = config(ports::free_address(), &[("A", ports::free_address())]) + more;
    let stickd = StickdProcess::start(STICKD, Some(&configuration), &[]);
    let number = |row: &str| -> u64 { stickd.cli().info(row).expect(row).parse().unwrap() };
    let parts = PARTS.map(|part| number(&format!("Stickd_budget_{part}_bytes")));
    let total = number("Stickd_budget_bytes");
    assert_eq!(parts.iter().sum::<u64>(), total);
    let log = stickd.daemon().log();
    let line = format!("the limits allow {} MiB of memory", total.div_ceil(1 << 20));
    assert!(log.contains(&line), "{line} is not in {log}");
    assert_eq!(log.contains("and more: a section has no limit"), more.contains("memory 0"), "{log}");
    parts
}

#[test]
fn each_limit_adds_what_it_allows() {
    let [tables, dynamic, hub, peers, clients, log] = parts(&table("t", "type ip size 1k store gpc0"));
    assert_eq!((dynamic, hub), (0, 0));
    assert!(tables > 0 && clients > 0 && log > 0);
    let larger = parts(&table("t", "type ip size 10k store gpc0"));
    assert_eq!((larger[0], larger[3]), (10 * tables, peers));
    // Each entry may have a server_key of its own, of up to 256 bytes.
    let with_strings = parts(&table("t", "type ip size 1k store gpc0,server_key"));
    assert!(with_strings[0] >= tables + 1024 * 256, "{} and {tables}", with_strings[0]);
    let [_, dynamic, ..] = parts("  dynamic-tables memory 64m\n");
    assert_eq!(dynamic, 64 << 20);
    let more_peers = parts("  dynamic-peers max 100\n");
    assert!(more_peers[3] > peers + (100 << 20), "{} and {peers}", more_peers[3]);
    parts("  dynamic-tables memory 0\n");
}
