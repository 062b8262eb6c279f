//! Signals: the reload, the state in the log. How signals stop it: `lifecycle.rs`.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, kill_process, test_kill_process};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Signal, StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type ip size 1k expire 1h store gpc0";
const PID_FILE: &str = "stickd.pid";

/// A stickd that is reloaded: the processes after the first are no children of this test.
struct Reloaded {
    first: StickdProcess,
    text: String,
}

impl Reloaded {
    fn start() -> Self {
        let text = config(ports::free_address(), &[]) + &table("t", TABLE);
        let first = StickdProcess::start(STICKD, Some(&text), &["-p", PID_FILE]);
        first.cli().quiet("set table t key 192.0.2.1 data.gpc0 7");
        Self { first, text }
    }

    fn config_file(&self) -> PathBuf {
        self.first.directory().join("stickd.0.cfg")
    }

    /// The process of the pid file.
    fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.first.directory().join(PID_FILE)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until another process than `old` answers.
    #[track_caller]
    fn wait_successor(&self, old: u32) -> u32 {
        let state = || format!("{:?}\n{}", self.first.cli().info("Pid"), self.first.daemon().log());
        wait::until_or(SOON, "the next process", state, || {
            let pid = self.pid();
            let answers = self.first.cli().info("Pid") == Some(pid.to_string());
            (pid != old && pid != 0 && answers && !is_running(old)).then_some(pid)
        })
    }

    #[track_caller]
    fn assert_entry(&self) {
        assert_eq!(self.first.table("t").entry("192.0.2.1").number("gpc0"), 7);
    }

    fn logged(&self, text: &str) -> usize {
        self.first.daemon().log().matches(text).count()
    }
}

impl Drop for Reloaded {
    fn drop(&mut self) {
        let pid = self.pid();
        // The first one is ended by its owner.
        if pid != 0 && pid != self.first.pid() {
            signal(pid, Signal::KILL);
        }
    }
}

/// Sends a signal to a process that is known by its pid file.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process runs; one that has ended and was not waited for does not.
fn is_running(pid: u32) -> bool {
    let is_there = Pid::from_raw(pid as i32).is_some_and(|pid| test_kill_process(pid).is_ok());
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_there && !status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn usr2_lets_another_process_take_over() {
    let stickd = Reloaded::start();
    let first = stickd.first.pid();
    fs::write(stickd.config_file(), stickd.text.clone() + &table("more", TABLE)).unwrap();
    stickd.first.signal(Signal::USR2);
    let second = stickd.wait_successor(first);
    assert_eq!(stickd.first.daemon().wait_exit(SOON).code(), Some(0), "{}", stickd.first.daemon().log());
    stickd.assert_entry();
    assert!(stickd.first.cli().run("show table").contains("table: more"), "the new configuration counts");
    // The next one was started by a reload itself.
    signal(second, Signal::USR2);
    let third = stickd.wait_successor(second);
    stickd.assert_entry();
    assert_eq!(stickd.logged("the next process has everything"), 2, "{}", stickd.first.daemon().log());
    signal(third, Signal::TERM);
    wait::until(SOON, "the end", || (!is_running(third)).then_some(()));
    assert!(!stickd.first.directory().join(PID_FILE).exists(), "the pid file stays");
}

#[test]
fn a_reload_that_fails_is_reported_and_changes_nothing() {
    let stickd = Reloaded::start();
    let good = stickd.text.replace("size 1k", "size 2k");
    let broken = stickd.text.replace("store gpc0", "store gpc0,nonsense");
    // What only a start finds out: nobody has this address.
    let elsewhere = stickd.text.replace("bind 127.0.0.1", "bind 192.0.2.1");
    for (text, reasons) in [
        (broken, ["nonsense", "reload refused: the configuration has errors"]),
        (
            elsewhere,
            ["cannot listen on 192.0.2.1", "reload failed: the next process ended before it took over"],
        ),
    ] {
        fs::write(stickd.config_file(), text).unwrap();
        stickd.first.signal(Signal::USR2);
        for reason in reasons {
            stickd.first.daemon().wait_log(reason, SOON);
        }
        assert_eq!(stickd.first.cli().info("Pid"), Some(stickd.first.pid().to_string()));
        assert_eq!(stickd.pid(), stickd.first.pid(), "the pid file");
        stickd.assert_entry();
    }
    // It can still be reloaded.
    fs::write(stickd.config_file(), good).unwrap();
    let first = stickd.first.pid();
    stickd.first.signal(Signal::USR2);
    stickd.wait_successor(first);
    assert!(stickd.first.cli().run("show table t").contains("size:2048"));
    stickd.assert_entry();
}

/// An upgrade that removed the program's file and did not put another in its place.
#[test]
fn a_reload_without_a_program_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("stickd");
    fs::copy(STICKD, &program).unwrap();
    let text = config(ports::free_address(), &[]) + &table("t", TABLE);
    let stickd = StickdProcess::start(&program, Some(&text), &[]);
    fs::remove_file(&program).unwrap();
    stickd.signal(Signal::USR2);
    stickd.daemon().wait_log("reload refused: cannot start", SOON);
    fs::copy(STICKD, &program).unwrap();
    assert_eq!(stickd.cli().info("Pid"), Some(stickd.pid().to_string()));
}

/// Whoever stops a process that is being reloaded wants none to run.
#[test]
fn a_stop_in_the_middle_of_a_reload_stops_both() {
    let bind = ports::free_address();
    let text = config(bind, &[]) + &table("t", TABLE);
    let stickd = StickdProcess::start(STICKD, Some(&text), &["-p", PID_FILE]);
    // Whoever reads its configuration here waits for somebody to write it.
    let pipe = stickd.directory().join("pipe.cfg");
    let file = stickd.directory().join("stickd.0.cfg");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&pipe, &file).unwrap();
    stickd.signal(Signal::USR2);
    // The check gets it; the next process waits for ever.
    fs::write(&pipe, &text).unwrap();
    stickd.daemon().wait_log("reload: started the next process", SOON);
    let log = stickd.daemon().log();
    let next = log.split("started the next process pid=").nth(1).and_then(|rest| rest.lines().next());
    let next: u32 = next.and_then(|pid| pid.trim().parse().ok()).unwrap_or_else(|| panic!("{log}"));
    assert!(is_running(next));
    stickd.signal(Signal::TERM);
    assert_eq!(stickd.daemon().wait_exit(SOON).code(), Some(0));
    wait::until(SOON, "the end of the next process", || (!is_running(next)).then_some(()));
}

#[test]
fn hup_writes_the_state_into_the_log() {
    let text = config(ports::free_address(), &[("A", ports::free_address())]) + &table("t", TABLE);
    let hub = ports::free_address();
    let text = format!(
        "{text}aggregations h\n  peer stickd {hub} local\n  peer lb1 127.0.0.9:1\n  from any to .agg\n"
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 7");
    for times in 1..=3 {
        stickd.signal(Signal::HUP);
        let hub = "state: aggregations section=\"h\" nodes=0 expected=1 complete=false";
        wait::until_or(
            SOON,
            "the state",
            || stickd.daemon().log(),
            || (stickd.daemon().log().matches(hub).count() == times).then_some(()),
        );
    }
    let log = stickd.daemon().log();
    for line in [
        "state: process pid=",
        "state: section section=\"p\" peers=1 connected=0",
        "state: peer section=\"p\" peer=\"A\" local=false",
        "state: table table=\"t\" type=\"ip\" size=1024 used=1",
    ] {
        assert_eq!(log.matches(line).count(), 3, "{line}: {log}");
    }
    assert!(stickd.daemon().is_running());
}
