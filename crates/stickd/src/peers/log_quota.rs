//! How many lines of the log somebody may cause.

use std::collections::HashMap;

use parking_lot::Mutex;
use stick_table::Millis;

/// Lines at once, and the time in ms after which there is one more.
const BURST: u64 = 100;
const REGAIN_MS: u64 = 1_000;

/// A quota for each configured peer, and one for all others together: they can take any number of names.
pub(super) struct LogQuota {
    /// By name; `None` for all others.
    quotas: Mutex<HashMap<Option<String>, Quota>>,
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
        let full = || Quota { left: BURST * REGAIN_MS, since: now, left_out: 0 };
        let named = names.into_iter().map(|name| (Some(name.clone()), full()));
        Self { quotas: Mutex::new(named.chain([(None, full())]).collect()) }
    }

    /// Gives a peer a quota of its own, unless it has one.
    pub(super) fn add(&self, name: &str, now: Millis) {
        let full = Quota { left: BURST * REGAIN_MS, since: now, left_out: 0 };
        self.quotas.lock().entry(Some(name.to_owned())).or_insert(full);
    }

    /// Takes it back.
    pub(super) fn remove(&self, name: &str) {
        self.quotas.lock().remove(&Some(name.to_owned()));
    }

    /// Whether a line about this peer may be written now, and how many were left out before it.
    pub(super) fn take(&self, name: &str, now: Millis) -> Option<u64> {
        let mut quotas = self.quotas.lock();
        let named = Some(name.to_owned());
        let key = if quotas.contains_key(&named) { named } else { None };
        let quota = quotas.get_mut(&key)?;
        quota.left = (quota.left + now.saturating_sub(quota.since)).min(BURST * REGAIN_MS);
        quota.since = now;
        if quota.left < REGAIN_MS {
            quota.left_out += 1;
            return None;
        }
        quota.left -= REGAIN_MS;
        Some(std::mem::take(&mut quota.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_lines_and_all_strangers_share_theirs() {
        let names = ["a".to_owned(), "b".to_owned()];
        let quota = LogQuota::new(&names, 0);
        let lines = |name: &str, now| (0..1_000).filter(|_| quota.take(name, now).is_some()).count() as u64;
        assert_eq!(lines("a", 5), BURST);
        assert_eq!(lines("b", 5), BURST);
        assert_eq!(lines("x", 5) + lines("y", 5), BURST);
        assert_eq!(lines("a", 5 + 3 * REGAIN_MS), 3);
        assert_eq!(lines("a", 1_000_000), BURST);
    }

    #[test]
    fn quotas_come_and_go() {
        let quota = LogQuota::new([], 0);
        let lines = |name: &str, now| (0..1_000).filter(|_| quota.take(name, now).is_some()).count() as u64;
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
            assert_eq!(quota.take("x", 0), Some(0));
        }
        assert_eq!((quota.take("x", 0), quota.take("y", 1)), (None, None));
        assert_eq!(quota.take("x", REGAIN_MS), Some(2));
        assert_eq!(quota.take("x", 2 * REGAIN_MS), Some(0));
    }
}
