//! The tests that mutants meet, and how they end.

use super::{cargo, tree::Tree};
use crate::run;
use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Some tests of the workspace.
#[derive(Clone, Copy)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// For `cargo test`.
    arguments: &'static [&'static str],
    /// Whether the tests are those of the mutant's crate.
    pub(super) own: bool,
}

/// How the tests ended on a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A test failed.
    Found,
    /// The tests did not end, as loops that hang do: that counts as found.
    TimedOut,
    /// All tests passed.
    Survived,
    /// The time was over before the last tests.
    NotTested,
    /// The compiler refused it.
    NotBuilt,
}

impl Outcome {
    pub(super) const ALL: [Self; 5] =
        [Self::Found, Self::TimedOut, Self::Survived, Self::NotTested, Self::NotBuilt];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Found => "found",
            Self::TimedOut => "timed out",
            Self::Survived => "SURVIVED",
            Self::NotTested => "not tested",
            Self::NotBuilt => "not built",
        })
    }
}

const fn suite(name: &'static str, arguments: &'static [&'static str]) -> Suite {
    Suite { name, arguments, own: false }
}

const CORPUS: Suite = suite("fuzz corpus", &["-p", "stickd-fuzz-targets", "--tests"]);
const SIMULATOR: Suite =
    suite("simulator", &["-p", "stickd-sim", "--test", "seeds", "--test", "regressions"]);
const INTEROP: Suite = suite("interop", &["-p", "stickd", "--test", "interop_data"]);
const PEERS: Suite = suite("haproxy-peers", &["-p", "haproxy-peers", "--lib"]);
const ENGINE: Suite = suite("engine", &["-p", "haproxy-peers", "--tests"]);
const AGGREGATE: Suite = suite("stick-aggregate", &["-p", "stick-aggregate", "--lib"]);
const SUMS: Suite = suite("sums", &["-p", "stick-aggregate", "--tests"]);

impl Suite {
    pub(super) const TABLE: [Self; 8] = [
        suite("stick-table", &["-p", "stick-table", "--lib", "--tests"]).own(),
        AGGREGATE,
        PEERS,
        SUMS,
        ENGINE,
        CORPUS,
        SIMULATOR,
        INTEROP,
    ];
    pub(super) const AGGREGATE: [Self; 6] = [
        AGGREGATE.own(),
        SUMS.own(),
        PEERS,
        ENGINE,
        SIMULATOR,
        suite("aggregations", &["-p", "stickd", "--test", "aggregations"]),
    ];
    pub(super) const PEERS: [Self; 5] = [PEERS.own(), ENGINE.own(), CORPUS, SIMULATOR, INTEROP];
    pub(super) const DAEMON: [Self; 5] = [
        suite("stickd", &["-p", "stickd", "--lib"]).own(),
        suite("config", &["-p", "stickd", "--test", "config"]).own(),
        CORPUS,
        suite("check", &["-p", "stickd", "--test", "check", "--test", "agreement", "--test", "differences"]),
        suite(
            "daemon",
            &["-p", "stickd", "--test", "clients", "--test", "cluster_wide", "--test", "lifecycle"],
        ),
    ];

    /// Marks tests of the mutant's own crate.
    const fn own(self) -> Self {
        Self { own: true, ..self }
    }

    /// Builds the tests.
    pub(super) fn build(&self, tree: &Tree) -> Result<()> {
        run::show(cargo(tree).args(["test", "--no-run", "--quiet"]).args(self.arguments))
    }

    /// Runs the tests on the tree as it is, within limits when they are built. Says what they took as well.
    pub(super) fn run(&self, tree: &Tree, limits: Costs) -> Result<(Outcome, Costs)> {
        let mut build = cargo(tree);
        build.args(["test", "--no-run", "--quiet"]).args(self.arguments);
        build.stdout(Stdio::null()).stderr(Stdio::null());
        if !build.status().context("cannot run cargo")?.success() {
            return Ok((Outcome::NotBuilt, Costs::default()));
        }
        let mut tests = cargo(tree);
        tests.args(["test", "--quiet"]).args(self.arguments).stdout(Stdio::null()).stderr(Stdio::null());
        // Random tests take the same values each time, and leave no file with what failed.
        tests.env("PROPTEST_RNG_SEED", "1").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        let child = tests.process_group(0).spawn().context("cannot run cargo")?;
        wait(child, limits)
    }
}

/// What tests take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    pub(super) time: Duration,
    /// Time on processors, which a busy machine does not stretch.
    pub(super) cpu: Duration,
}

impl Costs {
    /// The most that a suite may take without a change.
    pub(super) const MOST: Self = Self { time: Duration::from_secs(3_600), cpu: Duration::from_secs(3_600) };

    /// What a suite may take on a mutant, by what it took without a change: a loop that hangs is noticed by the processor's
    /// time, threads that wait for each other by the other one.
    pub(super) fn limit(self) -> Self {
        Self { time: self.time * 5 + Duration::from_secs(60), cpu: self.cpu * 5 + Duration::from_secs(10) }
    }
}

/// Waits for the tests, and ends them with all that they started when they take too long.
fn wait(mut child: Child, limits: Costs) -> Result<(Outcome, Costs)> {
    let start = Instant::now();
    let group = Pid::from_child(&child);
    let mut costs = Costs::default();
    loop {
        if let Some(status) = child.try_wait()? {
            costs.time = start.elapsed();
            return Ok((if status.success() { Outcome::Survived } else { Outcome::Found }, costs));
        }
        costs = Costs { time: start.elapsed(), cpu: costs.cpu.max(cpu_of(group)) };
        if costs.time >= limits.time || costs.cpu >= limits.cpu {
            kill_process_group(group, Signal::KILL).context("cannot end the tests")?;
            child.wait()?;
            return Ok((Outcome::TimedOut, costs));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The processor's time that the processes of a group took, and those that they waited for.
fn cpu_of(group: Pid) -> Duration {
    let group = group.as_raw_nonzero().get();
    let ticks: u64 = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|text| ticks(&text, group))
        .sum();
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

/// The ticks of a process of the group, by its `/proc/PID/stat`.
fn ticks(text: &str, group: i32) -> Option<u64> {
    // The name of the program may hold anything.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    if fields.get(2)?.parse() != Ok(group) {
        return None;
    }
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn outcome(script: &str, time: Duration, cpu: Duration) -> Outcome {
        let child = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        wait(child, Costs { time, cpu }).unwrap().0
    }

    #[test]
    fn tests_pass_fail_or_take_too_long() {
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(20));
        assert_eq!(outcome("exit 0", long, long), Outcome::Survived);
        assert_eq!(outcome("exit 101", long, long), Outcome::Found);
        let began = Instant::now();
        assert_eq!(outcome("sleep 300 & wait", short, long), Outcome::TimedOut);
        assert_eq!(outcome("(while :; do :; done) & wait", 5 * long, short), Outcome::TimedOut);
        assert!(began.elapsed() < long, "what the tests started was ended too");
    }

    #[test]
    fn ticks_are_those_of_the_group() {
        let text = "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 30 4 200 1000 20 0 1 0 5 6 7";
        assert_eq!(ticks(text, 7), Some(1234));
        assert_eq!(ticks(text, 1), None);
        assert_eq!(ticks("7 (a) S", 7), None);
    }
}
