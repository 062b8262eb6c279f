//! The tests that mutants meet, and how they end.

use super::{cargo, tree::Tree};
use crate::run;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt;
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

    /// The longest a suite may take without a change.
    pub(super) const LONGEST: Duration = Duration::from_secs(3_600);

    /// How long a suite may take, by the time it took without a change: machines are busy at times.
    pub(super) fn limit(taken: Duration) -> Duration {
        taken * 5 + Duration::from_secs(60)
    }

    /// Builds the tests.
    pub(super) fn build(&self, tree: &Tree) -> Result<()> {
        run::show(cargo(tree).args(["test", "--no-run", "--quiet"]).args(self.arguments))
    }

    /// Runs the tests on the tree as it is, for as long as `limit` when they are built.
    pub(super) fn run(&self, tree: &Tree, limit: Duration) -> Result<Outcome> {
        let mut build = cargo(tree);
        build.args(["test", "--no-run", "--quiet"]).args(self.arguments);
        build.stdout(Stdio::null()).stderr(Stdio::null());
        if !build.status().context("cannot run cargo")?.success() {
            return Ok(Outcome::NotBuilt);
        }
        let mut tests = cargo(tree);
        tests.args(["test", "--quiet"]).args(self.arguments).stdout(Stdio::null()).stderr(Stdio::null());
        // Random tests take the same values each time, and leave no file with what failed.
        tests.env("PROPTEST_RNG_SEED", "1").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        let child = tests.process_group(0).spawn().context("cannot run cargo")?;
        wait(child, limit)
    }
}

/// Waits for the tests, and ends them with all that they started when they take too long.
fn wait(mut child: Child, limit: Duration) -> Result<Outcome> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Outcome::Survived } else { Outcome::Found });
        }
        if Instant::now() >= deadline {
            let group = Pid::from_child(&child);
            kill_process_group(group, Signal::KILL).context("cannot end the tests")?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn outcome(script: &str, limit: u64) -> Outcome {
        let child = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        wait(child, Duration::from_millis(limit)).unwrap()
    }

    #[test]
    fn tests_pass_fail_or_take_too_long() {
        assert_eq!(outcome("exit 0", 60_000), Outcome::Survived);
        assert_eq!(outcome("exit 101", 60_000), Outcome::Found);
        let began = Instant::now();
        assert_eq!(outcome("sleep 300 & wait", 20), Outcome::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(60), "what the tests started was ended too");
    }
}
