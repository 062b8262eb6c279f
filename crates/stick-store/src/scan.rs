//! Looking through a segment: where its blocks are, and what of it is damaged.

use std::ops::Range;

use crate::format::{ALIGN, HEADERS, Head};

/// What a segment holds, in its order.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Whole blocks.
    pub(crate) blocks: Vec<Found>,
    /// Bytes that are no whole block, and the head of what they were where that is whole.
    pub(crate) damage: Vec<(Range<usize>, Option<Head>)>,
}

/// A block that is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) offset: usize,
    pub(crate) head: Head,
    /// The first eight bytes of its body: where it ends something, the number of the block that began it.
    pub(crate) begun_by: Option<u64>,
}

impl Scan {
    /// Looks through a segment behind its headers. A block whose body is damaged is passed over by its length; where a head is
    /// damaged, the next one is looked for.
    pub(crate) fn of(segment: &[u8], seed: u64) -> Self {
        let mut scan = Self::default();
        let mut at = HEADERS;
        let mut lost = None;
        while at < segment.len() {
            let rest = &segment[at..];
            let Some(head) = Head::decode(rest, seed) else {
                lost.get_or_insert(at);
                at += ALIGN;
                continue;
            };
            if let Some(from) = lost.take() {
                scan.damage.push((from..at, None));
            }
            let end = (at + head.size()).min(segment.len());
            match head.body(rest, seed) {
                Some(body) => {
                    let begun_by = body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                    scan.blocks.push(Found { offset: at, head, begun_by });
                }
                None => scan.damage.push((at..end, Some(head))),
            }
            at = end;
        }
        if let Some(from) = lost {
            scan.damage.push((from..segment.len(), None));
        }
        scan
    }
}
