//! Rows set free again: of entries that are over, and of others when the table is full.

use std::hint::black_box;

use super::Stripe;
use crate::common::{Common, NO_DEADLINE};
use crate::{Millis, lifetime};

/// Rows looked at together to find those to purge, and how many of them go at most.
const PURGE_SAMPLE: u32 = 64;
const PURGED_OF_SAMPLE: usize = 4;
/// Stripes of fewer rows purge one entry at a time, for the one that needs its place.
const EXACT: u32 = 1 << 12;
/// Rows looked at before a full table gives up on finding any entry to purge; with `nopurge` any that is over.
const PURGE_LIMIT: u32 = 4096;
const NO_PURGE_LIMIT: u32 = 4 * PURGE_SAMPLE;
/// Deadlines looked at together by the sweep: most often none of them is over.
const SWEEP_BLOCK: usize = 64;

impl Stripe {
    /// Takes places of the table, at the cost of other entries if need be; returns how many. In a large table that may be
    /// some of the `ahead` wanted soon, as a look at a sample costs the same for several. A stripe without entries cannot
    /// purge; in a full table, with 65,536 entries for each stripe, there is none.
    #[cold]
    pub(super) fn make_places(&mut self, common: &Common, ahead: u32, now: Millis) -> u32 {
        let wanted = if self.high_water < EXACT { 1 } else { ahead.clamp(1, PURGED_OF_SAMPLE as u32) };
        let taken = common.take_places(wanted);
        if taken > 0 { taken } else { self.purge(common, wanted, now) }
    }

    /// Removes up to `wanted` entries of a full table, whose places are the caller's then: those that are over and, unless
    /// `nopurge`, those with the earliest deadlines of samples. Returns how many. Like HAProxy's since 3.0, the choice is
    /// only approximately the oldest (stick-tables §5.4).
    fn purge(&mut self, common: &Common, wanted: u32, now: Millis) -> u32 {
        // With `nopurge` only what is over goes, most of it by the sweep: a long search for each refusal would slow down
        // what is refused.
        let limit = if common.definition.no_purge { NO_PURGE_LIMIT } else { PURGE_LIMIT };
        let (mut purged, mut looked) = (0, 0);
        while purged < wanted && looked < self.high_water.min(limit) {
            let first = self.hand;
            let sample = self.deadlines.run(first, PURGE_SAMPLE.min(self.high_water - first));
            let count = sample.len() as u32;
            let (victims, found) = soonest(common, sample, now);
            self.pass(count);
            looked += count;
            let found = found.min((wanted - purged) as usize);
            let victims = victims[..found].iter().map(|&place| first + place);
            // The index is read at as many places: all of them first, as in a batch.
            let hashes = victims.clone().map(|row| self.hash_of(common, row));
            black_box(hashes.fold(0, |sum, hash| sum ^ self.touch_index(hash)));
            for row in victims {
                if common.is_over(self.deadlines.get(row), now) {
                    self.tally.expired += 1;
                } else {
                    self.tally.evicted += 1;
                }
                self.vacate(common, row);
                purged += 1;
            }
        }
        purged
    }

    /// Moves the hand over rows.
    fn pass(&mut self, rows: u32) {
        self.hand = if self.hand + rows < self.high_water { self.hand + rows } else { 0 };
    }

    /// Frees what is over among about the next `rows` rows; returns how many were freed.
    pub(crate) fn sweep(&mut self, common: &Common, rows: u32, now: Millis) -> u32 {
        if common.definition.expire.is_none() {
            return 0;
        }
        let now = now as u32;
        let mut freed = 0;
        let mut left = rows.min(self.high_water);
        while left > 0 {
            let first = self.hand;
            let block = self.deadlines.run(first, left.min(self.high_water - first).min(SWEEP_BLOCK as u32));
            let count = block.len() as u32;
            let is_due = |deadline| (deadline != NO_DEADLINE) & lifetime::is_over(deadline, now);
            if block.iter().fold(false, |any, &deadline| any | is_due(deadline)) {
                for row in first..first + count {
                    if is_due(self.deadlines.get(row)) {
                        self.free_expired(common, row);
                        freed += 1;
                    }
                }
            }
            self.pass(count);
            left -= count;
        }
        freed
    }
}

/// The used rows of a sample that may be purged, those that end first, in their order: places in the sample, and how many.
fn soonest(common: &Common, sample: &[u32], now: Millis) -> ([u32; PURGED_OF_SAMPLE], usize) {
    let expires = common.definition.expire.is_some();
    let now = now as u32;
    // What is left, as a number that orders like it. Without an expiry the deadline is the last touch, which may be 49 days
    // ago.
    let left = |deadline: u32| match expires {
        true => deadline.wrapping_sub(now) ^ 1 << 31,
        false => !now.wrapping_sub(deadline),
    };
    // What may be purged has less left than this.
    let limit = match (common.definition.no_purge, expires) {
        (false, _) => u64::MAX,
        (true, true) => (1 << 31) + 1,
        (true, false) => 0,
    };
    // Each as one number: what is left, then its place. The last of them is the one to beat.
    let mut best = [u64::MAX; PURGED_OF_SAMPLE];
    for (place, &deadline) in sample.iter().enumerate() {
        let left = u64::from(left(deadline));
        let mut it = left << 32 | place as u64;
        if deadline == NO_DEADLINE || left >= limit || it >= best[PURGED_OF_SAMPLE - 1] {
            continue;
        }
        for other in &mut best {
            if it < *other {
                std::mem::swap(other, &mut it);
            }
        }
    }
    let found = best.iter().filter(|&&it| it != u64::MAX).count();
    (best.map(|it| it as u32), found)
}

#[cfg(test)]
mod tests {
    use crate::{KeyType, Lifetime, Millis, Origin, Table, TableDefinition, UpdateError};

    const SIZE: u32 = 20;

    /// A table that is full, of entries touched one after the other from second 1 on.
    fn full(expire: Option<u32>, no_purge: bool) -> Table {
        let mut definition = TableDefinition::new("t", KeyType::Integer, SIZE).with_expire(expire);
        definition.no_purge = no_purge;
        let table = Table::new(definition, 1).unwrap();
        for number in 0..SIZE {
            assert_eq!(touch(&table, number, u64::from(number + 1) * 1_000), Ok(()));
        }
        table
    }

    fn touch(table: &Table, number: u32, now: Millis) -> Result<(), UpdateError> {
        table.update(&number.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |_| ())
    }

    fn is_there(table: &Table, number: u32, now: Millis) -> bool {
        table.get(&number.to_be_bytes(), now, |_| ()).unwrap().is_some()
    }

    /// stick-tables §5.4.
    #[test]
    fn without_an_expiry_the_entry_that_was_touched_first_is_purged() {
        let table = full(None, false);
        touch(&table, 0, 50_000).unwrap();
        for (round, gone) in [1, 2, 3].into_iter().enumerate() {
            let (new, now) = (100 + round as u32, 60_000 + round as u64);
            assert!(is_there(&table, gone, now));
            touch(&table, new, now).unwrap();
            assert!(!is_there(&table, gone, now) && is_there(&table, new, now), "{gone}");
            assert_eq!(table.len(), SIZE);
        }
        assert!(is_there(&table, 0, 70_000), "it was touched again");
    }

    #[test]
    fn without_an_expiry_a_full_table_with_nopurge_refuses_for_ever() {
        let table = full(None, true);
        let now = 40 * 86_400_000;
        assert_eq!(touch(&table, 100, now), Err(UpdateError::Full));
        assert_eq!(touch(&table, 0, now), Ok(()), "what is there is changed");
        assert_eq!(table.sweep(1_000, now), 0, "nothing is ever over");
        assert_eq!(touch(&table, 100, now), Err(UpdateError::Full));
        assert_eq!(table.remove(&5_u32.to_be_bytes(), now), Ok(true));
        assert_eq!(touch(&table, 100, now), Ok(()));
        assert_eq!(table.len(), SIZE);
    }

    #[test]
    fn with_nopurge_what_is_over_makes_room() {
        let table = full(Some(100_000), true);
        assert_eq!(touch(&table, 100, 100_900), Err(UpdateError::Full));
        assert_eq!(touch(&table, 100, 101_000), Ok(()), "the first one is over");
        assert_eq!(touch(&table, 101, 101_500), Err(UpdateError::Full));
        assert_eq!(table.sweep(1_000, 103_000), 2);
        assert_eq!(table.len(), SIZE - 2);
    }
}
