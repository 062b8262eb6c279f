//! Puts a row into a table.

use std::sync::Arc;

use stick_table::{
    DataType, FrequencyCounter, KeyType, Lifetime, Millis, Origin, Storage, Table, UpdateError, Value,
};

use super::{Field, Row};
use crate::runtime::DataName;

/// What became of a row, in words where it was not all taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// All of it.
    Whole,
    /// All but the values of these names.
    Without(Vec<String>),
    /// Nothing: its life has ended since it was read.
    Expired,
    /// Nothing.
    Refused(String),
}

/// Puts a row into a table; its values were read `age` ms ago. An entry that is there gets the values of the row and its lifetime,
/// at most the table's `expire`; values that the row does not have stay. Rates are at the end of the period that the row has seen.
pub(crate) fn put(table: &Table, row: &Row, age: u64, now: Millis) -> Put {
    let definition = table.definition();
    let key = match key(definition.key_type, &row.key) {
        Ok(key) => key,
        Err(reason) => return Put::Refused(reason),
    };
    let lifetime = match row.exp.map(|exp| exp.saturating_sub(age)) {
        Some(0) => return Put::Expired,
        Some(left) => Lifetime::Exactly(u32::try_from(left).unwrap_or(u32::MAX)),
        None => Lifetime::Restart,
    };
    let (mut values, mut without) = (Vec::new(), Vec::new());
    for (name, field) in &row.values {
        let found = DataName::find(name.as_bytes(), definition).ok();
        let found = found.and_then(|(found, column)| Some((found.data_type, found.element_of(&column)?)));
        let value = found.and_then(|(data_type, element)| {
            let factor = if data_type.is_byte_rate() { definition.brates_factor.max(1) } else { 1 };
            Some((data_type, element, value(data_type, field, factor, age, now)?))
        });
        match value {
            Some(value) => values.push(value),
            None => without.push(name.clone()),
        }
    }
    let result = table.update(&key, Origin::LOCAL, lifetime, now, |entry| {
        for (data_type, element, value) in &values {
            entry.set(*data_type, *element, value);
        }
    });
    match result {
        Err(UpdateError::Full) => Put::Refused("the table is full".to_owned()),
        Err(UpdateError::Key(error)) => Put::Refused(error.to_string()),
        Ok(()) if without.is_empty() => Put::Whole,
        Ok(()) => Put::Without(without),
    }
}

/// The canonical form of a key. A string that is too long is refused: cut, it would be another key.
fn key(key_type: KeyType, text: &[u8]) -> Result<Vec<u8>, String> {
    if let KeyType::String { .. } = key_type {
        return key_type.check(text).map(|()| text.to_vec()).map_err(|error| error.to_string());
    }
    let text = std::str::from_utf8(text).map_err(|_| "the key is not text".to_owned())?;
    let bytes = key_type.max_bytes();
    if matches!(key_type, KeyType::Binary { .. }) && text.len() != 2 * bytes {
        return Err(format!("the key has {} hexadecimal digits, the table's have {}", text.len(), 2 * bytes));
    }
    key_type.parse(text).map_err(|error| error.to_string())
}

/// `None` when the field is not of this type.
fn value(data_type: DataType, field: &Field, factor: u32, age: u64, now: Millis) -> Option<Value> {
    let number = match (data_type.storage(), field) {
        (Storage::Dictionary, Field::Text(text)) => {
            return Some(Value::Dictionary(text.as_deref().map(Arc::from)));
        }
        (Storage::Dictionary, _) | (_, Field::Text(_)) => return None,
        (_, Field::Number(number)) => *number,
    };
    match data_type.storage() {
        Storage::Signed => i32::try_from(number).ok().map(Value::Signed),
        Storage::Unsigned => u32::try_from(number).ok().map(Value::Unsigned),
        Storage::Unsigned64 => u64::try_from(number).ok().map(Value::Unsigned64),
        Storage::Frequency => {
            let events = u32::try_from(number / i128::from(factor)).ok()?;
            // Over 24 days the age would come round, and nothing is left of any period.
            let counter = match u32::try_from(age).ok().filter(|&age| age < 1 << 31) {
                Some(age) if events > 0 => FrequencyCounter::from_age(age, events, 0, now as u32),
                _ => FrequencyCounter::default(),
            };
            Some(Value::Frequency(counter))
        }
        Storage::Dictionary => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stick_table::TableDefinition;

    const NOW: Millis = 5_000_000;

    fn table(line: &str) -> Table {
        let mut definition: TableDefinition = line.parse().unwrap();
        definition.name = "t".to_owned();
        Table::new(definition, 7).unwrap()
    }

    fn row(key: &[u8], exp: Option<u64>, values: &[(&str, i128)]) -> Row {
        let values = values.iter().map(|&(name, number)| (name.to_owned(), Field::Number(number))).collect();
        Row { table: "t".to_owned(), key: key.to_vec(), exp, values }
    }

    #[test]
    fn values_lifetimes_and_rates_return_as_old_as_they_are() {
        let table = table(
            "type ip size 10 expire 1m store gpc0,gpt(2),http_req_rate(10s),bytes_out_rate(10s) brates-factor 4",
        );
        let values = [("gpc0", 7), ("gpt1", 9), ("http_req_rate(10000)", 40), ("bytes_out_rate(10000)", 400)];
        let row = row(b"192.0.2.1", Some(30_000), &values);
        assert_eq!(put(&table, &row, 15_000, NOW), Put::Whole);
        let read = |data_type, element| {
            table
                .get(&[192, 0, 2, 1], NOW, |entry| entry.value(data_type, element))
                .unwrap()
                .flatten()
                .unwrap()
        };
        assert_eq!(read(DataType::Gpc0, 0), Value::Unsigned(7));
        assert_eq!(
            (read(DataType::Gpt, 0), read(DataType::Gpt, 1)),
            (Value::Unsigned(0), Value::Unsigned(9))
        );
        let Value::Frequency(rate) = read(DataType::HttpReqRate, 0) else { panic!("no rate") };
        assert_eq!(rate.read(10_000, NOW as u32), 20, "half of the next period is over");
        let Value::Frequency(rate) = read(DataType::BytesOutRate, 0) else { panic!("no rate") };
        assert_eq!(rate.read(10_000, NOW as u32), 50, "before it is multiplied by the factor");
        let left = table.get(&[192, 0, 2, 1], NOW, |entry| entry.remaining()).unwrap().flatten();
        assert_eq!(left, Some(15_000));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let ip = table("type ip size 1 expire 1m nopurge store gpc0");
        let text = |result| match result {
            Put::Refused(reason) => reason,
            other => format!("{other:?}"),
        };
        for (key, exp, age, reason) in
            [(&b"1.2.3"[..], None, 0, "not an IPv4 address"), (b"\xff", None, 0, "the key is not text")]
        {
            assert_eq!(text(put(&ip, &row(key, exp, &[]), age, NOW)), reason);
        }
        assert_eq!(put(&ip, &row(b"1.2.3.4", Some(5), &[]), 5, NOW), Put::Expired);
        let left_out = [("gpc0", -1), ("gpc1", 3), ("http_req_rate(10000)", 1), ("x", 1)];
        let names = left_out.map(|(name, _)| name.to_owned()).to_vec();
        assert_eq!(put(&ip, &row(b"1.2.3.4", None, &left_out), 0, NOW), Put::Without(names));
        assert_eq!(text(put(&ip, &row(b"1.2.3.5", None, &[]), 0, NOW)), "the table is full");
        let string = table("type string len 3 size 5");
        assert_eq!(
            text(put(&string, &row(b"abcd", None, &[]), 0, NOW)),
            "the key has 4 bytes, the table takes 3"
        );
        let binary = table("type binary len 2 size 5");
        assert_eq!(put(&binary, &row(b"AB01", None, &[]), 0, NOW), Put::Whole);
        assert_eq!(
            text(put(&binary, &row(b"AB", None, &[]), 0, NOW)),
            "the key has 2 hexadecimal digits, the table's have 4"
        );
    }
}
