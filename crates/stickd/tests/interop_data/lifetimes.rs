//! Remaining lifetimes, through lessons in each direction and back.

use crate::pair::{CONNECTED, Pair, Setup, quiet};
use std::time::{Duration, Instant};
use stickd_testkit::wait;
use stickd_testkit::{Cli, HaproxyProcess, Release, TcpRelay, on_every_release, ports};

on_every_release!(
    a_lesson_from_haproxy_keeps_lifetimes,
    lessons_to_haproxy_keep_lifetimes_of_both,
    a_lesson_passed_on_keeps_lifetimes,
);

/// What two clocks, a lesson and two dumps may be apart.
const TOLERANCE: u64 = 1_000;

const SHORT: &str = "type string len 16 size 1k expire 8s store gpc0";
const LONG: &str = "type ip size 1k expire 1h store gpc0";

/// How much is left of an old entry when it is taught: far from the full 8 s, and enough to see it end.
const NEAR_ITS_END: u64 = 3_000;

/// How long HAProxy may take to repeat, untimed, what it taught (peers-protocol §12.4).
const REPEATED: u64 = 1_500;

fn with_tables(setup: Setup) -> Setup {
    setup.table("short", SHORT).table("long", LONG)
}

fn setup() -> Setup {
    with_tables(Setup::new())
}

/// The relays that lead to A and to hub are between them.
fn with_relays() -> (Setup, [TcpRelay; 2]) {
    let (a, hub) = (ports::free_address(), ports::free_address());
    let relays = [a, hub].map(|target| TcpRelay::start(ports::free_address(), target));
    let setup = Setup::between([a, relays[1].address()], [relays[0].address(), hub]);
    (with_tables(setup), relays)
}

/// The remaining lifetime of a key; 0 when it has ended.
fn left(cli: &Cli, table: &str, key: &str) -> u64 {
    cli.table(table).entries.get(key).map_or(0, |entry| entry.exp)
}

/// Makes an entry in each table and waits until it is near its end, then makes a young one beside it.
#[track_caller]
fn age(cli: &Cli, old: &str, young: &str) {
    wait_left(cli, old, NEAR_ITS_END);
    let set = |table, key, value| format!("set table {table} key {key} data.gpc0 {value}");
    quiet(cli, &[set("short", young, 2), set("long", "192.0.2.2", 2)]);
}

/// Waits until a key has at most `most` ms left.
#[track_caller]
fn wait_left(cli: &Cli, key: &str, most: u64) {
    let dump = || cli.run("show table short");
    wait::until_or(CONNECTED, &format!("{key} to grow old"), dump, || {
        (left(cli, "short", key) <= most).then_some(())
    });
}

/// When an entry ends by what was left of it at a moment.
#[derive(Clone, Copy)]
struct End(Instant);

impl End {
    fn of(cli: &Cli, table: &str, key: &str) -> Self {
        let left = left(cli, table, key);
        assert!(left > 0, "{key} has ended too early");
        Self(Instant::now() + Duration::from_millis(left))
    }

    /// What is left now, in ms.
    fn left(self) -> u64 {
        self.0.saturating_duration_since(Instant::now()).as_millis() as u64
    }

    /// Whether the entry is there with this lifetime, or would have ended by now.
    fn is_told(self, cli: &Cli, table: &str, key: &str) -> bool {
        let (is, should) = (left(cli, table, key), self.left());
        should == 0 || (is > 0 && is.abs_diff(should) <= TOLERANCE)
    }

    #[track_caller]
    fn check(self, cli: &Cli, table: &str, key: &str, when: &str) {
        let (is, should) = (left(cli, table, key), self.left());
        assert!(
            is.abs_diff(should) <= TOLERANCE,
            "{key} in {table} {when}: {is} ms left, {should} ms expected\n{}\n{}",
            cli.run("show table short"),
            cli.run("show peers")
        );
    }
}

/// The ends of all entries there are.
fn ends(cli: &Cli) -> Vec<(&'static str, String, End)> {
    ["short", "long"]
        .into_iter()
        .flat_map(|table| {
            let keys = cli.table(table).entries.into_keys();
            keys.map(move |key| (table, key)).collect::<Vec<_>>()
        })
        .map(|(table, key)| {
            let end = End::of(cli, table, &key);
            (table, key, end)
        })
        .collect()
}

/// Waits until all entries have arrived by a lesson. HAProxy may push waiting entries just before it, without a lifetime: that an
/// entry is there does not tell that its lifetime is.
#[track_caller]
fn wait_taught(cli: &Cli, ends: &[(&'static str, String, End)]) {
    let entries = || format!("{}\n{}", cli.run("show table short"), cli.run("show peers"));
    wait::until_or(CONNECTED, "all entries with their lifetimes", entries, || {
        ends.iter().all(|(table, key, end)| end.is_told(cli, table, key)).then_some(())
    });
}

/// Waits until all entries have arrived, and checks their lifetimes when HAProxy has had the time to repeat them.
#[track_caller]
fn check(cli: &Cli, ends: &[(&'static str, String, End)]) {
    wait_taught(cli, ends);
    let taught = Instant::now();
    wait::until(CONNECTED, "the time for repetitions", || {
        (taught.elapsed() >= Duration::from_millis(REPEATED)).then_some(())
    });
    for (table, key, end) in ends {
        end.check(cli, table, key, "after the repetitions");
    }
}

/// Waits until HAProxy counts itself as up to date, without which it ends its lessons as partial.
#[track_caller]
fn wait_up_to_date(haproxy: &HaproxyProcess) {
    wait::until_or(
        CONNECTED,
        "HAProxy to be up to date",
        || haproxy.cli().run("show peers"),
        || {
            let said = haproxy.cli().run("show peers p");
            let (_, rest) = said.split_once("flags=0x")?;
            let digits = rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()?;
            // Bits 0 and 1: the local and the remote resynchronisation are over.
            (u64::from_str_radix(digits, 16).ok()? & 3 == 3).then_some(())
        },
    );
}

/// Breaks the session and waits until another has brought an update.
#[track_caller]
fn cut(relays: &[TcpRelay; 2], from: &Cli, to: &Cli) {
    let connections = || relays.iter().map(TcpRelay::connections).sum::<usize>();
    let before = connections();
    relays.iter().for_each(TcpRelay::cut);
    wait::until(CONNECTED, "a new session", || (connections() > before).then_some(()));
    from.quiet("set table short key last data.gpc0 1");
    wait::until_or(
        CONNECTED,
        "its first update",
        || to.run("show peers"),
        || (left(to, "short", "last") > 0).then_some(()),
    );
}

fn a_lesson_from_haproxy_keeps_lifetimes(release: &Release) {
    let (setup, relays) = with_relays();
    let haproxy = setup.start_haproxy(release);
    let cli = haproxy.cli();
    quiet(
        &cli,
        &["set table short key old data.gpc0 1".to_owned(), "set table long key 192.0.2.1".to_owned()],
    );
    wait_up_to_date(&haproxy);
    age(&cli, "old", "young");
    let mut ends = ends(&cli);
    assert_eq!(ends.len(), 4);
    let stickd = setup.start_stickd();
    check(&stickd.cli(), &ends);
    assert!(stickd.daemon().log().contains("the lesson is finished"), "{}", stickd.daemon().log());

    // The old entry disappears when its life is over, the young one stays.
    let (_, _, end) = ends.remove(ends.iter().position(|(_, key, _)| key == "old").unwrap());
    wait::until(CONNECTED, "the old entry to end", || {
        (!stickd.table("short").entries.contains_key("old")).then_some(())
    });
    let late = Instant::now().saturating_duration_since(end.0);
    assert!(end.left() <= TOLERANCE && late <= Duration::from_millis(TOLERANCE), "late by {late:?}");
    assert_eq!(stickd.table("short").entry("young").number("gpc0"), 2);

    // All was acknowledged: a new session does not begin with all of it again.
    cut(&relays, &haproxy.cli(), &stickd.cli());
    for (table, key, end) in &ends {
        end.check(&stickd.cli(), table, key, "in a new session");
    }
}

fn lessons_to_haproxy_keep_lifetimes_of_both(release: &Release) {
    let (setup, relays) = with_relays();
    let mut pair: Pair = setup.start(release);
    let (haproxy, stickd) = (pair.haproxy.cli(), pair.stickd.cli());
    quiet(
        &haproxy,
        &["set table short key hers data.gpc0 1".to_owned(), "set table long key 192.0.2.1".to_owned()],
    );
    quiet(
        &stickd,
        &["set table short key ours data.gpc0 1".to_owned(), "set table long key 192.0.2.3".to_owned()],
    );
    pair.wait_same("short", |table| table.used == 2);
    wait_left(&stickd, "hers", NEAR_ITS_END);
    age(&stickd, "ours", "young");
    quiet(&haproxy, &["set table short key hers-young data.gpc0 3".to_owned()]);
    pair.wait_same("short", |table| table.used == 4);
    let hers = End::of(&haproxy, "short", "hers");
    pair.haproxy.kill9();
    // Never pushed to a HAProxy before the lesson.
    quiet(&stickd, &["set table short key alone data.gpc0 4".to_owned()]);
    let ends = ends(&stickd);
    assert_eq!(ends.len(), 8);
    let (_, _, learned) = ends.iter().find(|(_, key, _)| key == "hers").unwrap();
    assert!(learned.left().abs_diff(hers.left()) <= TOLERANCE);

    pair.haproxy.restart();
    check(&haproxy, &ends);
    cut(&relays, &stickd, &haproxy);
    for (table, key, end) in ends.iter().filter(|(_, _, end)| end.left() > TOLERANCE) {
        end.check(&haproxy, table, key, "in a new session");
        // What HAProxy was taught and repeats must not prolong what stickd has.
        end.check(&stickd, table, key, "on stickd in the end");
    }
}

fn a_lesson_passed_on_keeps_lifetimes(release: &Release) {
    let setup = setup();
    let mut haproxy = setup.start_haproxy(release);
    let cli = haproxy.cli();
    quiet(
        &cli,
        &["set table short key old data.gpc0 1".to_owned(), "set table long key 192.0.2.1".to_owned()],
    );
    age(&cli, "old", "young");
    let ends = ends(&cli);
    // HAProxy teaches stickd, then starts again empty and is taught.
    let stickd = setup.start_stickd();
    wait_taught(&stickd.cli(), &ends);
    haproxy.restart();
    wait_taught(&haproxy.cli(), &ends);
}
