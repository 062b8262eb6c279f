//! What a newcomer and CI run: `cargo xtask setup`, `cargo xtask demo`, `cargo xtask test`,
//! `cargo xtask bench`. See `cargo xtask help`.

mod agreement;
mod bench;
mod build;
mod check;
mod coverage;
mod demo;
mod docs;
mod fuzz;
mod haproxies;
mod instructions;
mod micro;
mod mutants;
mod package;
mod run;
mod setup;
mod sim;
mod soak;
mod tree;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Set-up, demonstration, tests and measurements of stickd")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Get what the tests need: HAProxys of several releases, socat, clients of the runtime socket
    Setup {
        /// Fetch again what is there already
        #[arg(long)]
        refresh: bool,
    },
    /// Watch two HAProxys and stickd share a table, lose it and get it back (40 s, on the loopback)
    Demo,
    /// Measure HAProxy and stickd side by side on the same work; without options BENCHMARKS.md is written
    Bench(bench::Options),
    /// Compare what `stickd check` and `haproxy -c` accept, on generated lines
    Agreement(agreement::Options),
    /// Check links, configurations and commands of all pages; `--site` builds the site
    Docs(docs::Options),
    /// Run the fuzz targets under libFuzzer; installs a nightly compiler and cargo-fuzz where they are missing
    Fuzz(fuzz::Options),
    /// Measure which lines of the engine crates the tests run (2 minutes with `--own`, else 5)
    Coverage(coverage::Options),
    /// List the HAProxys the tests use
    Haproxy,
    /// Run the micro-benchmarks (2 minutes); arguments after `--` go to criterion, e.g. a name
    Micro {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Count the instructions per update of the hot paths and compare with the committed figures (1 minute)
    Instructions(instructions::Options),
    /// Change lines of the engine at random, one at a time, and see whether a test fails (30 s for each)
    Mutants(mutants::Options),
    /// Make a Debian package, an RPM, an image and a tarball with its checksum, in target/package; `--test` installs the package
    Package(package::Options),
    /// Run HAProxys and stickds under traffic, restarts and cuts, and compare all tables again and again
    Soak(soak::Options),
    /// Run whole clusters in virtual time with faults, told by seeds; see `--profile list` and `--break list`
    Sim(sim::Options),
    /// Set up, then format, lints, docs, licences, tidiness and all tests
    Test(check::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup { refresh } => setup::run(refresh),
        Command::Demo => demo::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Agreement(options) => agreement::run(&options),
        Command::Docs(options) => docs::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Coverage(options) => coverage::run(&options),
        Command::Haproxy => haproxies::print(),
        Command::Micro { arguments } => micro::run(&arguments),
        Command::Instructions(options) => instructions::run(&options),
        Command::Mutants(options) => mutants::run(&options),
        Command::Package(options) => package::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Test(options) => check::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
