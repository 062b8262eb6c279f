//! The entries of a table with the largest values of a data type.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use stick_table::{Column, Millis, Table, Walk};

use crate::runtime::filter::{Filter, reading};

/// Entries looked at in one call.
const PER_LOOK: usize = 4096;

/// A search for the largest values, a piece of the table at a time.
pub(crate) struct Top {
    column: Column,
    element: u32,
    most: usize,
    /// The smallest of those that are kept is on top.
    heap: BinaryHeap<Reverse<(i128, Vec<u8>)>>,
    seen: u64,
}

impl Top {
    pub(crate) fn new(column: Column, element: u32, most: usize) -> Self {
        Self { column, element, most, heap: BinaryHeap::new(), seen: 0 }
    }

    /// Looks at the next entries; `false` when there are none behind them.
    pub(crate) fn look(&mut self, table: &Table, walk: &mut Walk, filters: &[Filter], now: Millis) -> bool {
        let definition = table.definition();
        let Self { column, element, most, heap, seen } = self;
        table.walk(walk, PER_LOOK, now, |entry| {
            *seen += 1;
            let Some(value) = entry.value(column.data_type(), *element) else { return };
            let number = reading(&value, column, definition, now);
            let is_small =
                heap.len() == *most && heap.peek().is_some_and(|Reverse((least, _))| number <= *least);
            if is_small || !filters.iter().all(|filter| filter.holds(&entry, definition, now)) {
                return;
            }
            heap.push(Reverse((number, entry.key().to_vec())));
            if heap.len() > *most {
                heap.pop();
            }
        })
    }

    /// Entries that were looked at.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The canonical keys, that of the largest value first.
    pub(crate) fn keys(self) -> Vec<Vec<u8>> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse((_, key))| key).collect()
    }
}
