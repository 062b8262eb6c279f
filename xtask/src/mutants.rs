//! `cargo xtask mutants`: whether the tests notice a changed line (docs/testing.md).
//!
//! cargo-mutants lists the changes. They are applied here, one after the other, to a copy of the tree with a build directory of
//! its own, so that every mutant first meets the tests of its crate, and only one that survives these meets the slower tests of
//! the workspace that could find it.

mod list;
mod sample;
mod suite;
mod tool;
mod tree;

use crate::run;
use anyhow::{Context, Result, bail};
use clap::Args;
use list::Mutant;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use suite::{Outcome, Suite};
use tree::Tree;

#[derive(Args)]
pub(crate) struct Options {
    /// How many mutants to test, chosen by the seed; more of one seed include those of fewer
    #[arg(long, default_value_t = 20, value_name = "N")]
    sample: usize,
    /// Which ones to choose
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Leave the first ones of the sample out, which an earlier run tested
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip: usize,
    /// Choose among the mutants of this crate only (may be given several times)
    #[arg(long = "package", short, value_name = "CRATE")]
    packages: Vec<String>,
    /// Test all mutants that have this in their name, which is `FILE:LINE:COLUMN: CHANGE`, instead of a sample
    #[arg(long, value_name = "TEXT")]
    named: Vec<String>,
    /// Run only the tests of each mutant's own crate
    #[arg(long)]
    own: bool,
    /// List the chosen mutants and test none
    #[arg(long)]
    list: bool,
}

/// What became of a mutant, and of which tests.
struct Verdict {
    mutant: Mutant,
    outcome: Outcome,
    /// The tests that found it; the last ones that did not.
    by: &'static str,
    took: Duration,
}

/// Tests a sample of mutants and prints what became of each.
///
/// # Errors
/// When the tests fail without a change, or cargo-mutants cannot be had.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tool = tool::ensure()?;
    let mut mutants = list::all(&tool, &options.packages)?;
    let all = mutants.len();
    if options.named.is_empty() {
        mutants =
            sample::choose(mutants, options.seed, options.sample).split_off(options.skip.min(options.sample));
    } else {
        mutants.retain(|mutant| options.named.iter().any(|text| mutant.name.contains(text)));
    }
    // What was built last is used again.
    mutants.sort_by_key(|mutant| mutant.package.place());
    println!("{} of {all} mutants", mutants.len());
    if options.list {
        mutants.iter().for_each(|mutant| println!("{}", mutant.name));
        return Ok(());
    }
    let tree = Tree::make().context("cannot copy the tree")?;
    let mut limits = BTreeMap::new();
    let mut verdicts = Vec::new();
    let count = mutants.len();
    for (place, mutant) in (1..).zip(mutants) {
        let began = Instant::now();
        let suites = mutant.package.suites();
        let suites = &suites[..if options.own { 1 } else { suites.len() }];
        let (outcome, by) = test(&tree, &mutant, suites, &mut limits)?;
        let verdict = Verdict { mutant, outcome, by, took: began.elapsed() };
        println!("{place:>4}/{count} {}", verdict.line());
        verdicts.push(verdict);
    }
    summary(&verdicts);
    Ok(())
}

/// Runs suites until one finds the mutant.
fn test(
    tree: &Tree,
    mutant: &Mutant,
    suites: &[Suite],
    limits: &mut BTreeMap<&'static str, Duration>,
) -> Result<(Outcome, &'static str)> {
    let mut last = (Outcome::Survived, "");
    for suite in suites {
        let limit = match limits.get(suite.name) {
            Some(&limit) => limit,
            None => {
                let limit = baseline(tree, suite)?;
                limits.insert(suite.name, limit);
                limit
            }
        };
        let _changed = tree.change(mutant)?;
        last = (suite.run(tree, limit)?, suite.name);
        if last.0 != Outcome::Survived {
            break;
        }
    }
    Ok(last)
}

/// How long a suite may take: it runs without a change first, which builds what does not change as well.
fn baseline(tree: &Tree, suite: &Suite) -> Result<Duration> {
    println!("==> {} without a change", suite.name);
    suite.build(tree)?;
    let began = Instant::now();
    match suite.run(tree, Suite::LONGEST)? {
        Outcome::Survived => Ok(Suite::limit(began.elapsed())),
        outcome => bail!("{}: {outcome} without a change; run it to see why", suite.name),
    }
}

impl Verdict {
    fn line(&self) -> String {
        let seconds = self.took.as_secs();
        let Self { mutant, outcome, by, .. } = self;
        format!("{outcome:<10} {seconds:>4} s  {by:<16} {}", mutant.name)
    }
}

fn summary(verdicts: &[Verdict]) {
    println!(
        "\n{:<16} {:>8} {:>6} {:>10} {:>9} {:>12}",
        "crate", "mutants", "found", "timed out", "survived", "not built"
    );
    let mut total = [0; 5];
    for package in list::Package::ALL {
        let of = |outcome: Outcome| {
            verdicts.iter().filter(|it| it.mutant.package == package && it.outcome == outcome).count()
        };
        let [found, hung, survived, unviable] =
            [Outcome::Found, Outcome::TimedOut, Outcome::Survived, Outcome::NotBuilt].map(of);
        let figures = [found + hung + survived, found, hung, survived, unviable];
        if figures.iter().sum::<usize>() > 0 {
            println!("{}", row(package.name(), figures));
        }
        total.iter_mut().zip(figures).for_each(|(total, figure)| *total += figure);
    }
    println!("{}", row("all", total));
    let [mutants, found, hung, ..] = total;
    let share = 100.0 * (found + hung) as f64 / mutants.max(1) as f64;
    println!("\n{} of {mutants} mutants that can be built are found: {share:.1} %", found + hung);
    for verdict in verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Survived) {
        println!("survived: {}", verdict.mutant.name);
    }
}

fn row(name: &str, [mutants, found, hung, survived, unviable]: [usize; 5]) -> String {
    format!("{name:<16} {mutants:>8} {found:>6} {hung:>10} {survived:>9} {unviable:>12}")
}

/// A command on the copy of the tree.
fn cargo(tree: &Tree) -> std::process::Command {
    let mut command = run::cargo();
    command.current_dir(tree.directory()).env("CARGO_TARGET_DIR", tree.target());
    command
}
