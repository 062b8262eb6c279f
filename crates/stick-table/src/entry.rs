//! One entry, seen under its stripe's lock.

use std::sync::Arc;

use crate::common::Common;
use crate::log::cursor::Position;
use crate::origin::Origin;
use crate::row::stamp::Stamp;
use crate::stripe::Stripe;
use crate::{DataType, FrequencyCounter, Millis, Storage, Value, lifetime};

/// An entry as a reader sees it. Valid while the stripe's lock is held, so visits should be short.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    common: &'a Common,
    stripe: &'a Stripe,
    stripe_number: usize,
    row: u32,
    row_words: &'a [u32],
    now: Millis,
}

impl<'a> EntryRef<'a> {
    pub(crate) fn new(
        common: &'a Common,
        stripe: &'a Stripe,
        stripe_number: usize,
        row: u32,
        now: Millis,
    ) -> Self {
        Self { common, stripe, stripe_number, row, row_words: stripe.row(row), now }
    }

    /// The key in canonical form (see [`KeyType`](crate::KeyType)).
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.stripe.key_in(&self.common.layout, self.row_words)
    }

    /// The data words, laid out by [`Table::layout`](crate::Table::layout).
    #[inline]
    pub fn words(&self) -> &'a [u32] {
        &self.row_words[self.common.layout.data_start()..]
    }

    /// The value of one element; `None` when the table does not store it.
    pub fn value(&self, data_type: DataType, element: u32) -> Option<Value> {
        let offset = self.common.layout.offset(data_type, element)?;
        Some(read_value(self.stripe, data_type.storage(), &self.words()[offset..]))
    }

    /// The string a `server_key` word stands for, `None` when unset.
    pub fn string(&self, word: u32) -> Option<&'a Arc<str>> {
        self.stripe.dictionary.get(word)
    }

    /// Remaining lifetime in ms; `None` when the table's entries do not expire.
    #[inline]
    pub fn remaining(&self) -> Option<u32> {
        self.common.definition.expire?;
        Some(lifetime::remaining(self.stripe.deadline(self.row), self.now))
    }

    /// Time since the entry was touched, in ms, at most 24.8 days; `None` when the table's entries expire.
    pub fn age(&self) -> Option<u32> {
        if self.common.definition.expire.is_some() {
            return None;
        }
        let age = (self.now as u32).wrapping_sub(self.stripe.deadline(self.row));
        // A touch a moment later than this reader's clock.
        Some(if age > lifetime::OLDEST_TOUCH + (1 << 30) { 0 } else { age.min(lifetime::OLDEST_TOUCH) })
    }

    /// Who changed the entry last.
    #[inline]
    pub fn origin(&self) -> Origin {
        Stamp::of_row(self.row_words).origin()
    }

    /// Whether a lesson told the entry's values, so that nobody knows how old they are. Not when its peer had told values
    /// of its own accord before: those of its lesson are as new then.
    #[inline]
    pub fn is_of_lesson(&self) -> bool {
        Stamp::of_row(self.row_words).is_of_lesson()
    }

    /// Whether the entry changed after a position that [`Table::mark`](crate::Table::mark) returned.
    #[inline]
    pub fn changed_since(&self, position: &Position) -> bool {
        let before = position.0.get(self.stripe_number).copied().unwrap_or(0);
        Stamp::of_row(self.row_words).sequence() > before
    }

    /// An opaque number for the entry, stable while it lives: what `show table` prints as its pointer.
    pub fn handle(&self) -> u64 {
        handle(self.stripe_number, self.row)
    }
}

/// Never 0, so that it reads like a pointer.
fn handle(stripe: usize, row: u32) -> u64 {
    (stripe as u64 + 1) << 32 | u64::from(row)
}

/// Stripe number and row of a handle, not yet checked against the table.
pub(crate) fn split_handle(handle: u64) -> Option<(usize, u32)> {
    let stripe = (handle >> 32).checked_sub(1)?;
    Some((stripe as usize, handle as u32))
}

fn read_value(stripe: &Stripe, storage: Storage, words: &[u32]) -> Value {
    match storage {
        Storage::Signed => Value::Signed(words[0].cast_signed()),
        Storage::Unsigned => Value::Unsigned(words[0]),
        Storage::Unsigned64 => Value::Unsigned64(u64::from(words[0]) | u64::from(words[1]) << 32),
        Storage::Frequency => {
            Value::Frequency(FrequencyCounter { tick: words[0], current: words[1], previous: words[2] })
        }
        Storage::Dictionary => Value::Dictionary(stripe.dictionary.get(words[0]).cloned()),
    }
}

/// An entry being changed, see [`Table::update`](crate::Table::update).
pub struct EntryMut<'a> {
    common: &'a Common,
    stripe: &'a mut Stripe,
    row: u32,
    now: Millis,
}

impl<'a> EntryMut<'a> {
    pub(crate) fn new(common: &'a Common, stripe: &'a mut Stripe, row: u32, now: Millis) -> Self {
        Self { common, stripe, row, now }
    }

    /// The value of one element; `None` when the table does not store it.
    pub fn value(&self, data_type: DataType, element: u32) -> Option<Value> {
        let offset = self.common.layout.offset(data_type, element)?;
        let data = self.stripe.data(&self.common.layout, self.row);
        Some(read_value(self.stripe, data_type.storage(), &data[offset..]))
    }

    /// Stores one element; `false` when the table does not store it or the value is of another storage.
    pub fn set(&mut self, data_type: DataType, element: u32, value: &Value) -> bool {
        let Some(offset) = self.common.layout.offset(data_type, element) else { return false };
        if value.storage() != data_type.storage() {
            return false;
        }
        let layout = &self.common.layout;
        let text = if let Value::Dictionary(string) = value {
            let id = string.as_ref().map_or(0, |string| self.stripe.dictionary.acquire(string));
            self.stripe.dictionary.release(self.stripe.data(layout, self.row)[offset]);
            Some(id)
        } else {
            None
        };
        let words = &mut self.stripe.data_mut(layout, self.row)[offset..][..data_type.storage().words()];
        match text {
            Some(id) => words[0] = id,
            None => value.write(words),
        }
        true
    }

    /// Sets all elements to nothing: numbers and rates to 0, no `server_key`.
    pub fn reset(&mut self) {
        let layout = &self.common.layout;
        if let Some(offset) = layout.dictionary_offset() {
            let string = self.stripe.data(layout, self.row)[offset];
            self.stripe.dictionary.release(string);
        }
        self.stripe.data_mut(layout, self.row).fill(0);
    }

    /// Counts `n` events: counters wrap as HAProxy's do, rates rotate by their period (stick-tables §3.2, §4). `false`
    /// when the table does not store the element or it is no counter: `server_id`, `server_key`, `gpt0` and `gpt` are none. Byte rates take bytes and divide by the table's
    /// `brates-factor`, rounding up (§3.3).
    pub fn count(&mut self, data_type: DataType, element: u32, n: u32) -> bool {
        if data_type.is_as_is() {
            return false;
        }
        let definition = &self.common.definition;
        let value = match self.value(data_type, element) {
            Some(Value::Unsigned(number)) => Value::Unsigned(number.wrapping_add(n)),
            Some(Value::Unsigned64(number)) => Value::Unsigned64(number.wrapping_add(u64::from(n))),
            Some(Value::Frequency(mut counter)) => {
                let Some(column) = definition.column(data_type) else { return false };
                let n =
                    if data_type.is_byte_rate() { n.div_ceil(definition.brates_factor.max(1)) } else { n };
                counter.add(n, column.period(), self.now as u32);
                Value::Frequency(counter)
            }
            _ => return false,
        };
        self.set(data_type, element, &value)
    }

    /// Takes `n` from an unsigned counter that is floored at 0: `conn_cur` (stick-tables §3.2). `false` as by
    /// [`count`](Self::count).
    pub fn count_down(&mut self, data_type: DataType, element: u32, n: u32) -> bool {
        if data_type.is_as_is() {
            return false;
        }
        let Some(Value::Unsigned(number)) = self.value(data_type, element) else { return false };
        self.set(data_type, element, &Value::Unsigned(number.saturating_sub(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyType, Lifetime, Table, TableDefinition};

    const KEY: [u8; 4] = [10, 0, 0, 1];
    const NOW: Millis = 1_000_000;

    fn table(columns: &[&str]) -> Table {
        let mut definition = TableDefinition::new("t", KeyType::Ip, 100).with_expire(Some(1_000));
        definition.brates_factor = 10;
        for column in columns {
            definition.add_column(column.parse().unwrap()).unwrap();
        }
        Table::new(definition, 1).unwrap()
    }

    fn change<R>(table: &Table, now: Millis, change: impl FnOnce(&mut EntryMut<'_>) -> R) -> R {
        table.update(&KEY, Origin::LOCAL, Lifetime::Restart, now, change).unwrap()
    }

    fn value(table: &Table, data_type: DataType, element: u32) -> Option<Value> {
        table.get(&KEY, NOW, |entry| entry.value(data_type, element)).unwrap().unwrap()
    }

    #[test]
    fn elements_of_each_storage_are_stored_apart() {
        let table = table(&["server_id", "gpt(3)", "bytes_in_cnt", "conn_rate(10s)", "server_key"]);
        let values = [
            (DataType::ServerId, 0, Value::Signed(-5)),
            (DataType::Gpt, 0, Value::Unsigned(u32::MAX)),
            (DataType::Gpt, 2, Value::Unsigned(7)),
            (DataType::BytesInCnt, 0, Value::Unsigned64(0x0123_4567_89ab_cdef)),
            (DataType::ConnRate, 0, Value::Frequency(FrequencyCounter { tick: 2, current: 3, previous: 4 })),
            (DataType::ServerKey, 0, Value::Dictionary(Some("srv1".into()))),
        ];
        change(&table, NOW, |entry| {
            for (data_type, element, value) in &values {
                assert!(entry.set(*data_type, *element, value));
            }
            for (data_type, element, value) in &values {
                assert_eq!(entry.value(*data_type, *element).as_ref(), Some(value));
            }
        });
        for (data_type, element, stored) in values {
            assert_eq!(value(&table, data_type, element), Some(stored), "{data_type}");
        }
        assert_eq!(value(&table, DataType::Gpt, 1), Some(Value::Unsigned(0)));
    }

    #[test]
    fn what_does_not_fit_the_table_is_not_stored() {
        let table = table(&["gpt(2)", "server_key"]);
        change(&table, NOW, |entry| {
            for (data_type, element, value) in [
                (DataType::Gpc0, 0, Value::Unsigned(1)),
                (DataType::Gpt, 2, Value::Unsigned(1)),
                (DataType::Gpt, 0, Value::Signed(1)),
                (DataType::Gpt, 0, Value::Unsigned64(1)),
                (DataType::ServerKey, 0, Value::Unsigned(1)),
            ] {
                assert!(!entry.set(data_type, element, &value), "{data_type} {element} {value:?}");
            }
        });
        assert_eq!(value(&table, DataType::Gpt, 0), Some(Value::Unsigned(0)));
        assert_eq!(value(&table, DataType::Gpt, 2), None);
        assert_eq!(value(&table, DataType::ServerKey, 0), Some(Value::Dictionary(None)));
    }

    /// stick-tables §3.2.
    #[test]
    fn counters_wrap_and_stop_at_0() {
        let table = table(&["gpc0", "conn_cur", "bytes_in_cnt", "server_id", "server_key"]);
        change(&table, NOW, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(u32::MAX));
            entry.set(DataType::BytesInCnt, 0, &Value::Unsigned64(u64::MAX));
            for data_type in [DataType::Gpc0, DataType::BytesInCnt, DataType::ConnCur] {
                assert!(entry.count(data_type, 0, 3), "{data_type}");
            }
            assert!(entry.count_down(DataType::ConnCur, 0, 2));
        });
        assert_eq!(value(&table, DataType::Gpc0, 0), Some(Value::Unsigned(2)));
        assert_eq!(value(&table, DataType::BytesInCnt, 0), Some(Value::Unsigned64(2)));
        assert_eq!(value(&table, DataType::ConnCur, 0), Some(Value::Unsigned(1)));
        change(&table, NOW, |entry| {
            assert!(entry.count_down(DataType::ConnCur, 0, 5));
            for data_type in [DataType::ServerId, DataType::ServerKey, DataType::Gpc1] {
                assert!(!entry.count(data_type, 0, 1), "{data_type} is no counter here");
            }
            for data_type in [DataType::BytesInCnt, DataType::ServerId, DataType::Gpc1] {
                assert!(!entry.count_down(data_type, 0, 1), "{data_type} is not counted down");
            }
        });
        assert_eq!(value(&table, DataType::ConnCur, 0), Some(Value::Unsigned(0)));
    }

    /// stick-tables §3.2: a tag is a mark that somebody sets, not a number of events.
    #[test]
    fn tags_are_not_counted() {
        for (columns, tag, element) in
            [(["gpt0", "gpc0"], DataType::Gpt0, 0), (["gpt(2)", "gpc0"], DataType::Gpt, 1)]
        {
            let table = table(&columns);
            change(&table, NOW, |entry| {
                assert!(entry.set(tag, element, &Value::Unsigned(7)));
                assert!(!entry.count(tag, element, 1), "{tag}");
                assert!(!entry.count_down(tag, element, 1), "{tag}");
                assert!(entry.count(DataType::Gpc0, 0, 1), "a counter beside it is counted");
            });
            assert_eq!(value(&table, tag, element), Some(Value::Unsigned(7)));
            assert_eq!(value(&table, DataType::Gpc0, 0), Some(Value::Unsigned(1)));
        }
    }

    /// stick-tables §3.3, §4: with a factor of 10, 21 bytes are 3.
    #[test]
    fn rates_rotate_and_those_of_bytes_are_divided() {
        let table = table(&["http_req_rate(10s)", "bytes_out_rate(10s)"]);
        for _ in 0..2 {
            change(&table, NOW, |entry| {
                assert!(entry.count(DataType::HttpReqRate, 0, 21));
                assert!(entry.count(DataType::BytesOutRate, 0, 21));
            });
        }
        let rate = |data_type, now| match value(&table, data_type, 0) {
            Some(Value::Frequency(counter)) => counter.read(10_000, now),
            other => panic!("{other:?}"),
        };
        let now = NOW as u32;
        assert_eq!((rate(DataType::HttpReqRate, now), rate(DataType::BytesOutRate, now)), (42, 6));
        let later = now + 15_000;
        assert_eq!((rate(DataType::HttpReqRate, later), rate(DataType::BytesOutRate, later)), (21, 3));
    }

    #[test]
    fn a_handle_leads_to_the_entry_while_it_lives() {
        // Several stripes.
        let table = table(&["gpc0"]);
        for number in 0..50 {
            table.update(&[10, 0, 0, number], Origin::LOCAL, Lifetime::Restart, NOW, |_| ()).unwrap();
        }
        let mut handles = std::collections::HashSet::new();
        for number in 0..50 {
            let handle = table.get(&[10, 0, 0, number], NOW, |entry| entry.handle()).unwrap().unwrap();
            assert_eq!(table.key_of_handle(handle, NOW).unwrap(), [10, 0, 0, number]);
            assert!(handles.insert(handle) && handle != 0);
        }
        let handle = table.get(&KEY, NOW, |entry| entry.handle()).unwrap().unwrap();
        assert_eq!(table.key_of_handle(handle, NOW + 1_000), None, "it is over");
        assert_eq!(table.remove(&KEY, NOW), Ok(true));
        assert_eq!(table.key_of_handle(handle, NOW), None, "it is gone");
        for nothing in [0, 1, u64::from(u32::MAX), 1 << 32 | 99, 9_999 << 32, u64::MAX] {
            assert_eq!(table.key_of_handle(nothing, NOW), None, "{nothing:#x}");
        }
    }
}
