//! Memory that the machine has at hand.

use memmap2::MmapMut;

/// Most bytes made ready: what machines keep for themselves of free memory for a moment.
const MOST: u64 = 1 << 30;
/// Bytes for an entry: more than any subject takes.
const PER_ENTRY: u64 = 320;
/// Bytes for what else a process takes.
const BASE: u64 = 64 << 20;
const PAGE: usize = 4096;

/// Takes as much memory as learning so many entries can need, writes to each page and gives it back.
///
/// A virtual machine may have given its free memory back to its host. Who touches it first then waits for the host, 2 to 10
/// µs a page on one such machine, which can be a third of all that learning costs and says nothing about who learns. What
/// was used a moment ago is there at once, for whichever subject comes next.
pub(crate) fn make_ready(entries: u64) {
    let bytes = (entries * PER_ENTRY + BASE).min(MOST) as usize;
    // Without that much free memory there is nothing to make ready.
    let Ok(mut memory) = MmapMut::map_anon(bytes) else { return };
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
}
