//! What a table is: the meaning of one `stick-table` or `table` line.

use thiserror::Error;

use crate::{Column, DataType, KeyType, Layout};

/// Key type, size, expiry and stored data types of a table (stick-tables §1).
///
/// ```
/// use stick_table::{KeyType, TableDefinition};
///
/// let definition = TableDefinition::new("mypeers/rates", KeyType::Ip, 100_000)
///     .with_expire(Some(30_000))
///     .with_column("http_req_rate(10s)".parse()?)?;
/// assert_eq!(definition.columns().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Full local name: `<section>/<name>` for a table of a peers section, else the proxy's name.
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

/// Why a column cannot be added to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DefinitionError {
    #[error("{0} is stored twice")]
    Duplicate(DataType),
    #[error("{0} cannot be stored together with {1}: the array replaces it")]
    Exclusive(DataType, DataType),
}

impl TableDefinition {
    /// A definition that stores nothing, never expires and purges when full.
    pub fn new(name: impl Into<String>, key_type: KeyType, size: u32) -> Self {
        Self {
            name: name.into(),
            key_type,
            size: size.max(1),
            expire: None,
            no_purge: false,
            server_key_source: ServerKeySource::default(),
            write_to: None,
            recv_only: false,
            brates_factor: 1,
            columns: Vec::new(),
        }
    }

    /// Sets the lifetime of an entry in ms; 0 means none, as in HAProxy.
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
    fn a_table_of_a_peers_section_travels_without_the_section() {
        assert_eq!(TableDefinition::new("p/t1", KeyType::Ip, 1).network_name(), "/t1");
        assert_eq!(TableDefinition::new("t1", KeyType::Ip, 1).network_name(), "t1");
    }
}
