//! What docs/differences.md says of configurations and commands, beside real HAProxys.

use std::fs;
use std::process::Command;

use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

on_every_release!(
    keys_that_stickd_refuses_are_misread_or_refused_by_haproxy,
    lines_that_the_two_judge_differently,
    messages_have_haproxy_s_severities,
    peers_without_a_session_have_their_tables,
);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// The key that a command stored, as `show table` prints it; `None` when it was refused.
fn stored(side: &Cli, table: &str, key: &str) -> Option<String> {
    let answer = side.run(&format!("set table {table} key {key} data.gpc0 1"));
    let found = side.table(table).entries.keys().next().cloned();
    assert_eq!(found.is_none(), answer.contains("Invalid key"), "{table} {key}: {answer}");
    side.run(&format!("clear table {table}"));
    found
}

fn keys_that_stickd_refuses_are_misread_or_refused_by_haproxy(release: &Release) {
    let tables = [("i", "type integer size 1k store gpc0"), ("a", "type ip size 1k store gpc0")];
    let config = Config::new("A").peer("A", ports::free_address());
    let config = tables.iter().fold(config, |config, (name, arguments)| config.table(name, arguments));
    let haproxy = HaproxyProcess::start(release, config);
    let backends: String = tables
        .iter()
        .map(|(name, arguments)| format!("backend {name}\n  stick-table {arguments}\n"))
        .collect();
    let text = format!(
        "global\n  localpeer n\n  stats socket unix@stickd.sock level admin\npeers p\n  peer n {}\n{backends}",
        ports::free_address()
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    for (table, key, misread) in [
        ("i", "x", "0"),
        ("i", "5x", "5"),
        ("i", "0x10", "0"),
        ("a", "01.2.3.4", "1.2.3.4"),
        ("a", "1.2.3.4/32", "1.2.3.4"),
        ("a", "1.2.3.4/24", "1.2.3.4"),
    ] {
        assert_eq!(stored(&stickd.cli(), table, key), None, "{table} {key}");
        let found = stored(&haproxy.cli(), table, key);
        // Before 3.0 it depends on the release and on the C library.
        let may_refuse = release.branch() < (3, 0);
        let is_misread = found.as_deref() == Some(misread);
        assert!(is_misread || (may_refuse && found.is_none()), "{release}: {table} {key}: {found:?}");
    }
    for (table, key, shown) in [("i", "-1", "4294967295"), ("i", "7", "7"), ("a", "1.2.3.4", "1.2.3.4")] {
        assert_eq!(stored(&stickd.cli(), table, key).as_deref(), Some(shown), "{table} {key}");
    }
}

/// Whether each takes a configuration as this node `A`.
fn judged(release: &Release, peers: &str) -> (bool, bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("both.cfg");
    fs::write(&file, peers).unwrap();
    let haproxy = Command::new(release.program()).args(["-c", "-L", "A", "-f"]).arg(&file).output().unwrap();
    let stickd = Command::new(STICKD).args(["check", "-L", "A", "-f"]).arg(&file).output().unwrap();
    (haproxy.status.success(), stickd.status.success())
}

fn lines_that_the_two_judge_differently(release: &Release) {
    for (lines, expected) in [
        // `v4v6` at this node's own `peer` line.
        ("peers p\n  peer A [::]:10000 v4v6\n  peer B 127.0.0.1:10001\n", (false, true)),
        ("peers p\n  bind [::]:10000 v4v6\n  server A\n  server B 127.0.0.1:10001\n", (true, true)),
        // Two sections that would take the same connections.
        ("peers p\n  bind :10000\n  server A\npeers q\n  bind :10000\n  server A\n", (true, false)),
        ("peers p\n  bind :10000\n  server A\npeers q\n  bind [::]:10000 v6only\n  server A\n", (true, true)),
    ] {
        assert_eq!(judged(release, lines), expected, "{release} and stickd: {lines}");
    }
}

/// What both say to these commands, with `set severity-output` in force, up to the blank behind the severity.
fn messages_have_haproxy_s_severities(release: &Release) {
    let config = Config::new("A").peer("A", ports::free_address());
    let haproxy = HaproxyProcess::start(release, config.table("t", "type ip size 1k store gpc0"));
    let text = format!(
        "global\n  localpeer n\n  stats socket unix@stickd.sock level admin\npeers p\n  peer n {}\n  table t type ip size 1k store gpc0\n",
        ports::free_address()
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let commands = [
        "show version",
        "show cli level",
        "nonsense",
        "help show table",
        "show table nope",
        "set table nope key 1.2.3.4 data.gpc0 1",
        "set timeout cli x",
        "show peers nosuch",
        "set severity-output",
        "set severity-output x",
        "user; operator",
        "show cli sockets",
    ];
    for (output, kinds) in [("number", ["[6]", "[3]"]), ("string", ["[info]", "[err]"]), ("none", ["", ""])] {
        let mut seen = [0; 2];
        for command in commands {
            let severity = |side: &Cli| {
                let answer = side.run(&format!("set severity-output {output}; {command}"));
                let first = answer.lines().find(|line| !line.is_empty()).unwrap_or_default();
                first
                    .split_once(": ")
                    .map(|(severity, _)| severity)
                    .filter(|word| word.starts_with('['))
                    .map(str::to_owned)
            };
            let (theirs, ours) = (severity(&haproxy.cli()), severity(&stickd.cli()));
            assert_eq!(ours, theirs, "{release}: {output}: {command}");
            for (kind, seen) in kinds.iter().zip(&mut seen) {
                *seen += usize::from(ours.as_deref() == Some(kind));
            }
        }
        assert!(output == "none" || seen.iter().all(|&count| count >= 4), "{output}: {seen:?}");
    }
}

/// The names of the shared tables that `show peers` has of a peer, sorted.
fn shown_tables(side: &Cli, peer: &str) -> Vec<String> {
    let text = side.run("show peers");
    let from = text.split(&format!("id={peer}(")).nth(1).unwrap_or_else(|| panic!("no {peer}: {text}"));
    let lines = from.lines().skip(1).take_while(|line| !line.contains(" addr="));
    let names = lines
        .filter_map(|line| line.trim_start().strip_prefix("table:")?.split("id=").nth(1)?.split(' ').next());
    let mut names: Vec<_> = names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect();
    names.sort_unstable();
    names
}

fn peers_without_a_session_have_their_tables(release: &Release) {
    let nobody = ports::free_address();
    let table = "type ip size 1k store gpc0";
    let config = Config::new("A").peer("A", ports::free_address()).peer("B", nobody);
    let haproxy = HaproxyProcess::start(release, config.table("t", table).table("u", table));
    let text = format!(
        "global\n  localpeer A\n  stats socket unix@stickd.sock level admin\npeers p\n  peer A {}\n  peer B {nobody}\n\
         backend t\n  stick-table {table} peers p\nbackend u\n  stick-table {table} peers p\n",
        ports::free_address()
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    for peer in ["A", "B"] {
        assert_eq!(shown_tables(&haproxy.cli(), peer), ["t", "u"], "{release}: {peer}");
        assert_eq!(shown_tables(&stickd.cli(), peer), ["t", "u"], "{peer}");
    }
}
