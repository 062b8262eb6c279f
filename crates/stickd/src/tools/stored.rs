//! The tables of a directory, read as a start would read them, and left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use stick_store::{Disk, Loaded, load};
use stick_table::{Table, TableDefinition};

use crate::clock::Clock;
use crate::durable::{Directory, boot_id, clocks};

/// What a directory holds.
pub(super) struct Stored {
    pub(super) tables: BTreeMap<String, Arc<Table>>,
    pub(super) loaded: Loaded,
    /// The clock of the tables.
    pub(super) clock: Clock,
    /// Files of the log.
    pub(super) files: usize,
}

impl Stored {
    /// Reads a directory, which a daemon may be writing to.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let directory = Directory::at(path);
        // A writer removes files that a newer lap has replaced.
        for _ in 0..10 {
            let stored = Self::read_once(&directory.untouched(), path)?;
            if stored.loaded.set_aside.iter().all(|file| path.join(&file.file).exists()) {
                return Ok(stored);
            }
        }
        Self::read_once(&directory.untouched(), path)
    }

    /// Reads what a lock holds for this process; files that cannot be read are set aside.
    pub(super) fn read_once(disk: &impl Disk, path: &Path) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let mut tables = BTreeMap::new();
        let make = |name: &str, definition: &TableDefinition| {
            if let Some(table) = tables.get(name) {
                return Some(Arc::clone(table));
            }
            let mut definition = definition.clone();
            name.clone_into(&mut definition.name);
            let table = Arc::new(Table::new(definition, crate::daemon::random()).ok()?);
            tables.insert(name.to_owned(), Arc::clone(&table));
            Some(table)
        };
        let loaded = load(disk, &clocks(clock, boot_id()), make);
        let loaded = loaded.with_context(|| path.display().to_string())?;
        let names = disk.list().with_context(|| path.display().to_string())?;
        let is_segment = |name: &&String| {
            name.strip_suffix(".log").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Ok(Self { tables, loaded, clock, files: names.iter().filter(is_segment).count() })
    }
}

/// A definition as a `stick-table` line, without the table's name.
pub(super) fn definition_line(definition: &TableDefinition) -> String {
    let mut unnamed = definition.clone();
    unnamed.name.clear();
    unnamed.to_string()
}
