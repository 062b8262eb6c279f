//! A whole table expires at the same instant, while somebody else works.
//!
//! A HAProxy before 3.4 frees a learned entry when the whole `expire` of its table has passed since it came, whatever lifetime
//! it came with. So the table's `expire` is the time left when the first entry is sent, and each entry carries what is left when
//! it is sent: for every subject the entries are over at the same instant, and freed as it sees fit.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use haproxy_peers::{UpdateForm, decode_frame};

use crate::learn::attempt;
use crate::link::{Link, Passage};
use crate::plan::Scenario;
use crate::probe::{self, Latencies, Probe};
use crate::purge::pause;
use crate::report::{count, spread};
use crate::run::{Bench, Outcome};
use crate::statistics::Series;
use crate::stream::{BLOCK, Stream, Work, definition};
use crate::subject::{Candidate, Setup};
use crate::verify::{Expect, Taught, verify};
use crate::workload::{Keys, TABLE};

/// Entries.
const COUNT: u64 = 1_000_000;
/// From the first update to the deadline of all.
const EXPIRE: Duration = Duration::from_secs(10);
/// [`EXPIRE`] in ms, the table's `expire`.
const EXPIRE_MS: u32 = EXPIRE.as_millis() as u32;
/// Blocks sent before the acknowledgement of the last is waited for.
const PIECE_BLOCKS: usize = 8;
/// Pause between two looks whether everything is freed.
const LOOK: Duration = Duration::from_millis(50);
/// What is looked at: from this long before the deadline …
const BEFORE: Duration = Duration::from_millis(100);
/// … to this long after everything is gone.
const AFTER: Duration = Duration::from_millis(500);
/// Longest wait for that.
const GONE_LIMIT: Duration = Duration::from_secs(30);

struct Round {
    latencies: Latencies,
    /// CPU from the deadline until everything is freed, the probe's included.
    cpu: Duration,
    /// From the deadline until everything is freed.
    gone: Duration,
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let work = Work::new(Keys::Ip, 0, COUNT);
    let stream = work.encode(EXPIRE_MS);
    let title = format!("Expiry: {} entries with the same deadline", count(COUNT));
    let mut table = Latencies::table(&title, &["subject", "CPU ns/entry", "all freed after, s"]);
    let mut results = Vec::new();
    for candidate in &bench.candidates {
        let (mut cpu, mut gone, mut latencies) = (Series::default(), Series::default(), Latencies::default());
        for round in 0..bench.plan.rounds() {
            let what = format!("{}, {}, round {}", Scenario::Expiry.label(), candidate.label(), round + 1);
            bench.progress.begin(what.clone());
            let round = attempt(candidate.attempts(), || expire(candidate, work, &stream)).context(what)?;
            cpu.push(round.cpu.as_nanos() as f64 / COUNT as f64);
            gone.push(round.gone.as_secs_f64());
            latencies.extend(round.latencies);
            bench.progress.done();
        }
        let cells = [candidate.label(), spread(&cpu, 0), spread(&gone, 2)];
        table.row(cells.into_iter().chain(latencies.cells()));
        results.push((candidate, latencies));
    }
    table.note(format!(
        "From {BEFORE:?} before the deadline to {AFTER:?} after everything was freed; CPU with the probe's."
    ));
    let goal = pause(&results.iter().map(|it| (it.0, &it.1)).collect::<Vec<_>>(), "everything expires");
    Ok(Outcome { tables: vec![table], goals: goal.into_iter().collect() })
}

fn expire(candidate: &Candidate, work: Work, stream: &Stream) -> Result<Round> {
    let arguments = Keys::Ip.arguments(2 * COUNT, EXPIRE_MS);
    let tables = vec![(TABLE.to_owned(), arguments), probe::table()];
    let subject = candidate.start(&Setup { tables, ..Setup::default() })?;
    let mut link = subject.connect_settled("driver", Some(&definition(Keys::Ip, EXPIRE_MS)))?;
    subject.usage.wait_idle()?;
    let deadline = Instant::now() + EXPIRE;
    let taught = teach(&mut link, work, stream, deadline)?;
    let empty = definition(Keys::Ip, EXPIRE_MS);
    let received = subject.lesson(&empty, COUNT as usize * Keys::Ip.room())?;
    let begin = deadline - BEFORE;
    ensure!(
        received.finished < begin,
        "no time left before the deadline: the machine is too busy or too slow"
    );
    verify(&received, &[&taught], Expect::All)?;
    let probe = Probe::start(&subject)?;
    ensure!(Instant::now() < begin, "no time left before the deadline: the machine is too busy or too slow");
    thread::sleep(begin - Instant::now());
    let cpu = subject.usage.cpu()?;
    while subject.used(TABLE)? > 0 {
        ensure!(
            Instant::now() < deadline + GONE_LIMIT,
            "entries are not freed {GONE_LIMIT:?} after their deadline"
        );
        thread::sleep(LOOK);
    }
    let gone = Instant::now();
    let cpu = subject.usage.cpu()? - cpu;
    thread::sleep(AFTER);
    let latencies = probe.stop()?.between(begin, gone + AFTER);
    let left = verify(&subject.lesson(&empty, 0)?, &[&taught], Expect::Part)?.entries;
    ensure!(left == 0, "{left} entries are taught after their deadline");
    Ok(Round { latencies, cpu, gone: gone.saturating_duration_since(deadline) })
}

/// Sends everything so that it is over at `deadline`, a little at a time: an entry that waits in a buffer lives longer.
fn teach(link: &mut Link, work: Work, stream: &Stream, deadline: Instant) -> Result<Taught> {
    let started = Instant::now();
    let mut bytes = stream.bytes.clone();
    link.send(&bytes[..stream.blocks[0]])?;
    let mut passage = Passage(vec![(stream.blocks[0], started)]);
    let (mut sent, mut passed) = (0, 0);
    while sent + 1 < stream.blocks.len() {
        let end = (sent + PIECE_BLOCKS).min(stream.blocks.len() - 1);
        let piece = &mut bytes[stream.blocks[sent]..stream.blocks[end]];
        set_lifetimes(piece, deadline.saturating_duration_since(Instant::now()).as_millis() as u32)?;
        link.send(piece)?;
        passed = (passed + PIECE_BLOCKS as u64 * BLOCK).min(work.count);
        let id = work.first_id + passed as u32 - 1;
        link.wait("an acknowledgement", |heard| heard.acked == Some(id))?;
        passage.0.push((stream.blocks[end], Instant::now()));
        sent = end;
    }
    let taught = Taught::new(work, stream, started, &passage, Instant::now());
    Ok(taught.until(deadline, EXPIRE_MS))
}

/// Changes the remaining lifetime of every timed update in `bytes`.
fn set_lifetimes(bytes: &mut [u8], lifetime_ms: u32) -> Result<()> {
    let mut at = 0;
    while let Some((frame, size)) = decode_frame(&bytes[at..], 0, usize::MAX)? {
        let form =
            UpdateForm::from_kind(frame.kind).filter(|form| form.is_timed()).context("no timed update")?;
        let place = at + size - frame.payload().len() + if form.has_id() { 4 } else { 0 };
        bytes[place..place + 4].copy_from_slice(&lifetime_ms.to_be_bytes());
        at += size;
    }
    ensure!(at == bytes.len(), "half an update");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use haproxy_peers::UpdateHeader;

    #[test]
    fn all_lifetimes_are_changed_and_nothing_else() {
        let work = Work::new(Keys::Ip, 0, 3_000);
        let stream = work.encode(EXPIRE_MS);
        let mut bytes = stream.bytes.clone();
        set_lifetimes(&mut bytes[stream.blocks[0]..], 77).unwrap();
        assert_eq!(bytes[..stream.blocks[0]], stream.bytes[..stream.blocks[0]]);
        let (mut at, mut updates) = (stream.blocks[0], 0);
        while let Some((frame, size)) = decode_frame(&bytes[at..], 0, usize::MAX).unwrap() {
            let form = UpdateForm::from_kind(frame.kind).unwrap();
            let mut readers = [
                frame.reader(),
                decode_frame(&stream.bytes[at..], 0, usize::MAX).unwrap().unwrap().0.reader(),
            ];
            let headers = readers.each_mut().map(|reader| UpdateHeader::decode(form, reader).unwrap());
            assert_eq!(headers[0].lifetime_ms, Some(77));
            assert_eq!(headers[0].id, headers[1].id);
            let rest = readers[0].remaining();
            assert_eq!(readers[0].bytes(rest, "rest").unwrap(), readers[1].bytes(rest, "rest").unwrap());
            at += size;
            updates += 1;
        }
        assert_eq!(updates, 3_000);
        assert!(set_lifetimes(&mut bytes, 77).is_err(), "a definition is no update");
    }
}
