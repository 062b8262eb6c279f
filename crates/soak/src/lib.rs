//! Real HAProxys of different releases and stickds in one section, under traffic and under everything that goes wrong in
//! production: reloads, `kill -9`, hand-overs, connections that close, stall or do not come to be. At every calm point
//! all tables of all members are compared with each other and with what was sent. See docs/testing/soak.md.

mod behind;
mod calm;
mod cluster;
mod compare;
mod faults;
mod journal;
mod kind;
mod ledger;
mod links;
mod plan;
mod recovery;
mod remains;
mod soak;
mod summary;
mod traffic;
mod usage;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};

pub use behind::Behind;
pub use summary::Summary;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stickd program.
    pub stickd: PathBuf,
    /// How long; the calm point under way is brought to its end.
    pub time: Duration,
    /// What the plan is made from.
    pub seed: u64,
    /// Where everything goes that helps to understand a disagreement.
    pub logs: PathBuf,
}

/// Runs, printing a line for each event.
///
/// # Errors
///
/// At the first disagreement, when a process ends by itself, or when something does not come to be in time. What helps to
/// understand it is kept in a directory that the error names.
pub fn run(options: &Options) -> Result<Summary> {
    let mut soak = soak::Soak::start(options)?;
    // The test kit panics with the output of the process concerned: keep what remains then, too.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| soak.run())).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        Err(anyhow!("{}", text.or_else(|| payload.downcast_ref().copied()).unwrap_or("a panic, see above")))
    });
    match outcome {
        Ok(()) => Ok(soak.summary()),
        Err(error) => {
            let place = remains::keep(&soak, options, &error);
            Err(error.context(format!("the soak with --seed {} failed; {place}", options.seed)))
        }
    }
}
