//! Records of one width, without gaps.

/// Words of a block, at most, unless a single record is larger: 16 KiB.
const BLOCK_WORDS: usize = 1 << 12;

/// Records of equal width in blocks. The first word of a record is its slot.
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
        let block = 4 * (self.width << self.shift);
        self.blocks.len() * block + self.blocks.capacity() * size_of::<Box<[u32]>>()
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
        if (place >> self.shift) as usize == self.blocks.len() {
            self.blocks.push(vec![0; self.width << self.shift].into_boxed_slice());
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
