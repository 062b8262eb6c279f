//! An entry as JSON.

use std::sync::Arc;

use haproxy_peers::SharedTable;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use stick_table::{Column, DataType, EntryRef, KeyType, Millis, TableDefinition, Value};

use crate::runtime::filter::reading;

/// What all entries of an answer share.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) shared: Option<Arc<SharedTable>>,
    pub(crate) now: Millis,
}

/// One entry, written while its stripe's lock is held.
pub(crate) struct Shown<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) definition: &'a TableDefinition,
    pub(crate) entry: &'a EntryRef<'a>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { frame, definition, entry } = self;
        let mut map = serializer.serialize_map(None)?;
        put_key(&mut map, definition.key_type, entry.key())?;
        map.serialize_entry("expires_ms", &entry.remaining())?;
        let shard = frame.shared.as_deref().map_or(0, |shared| shared.shard_of(entry.key()));
        map.serialize_entry("shard", &shard)?;
        map.serialize_entry(
            "data",
            &Values {
                definition,
                now: frame.now,
                value_of: |data_type, element| entry.value(data_type, element),
            },
        )?;
        map.end()
    }
}

/// Writes the key as `show table` does, and its bytes where that is not the same.
pub(crate) fn put_key<M: SerializeMap>(map: &mut M, key_type: KeyType, key: &[u8]) -> Result<(), M::Error> {
    match (key_type, std::str::from_utf8(key)) {
        (KeyType::String { .. }, Ok(text)) => map.serialize_entry("key", text),
        (KeyType::String { .. }, Err(_)) => {
            map.serialize_entry("key", &String::from_utf8_lossy(key))?;
            map.serialize_entry("key_hex", &Hex(key))
        }
        (KeyType::Binary { .. }, _) => map.serialize_entry("key", &Hex(key)),
        _ => map.serialize_entry("key", &Text(key_type.text(key))),
    }
}

/// The key alone, as text.
#[cfg(feature = "http")]
pub(crate) fn plain(key_type: KeyType, key: &[u8]) -> serde_json::Value {
    match key_type {
        KeyType::String { .. } => String::from_utf8_lossy(key).into(),
        KeyType::Binary { .. } => hex(key).into(),
        _ => key_type.text(key).to_string().into(),
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(self.0))
    }
}

struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The values of all columns: a number or a text each, arrays with all of their elements. Rates are events per period.
pub(crate) struct Values<'a, F> {
    pub(crate) definition: &'a TableDefinition,
    pub(crate) now: Millis,
    pub(crate) value_of: F,
}

impl<F: Fn(DataType, u32) -> Option<Value>> Serialize for Values<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for column in self.definition.columns() {
            let name = column.data_type().name();
            let value = |element| Element {
                value: (self.value_of)(column.data_type(), element),
                column,
                definition: self.definition,
                now: self.now,
            };
            if column.data_type().is_array() {
                map.serialize_entry(name, &Elements { count: column.count(), of: value })?;
            } else {
                map.serialize_entry(name, &value(0))?;
            }
        }
        map.end()
    }
}

struct Elements<F> {
    count: u32,
    of: F,
}

impl<T: Serialize, F: Fn(u32) -> T> Serialize for Elements<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.count as usize))?;
        for element in 0..self.count {
            list.serialize_element(&(self.of)(element))?;
        }
        list.end()
    }
}

struct Element<'a> {
    value: Option<Value>,
    column: &'a Column,
    definition: &'a TableDefinition,
    now: Millis,
}

impl Serialize for Element<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            None | Some(Value::Dictionary(None)) => serializer.serialize_none(),
            Some(Value::Dictionary(Some(text))) => serializer.serialize_str(text),
            Some(value) => match reading(value, self.column, self.definition, self.now) {
                number if number < 0 => serializer.serialize_i64(number as i64),
                number => serializer.serialize_u64(u64::try_from(number).unwrap_or(u64::MAX)),
            },
        }
    }
}
