//! A WARN when tables made from definitions of peers cannot grow for want of memory.

use std::sync::atomic::Ordering;

use super::cluster::Cluster;
use super::journal::Limit;

impl Cluster {
    /// Logs when a table wanted to grow since the last call and could not; at most once a minute.
    pub(crate) fn look_at_memory(&self) {
        let shortages = self.tables().dynamic_usage().shortages;
        if self.table_shortages.swap(shortages, Ordering::Relaxed) != shortages {
            self.journal.limit_reached(&Limit::TableMemory);
        }
    }
}
