//! A table as a section shares it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stick_aggregate::Aggregate;
use stick_table::defect::Defect;
use stick_table::{DataType, Table, TableDefinition};

use super::lives::Lives;
use crate::{PeerLevel, TableShards};

/// What a section does with a table.
#[derive(Clone)]
pub enum TablePart {
    /// It is shared: what peers tell is stored, what this side changes is told.
    Shared,
    /// A hub keeps what each peer tells apart, and teaches each its own values only.
    Source(Arc<Aggregate>),
    /// A hub publishes it; what peers tell of it is not taken.
    Result,
    /// A hub says by it how its sums are. Nobody tells it, and it is never held back as results are.
    State,
    /// A hub takes it from upper hubs and passes it on to the others.
    PassedOn,
    /// A hub lets nodes set their values by it: on the wire it has the name of their table, and no more columns than are set.
    /// See [`TableSet::orders`](crate::TableSet::orders).
    Orders {
        /// Whether nodes are told how long the entries live; else they live as long as any there.
        tells_lifetimes: bool,
        /// Cloned by those that are about to give orders.
        in_use: Arc<()>,
    },
}

/// A table that is shared with peers.
pub struct SharedTable {
    pub(super) id: u32,
    /// Another one for each table that has, or had, the same id.
    pub(super) serial: u64,
    pub(super) table: Arc<Table>,
    pub(super) copy: Option<Arc<Table>>,
    pub(super) shards: Option<TableShards>,
    pub(super) part: TablePart,
    /// Data types of which nobody told anything yet, as a bitfield.
    pub(super) untold: AtomicU64,
    pub(super) lives: Lives,
}

impl SharedTable {
    /// This side's id of the table on the wire: 1 for the first of the section (peers-protocol §7.4).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// A number that no other table of the section has, also none that had this id before.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The table; that of a [source](TablePart::Source) is always empty.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How long its entries live, here and at peers.
    pub(crate) fn lives(&self) -> &Lives {
        &self.lives
    }

    /// What is done with it.
    pub fn part(&self) -> &TablePart {
        &self.part
    }

    /// The sums of a source.
    pub fn aggregate(&self) -> Option<&Arc<Aggregate>> {
        match &self.part {
            TablePart::Source(aggregate) => Some(aggregate),
            _ => None,
        }
    }

    /// Whether what a peer tells of the table is taken.
    pub(crate) fn takes_from(&self, level: PeerLevel) -> bool {
        match self.part {
            _ if !level.shares_values() => false,
            TablePart::Shared => true,
            TablePart::Source(_) => level.is_below(),
            TablePart::Result => level == PeerLevel::Itself || Defect::ResultsAreInput.is_on(),
            TablePart::PassedOn => !level.is_below(),
            TablePart::State | TablePart::Orders { .. } => false,
        }
    }

    /// Whether it is a result.
    pub(crate) fn is_result(&self) -> bool {
        matches!(self.part, TablePart::Result)
    }

    /// Whether nodes are ordered by it what to set.
    pub(crate) fn is_of_orders(&self) -> bool {
        matches!(self.part, TablePart::Orders { .. })
    }

    /// Whether live updates tell how long an entry lives when that is less than its whole life.
    pub(crate) fn tells_lifetimes(&self) -> bool {
        !matches!(self.part, TablePart::Orders { tells_lifetimes: false, .. })
    }

    /// Whether a peer is told of the table's changes.
    pub(crate) fn is_told_to(&self, level: PeerLevel) -> bool {
        match self.part {
            _ if !level.shares_values() => false,
            TablePart::Shared | TablePart::Result | TablePart::State => true,
            TablePart::Source(_) => level.is_below(),
            TablePart::Orders { .. } => level == PeerLevel::Below,
            TablePart::PassedOn => level != PeerLevel::Above,
        }
    }

    /// Whether what peers tell of a data type is stored. What each node counts for itself a hub sums, takes from upper hubs, and
    /// takes from the process before this one; elsewhere `recv-only` says so (peers-protocol §16).
    pub(crate) fn keeps(&self, data_type: DataType) -> bool {
        !data_type.is_local_only() || self.definition().recv_only || !matches!(self.part, TablePart::Shared)
    }

    /// Whether peers are told a data type. What a node counts for itself HAProxy up to 2.4 takes from anybody: a value that is
    /// not stored here, or is that node's of before it restarted, would overwrite what it counts.
    pub(crate) fn tells(&self, data_type: DataType) -> bool {
        let is_untold = self.untold() >> data_type.number() & 1 != 0;
        self.keeps(data_type) && !(data_type.is_local_only() && self.aggregate().is_some()) && !is_untold
    }

    /// Data types that the process before this one did not store, and no peer told since, as a bitfield. Its entries hold nothing
    /// in them, and peers would take that for a value.
    pub(crate) fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// Notes that what the process before this one told had none of these data types.
    pub(crate) fn note_untold(&self, data_types: u64) {
        self.untold.fetch_or(data_types, Ordering::Relaxed);
    }

    /// Notes that a peer told all it has of these data types.
    pub(crate) fn note_told(&self, data_types: u64) {
        self.untold.fetch_and(!data_types, Ordering::Relaxed);
    }

    /// The table's definition.
    pub fn definition(&self) -> &TableDefinition {
        self.table.definition()
    }

    /// The table of `write-to`, which gets a copy of what peers send.
    pub fn copy(&self) -> Option<&Arc<Table>> {
        self.copy.as_ref()
    }

    /// The shard of a canonical key; 0 when the section has no shards (peers-protocol §15).
    pub fn shard_of(&self, key: &[u8]) -> u32 {
        self.shards.as_ref().map_or(0, |shards| shards.shard_of(self.definition().key_type, key))
    }
}
