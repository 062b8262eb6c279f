//! `cargo xtask bench`: HAProxy and stickd measured side by side, by the program of `crates/bench`.

use crate::{build, run, setup};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

/// Where the results of a full run go.
const DOCUMENT: &str = "BENCHMARKS.md";

#[derive(Args)]
pub(crate) struct Options {
    /// Fewer entries, rounds and HAProxys, under 5 minutes; prints only
    #[arg(long)]
    quick: bool,
    /// Run only this scenario (may be given several times); prints only. Scenarios: learn, strings, sessions, purge, expiry,
    /// fan-out; and, run only when named: hostile, hub-latency, hub-nodes, hub-mesh, hub-departure
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Another HAProxy to measure besides those of the set-up (may be given several times)
    #[arg(long, value_name = "PATH")]
    haproxy: Vec<PathBuf>,
}

/// Sets up, builds for release, measures; a full run writes BENCHMARKS.md.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::run(false)?;
    let programs = build::programs(&["stickd", "stickd-bench"], &["--release"])?;
    let [stickd, bench] = &programs[..] else { bail!("cargo did not build what was asked for") };
    let mut command = Command::new(bench);
    command.current_dir(run::root()).arg("--stickd").arg(stickd);
    for program in &options.haproxy {
        let found = program.canonicalize().with_context(|| format!("no HAProxy at {}", program.display()))?;
        command.arg("--haproxy").arg(found);
    }
    for scenario in &options.only {
        command.args(["--only", scenario]);
    }
    if options.quick {
        command.arg("--quick");
    } else if options.only.is_empty() {
        command.args(["--markdown", DOCUMENT]);
    }
    run::show(&mut command)
}
