//! Several reloads, one shortly after the other.

use std::io::Write;
use std::time::Duration;

use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

use crate::STICKD;
use crate::scripted::{counters, hello, updates};

on_every_release!(reloads_in_a_row_lose_nothing);

const TABLE: &str = "type integer size 1m expire 1h store gpc0";
/// Keys that only the first process knows: so many that a lesson takes longer than the next process needs to start.
const KEYS: u32 = 300_000;

/// More than the lessons that a process begins again.
const RELOADS: usize = 6;

fn reloads_in_a_row_lose_nothing(release: &Release) {
    let [bind, a, b] = [(); 3].map(|()| ports::free_address());
    let text = config(bind, &[("A", a), ("B", b)]) + &table("c", TABLE);
    let mut stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    // B tells what it has and is gone for good.
    let (mut gone, status) = hello(bind, "stickd", "B");
    assert_eq!(status, "200\n");
    gone.write_all(&updates(&counters("c"), 0..KEYS, 9)).unwrap();
    let used = |stickd: &StickdProcess| {
        let shown = stickd.cli().run("show table");
        let used = shown
            .lines()
            .find(|line| line.starts_with("# table: c,"))
            .and_then(|line| line.split("used:").nth(1));
        used.and_then(|number| number.trim().parse::<u32>().ok()).unwrap_or_else(|| panic!("{shown}"))
    };
    wait::until(SOON, "the entries", || (used(&stickd) == KEYS).then_some(()));
    drop(gone);
    let mut before = Vec::new();
    for _ in 0..RELOADS {
        before.push(stickd.replace(Some(&text), &[]).unwrap());
    }
    let logs = || {
        let old: String = before.iter().map(|old| format!("{}:\n{}", old.pid(), old.log())).collect();
        format!("{} entries; {old}{}:\n{}", used(&stickd), stickd.pid(), stickd.daemon().log())
    };
    for old in &before {
        wait::until_or(Duration::from_secs(60), "the end of an old process", logs, || old.try_exit());
    }
    println!("{release}: {} of {KEYS} entries after {RELOADS} reloads", used(&stickd));
    assert_eq!(used(&stickd), KEYS, "{}", logs());
    for old in &before {
        assert_eq!(old.log().matches("the next process has everything").count(), 1, "{}", logs());
    }
    // What the last one holds is of use: a HAProxy that starts now is taught all of it.
    let haproxy = Config::new("A").peer("A", a).peer("stickd", bind).table("c", TABLE);
    let haproxy = HaproxyProcess::start(release, haproxy);
    let held = || haproxy.cli().run("show table");
    wait::until_or(
        Duration::from_secs(60),
        "the entries at HAProxy",
        || format!("{}{}", held(), logs()),
        || held().contains(&format!("used:{KEYS}")).then_some(()),
    );
}
