//! What happened to the entries of a table so far.

use std::ops::AddAssign;

use crate::batch::Applied;
use crate::origin::Origin;

/// Counts since the table was made. None of them falls; each stripe keeps its own, under the lock that it holds anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes that this process made.
    pub local: u64,
    /// Changes that peers told, or another process of the same name, and that had an effect. What was read from disk is none.
    pub learned: u64,
    /// Changes told to peers live, as updates: one that three peers are told counts three times.
    pub pushed: u64,
    /// Entries freed after their end.
    pub expired: u64,
    /// Entries removed before their end, for others that needed their place.
    pub evicted: u64,
    /// Changes that found the table full, see [`UpdateError::Full`](crate::UpdateError::Full).
    pub refused: u64,
}

impl Tally {
    /// Adds a change of an entry.
    #[inline]
    pub(crate) fn add_changes(&mut self, origin: Origin, count: u64) {
        if origin.is_local() {
            self.local += count;
        } else if origin != Origin::STORE {
            self.learned += count;
        }
    }

    /// Adds what became of a group of changes.
    #[inline]
    pub(crate) fn add_applied(&mut self, origin: Origin, applied: Applied) {
        self.add_changes(origin, applied.created + applied.updated);
        self.refused += applied.refused;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.local += more.local;
        self.learned += more.learned;
        self.pushed += more.pushed;
        self.expired += more.expired;
        self.evicted += more.evicted;
        self.refused += more.refused;
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::{Batch, KeyType, Lifetime, Millis, Origin, Precedence, Table, TableDefinition};

    fn table(no_purge: bool) -> Table {
        let mut definition = TableDefinition::new("t", KeyType::Integer, 10).with_expire(Some(1_000));
        definition.no_purge = no_purge;
        Table::new(definition, 1).unwrap()
    }

    fn touch(table: &Table, number: u32, now: Millis) -> bool {
        table.update(&number.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |_| ()).is_ok()
    }

    fn tell(table: &Table, origin: Origin, numbers: std::ops::Range<u32>, now: Millis) {
        let mut batch = Batch::new(table);
        for number in numbers {
            batch.push(&number.to_be_bytes(), Lifetime::Restart).unwrap();
        }
        table.apply(&mut batch, origin, Precedence::Newest, now);
    }

    #[test]
    fn changes_count_for_those_who_made_them() {
        let table = table(false);
        assert!(touch(&table, 1, 0) && touch(&table, 1, 1) && touch(&table, 2, 2));
        tell(&table, Origin::peer(1).unwrap(), 1..5, 3);
        tell(&table, Origin::STORE, 5..7, 4);
        table.expire(&1_u32.to_be_bytes(), 5).unwrap();
        table.count_pushed(7);
        assert_eq!(table.tally(), Tally { local: 4, learned: 4, pushed: 7, ..Tally::default() });
    }

    #[test]
    fn a_full_table_evicts_or_refuses_and_what_is_over_only_expires() {
        for (no_purge, evicted, refused) in [(false, 4, 0), (true, 0, 4)] {
            let table = table(no_purge);
            (0..10).for_each(|number| assert!(touch(&table, number, 0)));
            assert_eq!(touch(&table, 10, 500), !no_purge);
            tell(&table, Origin::peer(1).unwrap(), 11..14, 500);
            let full = table.tally();
            assert_eq!((full.evicted, full.refused, full.expired), (evicted, refused, 0), "{full:?}");
            assert!(touch(&table, 20, 1_100), "an expired entry makes room");
            let over = table.tally();
            assert_eq!((over.evicted, over.refused, over.expired), (evicted, refused, 1), "{over:?}");
            assert_eq!(u64::from(table.sweep(100, 9_000)) + 1, table.tally().expired);
        }
    }

    #[test]
    fn an_entry_that_is_over_has_expired_when_its_key_returns_or_is_removed() {
        let table = table(false);
        (1..4).for_each(|number| assert!(touch(&table, number, 0)));
        assert!(touch(&table, 1, 1_500));
        tell(&table, Origin::peer(1).unwrap(), 2..3, 1_500);
        assert_eq!(table.remove(&3_u32.to_be_bytes(), 1_500), Ok(false));
        assert_eq!(table.remove(&1_u32.to_be_bytes(), 1_500), Ok(true), "removed by hand");
        assert_eq!(table.tally().expired, 3);
    }
}
