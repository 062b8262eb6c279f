//! Measures HAProxy and stickd side by side on the same work. Run by `cargo xtask bench`.
//!
//! Scenarios are listed in `plan.rs`. Some run only when they are named: `hostile` (an honest peer's latency under attacks),
//! `hub-latency` (from a request on one HAProxy to the sum on another), `hub-nodes` (what an update costs a hub with few and many
//! nodes), `hub-mesh` (the same requests at HAProxys in a full mesh, with a relay and with a hub) and `hub-departure` (what others
//! notice of many nodes that leave a hub at once).

mod backing;
mod document;
mod expiry;
mod fan_out;
mod goals;
mod hostile;
mod hub;
mod learn;
mod link;
mod machine;
mod plan;
mod probe;
mod progress;
mod purge;
mod refuser;
mod report;
mod results;
mod run;
mod sessions;
mod statistics;
mod stream;
mod subject;
mod upkeep;
mod usage;
mod verify;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use plan::Scenario;

/// Measures HAProxy and stickd side by side on the same work
#[derive(Debug, Parser)]
struct Arguments {
    /// The stickd to measure, a release build
    #[arg(long, value_name = "PATH")]
    stickd: PathBuf,
    /// Another HAProxy to measure besides those of `cargo xtask setup`; may be repeated
    #[arg(long, value_name = "PATH")]
    haproxy: Vec<PathBuf>,
    /// Fewer entries, rounds and HAProxys, under 5 minutes
    #[arg(long)]
    quick: bool,
    /// Run this scenario only; may be repeated
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Write the results to this file as well, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
