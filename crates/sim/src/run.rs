//! Seeds by the thousand, and what to say of one that fails.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use stick_table::defect::Defect;

use crate::{Plan, Profile, Violation, World, shrink};

/// Runs again to make a failing one smaller.
const RERUNS: usize = 300;
/// Lines of a trace that are shown, and how many of them are of what came after the failure.
const LINES: usize = 150;
const AFTER: usize = 10;

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The profile.
    pub profile: &'static Profile,
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub jobs: usize,
    /// A known defect to run with.
    pub defect: Option<Defect>,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What must not have been.
    pub violations: Vec<Violation>,
}

/// Runs one seed.
pub fn run_seed(profile: &Profile, seed: u64, defect: Option<Defect>) -> Report {
    Defect::switch(defect);
    let outcome = World::run(&Plan::new(profile, seed), false);
    Defect::switch(None);
    Report { seed, violations: outcome.violations }
}

/// Runs seeds in several threads until one fails or all are done; the failing one of the lowest number that was run.
/// `done` is called with the number of seeds done so far.
pub fn run_seeds(seeds: &Seeds, done: impl Fn(u64) + Sync) -> Option<Report> {
    run_while(seeds, done, <[Report]>::is_empty).into_iter().next()
}

/// Runs all seeds in several threads, whatever fails: those that failed, in their order.
pub fn run_all_seeds(seeds: &Seeds, done: impl Fn(u64) + Sync) -> Vec<Report> {
    run_while(seeds, done, |_| true)
}

/// Runs seeds while those that failed so far let it go on.
fn run_while(
    seeds: &Seeds,
    done: impl Fn(u64) + Sync,
    goes_on: impl Fn(&[Report]) -> bool + Sync,
) -> Vec<Report> {
    let next = AtomicU64::new(0);
    let failed: Mutex<Vec<Report>> = Mutex::default();
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= seeds.count {
                return;
            }
            let report = run_seed(seeds.profile, seeds.from + place, seeds.defect);
            done(place + 1);
            if !report.violations.is_empty() {
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                failed.push(report);
                if !goes_on(&failed) {
                    next.store(seeds.count, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..seeds.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.sort_by_key(|report| report.seed);
    failed
}

impl Report {
    /// All there is to say about a failure: seed, commit, what failed, the steps it needs, what happened at the end, and the
    /// command to see it again.
    pub fn explain(&self, profile: &Profile, defect: Option<Defect>, commit: &str) -> String {
        let mut text = String::new();
        let Some(first) = self.violations.first() else { return text };
        let mut line = |words: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{words}");
        };
        line(format!("seed {} of profile {} at commit {commit} fails:", self.seed, profile.name));
        self.violations.iter().for_each(|violation| line(format!("  {violation}")));
        Defect::switch(defect);
        let plan = shrink(&Plan::new(profile, self.seed), first.invariant, RERUNS);
        let outcome = World::run(&plan, true);
        Defect::switch(None);
        line(format!("nodes: {:?}", plan.nodes));
        line(format!("tables: {:?}", plan.tables));
        line(format!(
            "line: {:?}, sections: {}, shards: {:?}, hubs: {:?}",
            plan.line, plan.sections, plan.shards, plan.hubs
        ));
        line("the steps it takes:".into());
        plan.steps.iter().for_each(|step| line(format!("  {step}")));
        line("which gives:".into());
        outcome.violations.iter().for_each(|violation| line(format!("  {violation}")));
        // Up to what failed, and a little after.
        let failed = outcome.violations.first().map_or(u64::MAX, |violation| violation.at);
        let is_before = |words: &&String| {
            let at = words.split_whitespace().next().and_then(|at| at.parse().ok());
            at.is_none_or(|at: u64| at <= failed)
        };
        let mut lines = outcome.lines;
        lines.truncate(lines.iter().take_while(is_before).count() + AFTER);
        let skipped = lines.len().saturating_sub(LINES);
        line(format!("what happened ({skipped} lines before left out):"));
        lines.iter().skip(skipped).for_each(|words| line(format!("  {words}")));
        let breaks = defect.map_or_else(String::new, |defect| format!(" --break {}", defect.name()));
        line(format!("again: cargo xtask sim --profile {} --seed {}{breaks}", profile.name, self.seed));
        text
    }
}
