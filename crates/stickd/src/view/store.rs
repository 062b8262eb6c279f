//! Tables on disk.

use serde::Serialize;

use super::StateView;

/// Tables on disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StoreView {
    /// The directory.
    pub directory: String,
    /// Bytes, files, lag and failures.
    pub numbers: StateView,
    /// What was read, and why writing fails now.
    pub report: StateReport,
}

/// What was read, and why writing fails now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateReport {
    /// Entries that were loaded.
    pub entries: u64,
    /// Entries that had expired.
    pub expired: u64,
    /// Entries that found no room.
    pub refused: u64,
    /// What could not be read, and where.
    pub unreadable: Vec<String>,
    /// Further parts that could not be read.
    pub more_unreadable: usize,
    /// Why the last write failed; `None` when it did not.
    pub failure: Option<String>,
}
