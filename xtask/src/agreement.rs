//! `cargo xtask agreement`: what `stickd check` and `haproxy -c` accept, on more generated lines than the tests have.

use crate::{run, setup};
use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many files to generate; each takes 0.1 s
    #[arg(long, default_value_t = 2_000)]
    cases: u64,
    /// Which ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Generates files and prints who accepts how many, and why stickd differs where it does.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::run(false)?;
    let mut test = run::cargo();
    test.args(["test", "-p", "stickd", "--test", "agreement", "--", "--nocapture"]);
    test.env("STICKD_AGREEMENT_CASES", options.cases.to_string());
    test.env("STICKD_AGREEMENT_SEED", options.seed.to_string());
    run::show(&mut test)
}
