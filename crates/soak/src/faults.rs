//! Faults: when one may happen, and making it happen.
//!
//! A few things are never done, because the protocol gives no answer to them. At least three members are up to date at any
//! time. A process starts only where most of its links are whole: a HAProxy that finds nobody for 5 s counts its empty
//! tables as up to date, and teaches them. And requests come to a new process only once it is up to date: what it counts
//! before is overwritten by its lesson, at it alone.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::MEMBERS;
use crate::links::Pair;
use crate::plan::Event;
use crate::soak::{Soak, State};
use crate::traffic::Gate;

/// Most members that are not ready, and links that are broken, at once.
const MOST_UNREADY: usize = 2;
const MOST_BROKEN: usize = 4;
/// From the end of a member that was cut off to the moment its links are whole.
const UNTIL_HEALED: Duration = Duration::from_millis(300);

impl Soak {
    /// Whether an event may happen now.
    pub(crate) fn is_possible(&self, event: Event) -> bool {
        match event {
            Event::Replace(member) | Event::Kill(member, _) => {
                self.is_ready(member)
                    && self.unready() < MOST_UNREADY
                    && self.nobody_isolated()
                    && self.links.broken_at(member) <= 1
            }
            Event::Freeze(member, _) => {
                self.is_ready(member) && self.unready() < MOST_UNREADY && self.nobody_isolated()
            }
            Event::Cut(pair) => !self.links.is_broken(pair),
            Event::Sever(pair, _) | Event::Stall(pair, ..) => {
                !self.links.is_broken(pair)
                    && self.links.broken() < MOST_BROKEN
                    && self.nobody_isolated()
                    && [pair.0, pair.1]
                        .iter()
                        .all(|member| self.is_ready(*member) || self.links.broken_at(*member) == 0)
            }
            Event::Isolate(member, _) | Event::Lose(member, _) => {
                self.unready() == 0 && self.nobody_isolated() && self.links.broken_at(member) == 0
            }
        }
    }

    /// Makes an event happen.
    pub(crate) fn execute(&mut self, event: Event) -> Result<()> {
        // So that the last half of the run shows whether a process that stays grows.
        let kept = MEMBERS - 1;
        let new = |member| member == kept;
        if matches!(event, Event::Replace(member) | Event::Kill(member, _) | Event::Lose(member, _) if new(member))
            && self.journal.elapsed() > self.time / 2
        {
            self.journal.say(format!("left out, as its growth is being watched: {event}"));
            return Ok(());
        }
        self.journal.say(event);
        *self.summary.events.entry(event.name()).or_default() += 1;
        let now = Instant::now();
        match event {
            Event::Replace(member) => {
                self.round.replaced[member] = true;
                self.traffic.close(member);
                let old = Some(self.cluster.replace(member)?);
                self.states[member] = State::Learning { since: now, old, memory: None };
            }
            Event::Kill(member, time) => {
                self.kill(member, time);
            }
            Event::Freeze(member, time) => {
                self.traffic.close(member);
                self.cluster.freeze(member, true);
                self.states[member] = State::Frozen(now + time);
                (0..MEMBERS).for_each(|other| self.round.disturb(member, other));
            }
            Event::Cut(pair) => {
                self.links.cut(pair);
                self.round.disturb(pair.0, pair.1);
            }
            Event::Sever(pair, time) => self.sever(pair, time),
            Event::Stall(pair, way, time) => {
                self.links.stall(pair, way);
                self.round.disturb(pair.0, pair.1);
                self.healing.push((now + time, pair));
            }
            Event::Isolate(member, time) => self.isolate(member, time),
            Event::Lose(member, time) => {
                self.isolate(member, time + UNTIL_HEALED);
                self.states[member] = State::Doomed(now + time);
            }
        }
        Ok(())
    }

    /// Ends a member as a crash would, to start it again after `time`.
    pub(crate) fn kill(&mut self, member: usize, time: Duration) {
        self.round.replaced[member] = true;
        self.round.killed[member] = true;
        self.traffic.set(member, Gate::Dying);
        self.cluster.daemon(member).kill9();
        self.traffic.close(member);
        self.states[member] = State::Down(Instant::now() + time);
    }

    fn isolate(&mut self, member: usize, time: Duration) {
        for other in (0..MEMBERS).filter(|other| *other != member) {
            self.sever((member.min(other), member.max(other)), time);
        }
    }

    fn sever(&mut self, pair: Pair, time: Duration) {
        self.links.sever(pair);
        self.round.disturb(pair.0, pair.1);
        self.healing.push((Instant::now() + time, pair));
    }

    fn nobody_isolated(&self) -> bool {
        (0..MEMBERS).all(|member| self.links.broken_at(member) < MEMBERS - 1)
    }
}
