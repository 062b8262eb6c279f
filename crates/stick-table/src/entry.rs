//! One entry, seen under its shard's lock.

use std::sync::Arc;

use crate::common::Common;
use crate::cursor::Position;
use crate::shard::Shard;
use crate::stamp::{Origin, Stamp};
use crate::{DataType, FrequencyCounter, Millis, Storage, Value, lifetime};

/// An entry as a reader sees it. Valid while the shard's lock is held, so visits should be short.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    common: &'a Common,
    shard: &'a Shard,
    shard_number: usize,
    row: u32,
    row_words: &'a [u32],
    now: Millis,
}

impl<'a> EntryRef<'a> {
    pub(crate) fn new(
        common: &'a Common,
        shard: &'a Shard,
        shard_number: usize,
        row: u32,
        now: Millis,
    ) -> Self {
        Self { common, shard, shard_number, row, row_words: shard.row(row), now }
    }

    /// The key in canonical form (see [`KeyType`](crate::KeyType)).
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.shard.key_in(&self.common.layout, self.row_words)
    }

    /// The data words, laid out by [`Table::layout`](crate::Table::layout).
    #[inline]
    pub fn words(&self) -> &'a [u32] {
        &self.row_words[self.common.layout.data_start()..]
    }

    /// The value of one element; `None` when the table does not store it.
    pub fn value(&self, data_type: DataType, element: u32) -> Option<Value> {
        let offset = self.common.layout.offset(data_type, element)?;
        Some(read_value(self.shard, data_type.storage(), &self.words()[offset..]))
    }

    /// The string a `server_key` word stands for, `None` when unset.
    pub fn string(&self, word: u32) -> Option<&'a Arc<str>> {
        self.shard.dictionary.get(word)
    }

    /// Remaining lifetime in ms; `None` when the table's entries do not expire.
    #[inline]
    pub fn remaining(&self) -> Option<u32> {
        self.common.definition.expire?;
        Some(lifetime::remaining(self.shard.deadline(self.row), self.now))
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
        let before = position.0.get(self.shard_number).copied().unwrap_or(0);
        Stamp::of_row(self.row_words).sequence() > before
    }

    /// An opaque number for the entry, stable while it lives: what `show table` prints as its pointer.
    pub fn handle(&self) -> u64 {
        handle(self.shard_number, self.row)
    }
}

/// Never 0, so that it reads like a pointer.
fn handle(shard: usize, row: u32) -> u64 {
    (shard as u64 + 1) << 32 | u64::from(row)
}

/// Shard number and row of a handle, not yet checked against the table.
pub(crate) fn split_handle(handle: u64) -> Option<(usize, u32)> {
    let shard = (handle >> 32).checked_sub(1)?;
    Some((shard as usize, handle as u32))
}

fn read_value(shard: &Shard, storage: Storage, words: &[u32]) -> Value {
    match storage {
        Storage::Signed => Value::Signed(words[0].cast_signed()),
        Storage::Unsigned => Value::Unsigned(words[0]),
        Storage::Unsigned64 => Value::Unsigned64(u64::from(words[0]) | u64::from(words[1]) << 32),
        Storage::Frequency => {
            Value::Frequency(FrequencyCounter { tick: words[0], current: words[1], previous: words[2] })
        }
        Storage::Dictionary => Value::Dictionary(shard.dictionary.get(words[0]).cloned()),
    }
}

/// An entry being changed, see [`Table::update`](crate::Table::update).
pub struct EntryMut<'a> {
    common: &'a Common,
    shard: &'a mut Shard,
    row: u32,
    now: Millis,
}

impl<'a> EntryMut<'a> {
    pub(crate) fn new(common: &'a Common, shard: &'a mut Shard, row: u32, now: Millis) -> Self {
        Self { common, shard, row, now }
    }

    /// The value of one element; `None` when the table does not store it.
    pub fn value(&self, data_type: DataType, element: u32) -> Option<Value> {
        let offset = self.common.layout.offset(data_type, element)?;
        let data = self.shard.data(&self.common.layout, self.row);
        Some(read_value(self.shard, data_type.storage(), &data[offset..]))
    }

    /// Stores one element; `false` when the table does not store it or the value is of another storage.
    pub fn set(&mut self, data_type: DataType, element: u32, value: &Value) -> bool {
        let Some(offset) = self.common.layout.offset(data_type, element) else { return false };
        if value.storage() != data_type.storage() {
            return false;
        }
        let layout = &self.common.layout;
        let words: &[u32] = match value {
            Value::Signed(number) => &[number.cast_unsigned()],
            Value::Unsigned(number) => &[*number],
            Value::Unsigned64(number) => &[*number as u32, (number >> 32) as u32],
            Value::Frequency(counter) => &[counter.tick, counter.current, counter.previous],
            Value::Dictionary(string) => {
                let id = string.as_ref().map_or(0, |string| self.shard.dictionary.acquire(string));
                let old = self.shard.data(layout, self.row)[offset];
                self.shard.dictionary.release(old);
                &[id]
            }
        };
        self.shard.data_mut(layout, self.row)[offset..][..words.len()].copy_from_slice(words);
        true
    }

    /// Counts `n` events: counters wrap as HAProxy's do, rates rotate by their period (stick-tables §3.2, §4). `false`
    /// when the table does not store the element or it is no counter. Byte rates take bytes and divide by the table's
    /// `brates-factor`, rounding up (§3.3).
    pub fn count(&mut self, data_type: DataType, element: u32, n: u32) -> bool {
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

    /// Takes `n` from an unsigned counter that is floored at 0: `conn_cur` (stick-tables §3.2).
    pub fn count_down(&mut self, data_type: DataType, element: u32, n: u32) -> bool {
        let Some(Value::Unsigned(number)) = self.value(data_type, element) else { return false };
        self.set(data_type, element, &Value::Unsigned(number.saturating_sub(n)))
    }
}
