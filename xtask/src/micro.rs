//! `cargo xtask micro`: the micro-benchmarks, as released.

use crate::run;
use anyhow::Result;

/// Runs the benchmarks whose names contain one of `arguments`, or all; options go to criterion.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    run::show(run::cargo().args(["bench", "--package", "stickd-micro", "--"]).args(arguments))
}
