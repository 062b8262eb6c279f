//! What a table is: the meaning of one `stick-table` or `table` line.

mod line;
pub use line::{LineError, LineFault};

use thiserror::Error;

use crate::{Column, DataType, KeyType, Layout, units};

/// Largest factor of byte rates (stick-tables §1).
const MAX_BRATES_FACTOR: u32 = 1024;

/// Key type, size, expiry and stored data types of a table (stick-tables §1). It parses from a `stick-table` or a `table` line
/// and prints as one.
///
/// Its fields may be set to anything; [`check`](Self::check) says whether a table can be made, and
/// [`Table::new`](crate::Table::new) asks it.
///
/// ```
/// use stick_table::{KeyType, TableDefinition};
///
/// let definition = TableDefinition::new("mypeers/rates", KeyType::Ip, 100_000)
///     .with_expire(Some(30_000))
///     .with_column("http_req_rate(10s)".parse()?)?;
/// assert_eq!(
///     definition.to_string(),
///     "table mypeers/rates type ip size 100000 expire 30000ms store http_req_rate(10000ms)"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Full local name: `<section>/<name>` for a table of a peers section, else the proxy's name. It holds no control
    /// characters; what peers see of it has at most [`MAX_NAME`](Self::MAX_NAME) bytes.
    pub name: String,
    /// Type of the keys.
    pub key_type: KeyType,
    /// Most entries the table holds, at least 1.
    pub size: u32,
    /// Lifetime of an entry that is touched, in ms, 1 to 2^31 − 1; `None` when entries do not expire.
    pub expire: Option<u32>,
    /// Whether a full table refuses new entries instead of purging old ones.
    pub no_purge: bool,
    /// What HAProxy's stick rules put into `server_key`.
    pub server_key_source: ServerKeySource,
    /// Full local name of the table that gets a copy of what peers send ([`DataType::is_as_is`] types only).
    pub write_to: Option<String>,
    /// Whether [`DataType::is_local_only`] types are stored from peers.
    pub recv_only: bool,
    /// Factor by which readings of byte rates are multiplied, 1 to 1024.
    pub brates_factor: u32,
    columns: Vec<Column>,
}

/// The argument of `srvkey`. stickd stores whatever text a peer sends; the word is kept for definitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerKeySource {
    /// The server's name.
    #[default]
    Name,
    /// The server's address and port.
    Addr,
}

/// Why a column cannot be added to a definition, or no table can be made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DefinitionError {
    #[error("{0} is stored twice")]
    Duplicate(DataType),
    #[error("{0} cannot be stored together with {1}: the array replaces it")]
    Exclusive(DataType, DataType),
    #[error("the table has no name: set one")]
    NoName,
    #[error("the table's name has {0} bytes, the limit is {limit}", limit = TableDefinition::MAX_NAME)]
    NameTooLong(usize),
    #[error("the table's name holds {0:?}; use letters, digits and \"_-.:/\"")]
    NameLetter(char),
    #[error("the table's size is 0; it holds at least 1 entry")]
    Size,
    #[error("the table's expire is {0} ms; it is 1 to {limit} ms, or none", limit = units::MAX_TIME_MS)]
    Expire(u32),
    #[error("the table's keys have {0} bytes; a length is 1 to {limit}", limit = KeyType::MAX_LEN)]
    KeyLength(u32),
    #[error("the brates-factor is {0}; it is 1 to {MAX_BRATES_FACTOR}")]
    BratesFactor(u32),
    #[error("the table writes to itself: name another one after write-to")]
    WriteToItself,
}

impl TableDefinition {
    /// Most bytes of a table's [network name](Self::network_name).
    pub const MAX_NAME: usize = 255;

    /// A definition that stores nothing, never expires and purges when full.
    pub fn new(name: impl Into<String>, key_type: KeyType, size: u32) -> Self {
        Self {
            name: name.into(),
            key_type,
            size,
            expire: None,
            no_purge: false,
            server_key_source: ServerKeySource::default(),
            write_to: None,
            recv_only: false,
            brates_factor: 1,
            columns: Vec::new(),
        }
    }

    /// Whether a table can be made of the definition.
    ///
    /// ```
    /// use stick_table::{DefinitionError, KeyType, Table, TableDefinition};
    ///
    /// let definition = TableDefinition::new("t", KeyType::Ip, 100).with_expire(Some(u32::MAX));
    /// assert_eq!(definition.check(), Err(DefinitionError::Expire(u32::MAX)));
    /// assert_eq!(Table::new(definition, 0).err(), Some(DefinitionError::Expire(u32::MAX)));
    /// ```
    ///
    /// # Errors
    /// When a number or a name is out of its range.
    pub fn check(&self) -> Result<(), DefinitionError> {
        self.check_name()?;
        match self.key_type {
            KeyType::String { max_len: len } | KeyType::Binary { len }
                if len == 0 || len > KeyType::MAX_LEN =>
            {
                return Err(DefinitionError::KeyLength(len));
            }
            _ => {}
        }
        self.check_size()?;
        if let Some(expire) = self.expire.filter(|&expire| expire == 0 || expire > units::MAX_TIME_MS) {
            return Err(DefinitionError::Expire(expire));
        }
        self.check_factor()?;
        self.check_write_to()
    }

    fn check_name(&self) -> Result<(), DefinitionError> {
        if self.name.is_empty() {
            return Err(DefinitionError::NoName);
        }
        // HAProxy takes blanks in quotes; a line break would end a line of ours.
        if let Some(letter) = self.name.chars().find(|letter| letter.is_control()) {
            return Err(DefinitionError::NameLetter(letter));
        }
        let len = self.network_name().len();
        if len > Self::MAX_NAME { Err(DefinitionError::NameTooLong(len)) } else { Ok(()) }
    }

    fn check_size(&self) -> Result<(), DefinitionError> {
        if self.size == 0 { Err(DefinitionError::Size) } else { Ok(()) }
    }

    fn check_factor(&self) -> Result<(), DefinitionError> {
        let factor = self.brates_factor;
        if (1..=MAX_BRATES_FACTOR).contains(&factor) {
            Ok(())
        } else {
            Err(DefinitionError::BratesFactor(factor))
        }
    }

    fn check_write_to(&self) -> Result<(), DefinitionError> {
        if self.write_to.as_ref() == Some(&self.name) { Err(DefinitionError::WriteToItself) } else { Ok(()) }
    }

    /// Sets the lifetime of an entry in ms, at most 2^31 − 1; 0 means none, as in HAProxy.
    #[must_use]
    pub fn with_expire(mut self, expire: Option<u32>) -> Self {
        self.expire = expire.filter(|&expire| expire != 0);
        self
    }

    /// Adds a stored data type.
    ///
    /// # Errors
    /// When the type is stored already, or excludes one that is: `gpt` excludes `gpt0`; `gpc` excludes `gpc0` and
    /// `gpc1`; `gpc_rate` excludes `gpc0_rate` and `gpc1_rate`.
    pub fn with_column(mut self, column: Column) -> Result<Self, DefinitionError> {
        self.add_column(column)?;
        Ok(self)
    }

    /// Adds a stored data type in place; the definition is unchanged after an error. See [`with_column`](Self::with_column).
    ///
    /// # Errors
    /// As [`with_column`](Self::with_column).
    pub fn add_column(&mut self, column: Column) -> Result<(), DefinitionError> {
        const EXCLUSIVE: [(DataType, DataType); 5] = [
            (DataType::Gpt, DataType::Gpt0),
            (DataType::Gpc, DataType::Gpc0),
            (DataType::Gpc, DataType::Gpc1),
            (DataType::GpcRate, DataType::Gpc0Rate),
            (DataType::GpcRate, DataType::Gpc1Rate),
        ];
        let added = column.data_type();
        if self.column(added).is_some() {
            return Err(DefinitionError::Duplicate(added));
        }
        for (array, single) in EXCLUSIVE {
            let other = if added == array { single } else { array };
            if (added == array || added == single) && self.column(other).is_some() {
                return Err(DefinitionError::Exclusive(added, other));
            }
        }
        let place = self.columns.partition_point(|present| present.data_type() < added);
        self.columns.insert(place, column);
        Ok(())
    }

    /// The stored data types in the order of their numbers.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of a data type, if the table stores it.
    pub fn column(&self, data_type: DataType) -> Option<&Column> {
        self.columns.iter().find(|column| column.data_type() == data_type)
    }

    /// Bytes that the table takes when it is full, at most about; strings of `server_key` come on top.
    pub fn full_bytes(&self) -> u64 {
        u64::from(self.size) * Layout::new(self).entry_bytes() as u64
    }

    /// The name peers know the table by: `/name` for `<section>/name`, else the name itself (peers-protocol §7.5).
    pub fn network_name(&self) -> &str {
        self.name.find('/').map_or(&self.name, |slash| &self.name[slash..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Schema, Table};

    fn table(columns: &[&str]) -> Result<TableDefinition, DefinitionError> {
        columns.iter().try_fold(TableDefinition::new("t", KeyType::Ip, 10), |definition, column| {
            definition.with_column(column.parse().unwrap())
        })
    }

    #[test]
    fn columns_are_kept_in_number_order() {
        let definition = table(&["gpc1", "server_id", "conn_cnt"]).unwrap();
        let names: Vec<_> = definition.columns().iter().map(|column| column.data_type().name()).collect();
        assert_eq!(names, ["server_id", "conn_cnt", "gpc1"]);
    }

    #[test]
    fn arrays_exclude_what_they_replace() {
        for (columns, refused) in [
            (["gpt0", "gpt(2)"], true),
            (["gpt(2)", "gpt0"], true),
            (["gpc(2)", "gpc1"], true),
            (["gpc_rate(2,1s)", "gpc0_rate(1s)"], true),
            (["gpc(2)", "gpc0_rate(1s)"], false),
            (["gpc0", "gpc0"], true),
        ] {
            assert_eq!(table(&columns).is_err(), refused, "{columns:?}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_is_refused() {
        let refused = |change: fn(&mut TableDefinition)| {
            let mut definition = table(&["gpc0"]).unwrap();
            assert_eq!(definition.check(), Ok(()));
            change(&mut definition);
            let error = definition.check().unwrap_err();
            assert_eq!(Table::new(definition.clone(), 1).err(), Some(error));
            assert_eq!(Schema::new(definition, 1).err(), Some(error));
            error.to_string()
        };
        for (change, message) in [
            ((|it| it.name.clear()) as fn(&mut TableDefinition), "the table has no name: set one"),
            (|it| it.name = "a\n".into(), "the table's name holds '\\n'; use letters, digits and \"_-.:/\""),
            (
                |it| it.name = "p/".to_owned() + &"a".repeat(255),
                "the table's name has 256 bytes, the limit is 255",
            ),
            (|it| it.size = 0, "the table's size is 0; it holds at least 1 entry"),
            (
                |it| it.expire = Some(1 << 31),
                "the table's expire is 2147483648 ms; it is 1 to 2147483647 ms, or none",
            ),
            (|it| it.expire = Some(0), "the table's expire is 0 ms; it is 1 to 2147483647 ms, or none"),
            (
                |it| it.key_type = KeyType::String { max_len: 0 },
                "the table's keys have 0 bytes; a length is 1 to 12288",
            ),
            (
                |it| it.key_type = KeyType::Binary { len: 12_289 },
                "the table's keys have 12289 bytes; a length is 1 to 12288",
            ),
            (|it| it.brates_factor = 0, "the brates-factor is 0; it is 1 to 1024"),
            (|it| it.brates_factor = 1025, "the brates-factor is 1025; it is 1 to 1024"),
            (
                |it| it.write_to = Some("t".into()),
                "the table writes to itself: name another one after write-to",
            ),
        ] {
            assert_eq!(refused(change), message);
        }
        let mut most = TableDefinition::new("p/".to_owned() + &"a".repeat(254), KeyType::Ip, u32::MAX);
        most = most.with_expire(Some(units::MAX_TIME_MS));
        most.key_type = KeyType::String { max_len: KeyType::MAX_LEN };
        most.brates_factor = 1024;
        assert_eq!(most.check(), Ok(()));
    }

    #[test]
    fn a_table_of_a_peers_section_travels_without_the_section() {
        assert_eq!(TableDefinition::new("p/t1", KeyType::Ip, 1).network_name(), "/t1");
        assert_eq!(TableDefinition::new("t1", KeyType::Ip, 1).network_name(), "t1");
    }
}
