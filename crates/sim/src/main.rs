//! The simulator from the command line; `cargo xtask sim` starts it.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use stick_table::defect::Defect;
use stickd_sim::{Plan, Profile, Seeds, World, run_all_seeds, run_seed, run_seeds};

/// Run whole clusters in virtual time, with faults told by seeds
#[derive(Parser)]
struct Arguments {
    /// Number of seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one only, and tell all about it if it fails
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Which faults; `list` shows all profiles
    #[arg(long, default_value = "mixed")]
    profile: String,
    /// Switch a known defect on, to see that it is found; `list` shows all (needs the feature `defects`)
    #[arg(long = "break", value_name = "NAME")]
    defect: Option<String>,
    /// Run all seeds, also after one that fails, and list those that fail
    #[arg(long, conflicts_with = "seed")]
    keep_going: bool,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only print a number that is the same for the same events of the seed
    #[arg(long, requires = "seed")]
    digest: bool,
    /// The commit, for messages
    #[arg(long, default_value = "unknown", hide = true)]
    commit: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.profile == "list" {
        Profile::ALL.iter().for_each(|profile| println!("{:12} {}", profile.name, profile.about));
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.defect.as_deref() == Some("list") {
        Defect::ALL.iter().for_each(|defect| println!("{}", defect.name()));
        return Ok(ExitCode::SUCCESS);
    }
    let profile = Profile::of_name(&arguments.profile)
        .ok_or_else(|| anyhow::anyhow!("no profile is called {}; try --profile list", arguments.profile))?;
    let defect = arguments.defect.as_deref().map(defect_of_name).transpose()?;
    if let Some(seed) = arguments.seed.filter(|_| arguments.digest) {
        println!("{:016x}", World::run(&Plan::new(profile, seed), false).digest);
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let tell = |done: u64| {
        if done.is_multiple_of(1_000) {
            eprintln!("{done} seeds, {:.1} s", started.elapsed().as_secs_f32());
        }
    };
    let seeds = Seeds { profile, from: arguments.from, count: arguments.seeds, jobs: arguments.jobs, defect };
    if arguments.keep_going {
        let failed = run_all_seeds(&seeds, tell);
        for report in &failed {
            let first = report.violations.first().map_or_else(String::new, ToString::to_string);
            println!("seed {}: {first}", report.seed);
        }
        let (count, failed) = (arguments.seeds, failed.len());
        println!("{failed} of {count} seeds of profile {} fail", profile.name);
        return Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let (count, failed) = match arguments.seed {
        Some(seed) => {
            let report = run_seed(profile, seed, defect);
            (1, Some(report).filter(|report| !report.violations.is_empty()))
        }
        None => (arguments.seeds, run_seeds(&seeds, tell)),
    };
    let Some(report) = failed else {
        let seconds = started.elapsed().as_secs_f32();
        println!(
            "{count} seeds of profile {} at commit {}: all well, {seconds:.1} s",
            profile.name, arguments.commit
        );
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", report.explain(profile, defect, &arguments.commit));
    Ok(ExitCode::FAILURE)
}

fn defect_of_name(name: &str) -> anyhow::Result<Defect> {
    let found = Defect::ALL.into_iter().find(|defect| defect.name() == name);
    let defect = found.ok_or_else(|| anyhow::anyhow!("no defect is called {name}; try --break list"))?;
    let there = Defect::switch(Some(defect));
    Defect::switch(None);
    anyhow::ensure!(there, "this program has no defects; build it with --features defects");
    Ok(defect)
}
