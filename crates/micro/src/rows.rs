//! Changes for a table, without a wire.

use std::ops::Range;

use stick_table::{Applied, Batch, Lifetime, Origin, Precedence, Table};

use crate::{Kind, NOW};

/// Changes of a batch, as many as a session gathers.
const BATCH: usize = 512;

/// Changes of entries, each with its key and data words, ready to be put into batches.
pub struct Rows {
    keys: Vec<Vec<u8>>,
    words: Vec<u32>,
    batch: Batch,
}

impl Rows {
    /// Changes of the entries of these numbers, for one table. The words are arbitrary.
    pub fn new(kind: Kind, table: &Table, numbers: Range<u32>) -> Self {
        let width = table.layout().data_words();
        let mut batch = Batch::new(table);
        batch.set_columns(std::iter::once(0..width)).unwrap();
        let keys = numbers.map(|number| kind.key(number)).collect();
        Self { keys, words: (1..=width as u32).collect(), batch }
    }

    /// Applies the first `count` changes, batch by batch.
    pub fn apply(&mut self, table: &Table, count: usize) -> Applied {
        let mut total = Applied::default();
        for keys in self.keys[..count].chunks(BATCH) {
            for key in keys {
                self.batch.push_canonical(key, Lifetime::Restart).copy_from_slice(&self.words);
            }
            let applied = table.apply(&mut self.batch, Origin::peer(1).unwrap(), Precedence::Newest, NOW);
            total.created += applied.created;
            total.updated += applied.updated;
            total.refused += applied.refused;
            total.skipped += applied.skipped;
        }
        total
    }
}
