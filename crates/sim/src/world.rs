//! The world: processes, connections and time, moved on event by event.

mod hubs;
mod network;
mod steps;

use std::collections::BTreeSet;

use stick_table::Millis;

use crate::clock::Clock;
use crate::invariants;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::random::Random;
use crate::stage::{Invariant, Seen, Slot, Stage};
use crate::trace::{Trace, Violation};
use crate::truth::{SlotId, Truth};

/// Everything is looked at this often, in ms.
const LOOK_MS: u64 = 1_000;
/// More rounds at one moment mean that somebody asks to be called again and again.
const MAX_ROUNDS: usize = 100_000;
/// Violations that are told; more say nothing new.
const MAX_VIOLATIONS: usize = 12;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What must not have been; empty when all is well.
    pub violations: Vec<Violation>,
    /// A number that is the same for the same events.
    pub digest: u64,
    /// What happened, if that was wanted.
    pub lines: Vec<String>,
}

/// A pair of nodes, the lower one first.
type Pair = (usize, usize);

/// The process id that a process says in its hellos: none is used twice. 0 says nothing.
///
/// A stickd asks a peer again that may be another process. Where no process ends, that lesson would only hide a lost update.
fn process_id(plan: &Plan, slot: SlotId) -> u32 {
    if plan.anonymous { 0 } else { slot as u32 + 1 }
}

/// A process that is to start.
struct Start {
    at: Millis,
    node: usize,
}

/// Requests that come one after the other.
struct Flood {
    at: Millis,
    node: usize,
    table: usize,
    left: u32,
    every_ms: u64,
}

/// A world at work.
pub struct World {
    stage: Stage,
    invariants: Vec<Box<dyn Invariant>>,
    violations: Vec<Violation>,
    /// The node of each key, by table.
    owners: Vec<Vec<usize>>,
    /// Which nodes speak 2.0 only, from the next process on.
    old: Vec<bool>,
    partitions: Vec<(Pair, Millis)>,
    starts: Vec<Start>,
    /// Processes that are to hand over.
    reloads: Vec<Start>,
    floods: Vec<Flood>,
    dirty: BTreeSet<SlotId>,
    next_connection: u64,
    /// The whole line stays as it is for all; each pipe has numbers of its own.
    seed: u64,
}

impl World {
    /// Runs a plan to its end.
    pub fn run(plan: &Plan, with_lines: bool) -> Outcome {
        let mut world = Self::new(plan.clone(), with_lines);
        for node in 0..plan.nodes.len() {
            world.start(node, false);
        }
        for step in &plan.steps {
            world.advance(step.at);
            if world.violations.len() >= MAX_VIOLATIONS {
                break;
            }
            world.step(step);
        }
        Outcome {
            violations: world.violations,
            digest: world.stage.trace.digest(),
            lines: world.stage.trace.into_lines(),
        }
    }

    fn new(plan: Plan, with_lines: bool) -> Self {
        let owners = plan.tables.iter().map(|table| {
            let owner = |key: u32| if plan.one_writer { 0 } else { key as usize % plan.nodes.len() };
            (0..table.keys).map(owner).collect()
        });
        let invariants = match plan.hubs {
            Some(_) if plan.redefines() => invariants::of_definitions(),
            Some(_) => invariants::of_hubs(),
            None => invariants::all(),
        };
        Self {
            owners: owners.collect(),
            old: plan.nodes.iter().map(|node| node.old).collect(),
            seed: plan.seed,
            stage: Stage {
                now: 0,
                otherwise: vec![false; plan.nodes.len()],
                suspended: vec![0; plan.nodes.len()],
                clocks: plan.nodes.iter().map(|node| Clock::new(node.clock, node.drift_ppm)).collect(),
                plan,
                slots: Vec::new(),
                connections: Vec::new(),
                truth: Truth::default(),
                calm_since: None,
                ledger: Ledger::default(),
                away: Vec::new(),
                trace: Trace::new(with_lines),
            },
            invariants,
            violations: Vec::new(),
            partitions: Vec::new(),
            starts: Vec::new(),
            reloads: Vec::new(),
            floods: Vec::new(),
            dirty: BTreeSet::new(),
            next_connection: 1,
        }
    }

    /// Other random numbers for each part.
    fn random(&self, part: u64) -> Random {
        Random::part(self.seed, part + 2)
    }

    fn see(&mut self, seen: &Seen<'_>) {
        let Self { stage, invariants, violations, .. } = self;
        for invariant in invariants {
            let name = invariant.name();
            invariant.see(stage, seen, &mut |what| {
                violations.push(Violation { invariant: name, at: stage.now, what });
            });
        }
    }

    /// Something that must not be, whatever invariant it belongs to.
    fn fail(&mut self, what: String) {
        self.violations.push(Violation { invariant: "wire", at: self.stage.now, what });
    }

    /// Lets time pass until `until`.
    fn advance(&mut self, until: Millis) {
        let mut rounds = 0;
        loop {
            self.settle();
            let look = (self.stage.now / LOOK_MS + 1) * LOOK_MS;
            let next = self.next_time().map_or(look, |next| next.max(self.stage.now).min(look));
            if next > until {
                self.stage.now = self.stage.now.max(until);
                return;
            }
            rounds = if next > self.stage.now { 0 } else { rounds + 1 };
            if rounds > MAX_ROUNDS {
                self.fail("somebody asks to be called for ever".into());
                self.stage.now = until;
                return;
            }
            self.stage.now = next;
            self.fire();
            if next == look && rounds == 0 {
                self.settle();
                Ledger::look(&mut self.stage);
                self.see(&Seen::Looked);
            }
            if self.violations.len() >= MAX_VIOLATIONS {
                return;
            }
        }
    }

    fn next_time(&self) -> Option<Millis> {
        let stage = &self.stage;
        // Who does nothing does not read either.
        let pipes = stage.connections.iter().flat_map(|connection| {
            let next = |side: usize| {
                let reader = connection.ends[1 - side];
                let at = connection.pipes[side].next()?;
                Some(if reader.open { stage.awake(reader.slot, at) } else { at })
            };
            [next(0), next(1)]
        });
        let wakes = stage.suspended.iter().copied().filter(|at| *at > stage.now);
        let slots = (0..stage.slots.len()).filter_map(|slot| self.timeout(slot));
        let starts = self.starts.iter().chain(&self.reloads).map(|start| start.at);
        let floods = self.floods.iter().map(|flood| flood.at);
        pipes.flatten().chain(slots).chain(starts).chain(floods).chain(wakes).min()
    }

    /// When a process is to look at its clock: not twice in a millisecond.
    fn timeout(&self, slot: SlotId) -> Option<Millis> {
        let it = &self.stage.slots[slot];
        let shown = it.timeout?;
        let at = self.stage.clocks[it.node].world_time(shown);
        Some(self.stage.awake(slot, at.max(it.fired.map_or(0, |fired| fired + 1))))
    }

    /// Does what is due.
    fn fire(&mut self) {
        let woken = |slot: &SlotId| self.stage.awake(*slot, 0) == self.stage.now;
        let woken: Vec<_> = (0..self.stage.slots.len()).filter(woken).collect();
        self.dirty.extend(woken);
        self.start_due();
        self.reload_due();
        self.flood_due();
        self.deliver_due();
        for slot in 0..self.stage.slots.len() {
            if self.timeout(slot).is_some_and(|at| at <= self.stage.now) {
                let clock = self.stage.clock(slot);
                let it = &mut self.stage.slots[slot];
                it.fired = Some(self.stage.now);
                let it = (it.node, it.section);
                let is_before = |other: &Slot| (other.node, other.section) == it && other.process.is_some();
                let has_predecessor = self.stage.slots[..slot].iter().any(is_before);
                if let Some(process) = &mut self.stage.slots[slot].process {
                    if has_predecessor {
                        process.predecessor_is_there(clock);
                    }
                    process.handle_timeout(clock);
                    self.dirty.insert(slot);
                }
            }
        }
    }
}
