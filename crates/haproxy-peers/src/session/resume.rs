//! What a peer's sessions leave to its next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use stick_table::Position;

use crate::SharedTable;

/// What a peer's sessions leave to its next one: where its acknowledgements have come to in each table, from where live updates
/// go on, and how far the peer's own update ids have come.
///
/// Shared with the session, so that a session which replaces another one knows what the other was told.
#[derive(Clone, Debug, Default)]
pub struct Resume(Arc<Earlier>);

#[derive(Debug, Default)]
struct Earlier {
    acked: Mutex<HashMap<u32, OfTable<Position>>>,
    heard: Mutex<HashMap<u32, OfTable<u32>>>,
    ids_go_on: AtomicBool,
    had_other_process: AtomicBool,
}

#[derive(Debug, Default)]
struct OfTable<T> {
    /// The table's number: another one may have had its id before.
    serial: u64,
    value: T,
}

fn get<T: Clone>(all: &Mutex<HashMap<u32, OfTable<T>>>, table: &SharedTable) -> Option<T> {
    let all = all.lock();
    all.get(&table.id()).filter(|it| it.serial == table.serial()).map(|it| it.value.clone())
}

fn set<T: Default + Clone>(all: &Mutex<HashMap<u32, OfTable<T>>>, table: &SharedTable, value: &T) {
    let mut all = all.lock();
    let it = all.entry(table.id()).or_default();
    // A session that ends late may know a table of before only.
    if it.serial <= table.serial() {
        it.serial = table.serial();
        it.value.clone_from(value);
    }
}

impl Resume {
    /// Where the peer's acknowledgements of a table have come to.
    pub(super) fn acked(&self, table: &SharedTable) -> Option<Position> {
        get(&self.0.acked, table)
    }

    pub(super) fn set_acked(&self, table: &SharedTable, position: &Position) {
        set(&self.0.acked, table, position);
    }

    /// Id of the last live update of a table that the peer sent.
    pub(super) fn heard(&self, table: &SharedTable) -> Option<u32> {
        get(&self.0.heard, table)
    }

    pub(super) fn set_heard(&self, table: &SharedTable, id: u32) {
        set(&self.0.heard, table, &id);
    }

    /// Whether the first id of some session followed those of the session before, as with HAProxy. Those of a stickd start over in
    /// each session, so they tell nothing of its process.
    pub(super) fn ids_go_on(&self) -> bool {
        self.0.ids_go_on.load(Ordering::Relaxed)
    }

    pub(super) fn note_ids_go_on(&self) {
        self.0.ids_go_on.store(true, Ordering::Relaxed);
    }

    /// Whether another process of the peer told some of what this process holds.
    pub(crate) fn had_other_process(&self) -> bool {
        self.0.had_other_process.load(Ordering::Relaxed)
    }

    /// Notes that the peer came back as another process.
    pub(crate) fn note_other_process(&self) {
        self.0.had_other_process.store(true, Ordering::Relaxed);
    }
}
