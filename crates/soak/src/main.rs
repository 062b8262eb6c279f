//! Real HAProxys and stickds under traffic, restarts and cuts, compared at every calm point. Run by `cargo xtask soak`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use stickd_soak::Options;

/// Real HAProxys and stickds under traffic, restarts and cuts, compared at every calm point
#[derive(Debug, Parser)]
struct Arguments {
    /// The stickd to run
    #[arg(long, value_name = "PATH")]
    stickd: PathBuf,
    /// How long, e.g. 30 or 0.5
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Does the plan of another run again: the same faults in the same order
    #[arg(long)]
    seed: Option<u64>,
    /// Where logs, configurations and tables go when something disagrees
    #[arg(long, value_name = "DIRECTORY", default_value = "soak")]
    logs: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Ok(time) = Duration::try_from_secs_f64(arguments.minutes * 60.0) else {
        eprintln!(
            "error: --minutes {} is no length of time: give minutes, e.g. 30 or 0.5",
            arguments.minutes
        );
        return ExitCode::FAILURE;
    };
    let seed = arguments.seed.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64 % 1_000_000)
    });
    match stickd_soak::run(&Options { stickd: arguments.stickd, time, seed, logs: arguments.logs }) {
        Ok(summary) => {
            print!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
