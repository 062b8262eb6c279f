//! `cargo xtask test`: every check CI makes, in the order in which a mistake shows soonest.

mod licences;
mod spdx;
mod tests;
mod tidy;

use crate::{build, docs, run, setup};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::time::Instant;

/// The crates to publish, each after those that it depends on.
const LIBRARIES: [&str; 4] = ["stick-table", "stick-aggregate", "stick-store", "haproxy-peers"];

#[derive(Args)]
pub(crate) struct Options {
    /// Run only these steps (may be given several times)
    #[arg(long, value_enum)]
    only: Vec<Step>,
    /// Passed on to `cargo test --workspace`, e.g. `-- --test haproxies`
    #[arg(last = true)]
    test_arguments: Vec<String>,
}

impl Options {
    fn includes(&self, step: Step) -> bool {
        self.only.is_empty() || self.only.contains(&step)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// HAProxys and tools, as `cargo xtask setup`
    Setup,
    /// `cargo fmt --check`
    Format,
    /// Sizes of files, lints of every member, links and log lines of the pages
    Tidy,
    /// Licences of all dependencies against deny.toml
    Licences,
    /// `cargo clippy` without warnings
    Lints,
    /// `cargo doc` without warnings
    Docs,
    /// `cargo publish --dry-run` of the libraries; it uploads nothing
    Crates,
    /// `cargo test` of the whole workspace
    Tests,
    /// Configurations and commands of the pages, with the stickd that the tests built
    Pages,
}

impl Step {
    fn run(self, options: &Options) -> Result<()> {
        match self {
            Self::Setup => setup::run(false),
            Self::Format => {
                run::show(run::cargo().args(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")
            }
            Self::Tidy => {
                tidy::check(run::root())?;
                docs::check_text(run::root())
            }
            Self::Licences => licences::check(run::root()),
            Self::Lints => run::show(run::cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])),
            Self::Docs => run::show(
                run::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::Crates => {
                // The other steps compile them already, and the tree may have changes that are not committed.
                let mut publish = run::cargo();
                publish.args(["publish", "--dry-run", "--no-verify", "--allow-dirty"]);
                run::show(publish.args(LIBRARIES.iter().flat_map(|library| ["-p", library])))
            }
            Self::Tests => tests::run(&options.test_arguments),
            Self::Pages => {
                let is_built = options.includes(Self::Tests) && options.test_arguments.is_empty();
                let stickd = is_built.then(|| build::built("stickd")).transpose()?;
                docs::run(&docs::Options::with(stickd))
            }
        }
    }
}

/// Runs the steps; the first that fails ends the run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let steps: Vec<Step> =
        Step::value_variants().iter().copied().filter(|&step| options.includes(step)).collect();
    for (number, step) in steps.iter().enumerate() {
        let name = format!("{step:?}").to_lowercase();
        println!("==> {name} ({} of {})", number + 1, steps.len());
        let begun = Instant::now();
        step.run(options).with_context(|| format!("step `{name}` failed"))?;
        println!("==> {name}: passed in {:.1} s", begun.elapsed().as_secs_f32());
    }
    println!("==> all steps passed in {:.1} s", started.elapsed().as_secs_f32());
    Ok(())
}
