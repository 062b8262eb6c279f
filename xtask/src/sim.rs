//! `cargo xtask sim`: many seeds of the simulator, by the program of `crates/sim`, which has the options.

use crate::{build, run};
use anyhow::{Result, bail};
use clap::Args;
use std::process::Command;

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// For the simulator; `--help` shows all
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the simulator for release, with known defects only if one is wanted, and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let breaks = options.arguments.iter().any(|argument| argument.starts_with("--break"));
    let features: &[&str] =
        if breaks { &["--release", "--features", "stickd-sim/defects"] } else { &["--release"] };
    let programs = build::programs(&["stickd-sim"], features)?;
    let [program] = &programs[..] else { bail!("cargo did not build what was asked for") };
    let mut command = Command::new(program);
    command.current_dir(run::root()).args(["--commit", &commit()]).args(&options.arguments);
    run::show(&mut command)
}

/// What is checked out, as far as git knows.
fn commit() -> String {
    let mut command = Command::new("git");
    command.current_dir(run::root()).args(["describe", "--always", "--dirty", "--abbrev=12"]);
    run::output(&mut command).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}
