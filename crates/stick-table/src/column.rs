//! One item of a table's `store` list.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::DataType;
use crate::units::{self, UnitError};

/// A data type with its arguments, as one item of a `store` list: `gpc0`, `conn_rate(30s)`, `gpt(4)`, `gpc_rate(2,10s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    data_type: DataType,
    count: u32,
    period: u32,
}

/// Why a word is not an item of a `store` list (stick-tables §1.1).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ColumnError {
    #[error("unknown data type \"{0}\"")]
    UnknownType(String),
    #[error("\"{0}\" is a list: give one data type")]
    List(String),
    #[error("the argument's closing parenthesis is missing")]
    Unclosed,
    #[error("\"{0}\" follows the closing parenthesis")]
    Trailing(String),
    #[error("{0} takes no argument")]
    UnexpectedArgument(DataType),
    #[error("{0} is no array: it takes no number of elements")]
    UnexpectedCount(DataType),
    #[error("{0} is no rate: it takes no period")]
    UnexpectedPeriod(DataType),
    #[error("{0} needs a period, such as {0}(10s)")]
    MissingPeriod(DataType),
    #[error("{0} needs a number of elements, such as {0}(4)")]
    MissingCount(DataType),
    #[error("{0} needs a number of elements and a period, such as {0}(2,10s)")]
    MissingCountAndPeriod(DataType),
    #[error("{0} takes 1 to 100 elements")]
    Count(DataType),
    #[error("the period of {0} is 0; use 2ms or more")]
    ZeroPeriod(DataType),
    #[error("the period of {0}: {1}")]
    Period(DataType, UnitError),
}

impl Column {
    /// A column of a type that takes no argument.
    ///
    /// # Errors
    /// When the type is a rate or an array.
    pub const fn plain(data_type: DataType) -> Result<Self, ColumnError> {
        Self::new(data_type, None, None)
    }

    /// A column with the arguments its type takes: `count` elements for arrays, a `period` in ms for rates.
    ///
    /// # Errors
    /// When an argument is missing, not taken by the type, or out of its range.
    pub const fn new(
        data_type: DataType,
        count: Option<u32>,
        period: Option<u32>,
    ) -> Result<Self, ColumnError> {
        let (count, period) = match (data_type.is_array(), data_type.has_period(), count, period) {
            (false, false, None, None) => (1, 0),
            (false, false, _, _) => return Err(ColumnError::UnexpectedArgument(data_type)),
            (false, true, Some(_), _) => return Err(ColumnError::UnexpectedCount(data_type)),
            (true, false, _, Some(_)) => return Err(ColumnError::UnexpectedPeriod(data_type)),
            (false, true, None, Some(period)) => (1, period),
            (false, true, None, None) => return Err(ColumnError::MissingPeriod(data_type)),
            (true, false, Some(count), None) => (count, 0),
            (true, false, None, None) => return Err(ColumnError::MissingCount(data_type)),
            (true, true, Some(count), Some(period)) => (count, period),
            (true, true, _, _) => return Err(ColumnError::MissingCountAndPeriod(data_type)),
        };
        if count == 0 || count > DataType::MAX_ELEMENTS {
            return Err(ColumnError::Count(data_type));
        }
        if data_type.has_period() && period == 0 {
            return Err(ColumnError::ZeroPeriod(data_type));
        }
        Ok(Self { data_type, count, period })
    }

    /// The data type.
    pub const fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Number of elements: 1 unless the type is an array.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Period of a rate in ms; 0 for other types.
    pub const fn period(&self) -> u32 {
        self.period
    }

    /// Width of all elements in 32-bit words.
    pub const fn words(&self) -> usize {
        self.data_type.storage().words() * self.count as usize
    }
}

impl FromStr for Column {
    type Err = ColumnError;

    fn from_str(word: &str) -> Result<Self, ColumnError> {
        if is_list(word) {
            return Err(ColumnError::List(word.to_owned()));
        }
        let (name, arguments) = match word.split_once('(') {
            None => (word, None),
            Some((name, rest)) => match rest.split_once(')') {
                Some((arguments, "")) => (name, Some(arguments)),
                Some((_, more)) => return Err(ColumnError::Trailing(more.to_owned())),
                None => return Err(ColumnError::Unclosed),
            },
        };
        let data_type = DataType::from_name(name).ok_or_else(|| ColumnError::UnknownType(name.to_owned()))?;
        let Some(arguments) = arguments else { return Self::new(data_type, None, None) };
        let parse_count = |text: &str| text.trim().parse().map_err(|_| ColumnError::Count(data_type));
        let parse_period = |text: &str| {
            units::parse_time_ms(text.trim()).map_err(|error| ColumnError::Period(data_type, error))
        };
        let (count, period) = match (data_type.is_array(), data_type.has_period()) {
            (false, false) => return Err(ColumnError::UnexpectedArgument(data_type)),
            (false, true) => (None, Some(parse_period(arguments)?)),
            (true, false) => (Some(parse_count(arguments)?), None),
            (true, true) => {
                let (count, period) =
                    arguments.split_once(',').ok_or(ColumnError::MissingCountAndPeriod(data_type))?;
                (Some(parse_count(count)?), Some(parse_period(period)?))
            }
        };
        Self::new(data_type, count, period)
    }
}

/// Whether there is a comma outside of parentheses.
fn is_list(word: &str) -> bool {
    let mut depth = 0_u32;
    word.bytes().any(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        byte == b',' && depth == 0
    })
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_type, count, period } = self;
        match (data_type.is_array(), data_type.has_period()) {
            (false, false) => write!(f, "{data_type}"),
            (false, true) => write!(f, "{data_type}({period}ms)"),
            (true, false) => write!(f, "{data_type}({count})"),
            (true, true) => write!(f, "{data_type}({count},{period}ms)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_and_written() {
        for (word, written) in [
            ("gpc0", "gpc0"),
            ("server_name", "server_key"),
            ("conn_rate(30s)", "conn_rate(30000ms)"),
            ("gpt(4)", "gpt(4)"),
            ("gpc_rate(2,10s)", "gpc_rate(2,10000ms)"),
            ("gpc_rate(100, 10s)", "gpc_rate(100,10000ms)"),
        ] {
            let column: Column = word.parse().unwrap();
            assert_eq!(column.to_string(), written);
            assert_eq!(written.parse(), Ok(column));
        }
    }

    #[test]
    fn wrong_items_say_what_is_wrong() {
        for (word, message) in [
            ("gpc9", "unknown data type \"gpc9\""),
            ("gpc0(1)", "gpc0 takes no argument"),
            ("conn_rate", "conn_rate needs a period, such as conn_rate(10s)"),
            ("conn_rate(10q)", "the period of conn_rate: the unit is unknown: use us, ms, s, m, h or d"),
            ("conn_rate(0)", "the period of conn_rate is 0; use 2ms or more"),
            ("http_req_rate(10s),gpc0", "\"http_req_rate(10s),gpc0\" is a list: give one data type"),
            ("gpc0,http_req_rate(10s)", "\"gpc0,http_req_rate(10s)\" is a list: give one data type"),
            ("gpc0,gpc1", "\"gpc0,gpc1\" is a list: give one data type"),
            ("gpc_rate(2,10s", "the argument's closing parenthesis is missing"),
            ("conn_rate(10s)x", "\"x\" follows the closing parenthesis"),
            ("conn_rate(10s", "the argument's closing parenthesis is missing"),
            ("gpt", "gpt needs a number of elements, such as gpt(4)"),
            ("gpt(0)", "gpt takes 1 to 100 elements"),
            ("gpt(101)", "gpt takes 1 to 100 elements"),
            ("gpc_rate(2)", "gpc_rate needs a number of elements and a period, such as gpc_rate(2,10s)"),
        ] {
            assert_eq!(word.parse::<Column>().unwrap_err().to_string(), message, "{word}");
        }
    }

    #[test]
    fn the_arguments_are_those_that_the_type_takes() {
        let rate = Column::new(DataType::ConnRate, None, Some(10_000)).unwrap();
        assert_eq!((rate.count(), rate.period(), rate.words()), (1, 10_000, 3));
        let rates = Column::new(DataType::GpcRate, Some(2), Some(10_000)).unwrap();
        assert_eq!((rates.count(), rates.period(), rates.words()), (2, 10_000, 6));
        for (data_type, count, period, message) in [
            (DataType::Gpc0, Some(1), None, "gpc0 takes no argument"),
            (DataType::Gpc0, None, Some(10), "gpc0 takes no argument"),
            (DataType::ConnRate, Some(1), Some(10), "conn_rate is no array: it takes no number of elements"),
            (DataType::ConnRate, Some(1), None, "conn_rate is no array: it takes no number of elements"),
            (DataType::Gpt, Some(4), Some(10), "gpt is no rate: it takes no period"),
            (DataType::Gpt, None, Some(10), "gpt is no rate: it takes no period"),
            (
                DataType::GpcRate,
                Some(2),
                None,
                "gpc_rate needs a number of elements and a period, such as gpc_rate(2,10s)",
            ),
            (
                DataType::GpcRate,
                None,
                Some(10),
                "gpc_rate needs a number of elements and a period, such as gpc_rate(2,10s)",
            ),
        ] {
            assert_eq!(Column::new(data_type, count, period).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_plain_column_is_of_a_type_without_arguments() {
        for data_type in DataType::ALL {
            let plain = Column::plain(data_type);
            assert_eq!(plain.is_ok(), !data_type.is_array() && !data_type.has_period(), "{data_type}");
            assert!(plain.is_err() || plain == data_type.name().parse());
        }
    }
}
