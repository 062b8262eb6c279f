//! What goes wrong, and when: from the seed alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::cluster::{HAPROXYS, MEMBERS, NAMES, is_haproxy};
use crate::links::{Pair, Way};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The next process takes over with `-sf`.
    Replace(usize),
    /// `kill -9`, and a start with empty tables after a while.
    Kill(usize, Duration),
    /// The process gets no time for a while.
    Freeze(usize, Duration),
    /// The connections of a link are closed.
    Cut(Pair),
    /// A link lets nothing through for a while.
    Sever(Pair, Duration),
    /// A link holds back what is said for a while.
    Stall(Pair, Way, Duration),
    /// All links of a member let nothing through for a while.
    Isolate(usize, Duration),
    /// The same, and then `kill -9`: what it counted meanwhile nobody else knows.
    Lose(usize, Duration),
}

impl Event {
    /// What it is called in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replace(member) if is_haproxy(member) => "reloads of HAProxy",
            Self::Replace(_) => "hand-overs of stickd",
            Self::Kill(member, _) if is_haproxy(member) => "kill -9 of HAProxy",
            Self::Kill(..) => "kill -9 of stickd",
            Self::Freeze(..) => "stickd stopped for a while",
            Self::Cut(_) => "connections closed",
            Self::Sever(..) => "links severed",
            Self::Stall(..) => "links stalled",
            Self::Isolate(..) => "members cut off",
            Self::Lose(..) => "members cut off, then kill -9",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = |(a, b): Pair| format!("{}–{}", NAMES[a], NAMES[b]);
        match *self {
            Self::Replace(member) => write!(f, "{}: the next process takes over with -sf", NAMES[member]),
            Self::Kill(member, time) => {
                write!(f, "{}: kill -9, start after {:.1} s", NAMES[member], time.as_secs_f32())
            }
            Self::Freeze(member, time) => {
                write!(f, "{}: stopped for {:.1} s", NAMES[member], time.as_secs_f32())
            }
            Self::Cut(pair) => write!(f, "{}: connections closed", link(pair)),
            Self::Sever(pair, time) => write!(f, "{}: severed for {:.1} s", link(pair), time.as_secs_f32()),
            Self::Stall(pair, way, time) => {
                let whose = match way {
                    Way::Forth => format!("what {} says is", NAMES[pair.0]),
                    Way::Back => format!("what {} says is", NAMES[pair.1]),
                    Way::Both => "everything is".to_owned(),
                };
                write!(f, "{}: {whose} held back for {:.1} s", link(pair), time.as_secs_f32())
            }
            Self::Isolate(member, time) => {
                write!(f, "{}: cut off for {:.1} s", NAMES[member], time.as_secs_f32())
            }
            Self::Lose(member, time) => {
                write!(f, "{}: cut off, kill -9 after {:.1} s", NAMES[member], time.as_secs_f32())
            }
        }
    }
}

/// The events of a run, one after the other.
#[derive(Debug)]
pub(crate) struct Plan(Rng);

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// The next event and the pause before it.
    pub(crate) fn next(&mut self) -> (Duration, Event) {
        let pause = self.time(200, 3_000);
        let event = match self.0.u32(..100) {
            0..15 => Event::Replace(self.0.usize(..HAPROXYS)),
            15..27 => Event::Replace(self.0.usize(HAPROXYS..MEMBERS)),
            27..42 => Event::Kill(self.0.usize(..HAPROXYS), self.time(0, 4_000)),
            42..54 => Event::Kill(self.0.usize(HAPROXYS..MEMBERS), self.time(0, 4_000)),
            54..59 => Event::Freeze(self.0.usize(HAPROXYS..MEMBERS), self.time(500, 12_000)),
            59..71 => Event::Cut(self.pair()),
            71..82 => Event::Sever(self.pair(), self.time(500, 15_000)),
            82..93 => Event::Stall(self.pair(), self.way(), self.time(500, 12_000)),
            93..97 => Event::Isolate(self.0.usize(..MEMBERS), self.time(1_000, 12_000)),
            _ => Event::Lose(self.0.usize(..MEMBERS), self.time(300, 4_000)),
        };
        (pause, event)
    }

    fn time(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.0.u64(least..=most))
    }

    fn pair(&mut self) -> Pair {
        let a = self.0.usize(..MEMBERS);
        let b = (a + self.0.usize(1..MEMBERS)) % MEMBERS;
        (a.min(b), a.max(b))
    }

    fn way(&mut self) -> Way {
        [Way::Forth, Way::Back, Way::Both][self.0.usize(..3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn events(seed: u64) -> Vec<(Duration, Event)> {
        let mut plan = Plan::new(seed);
        (0..500).map(|_| plan.next()).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
    }

    #[test]
    fn everything_happens_and_links_join_two() {
        let mut names = BTreeMap::new();
        for (_, event) in events(1) {
            *names.entry(event.name()).or_insert(0) += 1;
            if let Event::Cut((a, b)) | Event::Sever((a, b), _) | Event::Stall((a, b), ..) = event {
                assert!(a < b && b < MEMBERS, "{event}");
            }
        }
        assert_eq!(names.len(), 10, "{names:?}");
    }
}
