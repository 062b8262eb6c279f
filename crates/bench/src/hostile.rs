//! What an honest peer notices of hostile ones: how long its updates take to be acknowledged, quiet and under attack.
//!
//! Each attack is the worst of its kind that one thread, or a few, can make, against a stickd of its own on the same machine; so
//! the attackers take processor time from it as well, which others would not.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use haproxy_peers::{Control, Definition, Padding};
use stick_table::{KeyType, TableDefinition};

use crate::plan::Scenario;
use crate::probe::{Latencies, Probe, table as probe_table};
use crate::report::count;
use crate::run::{Bench, Outcome};
use crate::stream::Work;
use crate::subject::{Candidate, Kind, Setup, Subject};
use crate::workload::{EXPIRE_MS, Keys, TABLE};

/// Entries of the table that lessons are given of and updates are for.
const ENTRIES: u64 = 100_000;
/// Connections without a hello that are kept open.
const CONNECTIONS: usize = 5_000;
/// Definitions sent at once.
const DEFINITIONS: u32 = 4_000;
/// Names of the attackers that flood with updates.
const FLOODERS: usize = 4;

/// Goes on until the flag is set.
type Attack = fn(&Subject, &AtomicBool) -> Result<()>;

const ATTACKS: [(&str, Attack); 5] = [
    ("connections without a hello", connections),
    ("sessions opened again and again", reconnects),
    ("definitions without end", definitions),
    ("lessons without end", lessons),
    ("updates without end, 4 peers", updates),
];

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let title = format!("Hostile peers: a table of {} entries", count(ENTRIES));
    let mut table = Latencies::table(&title, &["attack", "phase", "RSS"]);
    let candidate = bench.candidates.iter().find(|it| it.kind == Kind::Stickd).context("no stickd")?;
    let time = Duration::from_secs(if bench.plan.quick { 2 } else { 5 });
    for (name, attack) in ATTACKS {
        bench.progress.begin(format!("{}, {name}", Scenario::Hostile.label()));
        for (phase, rss, latencies) in measure(candidate, attack, time).with_context(|| name)? {
            let label =
                [name.to_owned(), phase.to_owned(), format!("{:.1} MiB", rss as f64 / f64::from(1 << 20))];
            table.row(label.into_iter().chain(latencies.cells()));
        }
        bench.progress.done();
    }
    table.note("Attackers, the honest peer and stickd share the machine.");
    Ok(Outcome { tables: vec![table], goals: Vec::new() })
}

/// The quiet phase and the attack, each with resident memory at its end.
fn measure(
    candidate: &Candidate,
    attack: Attack,
    time: Duration,
) -> Result<[(&'static str, u64, Latencies); 2]> {
    let peers = (0..FLOODERS).map(flooder).collect();
    let tables = vec![(TABLE.to_owned(), Keys::Ip.arguments(2 * ENTRIES, EXPIRE_MS)), probe_table()];
    let subject = candidate.start(&Setup { tables, peers, section_lines: Vec::new() })?;
    let mut driver = subject.connect_settled("driver", None)?;
    driver.send(&Work::new(Keys::Ip, 0, ENTRIES).encode(EXPIRE_MS).bytes)?;
    subject.usage.wait_idle()?;
    let probe = Probe::start(&subject)?;
    let begun = Instant::now();
    thread::sleep(time);
    let quiet = subject.usage.rss()?;
    let stop = AtomicBool::new(false);
    let (attacked, middle, end) = thread::scope(|scope| -> Result<_> {
        let middle = Instant::now();
        let attacker = scope.spawn(|| attack(&subject, &stop));
        thread::sleep(time);
        let (rss, end) = (subject.usage.rss(), Instant::now());
        stop.store(true, Ordering::Relaxed);
        attacker.join().map_err(|_| anyhow!("the attacker panicked"))??;
        Ok((rss?, middle, end))
    })?;
    let latencies = probe.stop()?;
    Ok([
        ("quiet", quiet, latencies.between(begun, middle)),
        ("attacked", attacked, latencies.between(middle, end)),
    ])
}

fn flooder(number: usize) -> String {
    format!("flooder{number}")
}

fn connections(subject: &Subject, stop: &AtomicBool) -> Result<()> {
    let mut open = std::collections::VecDeque::with_capacity(CONNECTIONS);
    while !stop.load(Ordering::Relaxed) {
        if open.len() == CONNECTIONS {
            open.pop_front();
        }
        open.push_back(TcpStream::connect(subject.address()).context("the subject takes no connection")?);
    }
    Ok(())
}

fn reconnects(subject: &Subject, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        subject.connect("verifier", None)?;
    }
    Ok(())
}

/// One table in two shapes and under many ids, so that each definition means something new.
fn definitions(subject: &Subject, stop: &AtomicBool) -> Result<()> {
    let mut bytes = Vec::new();
    for id in 1..=DEFINITIONS {
        let column = if id % 2 == 0 { "gpc0" } else { "gpc(90)" };
        let table = TableDefinition::new(TABLE, KeyType::Ip, 1).with_expire(Some(EXPIRE_MS));
        let table = table.with_column(column.parse()?)?;
        Definition::from_table(id, &table)?.encode(Padding::None, &mut bytes)?;
    }
    flood(subject, "verifier", &bytes, stop)
}

fn lessons(subject: &Subject, stop: &AtomicBool) -> Result<()> {
    let mut bytes = Vec::new();
    Control::ResyncRequest.encode(&mut bytes);
    flood(subject, "verifier", &bytes.repeat(1_000), stop)
}

fn updates(subject: &Subject, stop: &AtomicBool) -> Result<()> {
    let stream = Work::new(Keys::Ip, 0, ENTRIES).encode(EXPIRE_MS);
    thread::scope(|scope| {
        let flood = |number| flood(subject, &flooder(number), &stream.bytes, stop);
        let flooders: Vec<_> = (0..FLOODERS).map(|number| scope.spawn(move || flood(number))).collect();
        flooders.into_iter().try_for_each(|it| it.join().map_err(|_| anyhow!("a flooder panicked"))?)
    })
}

/// Sends the same bytes again and again, and throws away what comes back.
fn flood(subject: &Subject, name: &str, bytes: &[u8], stop: &AtomicBool) -> Result<()> {
    let (mut stream, _) = subject.connect(name, None)?.into_parts();
    let mut part = vec![0; 256 * 1024];
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let written = stream.write(&bytes[sent..]);
        let read = stream.read(&mut part);
        let idle = |result: &std::io::Result<usize>| {
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        if idle(&written) && idle(&read) {
            thread::sleep(Duration::from_micros(100));
            continue;
        }
        if let Ok(count) = written {
            sent = (sent + count) % bytes.len();
        } else if !idle(&written) {
            written.context("the subject closed the session")?;
        }
    }
    Ok(())
}
