//! Options of tables and sections: `shards`, `write-to`, `recv-only`.

use crate::pair::{CONNECTED, Setup, quiet};
use std::collections::BTreeSet;
use stickd_testkit::{Release, TableDump, on_every_release, wait};

on_every_release!(each_side_is_sent_its_shard, what_is_written_is_copied, connections_are_learned_if_told);

const KEYS: usize = 40;

/// Releases from 2.7 on know shards.
fn each_side_is_sent_its_shard(release: &Release) {
    if release.branch() < (2, 7) {
        let refused = Setup::new().haproxy(|config| config.peers_line("shards 2"));
        let started = std::panic::catch_unwind(|| refused.start_haproxy(release));
        assert!(started.is_err(), "{release} knows shards");
        return;
    }
    let arguments = "type string len 16 size 1k expire 1h store gpc0";
    let setup = Setup::sharded(2, 1).table("b", arguments).section_table("t", arguments);
    let pair = setup.start(release);
    for table in ["b", "p/t"] {
        for (cli, prefix) in [(pair.haproxy.cli(), "a"), (pair.stickd.cli(), "h")] {
            let set = |number| format!("set table {table} key {prefix}{number} data.gpc0 1");
            quiet(&cli, &(0..KEYS).map(set).collect::<Vec<_>>());
        }
        let keys = |dump: &TableDump, prefix: &str, shard: Option<&str>| -> BTreeSet<String> {
            let entries = dump.entries.iter().filter(|(key, _)| key.starts_with(prefix));
            let entries =
                entries.filter(|(_, entry)| shard.is_none_or(|shard| entry.field("shard") == shard));
            entries.map(|(key, _)| key.clone()).collect()
        };
        // Each names the shard of its own keys; those of the other's shard arrive there and no others do.
        let state = || pair.state(table);
        let (haproxy, stickd) = wait::until_or(CONNECTED, "the shards to arrive", state, || {
            let (haproxy, stickd) = (pair.haproxy.table(table), pair.stickd.table(table));
            let arrived = keys(&haproxy, "a", Some("1")).is_subset(&keys(&stickd, "a", None))
                && keys(&stickd, "h", Some("2")).is_subset(&keys(&haproxy, "h", None));
            arrived.then_some((haproxy, stickd))
        });
        assert_eq!(keys(&stickd, "a", None), keys(&haproxy, "a", Some("1")), "{table}");
        assert_eq!(keys(&haproxy, "h", None), keys(&stickd, "h", Some("2")), "{table}");
        // Both count the same shard of a key.
        for (key, entry) in haproxy.entries.iter().filter(|(key, _)| stickd.entries.contains_key(*key)) {
            assert_eq!(stickd.entry(key).field("shard"), entry.field("shard"), "{table} {key}");
        }
        assert!((5..KEYS - 5).contains(&keys(&stickd, "a", None).len()), "{stickd:?}");
    }
}

/// stickd knows `write-to` whatever the peer's release.
fn what_is_written_is_copied(release: &Release) {
    let arguments = "type ip size 1k expire 1h store server_id,gpt0,gpc0";
    let pair = Setup::new()
        .tables("source", arguments, &format!("{arguments} write-to target"))
        .stickd(&format!("backend target\n  stick-table {arguments}\n"))
        .start(release);
    pair.haproxy.cli().quiet("set table source key 192.0.2.1 data.server_id 3 data.gpt0 4 data.gpc0 5");
    pair.wait_same("source", |table| table.used == 1);
    let target = pair.stickd.table("target");
    let entry = target.entry("192.0.2.1");
    let numbers = ["server_id", "gpt0", "gpc0"].map(|name| entry.number(name));
    assert_eq!(numbers, [3, 4, 0], "only what is copied as it is");
}

/// `recv-only` on stickd's side, whatever the peer's release; HAProxy's own from 3.2 on.
fn connections_are_learned_if_told(release: &Release) {
    let arguments = "type ip size 1k expire 1h store conn_cur,gpc0";
    let told = format!("{arguments} recv-only");
    let haproxy = if release.branch() >= (3, 2) { &told } else { arguments };
    let pair =
        Setup::new().tables("told", haproxy, &told).tables("untold", arguments, arguments).start(release);
    for table in ["told", "untold"] {
        pair.haproxy.cli().quiet(&format!("set table {table} key 192.0.2.1 data.conn_cur 7 data.gpc0 1"));
        pair.stickd.cli().quiet(&format!("set table {table} key 192.0.2.2 data.conn_cur 8 data.gpc0 1"));
        pair.wait_same(table, |table| table.used == 2);
    }
    let read = |dump: TableDump, key: &str| dump.entry(key).number("conn_cur");
    let on_stickd = ["told", "untold"].map(|table| read(pair.stickd.table(table), "192.0.2.1"));
    assert_eq!(on_stickd, [7, 0]);
    let on_haproxy = ["told", "untold"].map(|table| read(pair.haproxy.table(table), "192.0.2.2"));
    assert_eq!(on_haproxy, [if release.branch() >= (3, 2) { 8 } else { 0 }, 0]);
}
