//! What is known of a key without its record.

/// Slots of a block.
const BLOCK: usize = 256;
/// End of the list of free slots, which is threaded through their places.
const NO_SLOT: u32 = u32::MAX;
/// In the number of parts: the key lacks a contribution.
const PARTIAL: u16 = 1 << 15;

struct Block {
    due: [u32; BLOCK],
    place: [u32; BLOCK],
    /// Number of parts; 0 when the slot is free. The highest bit is [`PARTIAL`].
    count: [u16; BLOCK],
}

/// Numbers that keys have while they are there, by which a walk goes round.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "blocks must not be copied, nor twice as many taken, when there are more")]
pub(crate) struct Slots {
    blocks: Vec<Box<Block>>,
    len: u32,
    /// One more than the first free slot; 0 for none.
    free: u32,
}

impl Slots {
    /// Slots ever taken.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<Block>() + self.blocks.capacity() * size_of::<Box<Block>>()
    }

    #[inline]
    fn block(&self, slot: u32) -> (&Block, usize) {
        (&self.blocks[slot as usize / BLOCK], slot as usize % BLOCK)
    }

    #[inline]
    fn block_mut(&mut self, slot: u32) -> (&mut Block, usize) {
        (&mut self.blocks[slot as usize / BLOCK], slot as usize % BLOCK)
    }

    #[inline]
    pub(crate) fn due(&self, slot: u32) -> u32 {
        let (block, at) = self.block(slot);
        block.due[at]
    }

    #[inline]
    pub(crate) fn set_due(&mut self, slot: u32, due: u32) {
        let (block, at) = self.block_mut(slot);
        block.due[at] = due;
    }

    #[inline]
    pub(crate) fn place(&self, slot: u32) -> u32 {
        let (block, at) = self.block(slot);
        block.place[at]
    }

    #[inline]
    pub(crate) fn count(&self, slot: u32) -> usize {
        let (block, at) = self.block(slot);
        (block.count[at] & !PARTIAL).into()
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: u32, place: u32, count: usize) {
        let (block, at) = self.block_mut(slot);
        block.place[at] = place;
        block.count[at] = block.count[at] & PARTIAL | count as u16;
    }

    /// Whether the key lacks a contribution.
    #[inline]
    pub(crate) fn is_partial(&self, slot: u32) -> bool {
        let (block, at) = self.block(slot);
        block.count[at] & PARTIAL != 0
    }

    pub(crate) fn set_partial(&mut self, slot: u32, is_partial: bool) {
        let (block, at) = self.block_mut(slot);
        block.count[at] = block.count[at] & !PARTIAL | if is_partial { PARTIAL } else { 0 };
    }

    /// A slot that was free.
    pub(crate) fn take(&mut self) -> u32 {
        if let Some(slot) = self.free.checked_sub(1) {
            let next = self.place(slot);
            self.free = if next == NO_SLOT { 0 } else { next + 1 };
            return slot;
        }
        let slot = self.len;
        if slot as usize / BLOCK == self.blocks.len() {
            self.blocks.push(Box::new(Block { due: [0; BLOCK], place: [0; BLOCK], count: [0; BLOCK] }));
        }
        self.len += 1;
        slot
    }

    pub(crate) fn give_back(&mut self, slot: u32) {
        let next = self.free.checked_sub(1).unwrap_or(NO_SLOT);
        self.set_partial(slot, false);
        self.set(slot, next, 0);
        self.free = slot + 1;
    }
}
