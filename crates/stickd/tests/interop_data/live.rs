//! Live updates in both directions.

use crate::pair::{CONNECTED, Setup, quiet};
use std::time::{Duration, Instant};
use stickd_testkit::relay::Direction;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Release, TcpRelay, on_every_release, ports};

on_every_release!(
    an_update_arrives_at_once,
    five_thousand_keys_arrive,
    many_updates_of_a_key_end_with_the_last,
    tables_of_backends_and_of_sections_are_shared,
);

const COUNTERS: &str = "type integer size 10k expire 1h store gpc0,bytes_in_cnt";

/// What an update may take on a machine busy with other tests; it is a matter of under a millisecond.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long a key takes to have `value` in `table`.
#[track_caller]
fn arrival(cli: &Cli, table: &str, key: u32, value: u64) -> Duration {
    let start = Instant::now();
    let key = key.to_string();
    wait::until_or(
        SOON,
        &format!("{key} to be {value}"),
        || cli.run("show peers"),
        || {
            let table = cli.table(table);
            (table.entries.get(&key)?.number("gpc0") == value).then_some(())
        },
    );
    start.elapsed()
}

fn an_update_arrives_at_once(release: &Release) {
    let pair = Setup::new().table("t", COUNTERS).start(release);
    let (haproxy, stickd) = (pair.haproxy.cli(), pair.stickd.cli());
    // The first pushes may wait for the lessons of the beginning.
    for (from, to) in [(&haproxy, &stickd), (&stickd, &haproxy)] {
        from.quiet("set table t key 1 data.gpc0 1");
        arrival(to, "t", 1, 1);
    }
    let mut fastest = [Duration::MAX; 2];
    for value in 2..12 {
        let ways = [(&haproxy, &stickd), (&stickd, &haproxy)];
        for (way, (from, to)) in ways.into_iter().enumerate() {
            let key = way as u32 + 10;
            from.quiet(&format!("set table t key {key} data.gpc0 {value}"));
            fastest[way] = fastest[way].min(arrival(to, "t", key, value));
        }
    }
    assert!(fastest.iter().all(|time| *time < AT_ONCE), "{fastest:?}");
}

fn five_thousand_keys_arrive(release: &Release) {
    let pair = Setup::new().table("from_haproxy", COUNTERS).table("from_stickd", COUNTERS).start(release);
    for (cli, table) in [(pair.haproxy.cli(), "from_haproxy"), (pair.stickd.cli(), "from_stickd")] {
        let set = |key| format!("set table {table} key {key} data.gpc0 {} data.bytes_in_cnt {key}", key % 7);
        quiet(&cli, &(0..5_000).map(set).collect::<Vec<_>>());
    }
    for table in ["from_haproxy", "from_stickd"] {
        let same = pair.wait_same(table, |table| table.used == 5_000);
        assert_eq!(same.entry("4999").number("bytes_in_cnt"), 4_999);
    }
}

/// Changes of a key while the peer cannot be reached are one update when it can be.
fn many_updates_of_a_key_end_with_the_last(release: &Release) {
    let (a, hub) = (ports::free_address(), ports::free_address());
    let relays = [a, hub].map(|target| TcpRelay::start(ports::free_address(), target));
    let [to_a, to_hub] = &relays;
    let setup = Setup::between([a, to_hub.address()], [to_a.address(), hub]);
    let pair = setup.table("t", COUNTERS).start(release);
    let (haproxy, stickd) = (pair.haproxy.cli(), pair.stickd.cli());
    for (from, to, key) in [(&haproxy, &stickd, 1), (&stickd, &haproxy, 2)] {
        let set = |value| format!("set table t key {key} data.gpc0 {value}");
        quiet(from, &(1..=3_000).map(set).collect::<Vec<_>>());
        arrival(to, "t", key, 3_000);
    }
    relays.iter().for_each(TcpRelay::refuse);
    relays.iter().for_each(TcpRelay::cut);
    let set = |value| format!("set table t key 3 data.gpc0 {value}");
    quiet(&stickd, &(1..=1_000).map(set).collect::<Vec<_>>());
    relays.iter().for_each(TcpRelay::resume);
    let before = [to_a, to_hub].map(TcpRelay::connections);
    wait::until_or(
        CONNECTED,
        "the last value",
        || pair.state("t"),
        || (haproxy.table("t").entries.get("3")?.number("gpc0") == 1_000).then_some(()),
    );
    let said = |relay: &TcpRelay, after: usize, direction| -> usize {
        relay.recordings()[after..].iter().map(|recording| recording.bytes(direction).len()).sum()
    };
    let bytes = said(to_a, before[0], Direction::ToTarget) + said(to_hub, before[1], Direction::FromTarget);
    assert!(bytes < 500, "{bytes} bytes for one entry\n{}", pair.stickd.daemon().log());
}

/// Plain names of backends, `/t` of the section, and a second section with a table of the same name, at once.
fn tables_of_backends_and_of_sections_are_shared(release: &Release) {
    let (a, hub) = (ports::free_address(), ports::free_address());
    let second = format!("peers q\n  peer A {a}\n  peer hub {hub}\n  table t {COUNTERS}\n");
    let backend = format!("backend b\n  stick-table {COUNTERS} peers q\n");
    // 2.6 cannot have a table of a section under the name of a backend before it.
    let plain = if release.branch() < (2, 8) { "w" } else { "t" };
    let pair = Setup::new()
        .table(plain, COUNTERS)
        .section_table("t", COUNTERS)
        .section_table("u", "type string len 8 size 1k expire 1h store gpc0")
        .haproxy(|config| config.line(second.clone()).line(backend.clone()))
        .stickd(&format!("{second}{backend}"))
        .start(release);
    let tables = [plain, "p/t", "p/u", "q/t", "b"];
    for (number, table) in tables.iter().enumerate() {
        pair.haproxy.cli().quiet(&format!("set table {table} key 1 data.gpc0 {}", number + 10));
        pair.stickd.cli().quiet(&format!("set table {table} key 2 data.gpc0 {}", number + 20));
    }
    for (number, table) in tables.iter().enumerate() {
        let same = pair.wait_same(table, |table| table.used == 2);
        assert_eq!(same.name, *table);
        assert_eq!(same.entry("1").number("gpc0"), number as u64 + 10, "{table}");
        assert_eq!(same.entry("2").number("gpc0"), number as u64 + 20, "{table}");
    }
}
