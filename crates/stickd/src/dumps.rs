//! Dumps of tables: what `stickd dump` writes and `stickd restore` reads.
//!
//! Three forms hold the same rows: JSON lines and CSV, and the text of `show table`, HAProxy's or stickd's, which is read only.
//! Names of values are those that `show table` prints: `gpc0`, `gpt1` for the second element of an array, `http_req_rate(10000)`.

mod apply;
mod csv;
mod jsonl;
mod reader;
mod text;

pub(crate) use apply::{Put, put};
pub(crate) use csv::CsvWriter;
pub(crate) use jsonl::JsonWriter;
pub(crate) use reader::{Item, Reader};
pub(crate) use text::{Line, parse_line};

/// What is known of a table that rows belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: String,
    /// The word for the type of its keys.
    pub(crate) key_type: String,
    /// Most entries.
    pub(crate) size: u64,
    /// Entries.
    pub(crate) used: u64,
    /// The whole definition as a `stick-table` line, where the source has it.
    pub(crate) definition: Option<String>,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) table: String,
    /// The bytes of a string; the text of an address or a number; hexadecimal digits of a binary key.
    pub(crate) key: Vec<u8>,
    /// Remaining lifetime in ms; `None` when the entry does not expire.
    pub(crate) exp: Option<u64>,
    pub(crate) values: Vec<(String, Field)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Number(i128),
    /// The text of a `server_key`; `None` when none is set.
    Text(Option<String>),
}

impl Field {
    /// Reads a value as it is printed.
    pub(crate) fn parse(name: &str, text: &str) -> Option<Self> {
        if name == "server_key" {
            return Some(Self::Text(Some(text.to_owned()).filter(|text| text != "-")));
        }
        text.parse().ok().map(Self::Number)
    }
}

/// How a runtime socket says that an entry's life has ended, and that some values were left out.
pub(crate) const EXPIRED: &str = "Expired since";
pub(crate) const WITHOUT: &str = "Restored without ";

/// Something that rows are written to.
pub(crate) trait RowWriter {
    /// Begins the rows of a table.
    fn table(&mut self, head: &Head) -> std::io::Result<()>;

    /// Writes a row of the last table.
    fn row(&mut self, row: &Row) -> std::io::Result<()>;
}
