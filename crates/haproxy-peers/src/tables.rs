//! The tables of one peers section, as its sessions see them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use stick_aggregate::{Aggregate, Room};
use stick_table::defect::Defect;
use stick_table::{KeyType, MemoryLimit, Origins, Table, TableDefinition};
use thiserror::Error;

use crate::{Definition, Hub, LessonsTaught, Levels, NamedPart, PeerLevel};

mod agreement;
pub use agreement::{Agreement, Difference};

mod dynamic;
pub use dynamic::{CreateError, DynamicTables, DynamicUsage};

mod forms;
use forms::Forms;

mod open;
use open::OpenTables;

mod replace;
use replace::Replacing;

mod left_out;
pub(crate) use left_out::LeftOuts;
pub use left_out::{LeftOut, LeftOutReason};

mod orders;
pub use orders::{ORDER_MS, Order, OrderError, Orders};

mod lives;
use lives::Lives;

mod shared;
pub use shared::{SharedTable, TablePart};

mod shards;
pub use shards::TableShards;

mod sums;

mod to_table;
pub use to_table::ToTableError;

/// Names of refused tables that are remembered, to count each once.
const MAX_REFUSED: usize = 4096;

/// How a session numbers the updates of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateIds {
    /// The number before the first update's.
    pub after: u32,
    /// From one to the next.
    pub stride: u32,
}

impl Default for UpdateIds {
    /// 1, 2, 3…
    fn default() -> Self {
        Self { after: 0, stride: 1 }
    }
}

/// Why tables cannot be those of a section.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TableSetError {
    #[error("there are two tables of the name \"{0}\"")]
    Twice(String),
    #[error("the tables \"{0}\" and \"{1}\" have the same name for peers")]
    SameForPeers(String, String),
    #[error("the table \"{0}\" writes to itself")]
    WritesToItself(String),
    #[error(
        "the table \"{name}\" cannot write to \"{target}\", whose keys are of type {found}, not {wanted}"
    )]
    WriteTo { name: String, target: String, wanted: KeyType, found: KeyType },
}

/// Whether a table can be beside those of a section.
fn check(list: &[Arc<SharedTable>], table: &Arc<Table>, copy: Option<&Table>) -> Result<(), TableSetError> {
    let definition = table.definition();
    let name = || definition.name.clone();
    for shared in list {
        let other = shared.definition();
        if other.name == definition.name {
            return Err(TableSetError::Twice(name()));
        }
        if other.network_name() == definition.network_name() {
            return Err(TableSetError::SameForPeers(other.name.clone(), name()));
        }
    }
    let Some(copy) = copy else { return Ok(()) };
    if std::ptr::eq(copy, &**table) {
        return Err(TableSetError::WritesToItself(name()));
    }
    let (wanted, found) = (definition.key_type, copy.definition().key_type);
    if wanted != found {
        let target = copy.definition().name.clone();
        return Err(TableSetError::WriteTo { name: name(), target, wanted, found });
    }
    Ok(())
}

/// The tables of a section in the order of their ids. Tables are added, never removed; in a hub another one may take a table's
/// place and id, see [`follow_definitions`](TableSet::follow_definitions).
pub struct TableSet {
    section: String,
    tables: RwLock<Vec<Arc<SharedTable>>>,
    shards: Option<NonZeroU32>,
    dynamic: Option<DynamicTables>,
    /// Tables that were there from the start.
    configured: usize,
    /// The memory that tables made from definitions share; a hub's have one of their own.
    memory: Arc<MemoryLimit>,
    /// How many tables were not made because of a limit, and the first names of them.
    refused: AtomicU64,
    refused_names: Mutex<BTreeSet<String>>,
    seed: u64,
    update_ids: UpdateIds,
    hub: Option<Hub>,
    /// The memory that contributions and results of a hub take.
    room: Arc<Room>,
    /// The hubs below this one, if it is one.
    levels: Levels,
    /// What hubs beside this one are told.
    lessons_taught: LessonsTaught,
    /// What a hub's sums leave out.
    left_outs: LeftOuts,
    /// How the nodes of a hub define its tables, and tables that are about to take the place of others.
    forms: Forms,
    replacing: Mutex<Vec<Replacing>>,
    /// Tables whose data types the first peer says that defines them.
    open: OpenTables,
    /// The number of the table that was made last.
    serial: AtomicU64,
    /// Counts what may make a definition welcome that was refused before.
    version: AtomicU64,
    /// The numbers of those who write to tables.
    origins: Arc<Origins>,
    /// Whether results are told to nobody yet.
    holds_results: AtomicBool,
    /// Whether results changed by themselves since somebody asked.
    news: AtomicBool,
}

impl TableSet {
    /// The configured tables of a section, each with the target of its `write-to`. `seed` is for the hashes of tables made later;
    /// pass a random number.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use haproxy_peers::TableSet;
    /// use stick_table::{Table, TableDefinition};
    ///
    /// let table = |line: &str| Arc::new(Table::new(line.parse().unwrap(), 0).unwrap());
    /// let (ips, names) = (table("table p/t type ip size 10"), table("table p/u type string size 10"));
    /// let error = TableSet::new("p", [(ips, Some(names))], None, None, 0).err().unwrap();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "the table \"p/t\" cannot write to \"p/u\", whose keys are of type string, not ip"
    /// );
    /// ```
    ///
    /// # Errors
    /// When two tables have one name, here or for peers, or a table cannot write to its target: it is that target itself, or
    /// its keys are of another type.
    pub fn new(
        section: impl Into<String>,
        tables: impl IntoIterator<Item = (Arc<Table>, Option<Arc<Table>>)>,
        shards: Option<NonZeroU32>,
        dynamic: Option<DynamicTables>,
        seed: u64,
    ) -> Result<Self, TableSetError> {
        let mut set = Self {
            section: section.into(),
            tables: RwLock::default(),
            shards,
            dynamic,
            configured: 0,
            memory: Arc::new(MemoryLimit::new(dynamic.map_or(0, |dynamic| dynamic.max_bytes))),
            refused: AtomicU64::new(0),
            refused_names: Mutex::default(),
            seed,
            update_ids: UpdateIds::default(),
            hub: None,
            room: Arc::new(Room::new(dynamic.map_or(0, |dynamic| dynamic.max_bytes))),
            levels: Levels::new(seed),
            lessons_taught: LessonsTaught::default(),
            left_outs: LeftOuts::default(),
            forms: Forms::default(),
            replacing: Mutex::default(),
            open: OpenTables::default(),
            serial: AtomicU64::new(0),
            version: AtomicU64::new(1),
            origins: Origins::shared(),
            holds_results: AtomicBool::new(false),
            news: AtomicBool::new(false),
        };
        {
            let mut list = set.tables.write();
            for (table, copy) in tables {
                check(&list, &table, copy.as_deref())?;
                set.push(&mut list, table, copy, TablePart::Shared);
            }
        }
        set.configured = set.len();
        Ok(set)
    }

    /// Lets each session number the updates of a table otherwise than by 1, 2, 3…: to see what happens where the numbers wrap.
    #[must_use]
    pub fn with_update_ids(mut self, ids: UpdateIds) -> Self {
        self.update_ids = ids;
        self
    }

    /// Takes the numbers of peers from a registry that other sections take theirs from: needed where a table of one section gets
    /// copies of what is told to another one (`write-to`).
    #[must_use]
    pub fn with_origins(mut self, origins: Arc<Origins>) -> Self {
        self.origins = origins;
        self
    }

    /// The numbers of those who write to tables.
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// How a session numbers the updates of a table.
    pub fn update_ids(&self) -> UpdateIds {
        self.update_ids
    }

    fn push(
        &self,
        list: &mut Vec<Arc<SharedTable>>,
        table: Arc<Table>,
        copy: Option<Arc<Table>>,
        part: TablePart,
    ) -> Arc<SharedTable> {
        let shared = SharedTable { copy, ..self.share(list.len() as u32 + 1, table, part) };
        let shared = Arc::new(shared);
        list.push(Arc::clone(&shared));
        self.version.fetch_add(1, Ordering::Relaxed);
        shared
    }

    /// A table with an id, that is not in the list yet.
    fn share(&self, id: u32, table: Arc<Table>, part: TablePart) -> SharedTable {
        SharedTable {
            id,
            serial: self.serial.fetch_add(1, Ordering::Relaxed),
            copy: None,
            shards: self.shards.map(|shards| TableShards::new(&table.definition().name, shards)),
            part,
            untold: AtomicU64::new(0),
            lives: Lives::new(table.definition().expire),
            table,
        }
    }

    /// Counts the changes of the list: what was refused before one may be taken after it.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Whether a table was there from the start, and not made from a definition.
    pub(crate) fn is_configured(&self, shared: &SharedTable) -> bool {
        shared.id as usize <= self.configured
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

    /// Makes the table that a peer defined, if the section does that; in a hub with its result, if it is a source.
    ///
    /// # Errors
    /// When tables are not made from definitions, the limit is reached, or the definition is not possible here; in a hub
    /// when its name has no part, or the peer has none in it.
    pub fn create(&self, definition: &Definition, level: PeerLevel) -> Result<Arc<SharedTable>, CreateError> {
        let dynamic = self.dynamic.ok_or(CreateError::NotConfigured)?;
        let mut local = self.local_definition(definition, dynamic.size)?;
        let wanted = local.name.clone();
        let result_of = |local: &TableDefinition, name: &str| result_of(local, self.local_name(name));
        let result = match &self.hub {
            None => None,
            Some(hub) => match (hub.part_of(local.network_name()), level) {
                (NamedPart::Source(result), level) if level.is_below() => Some(result_of(&local, &result)),
                (NamedPart::Source(_), _) => return Err(CreateError::SourceFromElsewhere),
                // The process before this one teaches what it published, which is defined as its source is.
                (NamedPart::Result(source), PeerLevel::Itself) => {
                    let configured = hub.table(source.trim_start_matches('/'));
                    let mut renamed = configured.unwrap_or(&local).clone();
                    renamed.name = self.local_name(&source);
                    let source = renamed;
                    let result = result_of(&source, local.network_name());
                    local = source;
                    Some(result)
                }
                (NamedPart::Result(_), _) => return Err(CreateError::Result),
                (NamedPart::Other, level) if level.is_below() || !level.shares_values() => {
                    return Err(CreateError::NoMapping);
                }
                (NamedPart::Other, _) => {
                    local.size = self.passed_on_size(&local);
                    None
                }
            },
        };
        // First without keeping others from reading: somebody may define such tables all day.
        let named = |list: &[Arc<SharedTable>], there| {
            list.iter().find(|shared| shared.definition().name == wanted).cloned().unwrap_or(there)
        };
        {
            let list = self.tables.read();
            if let Some(there) = self.find_room(&list, &dynamic, &local)? {
                return Ok(named(&list, there));
            }
        }
        let mut list = self.tables.write();
        if let Some(there) = self.find_room(&list, &dynamic, &local)? {
            return Ok(named(&list, there));
        }
        let seed = self.seed.wrapping_add(list.len() as u64);
        let Some(result) = result else {
            let part = if self.is_hub() { TablePart::PassedOn } else { TablePart::Shared };
            let bytes = dynamic.entry_bytes(&local);
            let mut table = Table::new(local, seed).map_err(ToTableError::from)?;
            if !self.is_hub() {
                table = table.within(&self.memory, bytes, DynamicTables::FIRST);
            }
            return Ok(self.push(&mut list, Arc::new(table), None, part));
        };
        // Tables are taught in the order of their ids: a node has the sum before its own value, so it never sees a sum that
        // is lower.
        let mut both = self.sums_of(local, result, seed)?;
        if Defect::OwnValuesFirst.is_on() {
            both.reverse();
        }
        let [first, second] = both.map(|(table, part)| self.push(&mut list, table, None, part));
        let (result, source) = if first.is_result() { (first, second) } else { (second, first) };
        Ok(if source.definition().name == wanted { source } else { result })
    }

    /// A result and its source, without anything in them.
    /// Makes a table of this full local name again, as if a peer defined it.
    ///
    /// # Errors
    /// As [`create`](Self::create); when the name is that of a table of another section.
    pub fn create_again(&self, table: &TableDefinition) -> Result<Arc<SharedTable>, CreateError> {
        if self.local_name(table.network_name()) != table.name {
            return Err(CreateError::NotConfigured);
        }
        self.create(&Definition::of_table(1, table), PeerLevel::Below)
    }

    fn sums_of(
        &self,
        source: TableDefinition,
        result: TableDefinition,
        seed: u64,
    ) -> Result<[(Arc<Table>, TablePart); 2], CreateError> {
        let hub = self.hub.as_ref().ok_or(CreateError::NotConfigured)?;
        let output = Arc::new(Table::new(result, seed).map_err(ToTableError::from)?);
        let aggregate = Aggregate::new(source.clone(), Arc::clone(&output), &hub.rules, seed)?;
        let aggregate = aggregate.within(Arc::clone(&self.room));
        let mut empty = source;
        empty.size = 1;
        let empty = Arc::new(Table::new(empty, seed).map_err(ToTableError::from)?);
        Ok([(output, TablePart::Result), (empty, TablePart::Source(Arc::new(aggregate)))])
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
        let (count, taken) = self.made(list, dynamic);
        // A source comes with its result. Both begin with nothing, and keys that find no room later are refused.
        let (tables, needed) = match self.is_hub() {
            true if self.is_source(wanted) => (2, 0),
            true => (1, dynamic.bytes_of(wanted)),
            false => (1, dynamic.first_bytes(wanted)),
        };
        let left = dynamic.max_bytes.saturating_sub(taken);
        let keyword = if self.is_hub() { "tables" } else { "dynamic-tables" };
        let error = if count + tables > dynamic.max_tables {
            CreateError::TooMany { limit: dynamic.max_tables, keyword }
        } else if dynamic.max_bytes != 0 && needed > left {
            CreateError::Memory { needed, left, keyword }
        } else {
            return Ok(None);
        };
        self.count_refused(&wanted.name);
        Err(error)
    }

    /// Counts a table that is not made, once, however many peers define it and how often.
    fn count_refused(&self, name: &str) {
        let mut names = self.refused_names.lock();
        // Beyond, nobody remembers who was counted: what is defined again then counts again.
        let is_new = !names.contains(name);
        if is_new && names.len() < MAX_REFUSED {
            names.insert(name.to_owned());
        }
        if is_new {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the tables that were made from definitions take of their limits.
    pub fn dynamic_usage(&self) -> DynamicUsage {
        let list = self.tables.read();
        let (tables, bytes) = self.dynamic.map_or((0, 0), |dynamic| self.made(&list, &dynamic));
        let (refused, shortages) = (self.refused.load(Ordering::Relaxed), self.memory.shortages());
        DynamicUsage { tables, bytes, refused, shortages }
    }

    /// The tables that were made from definitions, and the bytes that they take now; those that a hub passes on count as if
    /// they were full.
    fn made(&self, list: &[Arc<SharedTable>], dynamic: &DynamicTables) -> (usize, u64) {
        let made = list.get(self.configured..).unwrap_or_default();
        // What nodes are ordered is gone in seconds.
        let made = made.iter().filter(|shared| !matches!(shared.part(), TablePart::Orders { .. }));
        if !self.is_hub() {
            return (made.count(), self.memory.used());
        }
        made.fold((0, self.room.used()), |(tables, bytes), shared| match shared.part() {
            TablePart::Source(_) | TablePart::Result => (tables + 1, bytes),
            _ => (tables + 1, bytes + dynamic.bytes_of(shared.definition())),
        })
    }

    fn local_definition(&self, definition: &Definition, size: u32) -> Result<TableDefinition, CreateError> {
        let name = str::from_utf8(&definition.name).map_err(|_| CreateError::Name)?;
        // A slash has its place at the start only: elsewhere it would make a table of another section.
        let word = name.strip_prefix('/').unwrap_or(name);
        let is_word = word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if word.is_empty() || name.len() > dynamic::MAX_NAME || !is_word {
            return Err(CreateError::Name);
        }
        let name = self.local_name(name);
        if let Some(configured) = self.hub.as_ref().and_then(|hub| hub.table(word)) {
            let mut configured = configured.clone();
            configured.name = name;
            return Ok(configured);
        }
        if definition.tail.is_none() {
            return Err(CreateError::NoTail(suggested_line(definition, word, size)));
        }
        Ok(definition.to_table(name, size)?)
    }

    /// The full local name of a network name (peers-protocol §7.5).
    pub fn local_name(&self, name: &str) -> String {
        if name.starts_with('/') { format!("{}{name}", self.section) } else { name.to_owned() }
    }
}

/// What the result of a source is. Zeros stay for some seconds after their key, and must not take the place of another one.
fn result_of(source: &TableDefinition, name: String) -> TableDefinition {
    let mut result = source.clone();
    result.name = name;
    result.size = source.size.saturating_mul(2).min(DynamicTables::MOST_KEYS);
    result
}

/// The line that says what a definition without a tail does not say.
fn suggested_line(definition: &Definition, name: &str, size: u32) -> String {
    let key_type = match definition.key_type() {
        Some(KeyType::String { max_len: len } | KeyType::Binary { len }) => {
            format!("{} len {len}", definition.key_type)
        }
        _ => definition.key_type.to_string(),
    };
    let columns = definition.columns().map(|column| {
        let name = column.data_type.name();
        if column.data_type.has_period() { format!("{name}(PERIOD)") } else { name.to_owned() }
    });
    let columns: Vec<_> = columns.collect();
    let store = if columns.is_empty() { String::new() } else { format!(" store {}", columns.join(",")) };
    format!("table {name} type {key_type} size {size} expire TIME{store}")
}

#[cfg(test)]
mod tests;
