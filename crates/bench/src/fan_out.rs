//! One peer's updates relayed to many: how long until each of the others can read them, also when one of them does not read.
//!
//! 50 sessions; some of them send, in turns, at a steady pace, whether stickd keeps up or not. An update's sequence number
//! travels in its `gpc0`, so every receiver knows when it was due. At the end every receiver must have seen the last update
//! of every key it did not write itself.

mod load;
mod receivers;
#[cfg(test)]
mod tests;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use crate::goals::{Goal, Unit};
use crate::link::Link;
use crate::plan::Scenario;
use crate::report::{Table, count};
use crate::run::{Bench, Outcome};
use crate::stream::definition;
use crate::subject::{Candidate, Kind, Setup, Subject};
use crate::usage::thread_cpu;
use crate::workload::{EXPIRE_MS, Keys, TABLE};
use load::Load;
use receivers::Receivers;

/// Sessions that receive.
const SESSIONS: usize = 50;
/// The first of them send too; a key is always written by the same one.
const SENDERS: usize = 10;
/// Keys, written in turns.
const KEYS: u64 = 200_000;
/// Updates every [`TICK`]: 100 k/s.
const PER_TICK: u64 = 100;
const TICK: Duration = Duration::from_millis(1);
/// Longest wait for the last updates.
const SETTLE: Duration = Duration::from_secs(20);
/// Longest wait for a new subject's requests for lessons.
const GREETING: Duration = Duration::from_secs(10);

/// What makes stickd pass on what a peer tells: a line of its peers section.
fn relay_line() -> String {
    "relay".to_owned()
}

/// Measured under load.
struct Round {
    latency: Histogram<u64>,
    /// Updates sent, and received by all together.
    sent: u64,
    received: u64,
    cpu: Duration,
    driver: Duration,
    wall: Duration,
    /// Resident memory before the load and at its end.
    rss: (u64, u64),
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let title = format!(
        "Fan-out: {SESSIONS} sessions, {} keys, {} updates/s in, each passed on to {} sessions",
        count(KEYS),
        count(PER_TICK * 1_000),
        SESSIONS - 1
    );
    let header = [
        "subject",
        "a peer that does not read",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "passed on of sent",
        "CPU µs/update in",
        "CPU of a core",
        "RSS growth",
        "driver's CPU of a core",
    ];
    let (mut table, mut goals) = (Table::new(title, &header), Vec::new());
    let candidate = bench.candidates.iter().find(|it| it.kind == Kind::Stickd).context("no stickd")?;
    if !candidate.accepts(&setup())? {
        ensure!(!bench.plan.is_named(Scenario::FanOut), "this stickd does not know `{}`", relay_line());
        table.note(format!("Not run: this stickd does not know `{}` in a peers section.", relay_line()));
        return Ok(Outcome { tables: vec![table], goals });
    }
    let seconds = if bench.plan.quick { 5 } else { 20 };
    for blocked in [false, true] {
        bench.progress.begin(format!("{}, blocked peer: {blocked}", Scenario::FanOut.label()));
        let round = fan_out(candidate, seconds, blocked).with_context(|| Scenario::FanOut.label())?;
        table.row(round.cells(candidate, blocked));
        let p99 = round.ms(0.99);
        goals.push(Goal {
            work: format!("p99 of fan-out{}", if blocked { ", a peer does not read" } else { "" }),
            other: "–".to_owned(),
            stickd: format!("{p99:.1} ms"),
            reached: p99,
            at_least: 10.0,
            aim: 3.0,
            unit: Unit::Milliseconds,
        });
        bench.progress.done();
    }
    table.note(
        "Latency: from when an update is due to be written to when it was read from each other session.",
    );
    table.note("HAProxy passes nothing on (no relay): there is nothing to compare with.");
    Ok(Outcome { tables: vec![table], goals })
}

impl Round {
    fn ms(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e3
    }

    fn cells(&self, candidate: &Candidate, blocked: bool) -> Vec<String> {
        let expected = self.sent * (SESSIONS as u64 - 1);
        let of_a_core =
            |cpu: Duration| format!("{:.0} %", 100.0 * cpu.as_secs_f64() / self.wall.as_secs_f64());
        let growth = self.rss.1 as f64 - self.rss.0 as f64;
        vec![
            candidate.label(),
            if blocked { "one" } else { "none" }.to_owned(),
            format!("{:.2}", self.ms(0.5)),
            format!("{:.2}", self.ms(0.99)),
            format!("{:.2}", self.ms(0.999)),
            format!("{:.2}", self.ms(1.0)),
            format!("{:.1} %", 100.0 * self.received as f64 / expected as f64),
            format!("{:.2}", self.cpu.as_secs_f64() * 1e6 / self.sent as f64),
            of_a_core(self.cpu),
            format!("{:.1} MiB", growth / f64::from(1 << 20)),
            of_a_core(self.driver),
        ]
    }
}

fn name(session: usize) -> String {
    format!("p{session}")
}

/// One peer more than receive: the one that does not read.
fn setup() -> Setup {
    Setup {
        tables: vec![(TABLE.to_owned(), Keys::Ip.arguments(2 * KEYS, EXPIRE_MS))],
        peers: (0..=SESSIONS).map(name).collect(),
        section_lines: vec![relay_line()],
    }
}

fn fan_out(candidate: &Candidate, seconds: u64, blocked: bool) -> Result<Round> {
    let subject = candidate.start(&setup())?;
    let mut links = greet(&subject, SESSIONS + usize::from(blocked))?;
    // From here on nobody reads what it is sent.
    let blocked = links.drain(SESSIONS..).collect::<Vec<_>>();
    let (mut sockets, mut rests) = (Vec::new(), Vec::new());
    for link in links {
        let (socket, rest) = link.into_parts();
        sockets.push(socket);
        rests.push(rest);
    }
    let writers = sockets.iter().map(std::net::TcpStream::try_clone).collect::<std::io::Result<Vec<_>>>()?;
    let mut receivers = Receivers::new(sockets, rests);
    let (state, watch) = (receivers.state(), receivers.state());
    let reader = thread::spawn(move || receivers.run().map(|()| (receivers, thread_cpu())));
    let mut load = Load::new(writers, state);
    // Every key once, so that the table has its size, and a second for the subject to get into its stride.
    load.run(KEYS / PER_TICK + 1_000)?;
    load.settle(SETTLE)?;
    subject.usage.wait_idle()?;
    watch.forget();
    let before = (subject.usage.cpu()?, subject.usage.rss()?, thread_cpu(), watch.reader_cpu(), load.sent());
    let started = Instant::now();
    load.run(seconds * 1_000)?;
    let wall = started.elapsed();
    let rss = (before.1, subject.usage.rss()?);
    let driver = thread_cpu() - before.2 + watch.reader_cpu().saturating_sub(before.3);
    load.settle(SETTLE)?;
    let cpu = subject.usage.cpu()? - before.0;
    let sent = load.sent() - before.4;
    watch.stop();
    let (receivers, _) = reader.join().map_err(|_| anyhow::anyhow!("the reading thread panicked"))??;
    receivers.verify(load.sent())?;
    drop(blocked);
    let (latency, received) = receivers.latency();
    Ok(Round { latency, sent, received, cpu, driver, wall, rss })
}

/// Connects everybody and answers the requests for lessons, which a subject may make one after the other.
fn greet(subject: &Subject, sessions: usize) -> Result<Vec<Link>> {
    let empty = definition(Keys::Ip, EXPIRE_MS);
    let connect = |session: usize| subject.connect(&name(session), Some(&empty));
    let mut links = (0..sessions).map(connect).collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + GREETING;
    while links.iter().any(|link| link.heard().confirms == 0) && Instant::now() < deadline {
        for link in &mut links {
            link.listen(Duration::from_millis(1))?;
        }
    }
    Ok(links)
}
