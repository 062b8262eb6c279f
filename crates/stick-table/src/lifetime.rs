//! How long an entry lives after a change.

use crate::Millis;

/// Oldest touch that an entry without an end is shown to have, in ms: 24.8 days. They are purged in the order of their last
/// touch, and one of 50 days ago must not pass for one of today.
pub(crate) const OLDEST_TOUCH: u32 = 1 << 31;

/// What a change does to an entry's remaining lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Starts the table's `expire` again: a local touch, an untimed update.
    Restart,
    /// The entry has this many ms left, at most the table's `expire`: a timed update. 0 expires it now, and whoever follows the
    /// table does not see the change: an entry that has expired is not visited any more. So peers are told only of what lives
    /// until their sessions are polled; [`Table::expire`](crate::Table::expire) ends an entry everywhere. Without effect in a
    /// table without `expire`.
    Exactly(u32),
    /// The entry was touched this long ago, in ms, and lives on from then, as one that was kept on disk. In a table without `expire` it says
    /// when the entry is purged.
    Touched(u32),
    /// Leaves the lifetime of an entry as it is and creates none: an update that repeats what is known.
    Keep,
}

/// A deadline on the low 32 bits of the table's clock: wraps, compared by distance. An entry is gone from the moment
/// of its deadline on. In a table without `expire` the column holds the time of the last touch, to order the purge.
#[inline]
pub(crate) fn is_over(deadline: u32, now: u32) -> bool {
    deadline.wrapping_sub(now).cast_signed() <= 0
}

/// Remaining ms to a deadline, 0 when it is over.
#[inline]
pub(crate) fn remaining(deadline: u32, now: Millis) -> u32 {
    deadline.wrapping_sub(now as u32).cast_signed().max(0).cast_unsigned()
}
