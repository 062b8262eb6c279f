//! Rows of equal width in blocks, so that growth never copies and never doubles memory.

/// Rows per block. A block is allocated zeroed, so its memory is committed only as rows are used.
const ROWS_PER_CHUNK: usize = 4096;

/// A growing array of rows, `stride` elements each.
pub(crate) struct Chunks<T> {
    chunks: Vec<Box<[T]>>,
    stride: usize,
    rows_per_chunk: usize,
}

impl<T: Copy + Default> Chunks<T> {
    /// An empty array for at most `rows` rows; a small table gets blocks of its own size.
    pub(crate) fn new(stride: usize, rows: u32) -> Self {
        let rows_per_chunk = (rows as usize).next_power_of_two().min(ROWS_PER_CHUNK);
        Self { chunks: Vec::new(), stride, rows_per_chunk }
    }

    /// Makes room for row `row`; new rows are all default.
    pub(crate) fn reserve(&mut self, row: u32) {
        while self.chunks.len() * self.rows_per_chunk <= row as usize {
            self.chunks.push(vec![T::default(); self.stride * self.rows_per_chunk].into_boxed_slice());
        }
    }

    #[inline]
    fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        // A power of two, so the divisions are shifts.
        let shift = self.rows_per_chunk.trailing_zeros();
        (row >> shift, (row & (self.rows_per_chunk - 1)) * self.stride)
    }

    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[T] {
        let (chunk, start) = self.place(row);
        &self.chunks[chunk][start..start + self.stride]
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut [T] {
        let (chunk, start) = self.place(row);
        &mut self.chunks[chunk][start..start + self.stride]
    }

    /// The first element of a row: the value of a column that is one element wide.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> T {
        let (chunk, start) = self.place(row);
        self.chunks[chunk][start]
    }

    /// Sets the first element of a row.
    #[inline]
    pub(crate) fn set(&mut self, row: u32, value: T) {
        let (chunk, start) = self.place(row);
        self.chunks[chunk][start] = value;
    }
}
