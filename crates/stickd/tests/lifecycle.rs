//! Sessions that break and processes that restart, with real HAProxys: nobody loses anything.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use stickd_testkit::relay::Direction;
use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, Signal, StickdProcess, TableDump, TcpRelay, on_every_release, ports,
};

on_every_release!(
    a_cut_session_goes_on_where_it_was,
    a_haproxy_that_restarts_gets_its_table_back,
    a_stickd_that_restarts_gets_its_table_back,
);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type ip size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
const RECONNECTED: Duration = Duration::from_secs(30);
/// A table is back in some milliseconds; when both sides happen to connect at once, the pause that breaks the tie takes
/// up to 2.05 s.
const BACK: Duration = Duration::from_millis(2_500);

/// A stickd and a HAProxy.
struct Pair {
    stickd: StickdProcess,
    haproxy: HaproxyProcess,
    config: String,
}

impl Pair {
    /// Both listen at their own addresses and look for each other at the addresses of `other`, in the same order.
    fn start(release: &Release, own: [SocketAddr; 2], other: [SocketAddr; 2]) -> Self {
        let config = config(own[0], &[("A", other[1])]) + &table("t", TABLE);
        let stickd = StickdProcess::start(STICKD, Some(&config), &[]);
        let haproxy = Config::new("A").peer("A", own[1]).peer("stickd", other[0]).table("t", TABLE);
        let haproxy = HaproxyProcess::start(release, haproxy);
        Self { stickd, haproxy, config }
    }

    /// Both can connect to the other.
    fn direct(release: &Release) -> Self {
        let own = [ports::free_address(), ports::free_address()];
        Self::start(release, own, own)
    }

    /// One connects through a relay, the other looks for the one where nobody is.
    fn relayed(release: &Release, stickd_connects: bool) -> (Self, TcpRelay) {
        let own = [ports::free_address(), ports::free_address()];
        let (between, nobody) = (ports::free_address(), ports::free_address());
        let relay = TcpRelay::start(between, own[usize::from(stickd_connects)]);
        let other = if stickd_connects { [nobody, between] } else { [between, nobody] };
        (Self::start(release, own, other), relay)
    }

    fn sides(&self) -> [Cli; 2] {
        [self.stickd.cli(), self.haproxy.cli()]
    }

    /// Waits until both sides hold these entries.
    #[track_caller]
    fn wait_entries(&self, expected: &[(&str, u64)]) {
        for side in self.sides() {
            wait_entries(&side, expected);
        }
    }
}

#[track_caller]
fn wait_entries(side: &Cli, expected: &[(&str, u64)]) -> TableDump {
    let what = format!("{expected:?} on {side}");
    let state = || format!("{}\n{}", side.run("show table t"), side.run("show peers"));
    wait::until_or(RECONNECTED, &what, state, || {
        let table = side.table("t");
        let holds = |&(key, value): &(&str, u64)| {
            table.entries.get(key).is_some_and(|entry| entry.number("gpc0") == value)
        };
        (table.entries.len() == expected.len() && expected.iter().all(holds)).then_some(table)
    })
}

fn set(side: &Cli, key: &str, value: u64) {
    side.quiet(&format!("set table t key {key} data.gpc0 {value}"));
}

/// How often stickd's output has `text`.
fn logged(stickd: &StickdProcess, text: &str) -> usize {
    stickd.daemon().log().matches(text).count()
}

/// A number of the line of peer A in `show peers`, e.g. `new_conn`.
#[track_caller]
fn counter(side: &Cli, name: &str) -> u64 {
    let text = side.run("show peers");
    let peer = text.split("id=A(").nth(1).unwrap_or_else(|| panic!("no peer A: {text}"));
    let value = peer.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
}

/// Resync requests (`00 00`) cannot be told from other bytes in a recording, so lessons are counted by stickd's log.
fn lessons(stickd: &StickdProcess) -> [usize; 2] {
    ["asking for a lesson", "the peer asked for a lesson"].map(|text| logged(stickd, text))
}

fn a_cut_session_goes_on_where_it_was(release: &Release) {
    // At the same time: both wait for HAProxy's first lesson, which takes 5 s to begin.
    thread::scope(|scope| {
        for stickd_connects in [true, false] {
            scope.spawn(move || {
                let (pair, relay) = Pair::relayed(release, stickd_connects);
                cut(&pair, &relay);
            });
        }
    });
}

fn cut(pair: &Pair, relay: &TcpRelay) {
    let [stickd, haproxy] = pair.sides();
    for lesson in ["the lesson is finished", "the peer asked for a lesson", "the peer confirmed its lesson"] {
        pair.stickd.daemon().wait_log(lesson, RECONNECTED);
    }
    set(&stickd, "192.0.2.1", 1);
    set(&haproxy, "192.0.2.2", 2);
    pair.wait_entries(&[("192.0.2.1", 1), ("192.0.2.2", 2)]);
    let (before, sessions) = (lessons(&pair.stickd), counter(&stickd, "new_conn"));
    let sent_before = sent_updates(relay, 0);
    assert!(sent_before.iter().all(|&count| count > 0), "{sent_before:?}");

    // What is written while the relay holds everything back is sent into a connection that dies.
    relay.stall(Direction::ToTarget);
    relay.stall(Direction::FromTarget);
    set(&stickd, "192.0.2.3", 3);
    set(&stickd, "192.0.2.1", 11);
    set(&haproxy, "192.0.2.4", 4);
    set(&haproxy, "192.0.2.2", 22);
    relay.cut();
    relay.resume();
    set(&stickd, "192.0.2.5", 5);
    set(&haproxy, "192.0.2.6", 6);
    pair.wait_entries(&[
        ("192.0.2.1", 11),
        ("192.0.2.2", 22),
        ("192.0.2.3", 3),
        ("192.0.2.4", 4),
        ("192.0.2.5", 5),
        ("192.0.2.6", 6),
    ]);
    assert_eq!(lessons(&pair.stickd), before, "a second lesson:\n{}", pair.stickd.daemon().log());
    assert_eq!(relay.connections(), 2);
    assert!(counter(&stickd, "new_conn") > sessions);
    for name in ["proto_err", "no_hbt", "coll"] {
        assert_eq!(counter(&stickd, name), 0, "{name}: {}", stickd.run("show peers"));
    }
    // Nothing that was acknowledged is told again: each side sends its two changed entries and its new one.
    let sent = sent_updates(relay, 1);
    assert!(sent.iter().all(|&count| (3..=4).contains(&count)), "{sent:?}");
}

/// Updates each way in a connection through the relay.
fn sent_updates(relay: &TcpRelay, connection: usize) -> [usize; 2] {
    let recording = &relay.recordings()[connection];
    [Direction::ToTarget, Direction::FromTarget].map(|direction| {
        let bytes = recording.bytes(direction);
        // The handshake: three lines of the opener, one of the other.
        let lines = if direction == Direction::ToTarget { 3 } else { 1 };
        let start = bytes.split_inclusive(|&byte| byte == b'\n').take(lines).map(<[u8]>::len).sum();
        updates(&bytes[start..])
    })
}

fn updates(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some((frame, size))) = haproxy_peers::decode_frame(bytes, 0, 1 << 14) {
        count += usize::from(haproxy_peers::UpdateForm::from_kind(frame.kind).is_some() && frame.class == 10);
        bytes = &bytes[size..];
    }
    count
}

/// When an entry of a dump taken now expires.
fn expiry(table: &TableDump, key: &str) -> Instant {
    Instant::now() + Duration::from_millis(table.entry(key).exp)
}

/// Waits until the entry is a second old: a lifetime that starts again by mistake is seen as such.
fn age(side: &Cli, key: &str) -> Instant {
    wait::until(SOON, "an entry to age", || {
        let table = side.table("t");
        (table.entry(key).exp < 3_599_000).then(|| expiry(&table, key))
    })
}

#[track_caller]
fn assert_same_expiry(restored: Instant, original: Instant) {
    let difference = restored.max(original) - restored.min(original);
    assert!(difference < Duration::from_millis(500), "expires {difference:?} away from where it was");
}

fn a_haproxy_that_restarts_gets_its_table_back(release: &Release) {
    let mut pair = Pair::direct(release);
    let [stickd, haproxy] = pair.sides();
    set(&stickd, "192.0.2.1", 1);
    set(&haproxy, "192.0.2.2", 2);
    let both = [("192.0.2.1", 1), ("192.0.2.2", 2)];
    pair.wait_entries(&both);
    let expires = ["192.0.2.1", "192.0.2.2"].map(|key| age(&stickd, key));
    pair.haproxy.restart();
    let started = Instant::now();
    let table = wait_entries(&haproxy, &both);
    let took = started.elapsed();
    println!("{release}: everything after {took:?}");
    for (key, original) in ["192.0.2.1", "192.0.2.2"].into_iter().zip(expires) {
        assert_same_expiry(expiry(&table, key), original);
    }
    assert!(took < BACK, "{took:?}");
}

fn a_stickd_that_restarts_gets_its_table_back(release: &Release) {
    let mut pair = Pair::direct(release);
    let [stickd, haproxy] = pair.sides();
    set(&stickd, "192.0.2.1", 1);
    set(&haproxy, "192.0.2.2", 2);
    let both = [("192.0.2.1", 1), ("192.0.2.2", 2)];
    pair.wait_entries(&both);
    let expires = ["192.0.2.1", "192.0.2.2"].map(|key| age(&haproxy, key));
    pair.stickd.restart(Some(&pair.config), &[]);
    let started = Instant::now();
    let table = wait_entries(&stickd, &both);
    let took = started.elapsed();
    println!("{release}: everything after {took:?}");
    for (key, original) in ["192.0.2.1", "192.0.2.2"].into_iter().zip(expires) {
        assert_same_expiry(expiry(&table, key), original);
    }
    assert!(took < BACK, "{took:?}");
}

/// A stickd that is asked to stop closes its sockets, removes their paths and says that all is well.
#[test]
fn signals_stop_it() {
    for signal in [Signal::TERM, Signal::INT, Signal::USR1] {
        let text = config(ports::free_address(), &[]) + &table("t", TABLE);
        let stickd = StickdProcess::start(STICKD, Some(&text), &["-p", "stickd.pid"]);
        let pid = std::fs::read_to_string(stickd.directory().join("stickd.pid")).unwrap();
        assert_eq!(pid, format!("{}\n", stickd.pid()));
        let asked = Instant::now();
        stickd.signal(signal);
        let status = stickd.daemon().wait_exit(SOON);
        println!("{signal:?}: {:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{}", stickd.daemon().log());
        assert!(asked.elapsed() < Duration::from_secs(5));
        for file in [stickd_testkit::stickd::SOCKET, "stickd.pid"] {
            assert!(!stickd.directory().join(file).exists(), "{file} stays");
        }
        let alone = signal == Signal::USR1;
        assert_eq!(logged(&stickd, "no process took over") == 1, alone, "{}", stickd.daemon().log());
    }
}
