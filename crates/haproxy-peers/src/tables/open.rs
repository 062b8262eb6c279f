//! Configured tables whose line has no list of data types: the first peer that defines one says what it stores.
//!
//! In HAProxy such a table stores what the `stick` lines of its proxies need. Here the same line is most often pasted between HAProxys
//! whose table stores more, so that a relay passes on all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use stick_table::{Column, Millis, Table, TableDefinition, Walk};

use super::replace::copy_rows;
use super::{SharedTable, TablePart, TableSet};
use crate::Definition;

/// Rows copied in one hold.
const ROWS_PER_HOLD: usize = 256;

/// The ids of tables without a list.
#[derive(Default)]
pub(super) struct OpenTables {
    all: BTreeSet<u32>,
    /// Those that store what they were made with, and whether a peer stores the same: it may be a stickd that waits itself, or a
    /// HAProxy. What it stores is kept then.
    left: Mutex<BTreeMap<u32, bool>>,
}

impl TableSet {
    /// Lets the first peer that defines one of these configured tables, by their local names, say which data types it stores; until then it
    /// stores what it was made with. Tables that write to others, or that others write to, must not be among them.
    ///
    /// The table is another one then: ask the set for it by its name, do not keep it.
    #[must_use]
    pub fn with_open_tables<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let list = self.tables.get_mut();
        let id = |name: &str| {
            let shared = list.iter().find(|shared| shared.definition().name == name)?;
            (shared.copy.is_none() && matches!(shared.part, TablePart::Shared)).then_some(shared.id)
        };
        self.open.all = names.into_iter().filter_map(id).collect();
        *self.open.left.get_mut() = self.open.all.iter().map(|id| (*id, false)).collect();
        self
    }

    /// Lets an open table of this local name store what another process stored in it, as if a peer had defined it so.
    pub fn fill_open_again(&self, name: &str, definition: &TableDefinition, now: Millis) {
        let shared = self.by_local_name(name).filter(|shared| self.is_open(shared));
        let Some(shared) = shared else { return };
        let mut definition = definition.clone();
        definition.name.clone_from(&shared.definition().name);
        if let Ok(definition) = Definition::from_table(shared.id, &definition) {
            self.fill_open(shared, &definition, now);
        }
    }

    /// Whether a table stores what the first peer that defined it stores.
    pub(crate) fn is_open(&self, shared: &SharedTable) -> bool {
        self.open.all.contains(&shared.id)
    }

    /// The table that a peer's definition is of, with the peer's data types if it is the first one; whether it is.
    pub(crate) fn fill_open(
        &self,
        shared: Arc<SharedTable>,
        definition: &Definition,
        now: Millis,
    ) -> (Arc<SharedTable>, bool) {
        let mut left = self.open.left.lock();
        let Some(is_shared) = left.get_mut(&shared.id) else { return (self.current(shared), false) };
        let Some(next) = filled(shared.definition(), definition, *is_shared) else { return (shared, false) };
        if next.columns() == shared.definition().columns() {
            *is_shared = true;
            return (shared, false);
        }
        let seed = self.seed.wrapping_add(self.version()).wrapping_add(shared.id.into());
        let Ok(table) = Table::new(next, seed) else { return (shared, false) };
        // What was set here before any peer came, and what the peer told that stores the same.
        let mut rows = Walk::default();
        while copy_rows(shared.table(), &table, &mut rows, ROWS_PER_HOLD, now) {}
        let made = self.share(shared.id, Arc::new(table), TablePart::Shared);
        self.tables.write()[shared.id as usize - 1] = Arc::new(made);
        self.version.fetch_add(1, Ordering::Relaxed);
        left.remove(&shared.id);
        drop(left);
        (self.current(shared), true)
    }

    /// The table that has the place of this one.
    fn current(&self, shared: Arc<SharedTable>) -> Arc<SharedTable> {
        self.get(shared.id as usize - 1).unwrap_or(shared)
    }
}

/// A table with the data types of a definition, and those that it has if it `keeps` them. `None` if the definition has none, does not
/// say enough, or is of other keys.
fn filled(table: &TableDefinition, definition: &Definition, keeps: bool) -> Option<TableDefinition> {
    definition.tail.as_ref()?;
    let theirs = definition.to_table(&table.name, table.size).ok()?;
    if theirs.columns().is_empty() || !definition.agreement(table).is_usable() {
        return None;
    }
    let mut filled = TableDefinition::new(&table.name, table.key_type, table.size).with_expire(table.expire);
    (filled.no_purge, filled.recv_only) = (table.no_purge, table.recv_only);
    (filled.server_key_source, filled.brates_factor) = (table.server_key_source, table.brates_factor);
    let is_new = |column: &&Column| theirs.column(column.data_type()).is_none();
    let kept = table.columns().iter().filter(|_| keeps).filter(is_new);
    theirs.columns().iter().chain(kept).try_for_each(|column| filled.add_column(*column)).ok()?;
    filled.check().ok().map(|()| filled)
}
