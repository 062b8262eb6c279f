//! The tables of one peers section, as its sessions see them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use stick_table::{DataType, Table, TableDefinition};
use thiserror::Error;

use crate::{Definition, TableShards, ToTableError};

/// Longest name of a table made from a definition, in bytes.
const MAX_NAME: usize = 255;

/// Bytes for a string of its own beside its text.
const STRING_BYTES: usize = 64;

/// A table that is shared with peers.
pub struct SharedTable {
    id: u32,
    table: Arc<Table>,
    copy: Option<Arc<Table>>,
    shards: Option<TableShards>,
}

impl SharedTable {
    /// This side's id of the table on the wire: 1 for the first of the section (peers-protocol §7.4).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The table's definition.
    pub fn definition(&self) -> &TableDefinition {
        self.table.definition()
    }

    /// The table of `write-to`, which gets a copy of what peers send.
    pub fn copy(&self) -> Option<&Arc<Table>> {
        self.copy.as_ref()
    }

    /// The shard of a canonical key; 0 when the section has no shards (peers-protocol §15).
    pub fn shard_of(&self, key: &[u8]) -> u32 {
        self.shards.as_ref().map_or(0, |shards| shards.shard_of(self.definition().key_type, key))
    }
}

/// Makes tables from the definitions of peers, within limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicTables {
    /// Most entries of each such table.
    pub size: u32,
    /// Most such tables.
    pub max_tables: usize,
    /// Most bytes that all of them would take when they were full; 0 for no limit.
    pub max_bytes: u64,
    /// Longest `server_key`, in bytes: each entry of a table that stores it may have one of its own.
    pub max_server_key: usize,
}

/// What tables that were made from definitions take of their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynamicUsage {
    /// Such tables.
    pub tables: usize,
    /// Bytes that they take when they are full.
    pub bytes: u64,
    /// Definitions for which no table was made because of a limit.
    pub refused: u64,
}

/// Why no table was made from a definition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CreateError {
    #[error("no table of this name is configured")]
    NotConfigured,
    #[error("the section has its limit of {0} such tables already (dynamic-tables max)")]
    TooMany(usize),
    #[error(
        "{needed} bytes for a full table are more than the {left} left for such tables (dynamic-tables size, memory)"
    )]
    Memory { needed: u64, left: u64 },
    #[error("its name is not a printable word of 1 to {MAX_NAME} bytes without slashes but at its start")]
    Name,
    #[error("HAProxy 1.6 and 1.7 do not tell a table's expiry; configure the table here")]
    NoTail,
    #[error(transparent)]
    Definition(#[from] ToTableError),
}

impl DynamicTables {
    /// Bytes that a table takes when it is full.
    fn bytes_of(&self, table: &TableDefinition) -> u64 {
        let string = table.column(DataType::ServerKey).map_or(0, |_| self.max_server_key + STRING_BYTES);
        table.full_bytes() + u64::from(table.size) * string as u64
    }
}

/// The tables of a section in the order of their ids. Tables are added, never removed.
pub struct TableSet {
    section: String,
    tables: RwLock<Vec<Arc<SharedTable>>>,
    shards: Option<NonZeroU32>,
    dynamic: Option<DynamicTables>,
    /// Tables that were there from the start.
    configured: usize,
    /// Definitions for which no table was made because of a limit.
    refused: AtomicU64,
    seed: u64,
    update_ids_after: u32,
}

impl TableSet {
    /// The configured tables of a section, each with the target of its `write-to`, which must have the same keys or is
    /// left out. `seed` is for the hashes of tables made later; pass a random number.
    pub fn new(
        section: impl Into<String>,
        tables: impl IntoIterator<Item = (Arc<Table>, Option<Arc<Table>>)>,
        shards: Option<NonZeroU32>,
        dynamic: Option<DynamicTables>,
        seed: u64,
    ) -> Self {
        let mut set = Self {
            section: section.into(),
            tables: RwLock::default(),
            shards,
            dynamic,
            configured: 0,
            refused: AtomicU64::new(0),
            seed,
            update_ids_after: 0,
        };
        {
            let mut list = set.tables.write();
            for (table, copy) in tables {
                set.push(&mut list, table, copy);
            }
        }
        set.configured = set.len();
        set
    }

    /// Lets each session number the updates of a table from the one after `id` on, instead of from 1: to see what happens
    /// where the numbers wrap.
    #[must_use]
    pub fn with_update_ids_after(mut self, id: u32) -> Self {
        self.update_ids_after = id;
        self
    }

    /// The number before that of a session's first update of a table.
    pub fn update_ids_after(&self) -> u32 {
        self.update_ids_after
    }

    fn push(
        &self,
        list: &mut Vec<Arc<SharedTable>>,
        table: Arc<Table>,
        copy: Option<Arc<Table>>,
    ) -> Arc<SharedTable> {
        // A key of another type would not fit the target's rows.
        let copy = copy.filter(|copy| copy.definition().key_type == table.definition().key_type);
        let shards = self.shards.map(|shards| TableShards::new(&table.definition().name, shards));
        let shared = Arc::new(SharedTable { id: list.len() as u32 + 1, table, copy, shards });
        list.push(Arc::clone(&shared));
        shared
    }

    /// Number of tables.
    pub fn len(&self) -> usize {
        self.tables.read().len()
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table at a place, from 0: that of id `place + 1`.
    pub fn get(&self, place: usize) -> Option<Arc<SharedTable>> {
        self.tables.read().get(place).cloned()
    }

    /// All tables of this moment.
    pub fn all(&self) -> Vec<Arc<SharedTable>> {
        self.tables.read().clone()
    }

    /// The table of a full local name.
    pub fn by_local_name(&self, name: &str) -> Option<Arc<SharedTable>> {
        self.tables.read().iter().find(|shared| shared.definition().name == name).cloned()
    }

    /// The table of a network name (peers-protocol §7.5).
    pub fn by_network_name(&self, name: &[u8]) -> Option<Arc<SharedTable>> {
        self.tables
            .read()
            .iter()
            .find(|shared| shared.definition().network_name().as_bytes() == name)
            .cloned()
    }

    /// Makes the table that a peer defined, if the section does that.
    ///
    /// # Errors
    /// When tables are not made from definitions, the limit is reached, or the definition is not possible here.
    pub fn create(&self, definition: &Definition) -> Result<Arc<SharedTable>, CreateError> {
        let dynamic = self.dynamic.ok_or(CreateError::NotConfigured)?;
        let local = self.local_definition(definition, dynamic.size)?;
        // First without keeping others from reading: somebody may define such tables all day.
        if let Some(there) = self.find_room(&self.tables.read(), &dynamic, &local)? {
            return Ok(there);
        }
        let mut list = self.tables.write();
        if let Some(there) = self.find_room(&list, &dynamic, &local)? {
            return Ok(there);
        }
        let seed = self.seed.wrapping_add(list.len() as u64);
        Ok(self.push(&mut list, Arc::new(Table::new(local, seed)), None))
    }

    /// The table when another session has just made it; `None` when it is not there and fits the limits.
    fn find_room(
        &self,
        list: &[Arc<SharedTable>],
        dynamic: &DynamicTables,
        wanted: &TableDefinition,
    ) -> Result<Option<Arc<SharedTable>>, CreateError> {
        if let Some(there) = list.iter().find(|shared| shared.definition().name == wanted.name) {
            return Ok(Some(Arc::clone(there)));
        }
        let made = list.get(self.configured..).unwrap_or_default();
        let taken: u64 = made.iter().map(|shared| dynamic.bytes_of(shared.definition())).sum();
        let (needed, left) = (dynamic.bytes_of(wanted), dynamic.max_bytes.saturating_sub(taken));
        let error = if made.len() >= dynamic.max_tables {
            CreateError::TooMany(dynamic.max_tables)
        } else if dynamic.max_bytes != 0 && needed > left {
            CreateError::Memory { needed, left }
        } else {
            return Ok(None);
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }

    /// What the tables that were made from definitions take of their limits.
    pub fn dynamic_usage(&self) -> DynamicUsage {
        let list = self.tables.read();
        let made = list.get(self.configured..).unwrap_or_default();
        let bytes = self
            .dynamic
            .map_or(0, |dynamic| made.iter().map(|shared| dynamic.bytes_of(shared.definition())).sum());
        DynamicUsage { tables: made.len(), bytes, refused: self.refused.load(Ordering::Relaxed) }
    }

    fn local_definition(&self, definition: &Definition, size: u32) -> Result<TableDefinition, CreateError> {
        let name = str::from_utf8(&definition.name).map_err(|_| CreateError::Name)?;
        // A slash has its place at the start only: elsewhere it would make a table of another section.
        let word = name.strip_prefix('/').unwrap_or(name);
        let is_word = word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if word.is_empty() || name.len() > MAX_NAME || !is_word {
            return Err(CreateError::Name);
        }
        let name = if name.starts_with('/') { format!("{}{name}", self.section) } else { name.to_owned() };
        if definition.tail.is_none() {
            return Err(CreateError::NoTail);
        }
        Ok(definition.to_table(name, size)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stick_table::KeyType;

    fn table(name: &str) -> TableDefinition {
        TableDefinition::new(name, KeyType::Ip, 100).with_expire(Some(1_000))
    }

    #[test]
    fn a_table_is_found_by_its_local_and_its_network_name() {
        let tables = ["t", "p/u"].map(|name| (Table::new(table(name), 1).into(), None));
        let set = TableSet::new("p", tables, None, None, 1);
        let ids = |found: Option<Arc<SharedTable>>| found.map(|shared| shared.id());
        assert_eq!(
            ["t", "p/u", "/u", "u"].map(|name| ids(set.by_local_name(name))),
            [Some(1), Some(2), None, None]
        );
        assert_eq!(
            ["t", "p/u", "/u", "u"].map(|name| ids(set.by_network_name(name.as_bytes()))),
            [Some(1), None, Some(2), None]
        );
        assert!(!set.is_empty());
        assert!(TableSet::new("p", [], None, None, 1).is_empty());
    }

    /// Each looked for the table before one of them made it.
    #[test]
    fn two_peers_that_define_a_table_at_once_share_it_also_in_the_last_place() {
        let dynamic = DynamicTables { size: 100, max_tables: 1, max_bytes: 0, max_server_key: 10 };
        let set = TableSet::new("p", [], None, Some(dynamic), 1);
        let definition = Definition::from_table(7, &table("t"));
        let first = set.create(&definition).unwrap();
        let second = set.create(&definition).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(set.create(&Definition::from_table(8, &table("u"))).err(), Some(CreateError::TooMany(1)));
        let usage = set.dynamic_usage();
        assert_eq!((set.len(), usage.tables, usage.refused), (1, 1, 1));
    }
}
