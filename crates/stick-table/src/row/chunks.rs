//! Rows of equal width in blocks, so that growth never copies and never doubles memory.

use crate::row::pages::Page;

/// Most words of a block: 64 KiB.
const MAX_WORDS: usize = 1 << 14;
/// Words that the first block begins with, 1 KiB: a table that may become large takes little while it holds little.
const FIRST_WORDS: usize = 1 << 8;

/// A growing array of rows, `stride` words each. Rows not yet written are zero. Only the first block is ever copied, while it
/// grows to the size of the others.
pub(crate) struct Chunks {
    pages: Vec<Page>,
    stride: usize,
    /// Logarithm of the rows of a block.
    shift: u32,
    /// Rows that there is room for.
    capacity: u32,
}

impl Chunks {
    /// An empty array for at most `rows` rows; a small table gets blocks of its own size.
    pub(crate) fn new(stride: usize, rows: u32) -> Self {
        let fitting = (MAX_WORDS / stride).max(1).ilog2();
        let wanted = rows.max(1).checked_next_power_of_two().map_or(u32::BITS, u32::ilog2);
        Self { pages: Vec::new(), stride, shift: fitting.min(wanted), capacity: 0 }
    }

    /// Makes room for row `row`, which is at most the next one; returns by how many rows the array grew.
    #[inline]
    pub(crate) fn reserve(&mut self, row: u32) -> u32 {
        if row == self.capacity { self.grow() } else { 0 }
    }

    /// Rows that there is room for.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let block = 1 << self.shift;
        let mut grown = block;
        if self.capacity < block {
            let first = 1 << (FIRST_WORDS / self.stride).max(1).ilog2();
            // In few steps, as what was copied is of no use until another stripe or table grows to the same size.
            let rows = self.capacity.saturating_mul(8).clamp(first, block.max(first)).min(block);
            let mut page = Page::new(self.stride * rows as usize);
            if let Some(old) = self.pages.pop() {
                page[..old.len()].copy_from_slice(&old);
            }
            self.pages.push(page);
            grown = rows - self.capacity;
        } else {
            self.pages.push(Page::new(self.stride << self.shift));
        }
        self.capacity += grown;
        grown
    }

    #[inline]
    fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        (row >> self.shift, (row & ((1 << self.shift) - 1)) * self.stride)
    }

    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[u32] {
        let (page, start) = self.place(row);
        &self.pages[page][start..start + self.stride]
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut [u32] {
        let (page, start) = self.place(row);
        &mut self.pages[page][start..start + self.stride]
    }

    /// The first word of a row: the value of a column that is one word wide.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> u32 {
        let (page, start) = self.place(row);
        self.pages[page][start]
    }

    /// Loads all of a row: its first and its last word, combined.
    #[inline]
    pub(crate) fn edges(&self, row: u32) -> u32 {
        let (page, start) = self.place(row);
        let page = &self.pages[page];
        page[start] ^ page[start + self.stride - 1]
    }

    /// Sets the first word of a row.
    #[inline]
    pub(crate) fn set(&mut self, row: u32, value: u32) {
        let (page, start) = self.place(row);
        self.pages[page][start] = value;
    }

    /// The words from row `row` to the end of its block, but at most those of `limit` rows.
    #[inline]
    pub(crate) fn run(&self, row: u32, limit: u32) -> &[u32] {
        let (page, start) = self.place(row);
        let rest = &self.pages[page][start..];
        &rest[..rest.len().min(limit as usize * self.stride)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_apart_over_blocks() {
        let mut chunks = Chunks::new(5, u32::MAX);
        let per_block = 1 << chunks.shift;
        assert_eq!(per_block, 2048, "as many as fit 64 KiB, a power of two");
        for row in 0..2 * per_block {
            chunks.reserve(row);
            chunks.row_mut(row).fill(row);
            if row == 0 {
                assert_eq!(chunks.pages[0].len(), 5 * 32, "the first block begins small");
            }
        }
        assert_eq!((chunks.pages.len(), chunks.capacity()), (2, 2 * per_block));
        for row in 0..2 * per_block {
            assert_eq!(chunks.row(row), [row; 5]);
        }
        assert_eq!(chunks.run(per_block - 2, 9).len(), 10, "a run ends with its block");
        assert_eq!(
            chunks.run(per_block, 3),
            [[per_block; 5], [per_block + 1; 5], [per_block + 2; 5]].concat()
        );
    }
}
