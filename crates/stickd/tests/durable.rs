//! Tables that survive the end of every process (`state`).

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

on_every_release!(all_processes_end_and_every_limit_holds);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// What two dumps and a start may be apart, in ms.
const TOLERANCE: u64 = 1_500;

/// A configuration that keeps its tables in `state` of the working directory.
fn kept(tables: &str) -> String {
    let text = config(ports::free_address(), &[]) + tables;
    text.replacen("global\n", "global\n  state state every 50ms\n", 1)
}

fn start(config: &str) -> StickdProcess {
    StickdProcess::start(STICKD, Some(config), &[])
}

/// Waits until everything that was changed until now is durable.
#[track_caller]
fn wait_durable(cli: &Cli) {
    let changed = Instant::now();
    wait::until_or(
        SOON,
        "all to be durable",
        || cli.run("show info"),
        || {
            // Read before the lag is asked for: the time of the answer does not count.
            let elapsed = changed.elapsed();
            let lag: u64 = cli.info("Stickd_state_lag_ms")?.parse().ok()?;
            (elapsed > Duration::from_millis(lag + 2)).then_some(())
        },
    );
}

fn number(cli: &Cli, table: &str, key: &str, field: &str) -> Option<u64> {
    cli.table(table).entries.get(key).map(|entry| entry.number(field))
}

#[test]
fn entries_return_with_what_is_left_of_their_lives() {
    let tables = table("t", "type ip size 1k expire 1h store gpc0,http_req_rate(10s)")
        + &table("names", "type string len 20 size 1k expire 1h store gpt0")
        + &table("scratch", "type ip size 1k expire 1h store gpc0 no-state");
    let config = kept(&tables);
    let mut stickd = start(&config);
    let cli = stickd.cli();
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7 data.http_req_rate 40");
    cli.quiet("set table t key 192.0.2.2 data.gpc0 8");
    cli.quiet("set table names key alice data.gpt0 3");
    cli.quiet("set table scratch key 192.0.2.1 data.gpc0 1");
    wait_durable(&cli);
    cli.quiet("clear table t key 192.0.2.2");
    cli.quiet("set table t key 192.0.2.3 data.gpc0 9");
    wait_durable(&cli);
    let before = cli.table("t").entry("192.0.2.1").exp;
    stickd.restart(Some(&config), &[]);
    let cli = stickd.cli();
    let entry = cli.table("t");
    let entry = entry.entry("192.0.2.1");
    assert_eq!((entry.number("gpc0"), entry.number("http_req_rate(10000)")), (7, 40));
    assert!(entry.exp < before && entry.exp + TOLERANCE * 10 > before, "{} after {before}", entry.exp);
    assert_eq!(number(&cli, "t", "192.0.2.2", "gpc0"), None, "it was cleared");
    assert_eq!(number(&cli, "t", "192.0.2.3", "gpc0"), Some(9));
    assert_eq!(number(&cli, "names", "alice", "gpt0"), Some(3));
    assert!(cli.table("scratch").entries.is_empty(), "it is not kept");
    assert!(stickd.daemon().log().contains("tables were loaded"), "{}", stickd.daemon().log());
}

#[test]
fn a_clean_stop_loses_nothing() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0")).replace("every 50ms", "every 1h");
    let mut stickd = start(&config);
    stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 7");
    assert!(stickd.stop().success());
    stickd.restart(Some(&config), &[]);
    assert_eq!(number(&stickd.cli(), "t", "192.0.2.1", "gpc0"), Some(7));
}

#[test]
fn the_directory_is_of_one_process() {
    let text = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let first = start(&text);
    let directory = first.directory().join("state");
    let other = kept(&table("t", "type ip size 1k expire 1h store gpc0"))
        .replace("state state", &format!("state {}", directory.display()));
    let ended = StickdProcess::try_start(STICKD, Some(&other), &[]).unwrap_err();
    let pid = first.pid();
    let wanted = format!(
        "state {}: the process {pid} has the directory: stop it, take over from it with -sf, or give this one another directory",
        directory.display()
    );
    assert!(ended.log.contains(&wanted), "{}", ended.log);
    first.cli().quiet("set table t key 192.0.2.1 data.gpc0 7");
    wait_durable(&first.cli());
}

#[test]
fn a_process_that_takes_over_goes_on_with_the_files() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let mut stickd = start(&config);
    for round in 0..3_u64 {
        stickd.cli().quiet(&format!("set table t key 192.0.2.{round} data.gpc0 {round}"));
        let old = stickd.replace(Some(&config), &[]).unwrap();
        assert!(old.wait_exit(SOON).success());
        let cli = stickd.cli();
        wait::until(SOON, "the entries of the process before", || {
            (0..=round)
                .all(|key| number(&cli, "t", &format!("192.0.2.{key}"), "gpc0") == Some(key))
                .then_some(())
        });
    }
    let cli = stickd.cli();
    cli.quiet("set table t key 192.0.2.9 data.gpc0 9");
    wait_durable(&cli);
    stickd.restart(Some(&config), &[]);
    assert_eq!(stickd.table("t").used, 4);
    assert_eq!(number(&stickd.cli(), "t", "192.0.2.9", "gpc0"), Some(9));
}

#[test]
fn damage_is_said_and_stops_nothing() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let mut stickd = start(&config);
    let cli = stickd.cli();
    for round in 0..5 {
        cli.quiet(&format!("set table t key 192.0.2.{round} data.gpc0 {round}"));
        wait_durable(&cli);
    }
    let file = stickd.directory().join("state/0000000001.log");
    stickd.daemon().kill9();
    let mut bytes = fs::read(&file).unwrap();
    // The body of the third block of entries, each of one entry.
    let blocks: Vec<_> =
        (192..bytes.len()).step_by(64).filter(|&at| bytes[at..].starts_with(b"STKB\x02")).collect();
    bytes[blocks[2] + 70] ^= 0x55;
    fs::write(&file, bytes).unwrap();
    fs::write(stickd.directory().join("state/0000000002.log"), [b'?'; 1_000]).unwrap();
    stickd.restart(Some(&config), &[]);
    assert_eq!(stickd.table("t").used, 4, "one is lost");
    let log = stickd.daemon().log();
    assert!(log.contains("a part of a file cannot be read, 1 entries of t: older values were used"), "{log}");
    assert!(
        log.contains("a file of the tables was not read: it both of its headers")
            || log.contains("0000000002.log.unreadable"),
        "{log}"
    );
}

#[test]
fn a_directory_that_vanishes_stops_nothing() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let config = config.replace("state state", "state parent/state");
    let mut stickd = start(&config);
    let cli = stickd.cli();
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7");
    wait_durable(&cli);
    // A file stands where the directory was.
    let parent = stickd.directory().join("parent");
    fs::remove_dir_all(&parent).unwrap();
    fs::write(&parent, "x").unwrap();
    cli.quiet("set table t key 192.0.2.2 data.gpc0 8");
    wait_said(&stickd, "tables are not kept on disk: ");
    assert_eq!(number(&cli, "t", "192.0.2.2", "gpc0"), Some(8), "the service goes on");
    fs::remove_file(&parent).unwrap();
    wait_said(&stickd, "tables are kept on disk again");
    wait_durable(&cli);
    stickd.restart(Some(&config), &[]);
    assert_eq!(stickd.table("t").used, 2, "both were written again");
    // A start without it.
    stickd.daemon().kill9();
    fs::remove_dir_all(&parent).unwrap();
    fs::write(&parent, "x").unwrap();
    stickd.restart(Some(&config), &[]);
    let cli = stickd.cli();
    wait_said(&stickd, "tables are not kept on disk: ");
    cli.quiet("set table t key 192.0.2.3 data.gpc0 9");
    fs::remove_file(&parent).unwrap();
    wait_said(&stickd, "tables are kept on disk again");
    wait_durable(&cli);
    stickd.restart(Some(&config), &[]);
    assert_eq!(number(&stickd.cli(), "t", "192.0.2.3", "gpc0"), Some(9));
}

/// Waits until the log has a text.
#[track_caller]
fn wait_said(stickd: &StickdProcess, text: &str) {
    let log = || stickd.daemon().log();
    wait::until_or(SOON, text, log, || log().contains(text).then_some(()));
}

/// As when a file system is mounted after stickd has started.
#[test]
fn a_directory_that_appears_late_is_loaded_late() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let config = config.replace("state state", "state parent/state");
    let mut stickd = start(&config);
    let cli = stickd.cli();
    for key in 1..=3 {
        cli.quiet(&format!("set table t key 192.0.2.{key} data.gpc0 {key}"));
    }
    wait_durable(&cli);
    cli.quiet("clear table t key 192.0.2.3");
    wait_durable(&cli);
    stickd.daemon().kill9();
    let [parent, aside] = ["parent", "aside"].map(|name| stickd.directory().join(name));
    fs::rename(&parent, &aside).unwrap();
    fs::write(&parent, "x").unwrap();
    stickd.restart(Some(&config), &[]);
    let cli = stickd.cli();
    wait_said(&stickd, "tables are not kept on disk: ");
    cli.quiet("set table t key 192.0.2.2 data.gpc0 22");
    assert_eq!(number(&cli, "t", "192.0.2.1", "gpc0"), None);
    fs::remove_file(&parent).unwrap();
    // What is made here meanwhile is not what was there.
    let mut moved = fs::rename(&aside, &parent);
    for _ in 0..100 {
        if moved.is_ok() {
            break;
        }
        let _ = fs::remove_dir_all(&parent);
        moved = fs::rename(&aside, &parent);
    }
    moved.unwrap();
    wait_said(&stickd, "tables were loaded");
    wait_durable(&cli);
    let check = |cli: &Cli| {
        assert_eq!(number(cli, "t", "192.0.2.1", "gpc0"), Some(1), "it was loaded");
        assert_eq!(number(cli, "t", "192.0.2.2", "gpc0"), Some(22), "it is newer than what was loaded");
        assert_eq!(number(cli, "t", "192.0.2.3", "gpc0"), None, "it was cleared");
    };
    check(&cli);
    stickd.restart(Some(&config), &[]);
    check(&stickd.cli());
}

/// A pipe that nobody writes to is as good as a disk that does not answer.
#[test]
fn a_disk_that_hangs_delays_a_stop_for_seconds_only() {
    let config = kept(&table("t", "type ip size 1k expire 1h store gpc0"));
    let mut stickd = start(&config.replace("state state", "state parent/state"));
    stickd.daemon().kill9();
    let parent = stickd.directory().join("parent");
    fs::remove_dir_all(&parent).unwrap();
    fs::write(&parent, "x").unwrap();
    stickd.restart(Some(&config.replace("state state", "state parent/state")), &[]);
    wait_said(&stickd, "tables are not kept on disk: ");
    let hanging = stickd.directory().join("hanging");
    fs::create_dir(&hanging).unwrap();
    let made = Command::new("mkfifo").arg(hanging.join("0000000001.log")).status().unwrap();
    assert!(made.success());
    fs::create_dir(stickd.directory().join("new")).unwrap();
    fs::rename(&hanging, stickd.directory().join("new/state")).unwrap();
    fs::remove_file(&parent).unwrap();
    // Whoever comes first: what stickd may have made is empty.
    while fs::rename(stickd.directory().join("new"), &parent).is_err() {
        let _ = fs::remove_dir_all(&parent);
    }
    let cli = stickd.cli();
    wait::until(SOON, "the lag", || {
        let lag: u64 = cli.info("Stickd_state_lag_ms")?.parse().ok()?;
        (lag > 2_000).then_some(())
    });
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7");
    assert_eq!(number(&cli, "t", "192.0.2.1", "gpc0"), Some(7), "the service goes on");
    let began = Instant::now();
    assert!(stickd.stop().success());
    assert!(began.elapsed() >= Duration::from_secs(9), "it waited for the disk");
    let log = stickd.daemon().log();
    assert!(log.contains("the last changes of tables are not on disk: the disk does not answer"), "{log}");
}

/// Two HAProxys and a stickd that makes its table from what they define; the power goes at all of them.
fn all_processes_end_and_every_limit_holds(release: &Release) {
    let addresses = [(); 3].map(|()| ports::free_address());
    let [first, second, own] = addresses;
    let text = config(own, &[("A", first), ("B", second)]).replacen(
        "global\n",
        "global\n  state state every 50ms\n",
        1,
    ) + "  dynamic-tables size 1k\n";
    let haproxy = |name: &str| {
        let config = Config::new(name).peer("A", first).peer("B", second).peer("stickd", own);
        let config = config.table("t", "type ip size 1k expire 1h store gpc0,gpt0");
        HaproxyProcess::start(release, config)
    };
    let mut stickd = start(&text);
    let mut haproxys = ["A", "B"].map(haproxy);
    haproxys[0].cli().quiet("set table t key 192.0.2.1 data.gpc0 101 data.gpt0 1");
    let cli = stickd.cli();
    wait::until_or(
        Duration::from_secs(30),
        "the entry at stickd",
        || cli.run("show peers"),
        || {
            let text = cli.run("show table");
            text.contains("# table: t,").then_some(())?;
            (number(&cli, "t", "192.0.2.1", "gpc0") == Some(101)).then_some(())
        },
    );
    wait_durable(&cli);
    let before = cli.table("t").entry("192.0.2.1").exp;
    haproxys.iter().for_each(HaproxyProcess::kill9);
    stickd.restart(Some(&text), &[]);
    let cli = stickd.cli();
    let after = cli.table("t").entry("192.0.2.1").exp;
    assert!(after <= before && after + 10 * TOLERANCE > before, "{after} ms left after {before}");
    haproxys.iter_mut().for_each(HaproxyProcess::restart);
    for haproxy in &haproxys {
        let cli = haproxy.cli();
        wait::until_or(
            Duration::from_secs(30),
            "the entry to return",
            || cli.run("show peers"),
            || (number(&cli, "t", "192.0.2.1", "gpc0") == Some(101)).then_some(()),
        );
        let (is, should) = (cli.table("t").entry("192.0.2.1").exp, stickd.table("t").entry("192.0.2.1").exp);
        assert!(is.abs_diff(should) <= TOLERANCE, "{is} ms left, {should} at stickd");
    }
}

/// What such a table stores a peer said, who is gone when the table returns.
#[test]
fn a_table_without_a_store_list_returns_with_what_it_stored() {
    let [own, bind] = [(); 2].map(|()| ports::free_address());
    let line = "type string len 32 size 1k expire 1h";
    let config = (config(bind, &[("A", own)]) + &table("t", line)).replacen(
        "global\n",
        "global\n  state state every 50ms\n",
        1,
    );
    let mut stickd = start(&config);
    let haproxy =
        Config::new("A").peer("A", own).peer("stickd", bind).table("t", &format!("{line} store gpc0"));
    let haproxy = HaproxyProcess::start(&Release::newest(), haproxy);
    haproxy.cli().quiet("set table t key a data.gpc0 7");
    let read = |stickd: &StickdProcess| {
        let table = stickd.cli().table("t");
        let entry = table.entries.get("a")?;
        entry.fields.contains_key("gpc0").then(|| entry.number("gpc0"))
    };
    let state = |stickd: &StickdProcess| stickd.cli().run("show table t") + &stickd.daemon().log();
    wait::until_or(
        Duration::from_secs(30),
        "the counter",
        || state(&stickd),
        || (read(&stickd) == Some(7)).then_some(()),
    );
    wait_durable(&stickd.cli());
    drop(haproxy);
    stickd.restart(Some(&config), &[]);
    assert_eq!(read(&stickd), Some(7), "{}", state(&stickd));
}
