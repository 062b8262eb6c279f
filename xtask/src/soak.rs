//! `cargo xtask soak`: real HAProxys and stickds under traffic, restarts and cuts, by the program of `crates/soak`.

use crate::{build, run, setup};
use anyhow::{Result, bail};
use clap::Args;
use std::process::Command;

/// Where logs and tables go when something disagrees.
const LOGS: &str = "target/soak";

#[derive(Args)]
pub(crate) struct Options {
    /// How long, e.g. 30 or 0.5
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Do the plan of another run again: the same faults in the same order
    #[arg(long)]
    seed: Option<u64>,
}

/// Sets up, builds for release, runs; an error at the first disagreement.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::run(false)?;
    let programs = build::programs(&["stickd", "stickd-soak"], &["--release"])?;
    let [stickd, soak] = &programs[..] else { bail!("cargo did not build what was asked for") };
    let mut command = Command::new(soak);
    command.current_dir(run::root()).arg("--stickd").arg(stickd).args(["--logs", LOGS]);
    command.arg("--minutes").arg(options.minutes.to_string());
    if let Some(seed) = options.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    run::show(&mut command)
}
