//! A reload of stickd that adds a data type to a table: the peers are asked for it, and a HAProxy that restarts is taught its
//! value, not 0.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::{Config, HaproxyProcess, Release, Signal, StickdProcess, on_every_release, ports, wait};

on_every_release!(a_data_type_that_a_reload_adds_is_asked_for);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// HAProxy waits 5 s between attempts, and after its start that long before it asks others than its old process.
const CONNECTED: Duration = Duration::from_secs(40);
const ALL: &str = "type ip size 1k expire 1h store gpc0,gpc1,http_req_cnt";
const KEY: &str = "192.0.2.1";

/// Ends the process that a reload by signal started, which is no child of the test.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0 as i32) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn pid(stickd: &StickdProcess) -> Option<u32> {
    stickd.cli().info("Pid")?.parse().ok()
}

fn a_data_type_that_a_reload_adds_is_asked_for(release: &Release) {
    let [bind, a] = [(); 2].map(|()| ports::free_address());
    let text = |columns: &str| {
        config(bind, &[("A", a)]) + &table("t", &format!("type ip size 1k expire 1h store {columns}"))
    };
    let mut stickd = StickdProcess::start(STICKD, Some(&text("http_req_cnt")), &[]);
    let side = Config::new("A").peer("A", a).peer("stickd", bind).table("t", ALL);
    let mut haproxy = HaproxyProcess::start(release, side);
    haproxy.cli().quiet(&format!("set table t key {KEY} data.gpc0 5 data.gpc1 6 data.http_req_cnt 3"));
    let wait_for = |stickd: &StickdProcess, what: &str, of_stickd: &[(&str, u64)]| {
        let state = || stickd.cli().run("show table t") + &stickd.daemon().log();
        wait::until_or(CONNECTED, what, state, || {
            let table = stickd.table("t");
            let entry = table.entries.get(KEY)?;
            of_stickd.iter().all(|(name, value)| entry.number(name) == *value).then_some(())
        });
    };
    let assert_taught =
        |stickd: &StickdProcess, haproxy: &mut HaproxyProcess, what: &str, values: &[(&str, u64)]| {
            haproxy.restart();
            let state = || haproxy.cli().run("show table t") + &stickd.daemon().log();
            let entry = wait::until_or(CONNECTED, what, state, || haproxy.table("t").entries.remove(KEY));
            let has: Vec<_> = values.iter().map(|(name, _)| (*name, entry.number(name))).collect();
            assert_eq!(has, values, "{what}: {}", state());
        };
    wait_for(&stickd, "the first data type", &[("http_req_cnt", 3)]);

    let old = stickd.replace(Some(&text("gpc0,http_req_cnt")), &[]).unwrap();
    old.wait_exit(CONNECTED);
    wait_for(&stickd, "a data type more after -sf", &[("gpc0", 5), ("http_req_cnt", 3)]);
    assert!(stickd.daemon().log().contains("stored nothing of gpc0 of table t"), "{}", stickd.daemon().log());
    assert_taught(
        &stickd,
        &mut haproxy,
        "a HAProxy that restarts after -sf",
        &[("gpc0", 5), ("http_req_cnt", 3)],
    );

    // What the restarted one did not get: stickd does not store it yet.
    haproxy.cli().quiet(&format!("set table t key {KEY} data.gpc1 6"));
    fs::write(stickd.directory().join("stickd.1.cfg"), text("gpc0,gpc1,http_req_cnt")).unwrap();
    let before = stickd.pid();
    stickd.signal(Signal::USR2);
    let state = || stickd.daemon().log();
    let next = wait::until_or(CONNECTED, "the next process", state, || {
        pid(&stickd).filter(|pid| *pid != before).map(Successor)
    });
    let values = [("gpc0", 5), ("gpc1", 6), ("http_req_cnt", 3)];
    wait_for(&stickd, "a data type more after USR2", &values);
    assert_taught(&stickd, &mut haproxy, "a HAProxy that restarts after USR2", &values);
    drop(next);
}
