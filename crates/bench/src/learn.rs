//! One life of a subject: it learns new entries, teaches them, learns them again, teaches them again.
//!
//! Learning new, memory, teaching and learning known entries are measured in the same process, each after a moment of rest,
//! and the lessons in which it teaches are at the same time the proof that it had learned everything right.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use haproxy_peers::Control;

use crate::backing;
use crate::link::{Link, is_broken};
use crate::stream::{Stream, Work, definition};
use crate::subject::{Candidate, Setup, Subject};
use crate::usage::{Foreign, thread_cpu};
use crate::verify::{Expect, Taught, verify};
use crate::workload::{EXPIRE_MS, Keys, TABLE};

/// How often a lesson is asked for when the subject ends the session.
const ATTEMPTS: usize = 3;

/// The same entries twice, encoded.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) new: Work,
    new_stream: Stream,
    again: Work,
    again_stream: Stream,
}

/// One measured piece of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// From the first byte to the last, to its acknowledgement, or to the end of the lesson.
    pub(crate) wall: Duration,
    /// The subject's CPU time.
    pub(crate) cpu: Duration,
    /// The driver's, in the same work.
    pub(crate) driver: Duration,
    /// Share of the machine that something else used.
    pub(crate) foreign: f64,
    /// Share of a processor that the subject used before, with nothing to do.
    pub(crate) idle: f64,
}

/// What one life gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) learn: Measured,
    /// Growth of resident memory by learning, in bytes.
    pub(crate) memory: u64,
    pub(crate) teach: Measured,
    pub(crate) learn_again: Measured,
    pub(crate) teach_again: Measured,
}

impl Material {
    /// Encodes `count` entries.
    pub(crate) fn new(keys: Keys, count: u64) -> Self {
        let new = Work::new(keys, 0, count);
        let again = new.again();
        Self { new, new_stream: new.encode(EXPIRE_MS), again, again_stream: again.encode(EXPIRE_MS) }
    }

    /// Bytes of one new entry on the wire.
    pub(crate) fn bytes_per_entry(&self) -> f64 {
        self.new_stream.bytes.len() as f64 / self.new.count as f64
    }

    /// The table, a quarter larger than what it will hold.
    pub(crate) fn setup(&self) -> Setup {
        let size = (self.new.count + self.new.count / 4).max(5_000_000);
        Setup { tables: vec![(TABLE.into(), self.new.keys.arguments(size, EXPIRE_MS))], ..Setup::default() }
    }
}

impl Life {
    /// The largest share of the machine that something else used in any of its parts.
    pub(crate) fn foreign(&self) -> f64 {
        [self.learn, self.teach, self.learn_again, self.teach_again]
            .iter()
            .map(|it| it.foreign)
            .fold(0.0, f64::max)
    }

    /// Lives it.
    pub(crate) fn live(candidate: &Candidate, material: &Material) -> Result<Self> {
        let keys = material.new.keys;
        let subject = candidate.start(&material.setup())?;
        let mut link = subject.connect_settled("driver", None)?;
        link.wait("the request for a lesson", |heard| heard.requests > 0)?;
        let before = subject.usage.rss()?;
        let (learn, taught) = learn_new(&subject, &mut link, material).context("learning new entries")?;
        let memory = subject.usage.rss()?.saturating_sub(before);
        let teach = be_taught(&subject, &mut link, keys, &taught).context("after learning new entries")?;
        let (learn_again, taught) =
            learn_known(&subject, &mut link, material).context("learning known entries")?;
        let teach_again =
            be_taught(&subject, &mut link, keys, &taught).context("after learning known entries")?;
        Ok(Self { learn, memory, teach, learn_again, teach_again })
    }
}

/// Runs `work` on the subject, which must be idle before, and measures it. `work` returns when it began and ended.
pub(crate) fn measure<T>(
    subject: &Subject,
    work: impl FnOnce() -> Result<(Instant, Instant, T)>,
) -> Result<(Measured, T)> {
    let idle = subject.usage.wait_idle()?;
    let (measured, outcome) = measure_among_others(subject, || {
        let outcome = work()?;
        subject.usage.wait_rest()?;
        Ok(outcome)
    })?;
    Ok((Measured { idle, ..measured }, outcome))
}

/// [`measure`] for a subject that has other work to do besides, which is counted too.
pub(crate) fn measure_among_others<T>(
    subject: &Subject,
    work: impl FnOnce() -> Result<(Instant, Instant, T)>,
) -> Result<(Measured, T)> {
    let foreign = Foreign::start()?;
    let (cpu, driver) = (subject.usage.cpu()?, thread_cpu());
    let (started, ended, outcome) = work()?;
    let cpu = subject.usage.cpu()? - cpu;
    let driver = thread_cpu() - driver;
    Ok((Measured { wall: ended - started, cpu, driver, foreign: foreign.share(cpu)?, idle: 0.0 }, outcome))
}

/// Answers the subject's request with everything.
fn learn_new(subject: &Subject, link: &mut Link, material: &Material) -> Result<(Measured, Taught)> {
    let stream = &material.new_stream;
    let confirms = link.heard().confirms;
    backing::make_ready(material.new.count);
    // Known to the other side as a sign of life.
    link.say(Control::Heartbeat)?;
    measure(subject, || {
        let started = Instant::now();
        let passage = link.send(&stream.bytes)?;
        link.say(Control::ResyncFinished)?;
        link.wait("the confirmation of the lesson", |heard| heard.confirms > confirms)?;
        let ended = Instant::now();
        Ok((started, ended, Taught::new(material.new, stream, started, &passage, ended)))
    })
}

/// Sends everything once more with other values, as live updates.
fn learn_known(subject: &Subject, link: &mut Link, material: &Material) -> Result<(Measured, Taught)> {
    let (work, stream) = (material.again, &material.again_stream);
    measure(subject, || {
        let started = Instant::now();
        let passage = link.send(&stream.bytes)?;
        link.wait("the acknowledgement of the last update", |heard| heard.acked == Some(work.last_id()))?;
        let ended = Instant::now();
        Ok((started, ended, Taught::new(work, stream, started, &passage, ended)))
    })
}

/// Has the subject teach another peer, and compares what it teaches with what it was taught. The `first` session shows now
/// and then that it is alive.
fn be_taught(subject: &Subject, first: &mut Link, keys: Keys, taught: &Taught) -> Result<Measured> {
    let room = taught.work.count as usize * keys.room();
    let (measured, received) = attempt(ATTEMPTS, || {
        let mut link = subject.connect_settled("verifier", Some(&definition(keys, EXPIRE_MS)))?;
        first.say(Control::Heartbeat)?;
        link.make_ready(room)?;
        let outcome = measure(subject, || {
            let received = link.learn()?;
            Ok((received.asked, received.finished, received))
        })?;
        link.say(Control::ResyncConfirm)?;
        Ok(outcome)
    })?;
    first.say(Control::Heartbeat)?;
    verify(&received, &[taught], Expect::All)?;
    first.say(Control::Heartbeat)?;
    Ok(measured)
}

/// Tries again what failed because the subject ended a session.
pub(crate) fn attempt<T>(attempts: usize, mut action: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..attempts {
        match action() {
            Err(error) if is_broken(&error) => {}
            outcome => return outcome,
        }
    }
    action()
}
