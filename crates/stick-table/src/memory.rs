//! Memory that several tables share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Entries whose memory is taken at once, so that tables which grow meet seldom.
const STEP: u32 = 256;

/// A limit of the memory that the entries of some tables may take. See [`Table::within`](crate::Table::within).
#[derive(Debug, Default)]
pub struct MemoryLimit {
    limit: u64,
    used: AtomicU64,
    was_short: AtomicU64,
}

impl MemoryLimit {
    /// A limit in bytes; 0 for none.
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), was_short: AtomicU64::new(0) }
    }

    /// The limit in bytes; 0 for none.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes of the most entries that each table has had so far: a table gives no memory back. At most [`limit`](Self::limit).
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that are left; [`u64::MAX`] without a limit.
    pub fn left(&self) -> u64 {
        if self.limit == 0 { u64::MAX } else { self.limit.saturating_sub(self.used()) }
    }

    /// How often a table wanted to grow and could not: it then purged entries of its own, or refused new ones.
    pub fn shortages(&self) -> u64 {
        self.was_short.load(Ordering::Relaxed)
    }

    /// Reserves memory for up to `wanted` entries, each of the given size in bytes; returns how many entries fit.
    fn take(&self, wanted: u32, entry_bytes: u64) -> u32 {
        let fitting = |used: u64| {
            let left = if self.limit == 0 { u64::MAX } else { self.limit.saturating_sub(used) };
            let fitting = left / entry_bytes.max(1);
            u32::try_from(fitting).unwrap_or(u32::MAX).min(wanted)
        };
        let take = |used: u64| Some(used.saturating_add(u64::from(fitting(used)) * entry_bytes));
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(used) | Err(used) => fitting(used),
        }
    }
}

/// The part that one table has of a limit.
#[derive(Debug)]
pub(crate) struct Share {
    limit: Arc<MemoryLimit>,
    entry_bytes: u64,
    /// Entries whose memory was taken.
    taken: AtomicU32,
}

impl Share {
    pub(crate) const fn new(limit: Arc<MemoryLimit>, entry_bytes: u64) -> Self {
        Self { limit, entry_bytes, taken: AtomicU32::new(0) }
    }

    /// How many entries the table may have when it wants `wanted` of them, of at most `size`.
    pub(crate) fn places(&self, wanted: u32, size: u32) -> u32 {
        let (wanted, taken) = (wanted.min(size), self.taken.load(Ordering::Relaxed));
        if wanted <= taken {
            return taken;
        }
        let step = (wanted - taken).max(STEP).min(size.saturating_sub(taken));
        let more = self.limit.take(step, self.entry_bytes);
        if more < wanted - taken {
            self.limit.was_short.fetch_add(1, Ordering::Relaxed);
        }
        // Another stripe may have taken some at the same time: then it is a few more than are needed.
        self.taken.fetch_add(more, Ordering::Relaxed).saturating_add(more)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{KeyType, Lifetime, Origin, Table, TableDefinition, UpdateError};

    fn table(name: &str, size: u32) -> TableDefinition {
        TableDefinition::new(name, KeyType::Integer, size).with_expire(Some(60_000))
    }

    fn touch(table: &Table, number: u32) -> Result<(), UpdateError> {
        table.update(
            &number.to_be_bytes(),
            Origin::LOCAL,
            Lifetime::Restart,
            1_000 + u64::from(number),
            |_| (),
        )
    }

    #[test]
    fn tables_grow_until_the_limit_and_purge_then() {
        let limit = Arc::new(MemoryLimit::new(1_000_000));
        let tables =
            ["a", "b"].map(|name| Table::new(table(name, 20_000), 1).unwrap().within(&limit, 100, 0));
        for number in 0..8_000 {
            touch(&tables[0], number).unwrap();
        }
        assert_eq!((tables[0].len(), limit.shortages()), (8_000, 0));
        assert!((800_000..=830_000).contains(&limit.used()), "{}", limit.used());
        for number in 0..8_000 {
            touch(&tables[1], number).unwrap();
        }
        assert_eq!((limit.used(), limit.left()), (1_000_000, 0));
        let entries = tables[0].len() + tables[1].len();
        assert!((9_700..=10_000).contains(&entries), "{entries}");
        assert!(limit.shortages() > 1_000);
        // The newest are there, and what is freed is used again.
        assert_eq!(tables[1].get(&7_999_u32.to_be_bytes(), 9_000, |_| ()), Ok(Some(())));
        let before = tables[0].len();
        assert_eq!(tables[0].remove(&5_u32.to_be_bytes(), 9_000), Ok(true));
        let shortages = limit.shortages();
        touch(&tables[0], 5).unwrap();
        assert_eq!((tables[0].len(), limit.shortages()), (before, shortages));
    }

    #[test]
    fn without_a_limit_the_size_counts() {
        let limit = Arc::new(MemoryLimit::new(0));
        let table = Table::new(table("t", 1_000), 1).unwrap().within(&limit, 100, 5_000);
        assert_eq!((limit.used(), limit.shortages()), (100_000, 0), "no more than its size");
        for number in 0..2_000 {
            touch(&table, number).unwrap();
        }
        assert_eq!(
            (table.len(), limit.used(), limit.left(), limit.shortages()),
            (1_000, 100_000, u64::MAX, 0)
        );
    }

    #[test]
    fn a_table_that_gets_nothing_refuses() {
        let limit = Arc::new(MemoryLimit::new(99));
        let table = Table::new(table("t", 1_000), 1).unwrap().within(&limit, 100, 0);
        assert_eq!((touch(&table, 1), table.len(), limit.shortages()), (Err(UpdateError::Full), 0, 1));
    }

    #[test]
    fn the_first_entries_are_a_table_s_own() {
        let limit = Arc::new(MemoryLimit::new(100_000));
        let table = |name| Table::new(table(name, 1_000), 1).unwrap().within(&limit, 100, 300);
        let (first, second) = (table("a"), table("b"));
        assert_eq!(limit.used(), 60_000);
        for number in 0..1_000 {
            touch(&first, number).unwrap();
        }
        assert_eq!((limit.left(), first.len()), (0, 700));
        for number in 0..300 {
            touch(&second, number).unwrap();
        }
        assert_eq!(second.len(), 300);
    }
}
