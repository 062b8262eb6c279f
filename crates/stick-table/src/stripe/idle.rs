//! What nobody touched for so long that its 32-bit ticks come round.

use super::Stripe;
use crate::common::{Common, NO_DEADLINE};
use crate::lifetime::{self, OLDEST_TOUCH};
use crate::{FrequencyCounter, Millis};

impl Stripe {
    /// Stops frequency counters that were idle for weeks among the next `rows` rows, and holds touches of long ago at their age.
    pub(crate) fn stop_idle(&mut self, common: &Common, rows: u32, now: Millis) {
        let now = now as u32;
        let expires = common.definition.expire.is_some();
        if expires && common.rates.is_empty() {
            return;
        }
        for _ in 0..rows.min(self.high_water) {
            let row = self.idle_hand;
            self.idle_hand = if row + 1 < self.high_water { row + 1 } else { 0 };
            let deadline = self.deadlines.get(row);
            if deadline == NO_DEADLINE {
                continue;
            }
            if !expires && now.wrapping_sub(deadline) > OLDEST_TOUCH {
                self.deadlines.set(row, now.wrapping_sub(OLDEST_TOUCH).max(NO_DEADLINE + 1));
            }
            let data = self.data_mut(&common.layout, row);
            for &(offset, period) in &common.rates {
                let Some(words) = data[offset..].first_chunk_mut() else { continue };
                let [tick, current, previous] = *words;
                let mut counter = FrequencyCounter { tick, current, previous };
                if counter.stop_if_idle(period, now) {
                    *words = [counter.tick, counter.current, counter.previous];
                }
            }
        }
    }

    /// Frees what ended, and stops all counters, in a pause after `before` of so many `ms` that ticks may have come round;
    /// returns how many entries were freed.
    pub(crate) fn end_in_pause(&mut self, common: &Common, before: Millis, ms: Millis) -> u32 {
        let mut freed = 0;
        for row in 0..self.high_water {
            let deadline = self.deadlines.get(row);
            if deadline == NO_DEADLINE {
                continue;
            }
            if common.definition.expire.is_some() && Millis::from(lifetime::remaining(deadline, before)) <= ms
            {
                self.free_expired(common, row);
                freed += 1;
                continue;
            }
            let data = self.data_mut(&common.layout, row);
            for &(offset, _) in &common.rates {
                data[offset..offset + 3].fill(0);
            }
            if common.definition.expire.is_none() {
                let touched = (before + ms) as u32;
                self.deadlines.set(row, touched.wrapping_sub(OLDEST_TOUCH).max(NO_DEADLINE + 1));
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use crate::{DataType, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value};

    const DAY: Millis = 86_400_000;
    const NOW: Millis = 3_600_000;

    fn table(expire: Option<u32>) -> Table {
        let definition = TableDefinition::new("t", KeyType::Integer, 200).with_expire(expire);
        let columns = ["gpc0", "http_req_rate(10s)", "gpc_rate(2,1h)"];
        let definition = columns
            .iter()
            .fold(definition, |definition, word| definition.with_column(word.parse().unwrap()).unwrap());
        Table::new(definition, 1).unwrap()
    }

    fn count(table: &Table, key: u32, now: Millis) {
        let counted = table.update(&key.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
            entry.count(DataType::HttpReqRate, 0, 20) && entry.count(DataType::GpcRate, 1, 20)
        });
        assert_eq!(counted, Ok(true));
    }

    fn read(table: &Table, key: u32, now: Millis) -> Option<[u32; 2]> {
        let rate = |value| match value {
            Some(Value::Frequency(counter)) => counter,
            other => panic!("{other:?}"),
        };
        table
            .get(&key.to_be_bytes(), now, |entry| {
                [
                    rate(entry.value(DataType::HttpReqRate, 0)).read(10_000, now as u32),
                    rate(entry.value(DataType::GpcRate, 1)).read(3_600_000, now as u32),
                ]
            })
            .unwrap()
    }

    /// As the daemon does: each second the whole table, of which a 1,024th is looked at for idle counters.
    #[test]
    fn rates_of_entries_that_stay_read_0_for_months() {
        let table = table(None);
        (0..100).for_each(|key| count(&table, key, NOW));
        assert_eq!(read(&table, 7, NOW), Some([20, 20]));
        for hour in 1..24 * 60 {
            let now = NOW + hour * 3_600_000;
            (0..10).for_each(|_| _ = table.sweep(1_024 * 20, now));
            if hour > 2 {
                assert!((0..100).all(|key| read(&table, key, now) == Some([0, 0])), "after {hour} hours");
            }
        }
        // Counted again, it starts from scratch.
        let later = NOW + 60 * DAY;
        count(&table, 7, later);
        assert_eq!(read(&table, 7, later), Some([20, 20]));
    }

    #[test]
    fn the_entry_that_was_touched_last_stays_when_ticks_came_round() {
        let table = table(None);
        (0..199).for_each(|key| count(&table, key, NOW));
        for hour in 1..24 * 50 {
            (0..10).for_each(|_| _ = table.sweep(1_024 * 30, NOW + hour * 3_600_000));
        }
        let later = NOW + 50 * DAY;
        count(&table, 300, later - 1_000);
        for key in 400..480 {
            count(&table, key, later);
            assert!(read(&table, 300, later).is_some(), "purged for {key}");
        }
    }

    /// A machine that was suspended for weeks: nobody looked at the ticks meanwhile.
    #[test]
    fn nothing_comes_back_after_a_pause_of_weeks() {
        for days in [13, 25, 30, 49, 50, 80] {
            let table = table(Some(3_600_000));
            (0..100).for_each(|key| count(&table, key, NOW));
            table.sweep(1_000, NOW + 1_000);
            let later = NOW + days * DAY;
            table.sweep(1_000, later);
            assert!(table.is_empty(), "after {days} days");
        }
        let table = table(Some(30 * 1_000 * 3_600));
        count(&table, 1, NOW);
        table.sweep(1_000, NOW + 1_000);
        table.sweep(1_000, NOW + 100_000);
        assert_eq!(read(&table, 1, NOW + 100_000), Some([0, 20]));
    }
}
