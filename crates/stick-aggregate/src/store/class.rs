//! Records of one width, without gaps.

/// Words of a block, at most, unless a single record is larger: 16 KiB.
const BLOCK_WORDS: usize = 1 << 12;
/// Logarithm of the records that the first block begins with: where few keys have as many parts, few bytes are taken.
const FIRST_SHIFT: u32 = 2;

/// Records of equal width in blocks, of which the first one grows. The first word of a record is its slot.
pub(crate) struct Class {
    width: usize,
    /// Logarithm of the records of a block.
    shift: u32,
    blocks: Vec<Box<[u32]>>,
    len: u32,
}

impl Class {
    pub(crate) fn new(width: usize) -> Self {
        let shift = (BLOCK_WORDS / width.max(1)).max(1).ilog2();
        Self { width, shift, blocks: Vec::new(), len: 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        let first = self.blocks.first().map_or(0, |block| 4 * block.len());
        let others = 4 * (self.width << self.shift) * self.blocks.len().saturating_sub(1);
        first + others + self.blocks.capacity() * size_of::<Box<[u32]>>()
    }

    #[inline]
    fn position(&self, place: u32) -> (usize, usize) {
        let mask = (1 << self.shift) - 1;
        ((place >> self.shift) as usize, (place & mask) as usize * self.width)
    }

    #[inline]
    pub(crate) fn record(&self, place: u32) -> &[u32] {
        let (block, start) = self.position(place);
        &self.blocks[block][start..start + self.width]
    }

    #[inline]
    pub(crate) fn record_mut(&mut self, place: u32) -> &mut [u32] {
        let (block, start) = self.position(place);
        &mut self.blocks[block][start..start + self.width]
    }

    /// Adds a record; returns its place.
    pub(crate) fn push(&mut self, record: &[u32]) -> u32 {
        let place = self.len;
        let (block, start) = self.position(place);
        if block == self.blocks.len() {
            let shift = if block == 0 { self.shift.min(FIRST_SHIFT) } else { self.shift };
            self.blocks.push(vec![0; self.width << shift].into_boxed_slice());
        } else if start == self.blocks[block].len() {
            let first = &mut self.blocks[block];
            let mut larger = vec![0; (4 * start).min(self.width << self.shift)].into_boxed_slice();
            larger[..start].copy_from_slice(first);
            *first = larger;
        }
        self.len += 1;
        self.record_mut(place).copy_from_slice(record);
        place
    }

    /// Removes a record; the last one takes its place. Returns the slot of that one, if it is another one.
    pub(crate) fn remove(&mut self, place: u32) -> Option<u32> {
        self.len -= 1;
        let last = self.len;
        let mut moved = None;
        if place != last {
            let (from, start) = self.position(last);
            let (to, at) = self.position(place);
            if from == to {
                self.blocks[from].copy_within(start..start + self.width, at);
            } else if let [first, .., second] = &mut self.blocks[to..=from] {
                first[at..at + self.width].copy_from_slice(&second[start..start + self.width]);
            }
            moved = Some(self.record(place)[0]);
        }
        // One block more than needed is kept, so that nothing is allocated again and again.
        let needed = (self.len as usize).div_ceil(1 << self.shift);
        self.blocks.truncate(if needed == 0 { 0 } else { needed + 1 });
        moved
    }
}
