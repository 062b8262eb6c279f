//! Filters on the data of entries: `data.<type> <operator> <value>`, up to four, all of which must hold.

use stick_table::{Column, DataType, EntryRef, Millis, TableDefinition, Value};
use thiserror::Error;

/// Most filters of a command, as in HAProxy.
pub(crate) const MAX_FILTERS: usize = 4;

/// What `data.<type>` or `data.<type>[<index>]` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataName {
    pub(crate) data_type: DataType,
    /// The element of an array, `None` when no array has one there.
    pub(crate) element: Option<u32>,
}

/// Why a name names nothing in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// There is no such data type.
    Unknown,
    /// The table does not store it.
    NotStored,
}

impl DataName {
    /// Finds what follows `data.` in a table, with its column.
    ///
    /// HAProxy's names come first: a data type, of an array with an index, which is 0 when it is left out. Then what `show table`
    /// prints is understood as well: `gpt1` and `gpc0_rate` for elements of arrays, `http_req_rate(10000)` with the period.
    pub(crate) fn find(text: &[u8], definition: &TableDefinition) -> Result<(Self, Column), NameError> {
        let stored = |name: Self| definition.column(name.data_type).map(|column| (name, *column));
        let plain = Self::parse(text);
        if let Some(found) = plain.and_then(stored) {
            return Ok(found);
        }
        let printed = Self::printed(text);
        let fits = |(_, column): &(Self, Column)| {
            printed.is_some_and(|(_, period)| period.is_none_or(|ms| ms == column.period()))
        };
        match printed.and_then(|(name, _)| stored(name)).filter(fits) {
            Some(found) => Ok(found),
            None if plain.is_some() || printed.is_some() => Err(NameError::NotStored),
            None => Err(NameError::Unknown),
        }
    }

    /// Reads a name of HAProxy's.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let Some((name, index)) = text.split_once('[') else {
            return Some(Self { data_type: DataType::from_name(text)?, element: Some(0) });
        };
        let data_type = DataType::from_name(name).filter(|data_type| data_type.is_array())?;
        let index: i64 = index.strip_suffix(']')?.parse().ok()?;
        Some(Self { data_type, element: u32::try_from(index).ok() })
    }

    /// Reads a name as `show table` prints it, with the period if there is one.
    fn printed(text: &[u8]) -> Option<(Self, Option<u32>)> {
        let text = std::str::from_utf8(text).ok()?;
        let (name, period) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, period)) => (name, Some(period.parse().ok()?)),
            None => (text, None),
        };
        let of_array = || {
            let first = name.find(|letter: char| letter.is_ascii_digit())?;
            let digits = name[first..].bytes().take_while(u8::is_ascii_digit).count();
            let (prefix, rest) = name.split_at(first);
            let (index, suffix) = rest.split_at(digits);
            let data_type = DataType::from_name(&format!("{prefix}{suffix}"))?;
            data_type.is_array().then_some(Self { data_type, element: Some(index.parse().ok()?) })
        };
        let plain = || Some(Self { data_type: DataType::from_name(name)?, element: Some(0) });
        let found = of_array().or_else(plain)?;
        (period.is_none() || found.data_type.has_period()).then_some((found, period))
    }

    /// The element if `column` has it.
    pub(crate) fn element_of(self, column: &Column) -> Option<u32> {
        self.element.filter(|&element| element < column.count())
    }
}

/// Reads a value as HAProxy does: a signed 64-bit decimal number, digits only but for the sign.
pub(crate) fn parse_value(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| number)?.parse().ok()
}

/// The value of an element as shown and compared: rates as events per period at `now`, byte rates times the table's
/// factor. `server_key` compares as 0; its text is not a number.
pub(crate) fn reading(value: &Value, column: &Column, definition: &TableDefinition, now: Millis) -> i128 {
    match value {
        Value::Signed(number) => i128::from(*number),
        Value::Unsigned(number) => i128::from(*number),
        Value::Unsigned64(number) => i128::from(*number),
        Value::Frequency(counter) => {
            let rate = i128::from(counter.read(column.period(), now as u32));
            let byte_rate = column.data_type().is_byte_rate();
            if byte_rate { rate * i128::from(definition.brates_factor) } else { rate }
        }
        Value::Dictionary(_) => 0,
    }
}

/// One filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    column: Column,
    /// `None` when the table has no such element: the filter never holds.
    element: Option<u32>,
    operator: Operator,
    value: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    LessOrEqual,
    GreaterOrEqual,
    Less,
    Greater,
}

/// Why filters are refused, in HAProxy's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FilterError {
    #[error("Filter entry #{0}: Unknown data type")]
    UnknownType(usize),
    #[error("Filter entry #{0}: Data type not stored in this table")]
    NotStored(usize),
    #[error("Filter entry #{0}: Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"")]
    Operator(usize),
    #[error("Filter entry #{0}: Require a valid integer value to compare against")]
    Value(usize),
    #[error("Detected extra data in filter, {0}th word of input, after '{1}'")]
    ExtraData(usize, String),
}

impl Filter {
    /// Reads the filters of `words`, which follow `before` other words of the command.
    ///
    /// # Errors
    /// When a filter is wrong or there are more than [`MAX_FILTERS`].
    pub(crate) fn parse_all(
        definition: &TableDefinition,
        before: usize,
        words: &[Vec<u8>],
    ) -> Result<Vec<Self>, FilterError> {
        let most = MAX_FILTERS * 3;
        if words.len() > most {
            // Filters before the surplus word are looked at first.
            Self::parse_all(definition, before, &words[..most])?;
            let last = String::from_utf8_lossy(&words[most - 1]).into_owned();
            return Err(FilterError::ExtraData(before + most + 1, last));
        }
        let filters = words.chunks(3).enumerate();
        filters.map(|(index, words)| Self::parse(definition, index + 1, words)).collect()
    }

    fn parse(definition: &TableDefinition, number: usize, words: &[Vec<u8>]) -> Result<Self, FilterError> {
        let name = words[0].strip_prefix(b"data.").ok_or(FilterError::UnknownType(number))?;
        let (name, column) = DataName::find(name, definition).map_err(|error| match error {
            NameError::Unknown => FilterError::UnknownType(number),
            NameError::NotStored => FilterError::NotStored(number),
        })?;
        let operator = words.get(1).and_then(|word| Operator::parse(word));
        let operator = operator.ok_or(FilterError::Operator(number))?;
        let value = words.get(2).and_then(|word| parse_value(word)).ok_or(FilterError::Value(number))?;
        Ok(Self { column, element: name.element_of(&column), operator, value })
    }

    /// Whether the filter holds for an entry. 64-bit counters compare as signed numbers, as in HAProxy.
    pub(crate) fn holds(&self, entry: &EntryRef<'_>, definition: &TableDefinition, now: Millis) -> bool {
        let value = self.element.and_then(|element| entry.value(self.column.data_type(), element));
        let Some(value) = value else { return false };
        let reading = reading(&value, &self.column, definition, now) as i64;
        match self.operator {
            Operator::Equal => reading == self.value,
            Operator::NotEqual => reading != self.value,
            Operator::LessOrEqual => reading <= self.value,
            Operator::GreaterOrEqual => reading >= self.value,
            Operator::Less => reading < self.value,
            Operator::Greater => reading > self.value,
        }
    }
}

impl Operator {
    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"eq" => Self::Equal,
            b"ne" => Self::NotEqual,
            b"le" => Self::LessOrEqual,
            b"ge" => Self::GreaterOrEqual,
            b"lt" => Self::Less,
            b"gt" => Self::Greater,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::split;
    use super::*;
    use proptest::prelude::*;
    use stick_table::{FrequencyCounter, KeyType, Lifetime, Origin, Table};

    fn table() -> Table {
        let columns =
            ["server_id", "server_key", "gpc(3)", "bytes_in_cnt", "bytes_out_rate(1s)", "http_req_rate(10s)"];
        let mut definition = TableDefinition::new("t", KeyType::Integer, 10);
        definition.brates_factor = 4;
        for column in columns {
            definition.add_column(column.parse().unwrap()).unwrap();
        }
        Table::new(definition, 0).unwrap()
    }

    #[test]
    fn filters_compare_with_what_is_shown() {
        let table = table();
        let set = |entry: &mut stick_table::EntryMut<'_>| {
            entry.set(DataType::ServerId, 0, &Value::Signed(-5));
            entry.set(DataType::Gpc, 2, &Value::Unsigned(9));
            entry.set(DataType::BytesInCnt, 0, &Value::Unsigned64(u64::MAX));
            entry.set(DataType::BytesOutRate, 0, &Value::Frequency(FrequencyCounter::set(10, 1000)));
            entry.set(DataType::HttpReqRate, 0, &Value::Frequency(FrequencyCounter::set(10, 1000)));
        };
        table.update(&[0; 4], Origin::LOCAL, Lifetime::Restart, 1000, set).unwrap();
        for (text, expected) in [
            ("data.server_id eq -5", true),
            ("data.server_id lt 0", true),
            ("data.gpc[2] eq 9", true),
            ("data.gpc[+2] ge 9", true),
            ("data.gpc2 eq 9", true),
            ("data.gpc0 eq 0", true),
            ("data.gpc3 ne 9", false),
            ("data.http_req_rate(10000) eq 10", true),
            ("data.gpc eq 0", true),
            ("data.gpc[0] ne 0", false),
            ("data.gpc[3] ne 9", false),
            ("data.gpc[-1] ne 9", false),
            ("data.bytes_in_cnt lt 0", true),
            ("data.bytes_out_rate eq 40", true),
            ("data.bytes_out_rate eq 10", false),
            ("data.http_req_rate le 10", true),
            ("data.http_req_rate gt 10", false),
            ("data.server_key eq 0", true),
            ("data.server_name eq 0", true),
            ("data.gpc[2] eq 9 data.server_id eq -5 data.gpc[1] eq 0 data.gpc eq 0", true),
            ("data.gpc[2] eq 9 data.server_id eq -4", false),
        ] {
            let definition = table.definition();
            let filters = Filter::parse_all(definition, 3, &split(text)).unwrap();
            let holds = table
                .get(&[0; 4], 1000, |entry| {
                    filters.iter().all(|filter| filter.holds(&entry, definition, 1000))
                })
                .unwrap();
            assert_eq!(holds, Some(expected), "{text}");
        }
    }

    #[test]
    fn wrong_filters_are_named_by_their_number() {
        for (text, message) in [
            ("data.foo eq 1", "Filter entry #1: Unknown data type"),
            ("data.gpc[x] eq 1", "Filter entry #1: Unknown data type"),
            ("data.gpc[] eq 1", "Filter entry #1: Unknown data type"),
            ("data.gpc[1 eq 1", "Filter entry #1: Unknown data type"),
            ("data.server_id[0] eq 1", "Filter entry #1: Unknown data type"),
            ("data.gpc eq 1 foo", "Filter entry #2: Unknown data type"),
            ("data.gpt0 eq 1", "Filter entry #1: Data type not stored in this table"),
            ("data.gpc0_rate eq 1", "Filter entry #1: Data type not stored in this table"),
            ("data.gpt7 eq 1", "Filter entry #1: Data type not stored in this table"),
            ("data.http_req_rate(20000) eq 1", "Filter entry #1: Data type not stored in this table"),
            ("data.gpc2(10000) eq 1", "Filter entry #1: Unknown data type"),
            ("data.server_id7 eq 1", "Filter entry #1: Unknown data type"),
            (
                "data.gpc",
                "Filter entry #1: Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"",
            ),
            ("data.gpc eq", "Filter entry #1: Require a valid integer value to compare against"),
            (
                "data.gpc eq 1 data.gpc eq +7",
                "Filter entry #2: Require a valid integer value to compare against",
            ),
            (
                "data.gpc eq 1 data.gpc eq 1 data.gpc eq 1 data.gpc eq 4 x",
                "Detected extra data in filter, 16th word of input, after '4'",
            ),
        ] {
            let error = Filter::parse_all(table().definition(), 3, &split(text)).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn values_are_plain_decimal_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("+7", None),
            ("7x", None),
            ("0x7", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(parse_value(text.as_bytes()), expected, "{text}");
        }
    }

    /// Whatever is printed of an entry is a filter that finds it.
    #[test]
    fn printed_names_are_filters() {
        let mut definition = TableDefinition::new("t", KeyType::Integer, 10);
        for column in
            ["gpt(3)", "gpc(2)", "gpc_rate(2,10s)", "conn_rate(3s)", "conn_cur", "bytes_in_rate(1m)"]
        {
            definition.add_column(column.parse().unwrap()).unwrap();
        }
        let table = Table::new(definition.clone(), 0).unwrap();
        let set = |entry: &mut stick_table::EntryMut<'_>| {
            entry.set(DataType::Gpt, 1, &Value::Unsigned(7));
            entry.set(DataType::GpcRate, 1, &Value::Frequency(FrequencyCounter::set(5, 1000)));
        };
        table.update(&[0; 4], Origin::LOCAL, Lifetime::Restart, 1000, set).unwrap();
        let mut printed = String::new();
        table
            .get(&[0; 4], 1000, |entry| {
                super::super::show_table::put_values(
                    &mut printed,
                    &definition,
                    1000,
                    |data_type, element| entry.value(data_type, element),
                );
            })
            .unwrap();
        let values: Vec<_> = printed.split_whitespace().collect();
        assert!(values.contains(&"gpt1=7") && values.contains(&"gpc1_rate(10000)=5"), "{printed}");
        for value in values {
            let (name, number) = value.split_once('=').unwrap();
            let filters =
                Filter::parse_all(&definition, 3, &split(&format!("data.{name} eq {number}"))).unwrap();
            let holds = table.get(&[0; 4], 1000, |entry| filters[0].holds(&entry, &definition, 1000));
            assert_eq!(holds, Ok(Some(true)), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"(data\.(gpc|gpc1|gpc0_rate|server_id|gpt0|)(\[-?[0-9a-z]*\]?)? ?(eq|ne|x)? ?[-+0-9]{0,22} ?){0,6}") {
            let _ = Filter::parse_all(table().definition(), 3, &split(&text));
        }
    }
}
