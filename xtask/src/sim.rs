//! `cargo xtask sim`: many seeds of the simulator, by the program of `crates/sim`.

use crate::{build, run};
use anyhow::{Result, bail};
use clap::Args;
use std::process::Command;

#[derive(Args)]
pub(crate) struct Options {
    /// Number of seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one only
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Which faults; `list` shows all profiles
    #[arg(long, default_value = "mixed")]
    profile: String,
    /// Switch a known defect on, to see that it is found; `list` shows all
    #[arg(long = "break", value_name = "NAME")]
    defect: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Builds the simulator for release, with known defects only if one is wanted, and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let features: &[&str] = match options.defect {
        Some(_) => &["--release", "--features", "stickd-sim/defects"],
        None => &["--release"],
    };
    let programs = build::programs(&["stickd-sim"], features)?;
    let [program] = &programs[..] else { bail!("cargo did not build what was asked for") };
    let mut command = Command::new(program);
    command.current_dir(run::root()).args(["--profile", &options.profile]);
    match options.seed {
        Some(seed) => command.args(["--seed", &seed.to_string()]),
        None => command.args(["--seeds", &options.seeds.to_string(), "--from", &options.from.to_string()]),
    };
    if let Some(defect) = &options.defect {
        command.args(["--break", defect]);
    }
    command.args(["--jobs", &options.jobs.to_string(), "--commit", &commit()]);
    run::show(&mut command)
}

/// What is checked out, as far as git knows.
fn commit() -> String {
    let mut command = Command::new("git");
    command.current_dir(run::root()).args(["describe", "--always", "--dirty", "--abbrev=12"]);
    run::output(&mut command).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
