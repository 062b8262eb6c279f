//! Memory that several aggregates share.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is kept free for further contributions to keys that are there, one part in so many: a key is of use only if it is
/// whole.
const KEPT_FOR_KEYS: u64 = 16;
/// What must be free before refused contributions are asked for again, one part in so many.
const FREE_AGAIN: u64 = 8;

/// The memory that the contributions and results of some aggregates may take, and take.
#[derive(Debug, Default)]
pub struct Room {
    limit: u64,
    used: AtomicU64,
}

impl Room {
    /// Room of `limit` bytes; 0 for as much as there is.
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// The limit in bytes; 0 for none.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are taken: by keys, contributions and results that are there, with their indexes, strings and long keys.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether there is room for a new key.
    pub(crate) fn has_for_key(&self) -> bool {
        self.limit == 0 || self.used() < self.limit - self.limit / KEPT_FOR_KEYS
    }

    /// Whether there is room for one more contribution to a key that is there.
    pub(crate) fn has_for_part(&self) -> bool {
        self.limit == 0 || self.used() < self.limit
    }

    /// Whether so much is free that what was refused may come again.
    pub(crate) fn is_free_again(&self) -> bool {
        self.limit == 0 || self.used() < self.limit - self.limit / FREE_AGAIN
    }

    /// Notes that what took `before` bytes takes `after`.
    pub(crate) fn account(&self, before: u64, after: u64) {
        self.used.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}
