//! How many lines of the log somebody may cause.

use std::collections::HashMap;

use parking_lot::Mutex;
use stick_table::Millis;
use tracing::Level;

/// Lines at once, and the time in ms after which there is one more.
const BURST: u64 = 100;
const REGAIN_MS: u64 = 1_000;

/// Two quotas for each configured peer, and two for all others together: they can take any number of names. One is for warnings
/// and errors, so that lines about what is usual cannot use it up.
pub(super) struct LogQuota {
    /// By name; `None` for all others.
    quotas: Mutex<HashMap<Option<String>, Quotas>>,
}

struct Quotas {
    /// Of WARN and ERROR.
    warnings: Quota,
    /// Of INFO and DEBUG.
    others: Quota,
}

struct Quota {
    /// Lines that may be written, in ms of their regaining.
    left: u64,
    since: Millis,
    left_out: u64,
}

impl LogQuota {
    /// Quotas for the peers of these names.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n String>, now: Millis) -> Self {
        let named = names.into_iter().map(|name| (Some(name.clone()), Quotas::full(now)));
        Self { quotas: Mutex::new(named.chain([(None, Quotas::full(now))]).collect()) }
    }

    /// Gives a peer quotas of its own, unless it has them.
    pub(super) fn add(&self, name: &str, now: Millis) {
        self.quotas.lock().entry(Some(name.to_owned())).or_insert_with(|| Quotas::full(now));
    }

    /// Takes them back.
    pub(super) fn remove(&self, name: &str) {
        self.quotas.lock().remove(&Some(name.to_owned()));
    }

    /// Whether a line of this level about this peer may be written now, and how many were left out before it.
    pub(super) fn take(&self, name: &str, level: Level, now: Millis) -> Option<u64> {
        let mut quotas = self.quotas.lock();
        let named = Some(name.to_owned());
        let key = if quotas.contains_key(&named) { named } else { None };
        let quotas = quotas.get_mut(&key)?;
        let quota = if level <= Level::WARN { &mut quotas.warnings } else { &mut quotas.others };
        quota.take(now)
    }
}

impl Quotas {
    fn full(now: Millis) -> Self {
        Self { warnings: Quota::full(now), others: Quota::full(now) }
    }
}

impl Quota {
    fn full(now: Millis) -> Self {
        Self { left: BURST * REGAIN_MS, since: now, left_out: 0 }
    }

    fn take(&mut self, now: Millis) -> Option<u64> {
        self.left = (self.left + now.saturating_sub(self.since)).min(BURST * REGAIN_MS);
        self.since = now;
        if self.left < REGAIN_MS {
            self.left_out += 1;
            return None;
        }
        self.left -= REGAIN_MS;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_lines_and_all_strangers_share_theirs() {
        let names = ["a".to_owned(), "b".to_owned()];
        let quota = LogQuota::new(&names, 0);
        let lines = |name: &str, now| {
            (0..1_000).filter(|_| quota.take(name, Level::INFO, now).is_some()).count() as u64
        };
        assert_eq!(lines("a", 5), BURST);
        assert_eq!(lines("b", 5), BURST);
        assert_eq!(lines("x", 5) + lines("y", 5), BURST);
        assert_eq!(lines("a", 5 + 3 * REGAIN_MS), 3);
        assert_eq!(lines("a", 1_000_000), BURST);
    }

    #[test]
    fn quotas_come_and_go() {
        let quota = LogQuota::new([], 0);
        let lines = |name: &str, now| {
            (0..1_000).filter(|_| quota.take(name, Level::INFO, now).is_some()).count() as u64
        };
        quota.add("a", 0);
        assert_eq!((lines("x", 0), lines("a", 0)), (BURST, BURST));
        quota.add("a", 0);
        assert_eq!(lines("a", 0), 0, "it has one");
        quota.remove("a");
        assert_eq!(lines("a", 2 * REGAIN_MS), 2, "a stranger");
    }

    #[test]
    fn what_was_left_out_is_told_once() {
        let quota = LogQuota::new([], 0);
        for _ in 0..BURST {
            assert_eq!(quota.take("x", Level::INFO, 0), Some(0));
        }
        assert_eq!((quota.take("x", Level::INFO, 0), quota.take("y", Level::INFO, 1)), (None, None));
        assert_eq!(quota.take("x", Level::INFO, REGAIN_MS), Some(2));
        assert_eq!(quota.take("x", Level::INFO, 2 * REGAIN_MS), Some(0));
    }

    #[test]
    fn warnings_have_lines_of_their_own() {
        let quota = LogQuota::new(&["a".to_owned()], 0);
        let lines = |level| (0..1_000).filter(|_| quota.take("a", level, 0).is_some()).count() as u64;
        assert_eq!(lines(Level::DEBUG) + lines(Level::INFO), BURST);
        assert_eq!(lines(Level::WARN) + lines(Level::ERROR), BURST);
        assert_eq!(quota.take("a", Level::WARN, REGAIN_MS), Some(2 * 1_000 - BURST));
    }
}
