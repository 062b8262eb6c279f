//! A run: rounds of faults under traffic, with a calm point after each.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use stickd_testkit::{Daemon, ports};

use crate::cluster::{Cluster, MEMBERS, NAMES};
use crate::compare::{Round, Tables};
use crate::journal::Journal;
use crate::kind::Kind;
use crate::ledger::{Ledger, SharedLedger};
use crate::links::{Links, Pair};
use crate::plan::Plan;
use crate::recovery::Memory;
use crate::traffic::{Gate, Traffic};
use crate::usage::Usages;
use crate::{Options, Summary};

/// Longest time from one calm point to the end of traffic before the next.
const ROUND: Duration = Duration::from_secs(30);
/// How often the run looks at what has come about.
const TICK: Duration = Duration::from_millis(50);
/// Longest time until a new process counts itself as up to date, and the one before it has ended. HAProxy waits 5 s for
/// each of several things.
const RECOVERY: Duration = Duration::from_secs(60);
/// How long a member that was cut off and killed stays away.
const AFTER_LOSS: Duration = Duration::from_secs(1);

/// What a member is doing.
#[derive(Debug)]
pub(crate) enum State {
    Ready,
    /// Killed; starts again then.
    Down(Instant),
    /// Cut off; killed then.
    Doomed(Instant),
    /// Stopped until then.
    Frozen(Instant),
    /// Started then; up to date when it is taught and the process before it has ended.
    Learning {
        since: Instant,
        old: Option<Daemon>,
        memory: Option<Memory>,
    },
}

/// Everything of a run.
pub(crate) struct Soak {
    // Before the cluster: no requests to processes that are being ended.
    pub(crate) traffic: Traffic,
    pub(crate) cluster: Cluster,
    pub(crate) links: Links,
    pub(crate) ledger: Arc<SharedLedger>,
    pub(crate) states: [State; MEMBERS],
    /// Links that are made whole at some moment.
    pub(crate) healing: Vec<(Instant, Pair)>,
    /// Whether requests go to members that are ready.
    pub(crate) flowing: bool,
    pub(crate) round: Round,
    pub(crate) journal: Journal,
    pub(crate) summary: Summary,
    pub(crate) usages: Usages,
    pub(crate) rng: Rng,
    pub(crate) time: Duration,
    plan: Plan,
}

impl Soak {
    /// Starts all processes.
    pub(crate) fn start(options: &Options) -> Result<Self> {
        let stickd: PathBuf = options
            .stickd
            .canonicalize()
            .with_context(|| format!("no stickd at {}", options.stickd.display()))?;
        let mut journal = Journal::new(options.time);
        let own: Vec<_> = (0..MEMBERS).map(|_| ports::free_address()).collect();
        let links = Links::start(&own);
        let cluster = Cluster::start(&stickd, options.seed, &own, &links)?;
        let ledger = Arc::new(SharedLedger::default());
        *ledger.lock() = Ledger::new();
        let members: Vec<_> = (0..MEMBERS).map(|member| cluster.title(member)).collect();
        journal.say(format!("seed {}: {} have started", options.seed, members.join(", ")));
        let since = Instant::now();
        Ok(Self {
            traffic: Traffic::start(&cluster, &ledger, options.seed),
            cluster,
            links,
            ledger,
            states: std::array::from_fn(|_| State::Learning { since, old: None, memory: None }),
            healing: Vec::new(),
            flowing: false,
            round: Round::default(),
            journal,
            summary: Summary { seed: options.seed, members, ..Summary::default() },
            usages: Usages::default(),
            rng: Rng::with_seed(!options.seed),
            time: options.time,
            plan: Plan::new(options.seed),
        })
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Result<()> {
        // Nothing has gone wrong yet, but all processes are new. Everybody gets every key for a start.
        self.round.replaced = [true; MEMBERS];
        self.calm()?;
        let length = ROUND.min(self.time / 2);
        loop {
            self.flow();
            self.faults(Instant::now() + length)?;
            self.calm()?;
            if self.journal.elapsed() >= self.time {
                return Ok(());
            }
        }
    }

    /// What it came to.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        summary.time = self.journal.elapsed();
        let ledger = self.ledger.lock();
        (summary.requests, summary.visitors) = (ledger.requests(), u64::from(ledger.visitors()));
        let (memory, descriptors) = self.usages.most();
        summary.usage = self.usages.longest().iter().map(ToString::to_string).collect();
        summary.usage.push(format!("at most {memory} KiB, {descriptors} file descriptors"));
        summary
    }

    fn flow(&mut self) {
        self.flowing = true;
        (0..MEMBERS).for_each(|member| self.traffic.set(member, Gate::Open));
    }

    fn faults(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            let (pause, event) = self.plan.next();
            self.run_until(Instant::now() + pause)?;
            let asked = Instant::now();
            while !self.is_possible(event) {
                if Instant::now() >= end {
                    self.journal.say(format!("left out, as the round is over: {event}"));
                    return Ok(());
                }
                if asked.elapsed() > RECOVERY {
                    bail!("waited {RECOVERY:?} until this could happen: {event}");
                }
                self.tick()?;
            }
            self.execute(event)?;
        }
        Ok(())
    }

    pub(crate) fn run_until(&mut self, end: Instant) -> Result<()> {
        while Instant::now() < end {
            self.tick()?;
        }
        Ok(())
    }

    /// Lets a moment pass, and does what is due.
    pub(crate) fn tick(&mut self) -> Result<()> {
        thread::sleep(TICK);
        if let Some(failure) = self.traffic.failure() {
            bail!(failure);
        }
        let now = Instant::now();
        while let Some(place) = self.healing.iter().position(|(at, _)| *at <= now) {
            let (_, pair) = self.healing.swap_remove(place);
            self.links.heal(pair);
        }
        (0..MEMBERS).try_for_each(|member| self.tick_member(member, now))?;
        let (requests, calm) = (self.ledger.lock().requests(), self.summary.calm_points);
        self.journal.progress(format!("{requests} requests, {calm} calm points"));
        Ok(())
    }

    fn tick_member(&mut self, member: usize, now: Instant) -> Result<()> {
        let name = NAMES[member];
        if !matches!(self.states[member], State::Down(_))
            && let Some(status) = self.cluster.daemon(member).try_exit()
        {
            bail!("{name} ended by itself with {status}; it printed:\n{}", self.cluster.daemon(member).log());
        }
        match &self.states[member] {
            State::Doomed(at) if now >= *at => self.kill(member, AFTER_LOSS),
            // Where most links are broken it would not be taught (see the faults).
            State::Down(until) if now >= *until && self.links.broken_at(member) <= 1 => {
                self.start_again(member)?;
            }
            State::Frozen(until) if now >= *until => {
                self.cluster.freeze(member, false);
                self.ready(member);
            }
            State::Learning { since, old, .. } => {
                let over = old.as_ref().is_none_or(|old| !old.is_running());
                if over && self.cluster.is_up_to_date(member) {
                    self.recovered(member)?;
                    self.ready(member);
                } else if since.elapsed() > RECOVERY {
                    let what = if over { "it is not up to date" } else { "the process before it still runs" };
                    bail!(
                        "{name}: {RECOVERY:?} after its start {what}:\n{}",
                        self.cluster.cli(member).try_run("show peers").unwrap_or_default()
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ready(&mut self, member: usize) {
        self.states[member] = State::Ready;
        if self.flowing {
            self.traffic.set(member, Gate::Open);
        }
    }

    /// Everything a member holds.
    pub(crate) fn tables(&self, member: usize) -> Result<Tables> {
        Kind::ALL.into_iter().map(|kind| Ok((kind, self.cluster.table(member, kind)?))).collect()
    }

    /// How many members are not ready.
    pub(crate) fn unready(&self) -> usize {
        self.states.iter().filter(|state| !matches!(state, State::Ready)).count()
    }

    /// Whether a member is ready.
    pub(crate) fn is_ready(&self, member: usize) -> bool {
        matches!(self.states[member], State::Ready)
    }
}
