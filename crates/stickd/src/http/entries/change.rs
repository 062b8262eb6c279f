//! The values that a client sends for an entry, checked before anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use stick_table::{
    Column, DataType, EntryMut, FrequencyCounter, Lifetime, Millis, Storage, TableDefinition, Value,
};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::runtime::filter::{DataName, NameError};

/// What a client sends for an entry.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Sent {
    /// Time after which the entry expires, in ms: at least 1, at most the table's `expire_ms`, which is what it gets without.
    #[schema(example = 60000)]
    pub(in crate::http) expires_ms: Option<u64>,
    /// Values by data type. An array has a list, in which `null` leaves an element as it is, or names such as `gpc[2]`. A rate is
    /// the number of events in a period that begins now.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"gpc0": 1, "http_req_rate": 12}))]
    pub(in crate::http) data: BTreeMap<String, Json>,
}

/// A change of an entry, checked.
#[derive(Debug)]
pub(in crate::http) struct Change {
    pub(in crate::http) lifetime: Lifetime,
    pub(in crate::http) values: Vec<Set>,
}

/// A new value of an element.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) struct Set {
    pub(in crate::http) data_type: DataType,
    pub(in crate::http) element: u32,
    pub(in crate::http) value: Value,
}

/// What the values of a table are checked against.
pub(in crate::http) struct Rules<'a> {
    pub(in crate::http) definition: &'a TableDefinition,
    /// Longest `server_key`, in bytes.
    pub(in crate::http) max_server_key: u64,
    pub(in crate::http) now: Millis,
}

impl Change {
    /// Reads what was sent.
    ///
    /// # Errors
    /// When a name or a value is none of the table's; the problem names the field.
    pub(in crate::http) fn read(sent: &Sent, rules: &Rules<'_>) -> Result<Self, Problem> {
        let lifetime = lifetime(sent.expires_ms, rules.definition)?;
        let mut values = Vec::new();
        for (name, value) in &sent.data {
            read_value(name, value, rules, &mut values)
                .map_err(|problem| problem.at(format!("data.{name}")))?;
        }
        Ok(Self { lifetime, values })
    }

    /// Sets the values of an entry.
    pub(in crate::http) fn apply(&self, entry: &mut EntryMut<'_>) {
        for set in &self.values {
            entry.set(set.data_type, set.element, &set.value);
        }
    }
}

fn lifetime(expires_ms: Option<u64>, definition: &TableDefinition) -> Result<Lifetime, Problem> {
    let name = &definition.name;
    let fault = |text: String| Err(Problem::bad_request(text).at("expires_ms"));
    match (expires_ms, definition.expire) {
        (None, _) => Ok(Lifetime::Restart),
        (Some(_), None) => fault(format!("entries of the table \"{name}\" do not expire: leave it out")),
        (Some(0), _) => fault("it must be at least 1: DELETE ends an entry".to_owned()),
        (Some(ms), Some(most)) if ms > most.into() => {
            fault(format!("entries of the table \"{name}\" live {most} ms at most"))
        }
        (Some(ms), Some(_)) => Ok(Lifetime::Exactly(ms as u32)),
    }
}

fn read_value(name: &str, value: &Json, rules: &Rules<'_>, values: &mut Vec<Set>) -> Result<(), Problem> {
    let definition = rules.definition;
    let (found, column) = DataName::find(name.as_bytes(), definition).map_err(|error| {
        Problem::bad_request(match error {
            NameError::Unknown => format!("\"{name}\" is not a data type"),
            NameError::NotStored => format!("the table \"{}\" does not store it", definition.name),
        })
    })?;
    let (data_type, count) = (column.data_type(), column.count());
    let set = |element, value| Set { data_type, element, value };
    match value {
        Json::Array(list) if data_type.is_array() && name == data_type.name() => {
            if list.len() > count as usize {
                let text = format!("the array has {count} elements, and {} values are given", list.len());
                return Err(Problem::bad_request(text));
            }
            for (element, value) in list.iter().enumerate().filter(|(_, value)| !value.is_null()) {
                values.push(set(element as u32, one_value(value, &column, rules)?));
            }
        }
        Json::Array(_) => return Err(Problem::bad_request("a list is for arrays: give one value")),
        value => {
            let element = found.element_of(&column);
            let element =
                element.ok_or_else(|| Problem::bad_request(format!("the array has {count} elements")))?;
            values.push(set(element, one_value(value, &column, rules)?));
        }
    }
    Ok(())
}

fn one_value(value: &Json, column: &Column, rules: &Rules<'_>) -> Result<Value, Problem> {
    let storage = column.data_type().storage();
    let fault = |most: &str| Problem::bad_request(format!("a whole number {most} is expected"));
    let number = |most: u64, text| value.as_u64().filter(|&number| number <= most).ok_or_else(|| fault(text));
    const U32: &str = "from 0 to 4294967295";
    Ok(match storage {
        Storage::Signed => {
            let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
            Value::Signed(number.ok_or_else(|| fault("from -2147483648 to 2147483647"))?)
        }
        Storage::Unsigned => Value::Unsigned(number(u32::MAX.into(), U32)? as u32),
        Storage::Unsigned64 => Value::Unsigned64(number(u64::MAX, "from 0 to 18446744073709551615")?),
        Storage::Frequency => {
            let factor =
                if column.data_type().is_byte_rate() { rules.definition.brates_factor.max(1) } else { 1 };
            let most = u64::from(u32::MAX) * u64::from(factor);
            // What is shown is the counter times the factor.
            let events = number(most, "in the range of the counter")?.div_ceil(factor.into());
            Value::Frequency(FrequencyCounter::set(events as u32, rules.now as u32))
        }
        Storage::Dictionary => match value {
            Json::Null => Value::Dictionary(None),
            Json::String(text) if text.len() as u64 > rules.max_server_key => {
                let most = rules.max_server_key;
                return Err(Problem::bad_request(format!("the text has more than {most} bytes")));
            }
            Json::String(text) => Value::Dictionary(Some(Arc::from(text.as_str()))),
            _ => return Err(Problem::bad_request("a text or null is expected")),
        },
    })
}
