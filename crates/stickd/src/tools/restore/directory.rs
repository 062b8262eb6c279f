//! The directory of a stickd that does not run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use stick_store::{Options, Writer};
use stick_table::{Table, TableDefinition};

use super::{Outcome, RowName, Target};
use crate::dumps::{Head, Put, Row, put};
use crate::durable::{self, Lock, boot_id, clocks};
use crate::tools::stored::Stored;

pub(super) struct Directory {
    path: PathBuf,
    directory: durable::Directory,
    stored: Stored,
    /// Why a table of the dump cannot be made.
    faults: BTreeMap<String, String>,
    /// Nobody else writes there until this is dropped.
    _lock: Lock,
}

impl Directory {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let directory = durable::Directory::at(path);
        let shown = path.display();
        let lock = match directory.lock().with_context(|| format!("cannot use {shown}"))? {
            Ok(lock) => lock,
            Err(owner) => bail!(
                "{shown}: the process {owner} has the directory: give its runtime socket instead, or stop it"
            ),
        };
        let stored = Stored::read_once(&directory, path)?;
        Ok(Self { path: path.to_owned(), directory, stored, faults: BTreeMap::new(), _lock: lock })
    }
}

impl Target for Directory {
    /// Makes a table that the directory does not have.
    fn table(&mut self, head: &Head) {
        if self.stored.tables.contains_key(&head.name) {
            return;
        }
        let made = match &head.definition {
            None => {
                Err("the directory has no such table, and the dump does not say how it is defined".to_owned())
            }
            Some(line) => line.parse::<TableDefinition>().map_err(|error| error.to_string()).and_then(
                |mut definition| {
                    definition.name.clone_from(&head.name);
                    Table::new(definition, crate::daemon::random()).map_err(|error| error.to_string())
                },
            ),
        };
        match made {
            Ok(table) => {
                self.stored.tables.insert(head.name.clone(), Arc::new(table));
            }
            Err(reason) => {
                self.faults.insert(head.name.clone(), reason);
            }
        }
    }

    fn put(&mut self, line: u64, row: &Row, age: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
        let result = match self.stored.tables.get(&row.table) {
            Some(table) => put(table, row, age, self.stored.clock.now()),
            None => Put::Refused(match self.faults.get(&row.table) {
                Some(reason) => reason.clone(),
                None => "the directory has no such table".to_owned(),
            }),
        };
        outcome.note(line, &RowName::of(row), result);
        Ok(())
    }

    /// Writes all tables as one lap behind what is there.
    fn finish(self: Box<Self>, _: &mut Outcome) -> anyhow::Result<()> {
        let Self { path, directory, stored, _lock, .. } = *self;
        let Stored { tables, loaded, clock, .. } = stored;
        let seed = loaded.seed.unwrap_or_else(crate::daemon::random);
        let boot_id = boot_id();
        let mut writer = Writer::new(directory, Options::default(), &loaded, seed, &clocks(clock, boot_id));
        for (name, table) in &tables {
            writer.add(name, table);
        }
        loop {
            let tick = writer.tick(&clocks(clock, boot_id));
            if tick.with_context(|| format!("cannot write in {}", path.display()))?.ended_lap {
                return Ok(());
            }
        }
    }
}
