//! Which tables of the daemon are kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use stick_store::Sums;
use stick_table::{Table, TableDefinition};

use super::{Durable, KeptTables};
use crate::daemon::Daemon;
use crate::notify;

/// How often the service manager hears that files are still read.
const LOADING_SAID: Duration = Duration::from_secs(5);

impl Daemon {
    /// Reads the tables that are kept on disk, and keeps them from then on.
    pub(crate) async fn keep_tables(self: &Arc<Self>, takes_over: bool) -> anyhow::Result<Option<Durable>> {
        let Some(line) = self.config.global.state.clone() else { return Ok(None) };
        let daemon = Arc::clone(self);
        let start = move || Durable::start(&line, daemon.clock, takes_over, Arc::clone(&daemon) as _);
        let mut durable = tokio::task::spawn_blocking(start);
        let durable = loop {
            notify::manager().loading();
            if let Ok(done) = tokio::time::timeout(LOADING_SAID, &mut durable).await {
                break done.context("reading the tables failed")??;
            }
        };
        let _ = self.state.set(Arc::clone(durable.usage()));
        Ok(Some(durable))
    }
}

impl KeptTables for Daemon {
    fn all(&self) -> Vec<Arc<Table>> {
        let entries =
            self.config.sections.iter().flat_map(|section| &section.tables).chain(&self.config.local_tables);
        let left_out: HashSet<_> =
            entries.filter(|entry| !entry.is_stored).map(|entry| &entry.definition.name).collect();
        let mut tables: Vec<_> = self
            .configured_tables()
            .into_iter()
            .filter(|table| !left_out.contains(&table.definition().name))
            .collect();
        // The sums of a hub are computed from what its nodes told, which is kept instead.
        for cluster in self.clusters.iter().filter(|cluster| !cluster.tables().is_hub()) {
            let configured = cluster.config().tables.len();
            let made = cluster.tables().all().into_iter().skip(configured);
            tables.extend(made.map(|shared| Arc::clone(shared.table())));
        }
        tables
    }

    fn find_or_make(&self, name: &str, definition: &TableDefinition) -> Option<Arc<Table>> {
        for cluster in &self.clusters {
            // One without a `store` list stores what it stored before.
            cluster.tables().fill_open_again(name, definition, self.clock.now());
        }
        if let Some(table) = self.all().into_iter().find(|table| table.definition().name == name) {
            return Some(table);
        }
        if self.tables.iter().any(|table| table.definition().name == name) {
            return None;
        }
        let mut definition = definition.clone();
        name.clone_into(&mut definition.name);
        let shared = self.clusters.iter().filter(|cluster| !cluster.tables().is_hub());
        let made = shared.flat_map(|cluster| cluster.tables().create_again(&definition)).next();
        made.map(|shared| Arc::clone(shared.table()))
    }
    fn all_sums(&self) -> Vec<(String, Sums)> {
        self.kept_sums()
    }

    fn find_sums(&self, name: &str, definition: &TableDefinition) -> Option<Sums> {
        self.sums_again(name, definition)
    }
}
