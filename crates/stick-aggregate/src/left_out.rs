//! Contributions that are left out of the sums: of which node, why, and when that ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use stick_table::{Millis, Origin};

/// Pause between the first refusal and the first time that what was refused is asked for again, in ms.
const FIRST_PAUSE: u64 = 1_000;
/// Longest such pause: it doubles each time that there was no room after all.
const LONGEST_PAUSE: u64 = 60_000;

/// Why contributions are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOutReason {
    /// The aggregate has no room for more keys or contributions.
    NoRoom,
    /// The node tells too many different sets of data types.
    TooManyColumns,
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "no room",
            Self::TooManyColumns => "too many different sets of data types",
        })
    }
}

/// What is left out of one node's contributions at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The node.
    pub node: Origin,
    /// Why: the first reason since something was left out.
    pub reason: LeftOutReason,
    /// Updates of the node that were refused since then: a key that the node touches twice counts twice.
    pub refused: u64,
    /// When the first of them was refused.
    pub since: Millis,
}

/// What is known of a node of which something is left out.
#[derive(Clone, Copy, Debug)]
struct Missing {
    reason: LeftOutReason,
    refused: u64,
    since: Millis,
    last: Millis,
    /// Whether it was asked for all it has, since there is room again.
    is_asked: bool,
}

/// Whether the sums are whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Completeness {
    /// Nothing is left out.
    #[default]
    Whole,
    /// Something is, of keys that nobody remembers: a new key may be one of them, so none is taken.
    Closed,
    /// There is room again. New keys are taken and not published, until the nodes have told again what they have.
    Healing,
}

/// The nodes of which something is left out.
#[derive(Default)]
pub(crate) struct LeftOuts {
    /// Updates refused so far.
    refused: AtomicU64,
    /// The state as a number, to be looked at without the lock.
    completeness: AtomicU8,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<u16, Missing>,
    state: Completeness,
    /// When nodes are asked at the earliest.
    heal_at: Millis,
    pause: u64,
}

impl LeftOuts {
    pub(crate) fn completeness(&self) -> Completeness {
        match self.completeness.load(Ordering::Relaxed) {
            0 => Completeness::Whole,
            1 => Completeness::Closed,
            _ => Completeness::Healing,
        }
    }

    fn set(&self, inner: &mut Inner, state: Completeness) {
        inner.state = state;
        self.completeness.store(state as u8, Ordering::Relaxed);
    }

    /// Whether something is left out.
    pub(crate) fn any(&self) -> bool {
        self.completeness() != Completeness::Whole
    }

    /// Notes that updates of a node are refused. To be called before the lock of the stripe is given up that refuses them.
    pub(crate) fn refuse(&self, node: u16, reason: LeftOutReason, count: u64, now: Millis) {
        self.refused.fetch_add(count, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        if inner.state != Completeness::Closed {
            inner.nodes.values_mut().for_each(|missing| missing.is_asked = false);
            let is_calm = now > inner.heal_at + LONGEST_PAUSE;
            inner.pause = if is_calm { FIRST_PAUSE } else { (2 * inner.pause).min(LONGEST_PAUSE) };
            inner.pause = inner.pause.max(FIRST_PAUSE);
            inner.heal_at = now + inner.pause;
            self.set(&mut inner, Completeness::Closed);
        }
        let new = Missing { reason, refused: 0, since: now, last: now, is_asked: false };
        let missing = inner.nodes.entry(node).or_insert(new);
        missing.refused += count;
        missing.last = now;
    }

    /// Forgets nodes; when none is left the sums are whole.
    fn retain(&self, mut keeps: impl FnMut(u16, &Missing) -> bool) {
        if self.any() {
            let mut inner = self.inner.lock();
            inner.nodes.retain(|&node, missing| keeps(node, missing));
            if inner.nodes.is_empty() {
                self.set(&mut inner, Completeness::Whole);
            }
        }
    }

    /// Forgets a node that is gone: nothing of it counts any more.
    pub(crate) fn forget(&self, node: u16) {
        self.retain(|other, _| other != node);
    }

    /// Looks at the clock. `is_free` tells whether there is room again.
    pub(crate) fn pass(&self, expire: Option<u32>, now: Millis, is_free: impl FnOnce() -> bool) {
        // What was refused has ended: each touch of an entry that lives would have been refused again.
        if let Some(expire) = expire {
            self.retain(|_, missing| now.saturating_sub(missing.last) < u64::from(expire));
        }
        if self.completeness() == Completeness::Closed {
            let mut inner = self.inner.lock();
            if inner.state == Completeness::Closed && now >= inner.heal_at && is_free() {
                self.set(&mut inner, Completeness::Healing);
            }
        }
    }

    /// Whether a node is to be asked for all it has.
    pub(crate) fn wants_lesson(&self, node: u16) -> bool {
        self.completeness() == Completeness::Healing
            && self.inner.lock().nodes.get(&node).is_some_and(|missing| !missing.is_asked)
    }

    /// Whether some node is to be asked.
    pub(crate) fn wants_lessons(&self) -> bool {
        self.completeness() == Completeness::Healing
            && self.inner.lock().nodes.values().any(|missing| !missing.is_asked)
    }

    /// Notes that a node is asked for all it has.
    pub(crate) fn asked(&self, node: u16) {
        let mut inner = self.inner.lock();
        if inner.state == Completeness::Healing
            && let Some(missing) = inner.nodes.get_mut(&node)
        {
            missing.is_asked = true;
        }
    }

    /// Notes that a node has told all it has.
    pub(crate) fn told_all(&self, node: u16) {
        if self.completeness() == Completeness::Healing {
            self.retain(|other, missing| other != node || !missing.is_asked);
        }
    }

    /// Updates refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// All nodes of which something is left out, by their numbers.
    pub(crate) fn list(&self) -> Vec<LeftOut> {
        if !self.any() {
            return Vec::new();
        }
        let inner = self.inner.lock();
        let all = inner.nodes.iter().map(|(&node, missing)| LeftOut {
            node: Origin::with_number(node),
            reason: missing.reason,
            refused: missing.refused,
            since: missing.since,
        });
        all.collect()
    }
}
