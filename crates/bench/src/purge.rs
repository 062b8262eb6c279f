//! New entries into a full table, while somebody else works: each has to make room for itself.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use haproxy_peers::Control;

use crate::goals::{Goal, Unit};
use crate::learn::{Measured, attempt, measure_among_others};
use crate::plan::Scenario;
use crate::probe::{self, Latencies, Probe};
use crate::report::{count, spread, times};
use crate::run::{Bench, Outcome};
use crate::statistics::Series;
use crate::stream::{Work, definition};
use crate::subject::{Candidate, Kind, Setup};
use crate::verify::{Expect, Taught, verify};
use crate::workload::{EXPIRE_MS, Keys, TABLE};

/// Entries the table holds: `size 1m`.
const SIZE: u64 = 1 << 20;
/// New entries for each that the table holds: the quickest is done with a million before there are a thousand latencies.
const TIMES: u64 = 4;
/// A subject may free a little more than it needs at a time.
const LEAST_SHARE: f64 = 0.98;

struct Round {
    measured: Measured,
    latencies: Latencies,
    kept: u64,
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let fresh = if bench.plan.quick { SIZE } else { TIMES * SIZE };
    let (old, new) = (Work::new(Keys::Ip, 0, SIZE), Work::new(Keys::Ip, SIZE, fresh).after(SIZE as u32));
    let streams = [old.encode(EXPIRE_MS), new.encode(EXPIRE_MS)];
    let title =
        format!("Full table: {} new entries into a table of {} that is full", count(fresh), count(SIZE));
    let mut table =
        Latencies::table(&title, &["subject", "CPU ns/entry", "HAProxy ÷ stickd", "time s", "held after"]);
    let mut results = Vec::new();
    for candidate in &bench.candidates {
        let (mut cpu, mut wall, mut latencies, mut kept) =
            (Series::default(), Series::default(), Latencies::default(), Series::default());
        for round in 0..bench.plan.rounds() {
            let what = format!("{}, {}, round {}", Scenario::Purge.label(), candidate.label(), round + 1);
            bench.progress.begin(what.clone());
            let round =
                attempt(candidate.attempts(), || fill(candidate, [old, new], &streams)).context(what)?;
            cpu.push(round.measured.cpu.as_nanos() as f64 / fresh as f64);
            wall.push(round.measured.wall.as_secs_f64());
            kept.push(round.kept as f64);
            latencies.extend(round.latencies);
            bench.progress.done();
        }
        results.push((candidate, cpu, wall, kept, latencies));
    }
    let stickd = results.iter().find(|it| it.0.kind == Kind::Stickd).and_then(|it| it.1.median());
    for (candidate, cpu, wall, kept, latencies) in &results {
        let ratio = stickd.zip(cpu.median()).filter(|_| candidate.kind == Kind::Haproxy);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |(stickd, haproxy)| times(haproxy / stickd));
        let cells = [candidate.label(), spread(cpu, 0), ratio, spread(wall, 2), spread(kept, 0)];
        table.row(cells.into_iter().chain(latencies.cells()));
    }
    outcome.goals.extend(pause(
        &results.iter().map(|it| (it.0, &it.4)).collect::<Vec<_>>(),
        "new entries, full table",
    ));
    outcome.tables.push(table);
    Ok(outcome)
}

/// The goal that other work never waits long.
pub(crate) fn pause(results: &[(&Candidate, &Latencies)], work: &str) -> Option<Goal> {
    let worst = |latencies: &Latencies| latencies.percentile(0.999);
    let (haproxy, other) = results
        .iter()
        .filter(|(candidate, _)| candidate.kind == Kind::Haproxy)
        .min_by(|a, b| worst(a.1).total_cmp(&worst(b.1)))?;
    let (_, stickd) = results.iter().find(|(candidate, _)| candidate.kind == Kind::Stickd)?;
    Some(Goal {
        work: format!("p99.9 of other work, {work}"),
        other: format!("{}: {:.1} ms", haproxy.label(), worst(other)),
        stickd: format!("{:.1} ms", worst(stickd)),
        reached: worst(stickd),
        at_least: 5.0,
        aim: 5.0,
        unit: Unit::Milliseconds,
    })
}

fn fill(candidate: &Candidate, works: [Work; 2], streams: &[crate::stream::Stream; 2]) -> Result<Round> {
    let tables = vec![(TABLE.to_owned(), Keys::Ip.arguments(SIZE, EXPIRE_MS)), probe::table()];
    let subject = candidate.start(&Setup { tables, ..Setup::default() })?;
    let mut link = subject.connect_settled("driver", None)?;
    link.wait("the request for a lesson", |heard| heard.requests > 0)?;
    let confirms = link.heard().confirms;
    let started = Instant::now();
    let passage = link.send(&streams[0].bytes)?;
    link.say(Control::ResyncFinished)?;
    link.wait("the confirmation of the lesson", |heard| heard.confirms > confirms)?;
    let old = Taught::new(works[0], &streams[0], started, &passage, Instant::now());
    ensure!(subject.used(TABLE)? == SIZE, "the table is not full: {}", subject.used(TABLE)?);
    subject.usage.wait_idle()?;
    let probe = Probe::start(&subject)?;
    link.say(Control::Heartbeat)?;
    let (measured, (new, begun, ended)) = measure_among_others(&subject, || {
        let started = Instant::now();
        let passage = link.send(&streams[1].bytes)?;
        link.wait("the last acknowledgement", |heard| heard.acked == Some(works[1].last_id()))?;
        let ended = Instant::now();
        Ok((started, ended, (Taught::new(works[1], &streams[1], started, &passage, ended), started, ended)))
    })?;
    let latencies = probe.stop()?.between(begun, ended);
    let received = subject.lesson(&definition(Keys::Ip, EXPIRE_MS), SIZE as usize * Keys::Ip.room())?;
    let kept = verify(&received, &[&old, &new], Expect::Part)?.entries;
    ensure!(kept <= SIZE, "{kept} entries in a table of {SIZE}");
    ensure!(kept as f64 >= LEAST_SHARE * SIZE as f64, "only {kept} entries left in a table of {SIZE}");
    Ok(Round { measured, latencies, kept })
}
