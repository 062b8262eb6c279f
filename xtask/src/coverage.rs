//! `cargo xtask coverage`: which lines of the engine crates no test runs.
//!
//! The crates' own tests are counted apart from the simulator and the fuzz corpus: those run much and compare it with little
//! that is written down, so the floor is for the own tests alone. docs/testing.md says what is not covered, and why.

mod lcov;
mod report;
mod source;
mod tool;

use crate::run;
use anyhow::{Context, Result, bail};
use clap::Args;
use lcov::Hits;
use report::Report;
use source::Sources;

/// The crates that are measured, by the names of their directories and packages.
const CRATES: [&str; 2] = ["stick-table", "haproxy-peers"];
/// Other packages whose tests run the engine: the simulator, the corpus of fuzzing.
const OTHERS: [&str; 2] = ["stickd-sim", "stickd-fuzz-targets"];
/// Crates that are built for that, and have no place in pages about the engine.
const NOT_SHOWN: &str = "/crates/(fuzz-targets|micro|sim|stickd)/";
/// So many percent of the lines of each crate are covered by the own tests, or the command fails.
const FLOOR: f64 = 95.0;
/// Random tests take the same values in every run, so that figures can be compared.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

#[derive(Args)]
pub(crate) struct Options {
    /// Run only the crates' own tests, without the simulator and the fuzz corpus
    #[arg(long)]
    own: bool,
    /// List the lines that the own tests do not cover
    #[arg(long)]
    lines: bool,
    /// Write pages with the source as well; they show test modules too
    #[arg(long)]
    html: bool,
}

/// Runs the tests and prints what they cover.
///
/// # Errors
/// Also when a test fails, or a crate is below the floor.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tool = tool::Tool::ensure()?;
    // What an earlier run left would be counted.
    run::show(tool.command("clean").arg("--workspace"))?;
    let sources = Sources::read(run::root(), &CRATES)?;
    let own = measure(&tool, &CRATES)?;
    let all = if options.own { None } else { Some(measure(&tool, &OTHERS)?) };
    let report = Report::new(&sources, &own, all.as_ref());
    println!();
    if options.lines {
        println!("{}", report.uncovered());
    }
    print!("{}", report.table());
    if options.html {
        run::show(tool.command("report").args(["--html", "--ignore-filename-regex", NOT_SHOWN]))?;
    }
    let below = report.below(FLOOR);
    if !below.is_empty() {
        bail!(
            "less than {FLOOR} % of the lines of {} are covered: `--lines` lists the others",
            below.join(" and ")
        );
    }
    Ok(())
}

/// Runs the tests of packages and returns what all tests of this run have covered so far.
fn measure(tool: &tool::Tool, packages: &[&str]) -> Result<Hits> {
    let mut tests = tool.command("test");
    tests.args(["--no-report", "--no-cfg-coverage"]).env(SEED.0, SEED.1);
    for package in packages {
        tests.args(["--package", package]);
    }
    println!("==> {}", run::line(&tests));
    run::show(&mut tests)?;
    let text = run::output(tool.command("report").arg("--lcov"))?;
    lcov::read(&text, run::root()).context("cannot read what cargo-llvm-cov reports")
}
