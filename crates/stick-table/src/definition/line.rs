//! A definition as one line of HAProxy's configuration.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{DefinitionError, ServerKeySource, TableDefinition};
use crate::units::{self, UnitError};
use crate::{Column, ColumnError, KeyType};

/// Why a line is not the definition of a table: the word at fault, where it begins, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{fault}", Place(.word, *.at))]
pub struct LineError {
    /// The word; empty when something is missing at the end of the line.
    pub word: String,
    /// Where it begins, in bytes from the start of the line.
    pub at: usize,
    /// What is wrong.
    pub fault: LineFault,
}

/// What is wrong with a word of a definition (stick-tables §1).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LineFault {
    #[error(
        "unknown; a table takes type, size, expire, nopurge, store, peers, srvkey, write-to, recv-only and brates-factor"
    )]
    UnknownWord,
    #[error("unknown key type; use integer, ip, ipv6, string or binary")]
    UnknownKeyType,
    #[error("not a key length; use 1 to {limit}", limit = KeyType::MAX_LEN)]
    Length,
    #[error("keys of this type have a fixed length; len goes with string and binary")]
    FixedLength,
    #[error("srvkey takes name or addr")]
    ServerKey,
    #[error("needs a value, such as {0}")]
    NoValue(&'static str),
    #[error("given twice")]
    Twice,
    #[error("a data type is missing before or between commas")]
    EmptyItem,
    #[error("the line has no {0}, which is mandatory")]
    Missing(&'static str),
    #[error(transparent)]
    Unit(#[from] UnitError),
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
}

/// A word of a line and where it begins, as the start of a message.
struct Place<'a>(&'a str, usize);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word, at) = self;
        if word.is_empty() { Ok(()) } else { write!(f, "\"{}\" at byte {at}: ", word.escape_debug()) }
    }
}

#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    at: usize,
}

impl Word<'_> {
    fn fault(self, fault: impl Into<LineFault>) -> LineError {
        LineError { word: self.text.to_owned(), at: self.at, fault: fault.into() }
    }
}

/// The words of a line and where they begin.
fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let start = line.as_ptr() as usize;
    line.split_whitespace().map(move |text| Word { text, at: text.as_ptr() as usize - start })
}

/// Reads a `stick-table` line of a proxy or a `table` line of a `peers` section: `stick-table type ip size 100k expire 30s
/// store gpc0`, `table t1 type ip size 100k`, or the arguments alone.
///
/// A proxy's table has the name of its proxy, which the line does not tell: [`name`](TableDefinition::name) is empty then, and
/// has to be set before a table is made. `peers NAME` is read and left out, as sections have their tables otherwise. Quotes and
/// comments of configuration files are not known here.
///
/// ```
/// use stick_table::TableDefinition;
///
/// let line = "table rates type ip size 100k expire 30s store http_req_rate(10s),gpc0";
/// let definition: TableDefinition = line.parse()?;
/// assert_eq!((definition.size, definition.expire), (102_400, Some(30_000)));
/// assert_eq!(definition.to_string().parse(), Ok(definition));
///
/// let error = "stick-table type ip size 100k expire 30x".parse::<TableDefinition>().unwrap_err();
/// assert_eq!(error.to_string(), "\"30x\" at byte 37: the unit is unknown: use us, ms, s, m, h or d");
/// # Ok::<(), stick_table::LineError>(())
/// ```
impl FromStr for TableDefinition {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Self, LineError> {
        let mut words = words(line).peekable();
        let mut definition = Self::new("", KeyType::Ip, 0);
        match words.peek().copied() {
            Some(Word { text: "stick-table", .. }) => _ = words.next(),
            Some(keyword @ Word { text: "table", .. }) => {
                words.next();
                let name = words.next().ok_or_else(|| keyword.fault(LineFault::NoValue("table t1")))?;
                name.text.clone_into(&mut definition.name);
                definition.check_name().map_err(|error| name.fault(error))?;
            }
            _ => {}
        }
        let mut seen = Vec::new();
        while let Some(word) = words.next() {
            let mut value = |example| words.next().ok_or_else(|| word.fault(LineFault::NoValue(example)));
            match word.text {
                "type" => {
                    let name = value("type ip")?;
                    let len = words.next_if(|word| word.text == "len");
                    let bytes = match len {
                        Some(len) => {
                            let example = LineFault::NoValue("len 64");
                            Some((len, words.next().ok_or_else(|| len.fault(example))?))
                        }
                        None => None,
                    };
                    definition.key_type = key_type(name, bytes)?;
                }
                "size" => {
                    let value = value("size 100k")?;
                    definition.size = units::parse_size(value.text).map_err(|error| value.fault(error))?;
                    definition.check_size().map_err(|error| value.fault(error))?;
                }
                "expire" => {
                    let value = value("expire 30m")?;
                    let time = units::parse_time_ms(value.text).map_err(|error| value.fault(error))?;
                    definition.expire = Some(time).filter(|&time| time != 0);
                }
                "nopurge" => definition.no_purge = true,
                "recv-only" => definition.recv_only = true,
                "store" => definition.add_list(value("store gpc0,http_req_rate(10s)")?)?,
                "peers" => _ = value("peers mypeers")?,
                "srvkey" => {
                    let value = value("srvkey addr")?;
                    definition.server_key_source = match value.text {
                        "name" => ServerKeySource::Name,
                        "addr" => ServerKeySource::Addr,
                        _ => return Err(value.fault(LineFault::ServerKey)),
                    };
                }
                "write-to" => {
                    let value = value("write-to mypeers/t2")?;
                    definition.write_to = Some(value.text.to_owned());
                    definition.check_write_to().map_err(|error| value.fault(error))?;
                }
                "brates-factor" => {
                    let value = value("brates-factor 1024")?;
                    let factor = units::parse_size(value.text).map_err(|error| value.fault(error))?;
                    definition.brates_factor = factor;
                    definition.check_factor().map_err(|error| value.fault(error))?;
                }
                _ => return Err(word.fault(LineFault::UnknownWord)),
            }
            if word.text != "store" && seen.contains(&word.text) {
                return Err(word.fault(LineFault::Twice));
            }
            seen.push(word.text);
        }
        let end = Word { text: "", at: line.len() };
        match ["type", "size"].into_iter().find(|word| !seen.contains(word)) {
            Some(missing) => Err(end.fault(LineFault::Missing(missing))),
            None => Ok(definition),
        }
    }
}

fn key_type(name: Word<'_>, len: Option<(Word<'_>, Word<'_>)>) -> Result<KeyType, LineError> {
    let fixed = match name.text {
        "integer" => Some(KeyType::Integer),
        "ip" | "ipv4" => Some(KeyType::Ip),
        "ipv6" => Some(KeyType::Ipv6),
        "string" | "binary" => None,
        _ => return Err(name.fault(LineFault::UnknownKeyType)),
    };
    let is_string = name.text == "string";
    match (fixed, len) {
        (Some(key_type), None) => Ok(key_type),
        (Some(_), Some((len, _))) => Err(len.fault(LineFault::FixedLength)),
        (None, None) => Ok(if is_string { KeyType::DEFAULT_STRING } else { KeyType::DEFAULT_BINARY }),
        (None, Some((_, bytes))) => {
            let len = bytes.text.parse().ok().filter(|len| (1..=KeyType::MAX_LEN).contains(len));
            let len = len.ok_or_else(|| bytes.fault(LineFault::Length))?;
            Ok(if is_string { KeyType::String { max_len: len } } else { KeyType::Binary { len } })
        }
    }
}

impl TableDefinition {
    /// Adds the items of a `store` list, which commas separate unless they are in parentheses. One at the end is allowed, as
    /// in HAProxy.
    fn add_list(&mut self, list: Word<'_>) -> Result<(), LineError> {
        let text = list.text.strip_suffix(',').filter(|rest| !rest.is_empty()).unwrap_or(list.text);
        let mut depth = 0_u32;
        let mut at = list.at;
        for item in text.split(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            letter == ',' && depth == 0
        }) {
            let item = Word { text: item, at };
            at += item.text.len() + 1;
            if item.text.is_empty() {
                return Err(list.fault(LineFault::EmptyItem));
            }
            let column: Column = item.text.parse().map_err(|error: ColumnError| item.fault(error))?;
            self.add_column(column).map_err(|error| item.fault(error))?;
        }
        Ok(())
    }
}

/// As one line: a `table` line, or a `stick-table` line where the name is empty. It reads back as the same definition, unless
/// the name holds blanks.
impl fmt::Display for TableDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => f.write_str("stick-table")?,
            name => write!(f, "table {name}")?,
        }
        write!(f, " type {}", self.key_type)?;
        write!(f, " size {}", self.size)?;
        if let Some(expire) = self.expire {
            write!(f, " expire {expire}ms")?;
        }
        if self.no_purge {
            f.write_str(" nopurge")?;
        }
        if self.server_key_source == ServerKeySource::Addr {
            f.write_str(" srvkey addr")?;
        }
        if let Some(target) = &self.write_to {
            write!(f, " write-to {target}")?;
        }
        if self.recv_only {
            f.write_str(" recv-only")?;
        }
        if self.brates_factor != 1 {
            write!(f, " brates-factor {}", self.brates_factor)?;
        }
        for (column, separator) in
            self.columns().iter().zip(std::iter::once(" store ").chain(std::iter::repeat(",")))
        {
            write!(f, "{separator}{column}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataType;
    use proptest::prelude::*;

    fn parse(line: &str) -> TableDefinition {
        line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn every_argument_is_read_and_written() {
        let table = parse(
            "table p/t brates-factor 1k recv-only write-to p/u srvkey addr store gpc0,gpt(4), \
             store gpc_rate(2,10s),server_name nopurge expire 30m size 100k type string len 64",
        );
        assert_eq!(
            table.to_string(),
            "table p/t type string len 64 size 102400 expire 1800000ms nopurge srvkey addr write-to p/u recv-only \
             brates-factor 1024 store gpc0,server_key,gpt(4),gpc_rate(2,10000ms)"
        );
        for (line, written) in [
            ("stick-table type ip size 1m expire 0 peers mypeers", "stick-table type ip size 1048576"),
            ("type ipv4 size 1 srvkey name", "stick-table type ip size 1"),
            ("type string size 1", "stick-table type string size 1"),
            ("type binary len 8 size 1", "stick-table type binary len 8 size 1"),
            ("type binary len 32 size 1", "stick-table type binary size 1"),
            ("\ttable\tt  type integer size 1 expire 1500us ", "table t type integer size 1 expire 2ms"),
            (
                "table t type ipv6 size 1 store gpc_rate(2,10s)",
                "table t type ipv6 size 1 store gpc_rate(2,10000ms)",
            ),
        ] {
            assert_eq!(parse(line).to_string(), written, "{line}");
            assert_eq!(parse(written), parse(line));
        }
    }

    #[test]
    fn a_fault_names_its_word() {
        for (line, message) in [
            (
                "table t type ip size 10 expire 30x",
                "\"30x\" at byte 31: the unit is unknown: use us, ms, s, m, h or d",
            ),
            (
                "table t type ip size 10 expire 25d",
                "\"25d\" at byte 31: the time is over the limit of 2147483647 ms (24 days 20 hours)",
            ),
            ("table t type ip size 0", "\"0\" at byte 21: the table's size is 0; it holds at least 1 entry"),
            ("table t type ip size 5g", "\"5g\" at byte 21: the size is over the limit of 4294967295"),
            (
                "table t type ipx size 10",
                "\"ipx\" at byte 13: unknown key type; use integer, ip, ipv6, string or binary",
            ),
            (
                "table t type ip len 4 size 10",
                "\"len\" at byte 16: keys of this type have a fixed length; len goes with string and binary",
            ),
            ("table t type string len 0 size 10", "\"0\" at byte 24: not a key length; use 1 to 12288"),
            (
                "table t type string len 12289 size 10",
                "\"12289\" at byte 24: not a key length; use 1 to 12288",
            ),
            ("table t type string len", "\"len\" at byte 20: needs a value, such as len 64"),
            ("table t type", "\"type\" at byte 8: needs a value, such as type ip"),
            ("table", "\"table\" at byte 0: needs a value, such as table t1"),
            ("table t size 10", "the line has no type, which is mandatory"),
            ("stick-table type ip", "the line has no size, which is mandatory"),
            ("", "the line has no type, which is mandatory"),
            ("table t type ip size 10 store gpc0,gpc9", "\"gpc9\" at byte 35: unknown data type \"gpc9\""),
            (
                "table t type ip size 10 store gpc0,,gpc1",
                "\"gpc0,,gpc1\" at byte 30: a data type is missing before or between commas",
            ),
            (
                "table t type ip size 10 store ,",
                "\",\" at byte 30: a data type is missing before or between commas",
            ),
            ("table t type ip size 10 store gpt(0)", "\"gpt(0)\" at byte 30: gpt takes 1 to 100 elements"),
            (
                "table t type ip size 10 store gpt0,gpt(2)",
                "\"gpt(2)\" at byte 35: gpt cannot be stored together with gpt0: the array replaces it",
            ),
            ("table t type ip size 10 store gpc0 store gpc0", "\"gpc0\" at byte 41: gpc0 is stored twice"),
            ("table t type ip size 10 size 11", "\"size\" at byte 24: given twice"),
            ("type ip size 1 srvkey ip", "\"ip\" at byte 22: srvkey takes name or addr"),
            (
                "type ip size 1 brates-factor 1025",
                "\"1025\" at byte 29: the brates-factor is 1025; it is 1 to 1024",
            ),
            (
                "table p/t type ip size 1 write-to p/t",
                "\"p/t\" at byte 34: the table writes to itself: name another one after write-to",
            ),
        ] {
            assert_eq!(line.parse::<TableDefinition>().unwrap_err().to_string(), message, "{line}");
        }
        let error = "type ip size 1 gpc0".parse::<TableDefinition>().unwrap_err();
        assert_eq!((error.word.as_str(), error.at, error.fault), ("gpc0", 15, LineFault::UnknownWord));
    }

    fn column() -> impl Strategy<Value = Column> {
        (0..DataType::ALL.len(), 1..=DataType::MAX_ELEMENTS, 1..=units::MAX_TIME_MS).prop_map(
            |(at, count, period)| {
                let data_type = DataType::ALL[at];
                let count = data_type.is_array().then_some(count);
                Column::new(data_type, count, data_type.has_period().then_some(period)).unwrap()
            },
        )
    }

    prop_compose! {
        fn definition()(
            name in "([a-z]{1,8}/)?[a-zA-Z0-9_.:-]{1,20}|",
            kind in 0..5_usize,
            len in 1..=KeyType::MAX_LEN,
            size in 1..=u32::MAX,
            expire in prop::option::of(1..=units::MAX_TIME_MS),
            flags in any::<[bool; 3]>(),
            write_to in prop::option::of("[a-z]{1,5}/[a-z]{9}"),
            factor in 1..=1024_u32,
            columns in prop::collection::vec(column(), 0..12),
        ) -> TableDefinition {
            let lengths = [KeyType::String { max_len: len }, KeyType::Binary { len }];
            let key_type = [KeyType::Integer, KeyType::Ip, KeyType::Ipv6, lengths[0], lengths[1]][kind];
            let mut definition = TableDefinition::new(name, key_type, size).with_expire(expire);
            definition.no_purge = flags[0];
            definition.recv_only = flags[1];
            definition.server_key_source = if flags[2] { ServerKeySource::Addr } else { ServerKeySource::Name };
            definition.write_to = write_to;
            definition.brates_factor = factor;
            // What is stored already, or excluded, is left out.
            columns.into_iter().for_each(|column| _ = definition.add_column(column));
            definition
        }
    }

    proptest! {
        #[test]
        fn definitions_come_back(definition in definition()) {
            prop_assert_eq!(definition.to_string().parse(), Ok(definition));
        }

        #[test]
        fn a_line_is_read_or_its_fault_is_in_it(
            words in prop::collection::vec(
                "type|size|expire|store|len|ip|string|10k?|30[sx]|gpc0(,gpt0)?|gpc_rate\\(2,1s\\)|table|srvkey|é",
                0..12,
            ),
        ) {
            let line = words.join(" ");
            match line.parse::<TableDefinition>() {
                Ok(definition) => prop_assert_eq!(definition.to_string().parse(), Ok(definition)),
                Err(error) => prop_assert!(line[error.at..].starts_with(&error.word), "{}", error),
            }
        }
    }
}
