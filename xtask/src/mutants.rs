//! `cargo xtask mutants`: whether the tests notice a changed line (docs/testing.md).
//!
//! cargo-mutants lists the changes. They are applied here, one after the other, to a copy of the tree with a build directory of
//! its own, so that every mutant first meets the tests of its crate, and only one that survives these meets the slower tests of
//! the workspace that could find it.

mod list;
mod results;
mod sample;
mod suite;
mod tree;

use crate::run;
use crate::setup::cargo_tool;
use anyhow::{Context, Result, bail};
use clap::Args;
use list::{Mutant, Package};
use results::Results;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use suite::{Costs, Outcome, Suite};
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
    /// Begin no more tests after so many minutes; mutants that are left are "not tested"
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Take the results that an interrupted run on the same sources left
    #[arg(long)]
    resume: bool,
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
}

/// Tests a sample of mutants and prints what became of each.
///
/// # Errors
/// When the tests fail without a change, or cargo-mutants cannot be had.
pub(crate) fn run(options: &Options) -> Result<()> {
    let deadline = options.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let tool = cargo_tool::MUTANTS.ensure()?;
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
    let results = Results::open(tree.results(), tree.sources(), options.resume)?;
    let mut run = Run { tree, results, limits: BTreeMap::new(), deadline };
    let mut verdicts: Vec<_> =
        mutants.into_iter().map(|mutant| Verdict { mutant, outcome: Outcome::Survived, by: "" }).collect();
    let longest = Package::ALL.iter().map(|package| package.suites().len()).max().unwrap_or_default();
    // The slow tests of the survivors come when all mutants have met the quick ones.
    for round in 0..longest {
        let count = verdicts.iter().filter(|verdict| verdict.suite(round, options).is_some()).count();
        let mut place = 0;
        for verdict in &mut verdicts {
            let Some(suite) = verdict.suite(round, options) else { continue };
            place += 1;
            let began = Instant::now();
            verdict.outcome = run.test(&verdict.mutant, suite, round > 0)?;
            verdict.by = if verdict.outcome == Outcome::NotTested { verdict.by } else { suite.name };
            let seconds = began.elapsed().as_secs();
            println!("{place:>4}/{count} {seconds:>4} s  {}", verdict.line());
        }
    }
    summary(&verdicts);
    Ok(())
}

impl Verdict {
    /// The tests that the mutant meets in this round, if it survived those before.
    fn suite(&self, round: usize, options: &Options) -> Option<&'static Suite> {
        let suite = self.mutant.package.suites().get(round)?;
        let wanted = self.outcome == Outcome::Survived && (suite.own || !options.own);
        wanted.then_some(suite)
    }
}

/// What is needed to test a mutant.
struct Run {
    tree: Tree,
    results: Results,
    /// What each suite may take.
    limits: BTreeMap<&'static str, Costs>,
    deadline: Option<Instant>,
}

impl Run {
    /// Runs a suite on a mutant, which is known to be `built` by an earlier one.
    fn test(&mut self, mutant: &Mutant, suite: &Suite, built: bool) -> Result<Outcome> {
        if let Some(outcome) = self.results.get(&mutant.name, suite.name) {
            return Ok(outcome);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Outcome::NotTested);
        }
        let limit = match self.limits.get(suite.name) {
            Some(&limit) => limit,
            None => {
                let limit = baseline(&self.tree, suite)?;
                self.limits.insert(suite.name, limit);
                limit
            }
        };
        let _changed = self.tree.change(mutant)?;
        let outcome = match suite.run(&self.tree, limit)?.0 {
            // The compiler evaluates constants of the tests.
            Outcome::NotBuilt if built => Outcome::Found,
            outcome => outcome,
        };
        self.results.add(&mutant.name, suite.name, outcome)?;
        Ok(outcome)
    }
}

/// What a suite may take: it runs without a change first, which builds what does not change as well.
fn baseline(tree: &Tree, suite: &Suite) -> Result<Costs> {
    println!("==> {} without a change", suite.name);
    suite.build(tree)?;
    match suite.run(tree, Costs::MOST)? {
        (Outcome::Survived, costs) => Ok(costs.limit()),
        (outcome, _) => bail!("{}: {outcome} without a change; run it to see why", suite.name),
    }
}

impl Verdict {
    fn line(&self) -> String {
        let Self { mutant, outcome, by } = self;
        format!("{outcome:<10}  {by:<16} {}", mutant.name)
    }
}

fn summary(verdicts: &[Verdict]) {
    println!(
        "\n{:<16} {:>8} {:>6} {:>10} {:>9} {:>11} {:>10}",
        "crate", "mutants", "found", "timed out", "survived", "not tested", "not built"
    );
    let mut total = [0; Outcome::ALL.len()];
    for package in Package::ALL {
        let figures = Outcome::ALL.map(|outcome| {
            verdicts.iter().filter(|it| it.mutant.package == package && it.outcome == outcome).count()
        });
        if figures.iter().sum::<usize>() > 0 {
            println!("{}", row(package.name(), figures));
        }
        total.iter_mut().zip(figures).for_each(|(total, figure)| *total += figure);
    }
    println!("{}", row("all", total));
    let [found, hung, survived, not_tested, _] = total;
    let mutants = found + hung + survived + not_tested;
    let share = 100.0 * (found + hung) as f64 / mutants.max(1) as f64;
    println!("\n{} of {mutants} mutants that can be built are found: {share:.1} %", found + hung);
    for verdict in verdicts {
        if matches!(verdict.outcome, Outcome::Survived | Outcome::NotTested) {
            println!("{}: {}", verdict.outcome, verdict.mutant.name);
        }
    }
}

/// A row for the outcomes in their order.
fn row(name: &str, [found, hung, survived, not_tested, unviable]: [usize; Outcome::ALL.len()]) -> String {
    let mutants = found + hung + survived + not_tested;
    format!("{name:<16} {mutants:>8} {found:>6} {hung:>10} {survived:>9} {not_tested:>11} {unviable:>10}")
}

/// A command on the copy of the tree.
fn cargo(tree: &Tree) -> std::process::Command {
    let mut command = run::cargo();
    command.current_dir(tree.directory()).env("CARGO_TARGET_DIR", tree.target());
    command
}
