//! Zeroed blocks of memory for rows, deadlines and indexes, cut from huge pages.
//!
//! A table of millions of entries is read at random places. With pages of 4 KiB most of such reads miss the processor's
//! address cache as well, and filling the table takes one page fault for every hundred entries. So blocks are cut from
//! large mappings, shared by all tables, that the kernel is asked to back with pages of 2 MiB. Only the first mapping is
//! left as it is: blocks are written from their begin, and with small pages the rest of them takes no memory yet. A process
//! with small tables is not to take megabytes for them, and at 100,000 entries this is a third of all memory.
//!
//! A block that is given up is kept for the next of its size; memory does not return to the system.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use parking_lot::Mutex;

/// Bytes mapped at once. Only what is used takes memory, in steps of a page.
const SLAB_BYTES: usize = 16 << 20;
/// Bytes of the first mapping: about what 200,000 entries take. Beyond, what huge pages waste is small beside the rest.
const FIRST_BYTES: usize = 16 << 20;
/// Words of a processor's cache line: blocks begin on one.
const LINE: usize = 16;

/// A zeroed block of 32-bit words, on a boundary of 64 bytes as far as the system gives mappings.
pub(crate) struct Page {
    words: &'static mut [u32],
}

impl Page {
    /// A block of `len` words.
    pub(crate) fn new(len: usize) -> Self {
        let mut pool = POOL.lock();
        let free = pool.free.get_mut(&len).and_then(Vec::pop);
        let words = match free {
            Some(words) => {
                drop(pool);
                words.fill(0);
                words
            }
            None => pool.cut(len),
        };
        Self { words }
    }
}

impl Deref for Page {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        self.words
    }
}

impl DerefMut for Page {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u32] {
        self.words
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.words);
        POOL.lock().free.entry(words.len()).or_default().push(words);
    }
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), slab: &mut [], is_first: true });

struct Pool {
    /// Blocks given up, by their length.
    free: BTreeMap<usize, Vec<&'static mut [u32]>>,
    /// What is left of the newest mapping.
    slab: &'static mut [u32],
    /// Whether nothing was mapped yet.
    is_first: bool,
}

impl Pool {
    fn cut(&mut self, len: usize) -> &'static mut [u32] {
        let rounded = len.next_multiple_of(LINE);
        if self.slab.len() < rounded {
            let first = std::mem::take(&mut self.is_first);
            let step = if first { FIRST_BYTES } else { SLAB_BYTES };
            self.slab = map((rounded * size_of::<u32>()).next_multiple_of(step), !first);
        }
        let (block, rest) = std::mem::take(&mut self.slab).split_at_mut(rounded);
        self.slab = rest;
        &mut block[..len]
    }
}

/// Bytes from the system, zeroed, for the life of the process; in huge pages if wanted, and if there are some.
fn map(bytes: usize, huge: bool) -> &'static mut [u32] {
    match MmapMut::map_anon(bytes) {
        Ok(mapping) => {
            // Where the kernel has no huge pages, or is told not to use them, ordinary ones do.
            #[cfg(target_os = "linux")]
            if huge {
                let _ = mapping.advise(memmap2::Advice::HugePage);
            }
            bytemuck::cast_slice_mut(&mut Box::leak(Box::new(mapping))[..])
        }
        // What the allocator does when it has no memory either is the program's end.
        Err(_) => Box::leak(vec![0; bytes / size_of::<u32>()].into_boxed_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_apart_and_used_again() {
        let mut one = Page::new(999_983);
        let two = Page::new(999_983);
        one.fill(7);
        assert!(two.iter().all(|&word| word == 0));
        assert_eq!((one.as_ptr().addr() % 64, two.as_ptr().addr() % 64), (0, 0));
        let place = one.as_ptr();
        drop(one);
        let again = Page::new(999_983);
        assert_eq!((again.len(), again.as_ptr()), (999_983, place));
        assert!(again.iter().all(|&word| word == 0));
    }

    #[test]
    fn a_block_may_be_larger_than_what_is_mapped_at_once() {
        let len = SLAB_BYTES / size_of::<u32>() + 1;
        let mut large = Page::new(len);
        assert_eq!((large.len(), large[len - 1]), (len, 0));
        large[len - 1] = 7;
        assert_eq!(Page::new(100)[99], 0);
    }
}
