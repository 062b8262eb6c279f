//! One element of an entry's data.

use std::sync::Arc;

use crate::{FrequencyCounter, Storage};

/// The value of one element, in the storage of its data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Signed 32-bit integer.
    Signed(i32),
    /// Unsigned 32-bit integer.
    Unsigned(u32),
    /// Unsigned 64-bit integer.
    Unsigned64(u64),
    /// Frequency counter, unrotated.
    Frequency(FrequencyCounter),
    /// Dictionary string, `None` when unset.
    Dictionary(Option<Arc<str>>),
}

impl Value {
    /// The value a new entry has.
    pub const fn zero(storage: Storage) -> Self {
        match storage {
            Storage::Signed => Self::Signed(0),
            Storage::Unsigned => Self::Unsigned(0),
            Storage::Unsigned64 => Self::Unsigned64(0),
            Storage::Frequency => Self::Frequency(FrequencyCounter { tick: 0, current: 0, previous: 0 }),
            Storage::Dictionary => Self::Dictionary(None),
        }
    }

    /// The storage this value belongs to.
    pub const fn storage(&self) -> Storage {
        match self {
            Self::Signed(_) => Storage::Signed,
            Self::Unsigned(_) => Storage::Unsigned,
            Self::Unsigned64(_) => Storage::Unsigned64,
            Self::Frequency(_) => Storage::Frequency,
            Self::Dictionary(_) => Storage::Dictionary,
        }
    }

    /// Writes it into the data words of an element, of which its [storage](Storage::words) says how many there are; words
    /// that are missing are left out. The word of a text is 0: it refers to a dictionary.
    pub fn write(&self, words: &mut [u32]) {
        let (all, count) = match self {
            Self::Signed(number) => ([number.cast_unsigned(), 0, 0], 1),
            Self::Unsigned(number) => ([*number, 0, 0], 1),
            Self::Unsigned64(number) => ([*number as u32, (number >> 32) as u32, 0], 2),
            Self::Frequency(counter) => ([counter.tick, counter.current, counter.previous], 3),
            Self::Dictionary(_) => ([0; 3], 1),
        };
        words.iter_mut().zip(&all[..count]).for_each(|(word, value)| *word = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, DataType, KeyType, Lifetime, Origin, Table, TableDefinition};

    /// One type of each storage.
    #[test]
    fn a_new_entry_has_zeros() {
        let columns = ["server_id", "gpc0", "bytes_in_cnt", "conn_rate(10s)", "server_key"];
        let definition =
            columns.iter().fold(TableDefinition::new("t", KeyType::Ip, 10), |definition, column| {
                definition.with_column(column.parse().unwrap()).unwrap()
            });
        let types: Vec<DataType> = definition.columns().iter().map(Column::data_type).collect();
        let table = Table::new(definition, 1).unwrap();
        table.update(&[10, 0, 0, 1], Origin::LOCAL, Lifetime::Restart, 1_000, |_| ()).unwrap();
        for data_type in types {
            let value =
                table.get(&[10, 0, 0, 1], 1_000, |entry| entry.value(data_type, 0)).unwrap().flatten();
            assert_eq!(value, Some(Value::zero(data_type.storage())), "{data_type}");
            assert_eq!(value.map(|value| value.storage()), Some(data_type.storage()));
        }
    }
}
