//! `stickd state`, `stickd dump` and `stickd restore`, with real processes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

on_every_release!(what_a_haproxy_shows_is_restored);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const IP: &str = "type ip size 1k expire 1h store gpc0,http_req_rate(10s)";

fn tables() -> String {
    table("t", IP)
        + &table("names", "type string len 20 size 1k expire 1h store gpt(2),server_key")
        + &table("hex", "type binary len 4 size 1k store gpc0")
}

fn kept(tables: &str) -> String {
    let text = config(ports::free_address(), &[]) + tables;
    text.replacen("global\n", "global\n  state state every 50ms\n", 1)
}

fn start(config: &str) -> StickdProcess {
    StickdProcess::start(STICKD, Some(config), &[])
}

/// Runs a command of stickd's in a directory.
fn stickd(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(STICKD);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.output().expect("stickd runs")
}

/// Its output when it succeeds.
#[track_caller]
fn good(directory: &Path, arguments: &[&str]) -> String {
    let output = stickd(directory, arguments);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}: {out}{error}", output.status);
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stickd with entries in three tables, all of them durable.
fn filled() -> (StickdProcess, String) {
    let config = kept(&tables());
    let stickd = start(&config);
    let cli = stickd.cli();
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7 data.http_req_rate 40");
    cli.quiet("set table t key 192.0.2.2 data.gpc0 8");
    cli.quiet(r"restore table names key a\ \;b\\ data.gpt1 3 data.server_key s1");
    cli.quiet("restore table hex key 0A0B0C0D data.gpc0 1");
    wait_durable(&cli);
    (stickd, config)
}

#[track_caller]
fn wait_durable(cli: &Cli) {
    let changed = Instant::now();
    wait::until(SOON, "all to be durable", || {
        let elapsed = changed.elapsed();
        let lag: u64 = cli.info("Stickd_state_lag_ms")?.parse().ok()?;
        (elapsed > Duration::from_millis(lag + 2)).then_some(())
    });
}

/// What a restored stickd must hold.
#[track_caller]
fn holds_all(cli: &Cli) {
    let t = cli.table("t");
    let entry = t.entry("192.0.2.1");
    assert_eq!((entry.number("gpc0"), entry.number("http_req_rate(10000)")), (7, 40));
    assert!((3_500_000..3_600_000).contains(&entry.exp), "{}", entry.exp);
    assert_eq!(t.entry("192.0.2.2").number("gpc0"), 8);
    let names = cli.table("names");
    let entry = names.entry(r"a ;b\");
    assert_eq!((entry.number("gpt0"), entry.number("gpt1")), (0, 3));
    assert_eq!(cli.table("hex").entry("0A0B0C0D").number("gpc0"), 1);
    assert!(cli.run("show table names").contains("server_key=s1"));
}

#[test]
fn a_dump_returns_from_both_sources_into_both_targets() {
    let (stickd, config) = filled();
    let directory = stickd.directory();
    good(directory, &["dump", SOCKET, "-o", "of-socket.jsonl"]);
    good(directory, &["dump", "state", "-o", "of-state.jsonl"]);
    assert!(stickd.stop().success());
    for file in ["of-socket.jsonl", "of-state.jsonl"] {
        let dump = directory.join(file);
        let lines = fs::read_to_string(&dump).unwrap();
        assert!(lines.contains("{\"table\":\"t\",\"key\":\"192.0.2.2\",\"exp\":35"), "{lines}");
        let other = start(&config);
        let dump = dump.to_str().unwrap();
        let before = other.cli().table("t").used;
        assert_eq!(before, 0);
        good(other.directory(), &["restore", dump, SOCKET]);
        holds_all(&other.cli());
        assert!(other.stop().success());
        // Into the directory of one that is stopped.
        let mut third = start(&config);
        third.stop();
        good(third.directory(), &["restore", dump, "state"]);
        third.restart(Some(&config), &[]);
        holds_all(&third.cli());
    }
}

#[test]
fn csv_has_one_table_and_filters_are_those_of_show_table() {
    let (stickd, _) = filled();
    let directory = stickd.directory();
    for source in [SOCKET, "state"] {
        let all = stickd_of(directory, &["dump", "--format", "csv", source]);
        assert_eq!(all.0, Some(2));
        assert!(all.2.contains("CSV is of one table: name one of "), "{}", all.2);
        let csv = good(directory, &["dump", "--format", "csv", source, "t", "data.gpc0", "gt", "7"]);
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("time_ms,table,key,exp,gpc0,http_req_rate(10000)"));
        assert!(
            lines.next().is_some_and(|line| line.contains(",t,192.0.2.2,35") && line.ends_with(",8,0")),
            "{csv}"
        );
        assert_eq!(lines.next(), None);
        let one = good(directory, &["dump", source, "t", "key", "192.0.2.1"]);
        assert_eq!(one.lines().count(), 3, "{one}");
        let bad = stickd_of(directory, &["dump", source, "t", "data.gpc1", "gt", "7"]);
        assert_eq!(bad.0, Some(2));
        assert!(bad.2.contains("Data type not stored in this table"), "{}", bad.2);
        let none = stickd_of(directory, &["dump", source, "zz"]);
        assert!(none.2.contains("there is no table \"zz\""), "{}", none.2);
    }
    let csv = good(directory, &["dump", "--format", "csv", SOCKET, "names"]);
    fs::write(directory.join("names.csv"), csv).unwrap();
    let other = start(&kept(&tables()));
    good(other.directory(), &["restore", directory.join("names.csv").to_str().unwrap(), SOCKET]);
    assert_eq!(other.cli().table("names").entry(r"a ;b\").number("gpt1"), 3);
}

fn stickd_of(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = stickd(directory, arguments);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn refused_lines_are_named_and_the_others_go_on() {
    let (stickd, _) = filled();
    let directory = stickd.directory();
    let lines = [
        "{\"stickd_dump\":1,\"time_ms\":1}",
        "{\"table\":\"zz\",\"key\":\"a\"}",
        "{\"table\":\"t\",\"key\":\"not an address\"}",
        "nonsense",
        "{\"table\":\"t\",\"key\":\"192.0.2.7\",\"exp\":5}",
        "{\"table\":\"t\",\"key\":\"192.0.2.8\",\"gpc0\":5,\"gpc1\":6,\"http_req_rate(10000)\":9}",
        "{\"table\":\"t\",\"key\":\"192.0.2.9\",\"gpc0\":6,\"gpc1\":6}",
    ];
    fs::write(directory.join("dump"), lines.join("\n")).unwrap();
    for (target, missing) in [(SOCKET, "No such table"), ("state", "the directory has no such table")] {
        if target == "state" {
            let (code, _, error) = stickd_of(directory, &["restore", "dump", "state"]);
            assert_eq!(code, Some(2));
            assert!(error.contains(&format!("the process {} has the directory", stickd.pid())), "{error}");
            stickd.stop();
        }
        let (code, _, error) = stickd_of(directory, &["restore", "dump", target]);
        assert_eq!(code, Some(1), "{error}");
        for wanted in [
            &format!("line 2: zz: a: {missing}\n"),
            "line 3: t: not an address: not an IPv4 address\n",
            "line 4: not a JSON object: ",
            "line 6: t: gpc1 is not stored there, or is no such value: left out, also from here on\n",
            "2 entries restored, 1 expired since the dump, 3 lines refused\n",
        ] {
            assert!(error.contains(wanted), "{target}: {wanted}: {error}");
        }
        if target == SOCKET {
            let table = stickd.table("t");
            let entry = table.entry("192.0.2.8");
            assert_eq!(
                (entry.number("gpc0"), entry.number("http_req_rate(10000)")),
                (5, 0),
                "the rate is old"
            );
            let (_, _, error) = stickd_of(directory, &["restore", "--as-of-now", "-t", "t", "dump", SOCKET]);
            assert!(
                error.ends_with("3 entries restored, 0 expired since the dump, 2 lines refused\n"),
                "{error}"
            );
            assert_eq!(stickd.table("t").entry("192.0.2.8").number("http_req_rate(10000)"), 9);
            wait_durable(&stickd.cli());
        }
    }
}

#[test]
fn a_directory_is_shown_and_its_damage_found() {
    let (stickd, _) = filled();
    let directory = stickd.directory();
    let shown = good(directory, &["state", "show", "state"]);
    assert!(shown.contains(&format!("used by    process {}\n", stickd.pid())), "{shown}");
    assert!(
        shown.lines().any(|line| line.starts_with("t ") && line.contains(" 2  type ip size 1024 ")),
        "{shown}"
    );
    stickd.stop();
    let shown = good(directory, &["state", "show", "state"]);
    assert!(shown.contains("used by    no process\n"), "{shown}");
    let checked = good(directory, &["state", "check", "state"]);
    assert!(checked.ends_with(" 3 tables, 4 entries: all of it can be read\n"), "{checked}");
    let file = directory.join("state/0000000001.log");
    let mut bytes = fs::read(&file).unwrap();
    let blocks: Vec<_> =
        (192..bytes.len()).step_by(64).filter(|&at| bytes[at..].starts_with(b"STKB\x02")).collect();
    bytes[blocks[0] + 70] ^= 0x55;
    fs::write(&file, &bytes).unwrap();
    fs::write(directory.join("state/0000000009.log"), [b'?'; 1_000]).unwrap();
    let before: Vec<_> = list(&directory.join("state"));
    let (code, out, _) = stickd_of(directory, &["state", "check", "state"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("0000000009.log: not read: both of its headers are damaged\n"), "{out}");
    let damaged = format!("0000000001.log: 128 bytes at offset {} cannot be read: ", blocks[0]);
    assert!(out.contains(&damaged) && out.contains(" entries or keys of "), "{damaged}: {out}");
    assert!(out.contains(": 2 damaged parts; "), "{out}");
    assert_eq!(list(&directory.join("state")), before, "nothing was touched");
    fs::create_dir(directory.join("empty")).unwrap();
    for (path, message) in [("empty", "no tables are kept there"), ("none", "there is no such directory")] {
        let (code, _, error) = stickd_of(directory, &["state", "check", path]);
        assert_eq!(code, Some(2));
        assert!(error.contains(message), "{error}");
    }
}

fn list(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn show_state_says_where_it_is_and_what_was_not_read() {
    let (mut stickd, config) = filled();
    let answer = stickd.cli().run("show state");
    assert!(answer.starts_with("directory: state\nstate: ok\nbytes: "), "{answer}");
    assert!(answer.contains("\nloaded: 0 entries, 0 expired, 0 without room\nunreadable: 0\n"), "{answer}");
    stickd.daemon().kill9();
    fs::write(stickd.directory().join("state/0000000009.log"), [b'?'; 1_000]).unwrap();
    stickd.restart(Some(&config), &[]);
    let answer = stickd.cli().run("show state");
    assert!(
        answer.contains("\nunreadable: 1\n  0000000009.log.unreadable: not read: both of its headers"),
        "{answer}"
    );
    let off = start(&self::config(ports::free_address(), &[]));
    assert!(off.cli().run("show state").starts_with("No tables are kept on disk"));
}

#[test]
fn a_file_is_complete_or_not_there() {
    let (stickd, _) = filled();
    let directory = stickd.directory();
    fs::write(directory.join("dump"), "before").unwrap();
    let (code, ..) = stickd_of(directory, &["dump", "-o", "dump", SOCKET, "t", "data.zz", "gt", "1"]);
    assert_eq!(code, Some(2));
    assert_eq!(fs::read_to_string(directory.join("dump")).unwrap(), "before");
    assert!(list(directory).iter().all(|name| !name.contains("stickd-dump")), "{:?}", list(directory));
    good(directory, &["dump", "-o", "dump", SOCKET]);
    assert!(fs::read_to_string(directory.join("dump")).unwrap().ends_with("}\n"));
}

/// Users have such files: `echo "show table t" | socat …` on a HAProxy.
fn what_a_haproxy_shows_is_restored(release: &Release) {
    let address = ports::free_address();
    let haproxy = Config::new("A")
        .peer("A", address)
        .table("t", IP)
        .table("names", "type string len 32 size 1k store gpt0");
    let haproxy = HaproxyProcess::start(release, haproxy);
    let cli = haproxy.cli();
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7 data.http_req_rate 40");
    cli.quiet(r"set table names key a\ b data.gpt0 3");
    let shown = cli.run("show table t") + &cli.run("show table names");
    let config = config(ports::free_address(), &[]) + &tables();
    let stickd = start(&config);
    let directory = stickd.directory();
    fs::write(directory.join("table.txt"), &shown).unwrap();
    let output = self::stickd(directory, &["restore", "table.txt", SOCKET]);
    let error = text(&output.stderr);
    assert!(error.ends_with("2 entries restored, 0 expired since the dump, 0 lines refused\n"), "{error}");
    // And without a file between them.
    let socket = haproxy.directory().join("haproxy.sock");
    let dump = good(directory, &["dump", socket.to_str().unwrap()]);
    assert!(dump.contains("\"key\":\"a b\""), "{dump}");
    let cli = stickd.cli();
    let t = cli.table("t");
    assert_eq!(t.entry("192.0.2.1").number("gpc0"), 7);
    assert_eq!(t.entry("192.0.2.1").number("http_req_rate(10000)"), 40);
    assert_eq!(cli.table("names").entry("a b").number("gpt0"), 3);
    // A HAProxy has no command that restores.
    let (code, _, error) = stickd_of(directory, &["restore", "table.txt", socket.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(error.contains(" is no stickd: only a stickd restores entries"), "{error}");
}
