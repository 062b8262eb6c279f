//! Two peers tell one subject about different entries at the same time, against one peer that tells all of them.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::backing;
use crate::goals::{Goal, Unit};
use crate::learn::{attempt, measure};
use crate::link::Link;
use crate::plan::Scenario;
use crate::report::{Table, count, spread, times};
use crate::run::{Bench, Outcome};
use crate::statistics::Series;
use crate::stream::{Stream, Work, definition};
use crate::subject::{Candidate, DRIVERS, Kind, Setup, Subject};
use crate::usage::thread_cpu;
use crate::verify::{Expect, Taught, verify};
use crate::workload::{EXPIRE_MS, Keys, TABLE};

/// Entries in all.
const COUNT: u64 = 1_000_000;
/// Sessions compared.
const SESSIONS: [usize; 2] = [1, 2];

struct Round {
    wall: Duration,
    cpu: Duration,
    driver: Duration,
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let parts = SESSIONS.map(|sessions| material(sessions as u64));
    let title = format!("Sessions: {} new entries told by one peer, and by two at once", count(COUNT));
    let header = [
        "subject",
        "sessions",
        "time s",
        "M entries/s",
        "one session ÷ two",
        "CPU ns/entry",
        "driver ns/entry",
    ];
    let (mut table, mut goals) = (Table::new(title, &header), Vec::new());
    for candidate in candidates(bench) {
        let results = rounds(bench, &candidate, &parts)?;
        let medians: Vec<f64> = results.iter().filter_map(|(wall, ..)| wall.median()).collect();
        let gain = medians[0] / medians[1];
        for ((wall, cpu, driver), sessions) in results.iter().zip(SESSIONS) {
            table.row([
                candidate.label(),
                sessions.to_string(),
                spread(wall, 3),
                format!("{:.2}", COUNT as f64 / 1e6 / wall.median().unwrap_or(f64::NAN)),
                if sessions == 2 { times(gain) } else { "–".to_owned() },
                spread(cpu, 0),
                spread(driver, 0),
            ]);
        }
        if candidate.kind == Kind::Stickd {
            goals.push(Goal {
                work: format!("two sessions at once, {}", count(COUNT)),
                other: format!("stickd, one session: {:.3} s", medians[0]),
                stickd: format!("{:.3} s", medians[1]),
                reached: gain,
                at_least: 1.7,
                aim: 1.9,
                unit: Unit::Times,
            });
        }
    }
    table.note("Timed updates outside a lesson, until the last of each session is acknowledged.");
    Ok(Outcome { tables: vec![table], goals })
}

/// The first HAProxy with one thread and with two, outside the quick run the newest as well, and stickd.
fn candidates(bench: &Bench) -> Vec<Candidate> {
    let haproxys: Vec<_> =
        bench.candidates.iter().filter(|candidate| candidate.kind == Kind::Haproxy).collect();
    let stickd = bench.candidates.iter().filter(|candidate| candidate.kind == Kind::Stickd);
    let newest = haproxys.last().filter(|_| haproxys.len() > 1 && !bench.plan.quick);
    let compared = haproxys.first().into_iter().chain(newest);
    let compared = compared.flat_map(|&haproxy| [haproxy.clone(), haproxy.with_threads(2)]);
    compared.chain(stickd.cloned()).collect()
}

/// Disjoint parts of all entries, one for each session.
fn material(sessions: u64) -> Vec<(Work, Stream)> {
    let count = COUNT / sessions;
    let works = (0..sessions).map(|session| Work::new(Keys::Ip, session * count, count));
    works.map(|work| (work, work.encode(EXPIRE_MS))).collect()
}

/// Time in s, CPU and the driver's CPU in ns for an entry, for each number of sessions.
fn rounds(
    bench: &Bench,
    candidate: &Candidate,
    parts: &[Vec<(Work, Stream)>],
) -> Result<Vec<(Series, Series, Series)>> {
    let mut results = vec![<(Series, Series, Series)>::default(); SESSIONS.len()];
    let rounds = if candidate.kind == Kind::Stickd { 5 } else { bench.plan.rounds() };
    for round in 0..rounds {
        for (parts, result) in parts.iter().zip(&mut results) {
            let (name, label, sessions) = (Scenario::Sessions.label(), candidate.label(), parts.len());
            let what = format!("{name}, {label}, {sessions} sessions, round {}", round + 1);
            bench.progress.begin(what.clone());
            let round = attempt(candidate.attempts(), || tell(candidate, parts)).context(what)?;
            result.0.push(round.wall.as_secs_f64());
            result.1.push(round.cpu.as_nanos() as f64 / COUNT as f64);
            result.2.push(round.driver.as_nanos() as f64 / COUNT as f64);
            bench.progress.done();
        }
    }
    Ok(results)
}

fn tell(candidate: &Candidate, parts: &[(Work, Stream)]) -> Result<Round> {
    let tables = vec![(TABLE.to_owned(), Keys::Ip.arguments(5_000_000, EXPIRE_MS))];
    let subject = candidate.start(&Setup { tables, ..Setup::default() })?;
    let empty = definition(Keys::Ip, EXPIRE_MS);
    let connect = |name: &&str| subject.connect_settled(name, Some(&empty));
    let mut links: Vec<Link> = DRIVERS[..parts.len()].iter().map(connect).collect::<Result<_>>()?;
    // A subject may ask one after the other for a lesson.
    for link in &mut links {
        link.listen(Duration::from_millis(100))?;
    }
    backing::make_ready(COUNT);
    let (measured, told) = measure(&subject, || tell_at_once(&mut links, parts))?;
    let driver = told.iter().map(|(_, cpu)| *cpu).sum();
    let taught: Vec<Taught> = told.into_iter().map(|(taught, _)| taught).collect();
    compare(&subject, &taught)?;
    Ok(Round { wall: measured.wall, cpu: measured.cpu, driver })
}

type Told = Vec<(Taught, Duration)>;

/// One thread for each session; they begin together.
fn tell_at_once(links: &mut [Link], parts: &[(Work, Stream)]) -> Result<(Instant, Instant, Told)> {
    let barrier = Barrier::new(links.len());
    let told = thread::scope(|scope| {
        let threads: Vec<_> = links
            .iter_mut()
            .zip(parts)
            .map(|(link, (work, stream))| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let (started, cpu) = (Instant::now(), thread_cpu());
                    let passage = link.send(&stream.bytes)?;
                    link.wait("the last acknowledgement", |heard| heard.acked == Some(work.last_id()))?;
                    let ended = Instant::now();
                    let taught = Taught::new(*work, stream, started, &passage, ended);
                    Ok((started, ended, taught, thread_cpu() - cpu))
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<_>>| {
            thread.join().map_err(|_| anyhow!("a thread of the driver panicked"))?
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let started = told.iter().map(|it| it.0).min().context("no session")?;
    let ended = told.iter().map(|it| it.1).max().context("no session")?;
    Ok((started, ended, told.into_iter().map(|(_, _, taught, cpu)| (taught, cpu)).collect()))
}

fn compare(subject: &Subject, taught: &[Taught]) -> Result<()> {
    let received = subject.lesson(&definition(Keys::Ip, EXPIRE_MS), COUNT as usize * Keys::Ip.room())?;
    verify(&received, &taught.iter().collect::<Vec<_>>(), Expect::All)?;
    Ok(())
}
