//! The whole benchmark, one scenario after the other.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use stickd_testkit::{Release, haproxy};

use crate::goals::{self, Goal};
use crate::learn::{Life, Material};
use crate::machine::Machine;
use crate::plan::{Plan, Scenario};
use crate::progress::Progress;
use crate::report::Table;
use crate::results::{BUSY, Results};
use crate::subject::{Candidate, Kind};
use crate::{Arguments, document, expiry, fan_out, hostile, hub, purge, sessions};

/// Rounds repeated because a HAProxy ended a session.
const MAX_BROKEN: usize = 3;

/// What a scenario gives.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.tables.extend(other.tables);
        self.goals.extend(other.goals);
    }
}

/// Everything a scenario needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    /// HAProxys first, stickd last.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) progress: Progress,
}

/// Runs what the arguments say and prints it.
///
/// # Errors
///
/// When a subject does not do its work right, in whatever way: then there are no results.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan::new(arguments.quick, &arguments.only);
    let candidates = candidates(arguments)?;
    let machine = Machine::look()?;
    machine.lines(&candidates).iter().for_each(|line| println!("{line}"));
    println!();
    let bench = Bench { plan, candidates, progress: Progress::new() };
    let outcome = bench.all()?;
    bench.progress.end();
    let goals = goals::table(&outcome.goals);
    outcome.tables.iter().chain([&goals]).for_each(|table| println!("{}", table.plain()));
    if let Some(file) = &arguments.markdown {
        let text = document::text(&machine.lines(&bench.candidates), &goals, &outcome.tables);
        fs::write(file, text + &document::kept(file))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("written: {}", file.display());
    }
    Ok(())
}

/// Every HAProxy at hand, of the quick run the oldest and the newest of the set-up; stickd last.
fn candidates(arguments: &Arguments) -> Result<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Release::all().iter().map(Candidate::of_release).collect();
    if arguments.quick {
        candidates = [candidates.first(), candidates.last()].into_iter().flatten().cloned().collect();
    }
    for program in &arguments.haproxy {
        candidates.push(Candidate::haproxy_at(program)?);
    }
    ensure!(!candidates.is_empty(), "no HAProxy at hand: run `cargo xtask setup`");
    candidates.push(Candidate::stickd_at(&arguments.stickd)?);
    Ok(candidates)
}

impl Bench {
    /// The stickd that is measured.
    pub(crate) fn stickd(&self) -> Result<&Candidate> {
        self.candidates.iter().find(|it| it.kind == Kind::Stickd).context("no stickd")
    }

    /// The newest HAProxy at hand.
    pub(crate) fn newest_haproxy(&self) -> Result<&Candidate> {
        let haproxys = self.candidates.iter().filter(|it| it.kind == Kind::Haproxy);
        haproxys.max_by_key(|it| haproxy::branch(&it.version)).context("no HAProxy")
    }

    fn all(&self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let lives = self.lives()?;
        outcome.add(Outcome { tables: lives.tables(), goals: goals::of_results(&lives) });
        for scenario in Scenario::value_variants().iter().copied().filter(|&scenario| self.plan.has(scenario))
        {
            outcome.add(match scenario {
                Scenario::Learn | Scenario::Strings => continue,
                Scenario::Sessions => sessions::run(self)?,
                Scenario::Purge => purge::run(self)?,
                Scenario::Expiry => expiry::run(self)?,
                Scenario::FanOut => fan_out::run(self)?,
                Scenario::Hostile => hostile::run(self)?,
                Scenario::HubLatency => hub::latency::run(self)?,
                Scenario::HubNodes => hub::nodes::run(self)?,
                Scenario::HubMesh => hub::mesh::run(self)?,
                Scenario::HubDeparture => hub::departure::run(self)?,
            });
        }
        Ok(outcome)
    }

    /// Learn, memory, teach, learn again.
    fn lives(&self) -> Result<Results> {
        let labels: Vec<String> = self.candidates.iter().map(Candidate::label).collect();
        let mut results = Results::new(labels.clone());
        let mut extra = self.plan.extra;
        for (keys, entries, rounds) in self.plan.lives() {
            let material = Material::new(keys, entries);
            results.note_size(keys, material.bytes_per_entry());
            for round in 0..rounds {
                for (subject, candidate) in self.candidates.iter().enumerate() {
                    if !self.plan.takes_part(subject, self.candidates.len(), entries, round) {
                        continue;
                    }
                    let what = format!(
                        "{entries} entries ({}), {}, round {}",
                        keys.label(),
                        labels[subject],
                        round + 1
                    );
                    self.progress.begin(what.clone());
                    let live = || Life::live(candidate, &material).with_context(|| what.clone());
                    let life = self.calm(candidate, &mut extra, live, Life::foreign)?;
                    results.add(subject, keys, entries, &life);
                    self.progress.done();
                }
            }
        }
        Ok(results)
    }

    /// Runs a round, and once more when something else used the machine and there is time left for that, or when a HAProxy
    /// ended a session in the middle.
    pub(crate) fn calm<T>(
        &self,
        candidate: &Candidate,
        extra: &mut Duration,
        mut round: impl FnMut() -> Result<T>,
        foreign: impl Fn(&T) -> f64,
    ) -> Result<T> {
        let mut broken = 0;
        loop {
            let started = Instant::now();
            let outcome = match round() {
                Err(error) if candidate.kind == Kind::Haproxy && broken < MAX_BROKEN => {
                    let reason = format!("{error:#}");
                    self.progress
                        .say(&format!("repeated: {}", reason.lines().take(2).collect::<Vec<_>>().join(" ")));
                    broken += 1;
                    continue;
                }
                outcome => outcome?,
            };
            let took = started.elapsed();
            if foreign(&outcome) <= BUSY || took > *extra {
                return Ok(outcome);
            }
            *extra -= took;
        }
    }
}
