//! Processes that share a name: the session of one ends that of the other, again and again.
//!
//! The usual causes are a machine that was cloned with its configuration, and a `localpeer` that was copied.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use parking_lot::Mutex;
use stick_table::Millis;

/// Sessions that follow each other within this time, in ms, are of processes that run at the same time. HAProxy connects again
/// within 5 s, stickd within 60 s at most.
const WINDOW_MS: u64 = 60_000;
/// How long a finding is shown, in ms.
const SHOWN_MS: u64 = 300_000;

/// A process as its hello shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Where its connection comes from; `None` for a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// The process id that the hello names.
    pub(super) pid: u32,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address} (process {})", self.pid),
            None => write!(f, "this machine (process {})", self.pid),
        }
    }
}

/// Two processes that say they are the same peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) one: Process,
    pub(super) other: Process,
}

/// The latest processes of each peer.
#[derive(Default)]
pub(super) struct Namesakes(Mutex<HashMap<String, History>>);

struct History {
    current: Process,
    /// The one before, whose session this one ended.
    ended: Option<Process>,
    /// When the session last went from one to the other.
    at: Millis,
    /// Whether it went back to a process whose session had been ended.
    alternates: bool,
}

impl Namesakes {
    /// Notes a session that `process` opened; `replaces` when the peer had an established session. Returns the processes that
    /// share the name when the session goes back to one that had lost it: a process that was replaced for good does not return.
    pub(super) fn note(&self, peer: &str, process: Process, replaces: bool, now: Millis) -> Option<Pair> {
        let mut histories = self.0.lock();
        let Some(history) = histories.get_mut(peer) else {
            let history = History { current: process, ended: None, at: now, alternates: false };
            histories.insert(peer.to_owned(), history);
            return None;
        };
        if history.current == process {
            return None;
        }
        let is_soon = replaces && now < history.at + WINDOW_MS;
        history.alternates = is_soon && history.ended.as_ref() == Some(&process);
        let ended = std::mem::replace(&mut history.current, process);
        history.ended = replaces.then_some(ended);
        history.at = now;
        history.pair()
    }

    /// The processes that shared a name lately.
    pub(super) fn of(&self, peer: &str, now: Millis) -> Option<Pair> {
        let histories = self.0.lock();
        histories.get(peer).filter(|history| now < history.at + SHOWN_MS)?.pair()
    }

    /// The peer is no member any more.
    pub(super) fn forget(&self, peer: &str) {
        self.0.lock().remove(peer);
    }
}

impl History {
    fn pair(&self) -> Option<Pair> {
        let other = self.ended.clone().filter(|_| self.alternates)?;
        Some(Pair { one: self.current.clone(), other })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(last: u8, pid: u32) -> Process {
        Process { address: Some(IpAddr::from([10, 0, 0, last])), pid }
    }

    #[test]
    fn processes_that_take_the_session_from_each_other_share_a_name() {
        let namesakes = Namesakes::default();
        let (one, other) = (process(5, 1), process(6, 1));
        let note = |process: &Process, replaces, now| namesakes.note("lb1", process.clone(), replaces, now);
        assert_eq!(note(&one, false, 0), None);
        assert_eq!(note(&other, true, 5_000), None, "a node that moved, or a reload");
        let pair = Pair { one: one.clone(), other: other.clone() };
        assert_eq!(note(&one, true, 10_000), Some(pair.clone()));
        let back = Pair { one: other.clone(), other: one.clone() };
        assert_eq!(note(&other, true, 15_000), Some(back.clone()));
        assert_eq!(namesakes.of("lb1", 300_000), Some(back));
        assert_eq!((namesakes.of("lb1", 315_000), namesakes.of("lb2", 0)), (None, None));
        assert_eq!(note(&process(7, 1), true, 20_000), None);
        assert_eq!(namesakes.of("lb1", 20_000), None);
        namesakes.forget("lb1");
        assert_eq!(note(&one, true, 21_000), None);
        assert_eq!(pair.one.to_string(), "10.0.0.5 (process 1)");
    }

    #[test]
    fn a_node_that_restarts_or_moves_has_its_name_to_itself() {
        let namesakes = Namesakes::default();
        for number in 0..100u64 {
            // Reloads: each process is a new one.
            let found = namesakes.note("a", process(5, number as u32), true, number * 1_000);
            assert_eq!(found, None);
            // Two addresses in turn, but the session had ended before.
            assert_eq!(namesakes.note("b", process((number % 2) as u8, 1), false, number * 1_000), None);
            // In turn, but seldom: an address that fails over, with a connection that was cut.
            assert_eq!(namesakes.note("c", process((number % 2) as u8, 1), true, number * 60_000), None);
        }
    }
}
