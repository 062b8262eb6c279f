//! A HAProxy's whole configuration, of which stickd takes its share (`--haproxy-cfg`).
//!
//! corpus/ has files as tools and people write them. Every one that a HAProxy at hand takes must load.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Daemon, Release, Signal, StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// What stickd says of a file, with what it took, at most.
const MOST_SAID: usize = 4_000;

fn corpus() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole_files/corpus");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(STICKD);
    command.arg("check").args(arguments).stdin(Stdio::null()).env_remove("X");
    command.output().expect("stickd runs")
}

/// The HAProxy that a file is for: the first member of its peers section.
fn haproxys_name(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("peers "));
    let member = lines.find_map(|line| line.strip_prefix("peer ").or_else(|| line.strip_prefix("server ")));
    let name = member.and_then(|member| member.split_whitespace().next()).expect("a member");
    name.trim_matches(['"', '\'']).to_owned()
}

#[test]
fn every_file_that_a_haproxy_takes_loads() {
    let mut styles: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    for file in corpus() {
        let text = fs::read_to_string(&file).unwrap();
        let name = haproxys_name(&text);
        let is_taken = Release::all().iter().any(|release| {
            let mut haproxy = Command::new(release.program());
            haproxy.args(["-c", "-q", "-L", &name, "-f"]).arg(&file).stdin(Stdio::null());
            haproxy.output().expect("haproxy runs").status.success()
        });
        let output = check(&["--haproxy-cfg", file.to_str().unwrap(), "-L", "stickd1"]);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!is_taken || output.status.success(), "{}: {said}", file.display());
        assert!(said.len() < MOST_SAID && !said.contains("warning"), "{}: {said}", file.display());
        assert!(said.contains("\ntaken from ") && said.contains(" lines not read\n"), "{said}");
        assert!(said.contains("  table "), "{}: no table: {said}", file.display());
        let style = file.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
        let counts = styles.entry(style).or_default();
        counts[0] += u32::from(is_taken);
        counts[1] += u32::from(output.status.success());
    }
    println!("style, taken by a HAProxy, by stickd: {styles:?}");
    let taken: u32 = styles.values().map(|counts| counts[0]).sum();
    assert!(taken >= 60 && styles.len() >= 10, "{styles:?}");
}

#[test]
fn a_file_without_the_node_says_the_line_to_add() {
    for file in corpus().iter().take(5) {
        let output = check(&["--haproxy-cfg", file.to_str().unwrap(), "-L", "nobody"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            said.contains("no peers section names this node, \"nobody\"")
                && said.contains("`peer nobody ADDRESS:PORT`"),
            "{said}"
        );
    }
}

/// One file for both, and a new table arrives at both with a reload.
#[test]
fn a_haproxy_and_stickd_run_on_one_file() {
    let [lb, own, web] = [(); 3].map(|()| ports::free_address());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    let text = |more: &str| {
        format!(
            "global\n  stats socket {0}/haproxy.sock level admin\n  stats timeout 1m\n\ndefaults\n  mode http\n  timeout connect 5s\n  timeout \
             client 5s\n  timeout server 5s\n\npeers p\n  peer lb1 {lb}\n  peer stickd1 {own}\n\nfrontend f\n  bind {web}\n  http-request track-sc0 \
             src table t\n  http-request return status 200\n\nbackend t\n  stick-table type ip size 1k expire 1h store gpc0,http_req_cnt peers p\n{more}",
            directory.path().display()
        )
    };
    fs::write(&file, text("")).unwrap();
    let program = Release::newest().program().to_owned();
    let start = |name: &str| {
        let log = directory.path().join(name);
        let mut command = Command::new(&program);
        command.args(["-db", "-L", "lb1", "-f"]).arg(&file).current_dir(directory.path());
        Daemon::spawn("haproxy", &mut command, log).unwrap()
    };
    let haproxy = start("haproxy.log");
    let cli = Cli::unix(directory.path().join("haproxy.sock"));
    let own_file = "global\n  stats socket unix@stickd.sock level admin\n";
    let pid = directory.path().join("stickd.pid");
    let arguments = ["--haproxy-cfg", file.to_str().unwrap(), "-L", "stickd1", "-p", pid.to_str().unwrap()];
    let stickd = StickdProcess::start(STICKD, Some(own_file), &arguments);
    let log = stickd.daemon().log();
    assert!(log.contains("section p, table t (5 lines); 12 lines not read"), "{log}");
    wait::until(SOON, "haproxy", || cli.try_run("show info").ok());
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7");
    let has = |stickd: &StickdProcess, table: &str, value: u64| {
        let shown = stickd.cli().try_run(&format!("show table {table}")).unwrap_or_default();
        shown.contains(&format!("gpc0={value}")).then_some(())
    };
    wait::until(SOON * 2, "the entry at stickd", || has(&stickd, "t", 7));
    // The roll-out: the same file everywhere, and a reload.
    fs::write(&file, text("backend new\n  stick-table type ip size 1k expire 1h store gpc0 peers p\n"))
        .unwrap();
    stickd.signal(Signal::USR2);
    wait::until(SOON * 2, "the new table at stickd", || {
        let shown = stickd.cli().try_run("show table").ok()?;
        shown.contains("# table: new, ").then_some(())
    });
    wait::until(SOON * 2, "the entry at the next process", || has(&stickd, "t", 7));
    haproxy.kill9();
    let haproxy = start("haproxy2.log");
    wait::until(SOON * 2, "haproxy", || cli.try_run("show info").ok());
    wait::until(SOON * 2, "the entry at haproxy", || {
        cli.try_run("show table t").ok().filter(|shown| shown.contains("gpc0=7"))
    });
    cli.quiet("set table new key 192.0.2.2 data.gpc0 9");
    wait::until(SOON * 2, "the entry of the new table", || has(&stickd, "new", 9));
    drop(haproxy);
    // The next process is not the test's child.
    let next = fs::read_to_string(&pid).unwrap();
    assert!(Command::new("kill").arg(next.trim()).status().unwrap().success());
}
