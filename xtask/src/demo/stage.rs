//! Watching the cluster.

use super::interrupt::Interrupt;
use super::paint::Paint;
use super::screen::Screen;
use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

/// A deadline for what the peers do in a few seconds: HAProxy waits five for a predecessor's lesson.
const LIMIT: Duration = Duration::from_secs(40);

/// Processes that can be looked at.
pub(super) trait Watched {
    /// One look at all of them.
    type Snapshot;

    /// Looks at them now.
    fn snapshot(&self) -> Self::Snapshot;

    /// The live table of a look.
    fn lines(&self, snapshot: &Self::Snapshot, paint: Paint) -> Vec<String>;
}

/// The cluster, the screen it is shown on, and what was found out.
#[derive(Debug)]
pub(super) struct Stage<C> {
    pub(super) cluster: C,
    pub(super) screen: Screen,
    pub(super) interrupt: Interrupt,
    checks: Vec<(String, bool)>,
}

impl<C: Watched> Stage<C> {
    pub(super) fn new(cluster: C, screen: Screen, interrupt: Interrupt) -> Self {
        Self { cluster, screen, interrupt, checks: Vec::new() }
    }

    /// The next part of the demonstration has a cluster of its own, started when the one before is gone.
    pub(super) fn then<D>(self, start: impl FnOnce() -> D) -> Stage<D> {
        let Self { cluster, screen, interrupt, checks } = self;
        drop(cluster);
        Stage { cluster: start(), screen, interrupt, checks }
    }

    /// Shows the live table for a while, and returns what it showed last.
    pub(super) fn watch(&mut self, time: Duration) -> Result<C::Snapshot> {
        let end = Instant::now() + time;
        self.look(|_, _| Instant::now() >= end, || Ok(()))
    }

    /// Shows the live table until something is so, and returns what it showed then.
    pub(super) fn watch_until(
        &mut self,
        what: &str,
        done: impl FnMut(&C, &C::Snapshot) -> bool,
    ) -> Result<C::Snapshot> {
        let end = Instant::now() + LIMIT;
        self.look(done, || {
            if Instant::now() >= end {
                bail!("waited {LIMIT:?} for {what}; the table above is the last state");
            }
            Ok(())
        })
    }

    fn look(
        &mut self,
        mut done: impl FnMut(&C, &C::Snapshot) -> bool,
        late: impl Fn() -> Result<()>,
    ) -> Result<C::Snapshot> {
        self.screen.open();
        loop {
            let snapshot = self.cluster.snapshot();
            self.interrupt.check()?;
            let lines = self.cluster.lines(&snapshot, self.screen.paint);
            if done(&self.cluster, &snapshot) {
                self.screen.close(&lines);
                return Ok(snapshot);
            }
            if let Err(error) = late() {
                self.screen.close(&lines);
                return Err(error);
            }
            self.screen.frame(&lines);
            thread::sleep(self.screen.pause());
        }
    }

    /// Notes and shows whether something held.
    pub(super) fn check(&mut self, what: &str, pass: bool) {
        self.screen.say(&format!("  {}  {what}", self.screen.paint.verdict(pass)));
        self.checks.push((what.to_owned(), pass));
    }

    /// Shows everything noted; an error when something did not hold.
    pub(super) fn conclude(&mut self) -> Result<()> {
        let checks = std::mem::take(&mut self.checks);
        for (what, pass) in &checks {
            self.screen.say(&format!("  {}  {what}", self.screen.paint.verdict(*pass)));
        }
        let failed = checks.iter().filter(|(_, pass)| !pass).count();
        if failed > 0 {
            bail!("{failed} of {} checks failed", checks.len());
        }
        Ok(())
    }
}
