//! Frees the memory of entries that are over.

use std::sync::Arc;
use std::time::Duration;

use stick_table::Table;

use crate::clock::Clock;

/// Pause between two slices.
const PAUSE: Duration = Duration::from_millis(100);
/// Slices in which a table is swept once: every second. Deadlines are respected without it; only memory waits.
const SLICES: u32 = 10;
/// Rows looked at in one go, and the fewest of a slice.
const ROWS_AT_ONCE: u32 = 4096;

/// Sweeps all tables for ever, slice by slice. `tables` is asked each time, as tables may be added.
pub(crate) async fn sweep(clock: Clock, tables: impl Fn() -> Vec<Arc<Table>>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        for table in tables() {
            let mut left = (table.rows() / SLICES + 1).max(ROWS_AT_ONCE);
            while left > 0 {
                let rows = left.min(ROWS_AT_ONCE);
                table.sweep(rows, clock.now());
                left -= rows;
                // Freeing them all takes half a millisecond: others have their turn.
                tokio::task::yield_now().await;
            }
        }
    }
}
