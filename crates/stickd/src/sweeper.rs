//! Frees the memory of entries that are over.

use std::sync::Arc;
use std::time::Duration;

use stick_table::Table;

use crate::clock::Clock;

/// Pause between two slices.
const PAUSE: Duration = Duration::from_millis(100);
/// Slices in which a table is swept once: every second. Deadlines are respected without it; only memory waits.
const SLICES: u32 = 10;
/// Fewest rows of a slice.
const MIN_ROWS: u32 = 4096;

/// Sweeps all tables for ever, slice by slice. `tables` is asked each time, as tables may be added.
pub(crate) async fn sweep(clock: Clock, tables: impl Fn() -> Vec<Arc<Table>>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        for table in tables() {
            // Rows ever used are at most `size`; those in use are at least `len`. What lies between is swept at the pace of
            // what is used, so a table that shrank takes a little longer.
            let rows = (table.len() / SLICES + 1).max(MIN_ROWS);
            table.sweep(rows, clock.now());
            tokio::task::yield_now().await;
        }
    }
}
