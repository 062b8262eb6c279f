//! Contributions that are left out of the sums: of which node, why, and when that ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use stick_table::{Millis, Origin};

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
}

/// The nodes of which something is left out.
#[derive(Default)]
pub(crate) struct LeftOuts {
    /// Updates refused so far.
    refused: AtomicU64,
    /// Whether `nodes` has any.
    any: AtomicBool,
    nodes: Mutex<BTreeMap<u16, Missing>>,
}

impl LeftOuts {
    /// Notes that updates of a node were refused.
    pub(crate) fn note(&self, node: u16, reason: LeftOutReason, count: u64, now: Millis) {
        self.refused.fetch_add(count, Ordering::Relaxed);
        let mut nodes = self.nodes.lock();
        let missing = nodes.entry(node).or_insert(Missing { reason, refused: 0, since: now, last: now });
        missing.refused += count;
        missing.last = now;
        self.any.store(true, Ordering::Relaxed);
    }

    /// Forgets a node that is gone: nothing of it counts any more.
    pub(crate) fn forget(&self, node: u16) {
        if self.any() {
            let mut nodes = self.nodes.lock();
            nodes.remove(&node);
            self.any.store(!nodes.is_empty(), Ordering::Relaxed);
        }
    }

    /// Forgets those whose entries have ended meanwhile: each touch of one that lives would have been refused again.
    pub(crate) fn pass(&self, expire: Option<u32>, now: Millis) {
        let Some(expire) = expire.filter(|_| self.any()) else { return };
        let mut nodes = self.nodes.lock();
        nodes.retain(|_, missing| now.saturating_sub(missing.last) < u64::from(expire));
        self.any.store(!nodes.is_empty(), Ordering::Relaxed);
    }

    /// Whether something is left out.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
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
        let nodes = self.nodes.lock();
        let all = nodes.iter().map(|(&node, missing)| LeftOut {
            node: Origin::peer(node),
            reason: missing.reason,
            refused: missing.refused,
            since: missing.since,
        });
        all.collect()
    }
}
