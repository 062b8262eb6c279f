//! The tables of this moment.

use std::sync::Arc;

use haproxy_peers::TablePart;
use stick_table::Table;

use super::Daemon;

impl Daemon {
    /// Every table of this moment that there is something to show of, those made from definitions of peers last.
    pub(crate) fn all_tables(&self) -> Vec<Arc<Table>> {
        // Of a hub's source there is nothing to show but its sums, and orders are no tables of anybody's.
        self.tables_where(|part| !matches!(part, TablePart::Source(_) | TablePart::Orders { .. }))
    }

    /// Every table in which entries end.
    pub(super) fn swept_tables(&self) -> Vec<Arc<Table>> {
        self.tables_where(|part| !matches!(part, TablePart::Source(_)))
    }

    /// The configured tables of this moment: a peer's definition may have made another table of one without a `store` list.
    pub(crate) fn configured_tables(&self) -> Vec<Arc<Table>> {
        let mut tables = self.tables.clone();
        for cluster in &self.clusters {
            for entry in cluster.config().tables.iter().filter(|entry| !entry.has_list) {
                let name = &entry.definition.name;
                let place = tables.iter_mut().find(|table| table.definition().name == *name);
                if let (Some(place), Some(shared)) = (place, cluster.tables().by_local_name(name)) {
                    *place = Arc::clone(shared.table());
                }
            }
        }
        tables
    }

    fn tables_where(&self, is_in: impl Fn(&TablePart) -> bool) -> Vec<Arc<Table>> {
        let mut tables = self.configured_tables();
        for cluster in &self.clusters {
            let configured = cluster.config().tables.len();
            let made = cluster.tables().all().into_iter().skip(configured);
            let made = made.filter(|shared| is_in(shared.part()));
            tables.extend(made.map(|shared| Arc::clone(shared.table())));
        }
        tables
    }
}
