//! The order of a stripe's changes: sequence numbers, a ring of recent ones, and what readers have seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::removals::Removals;
use crate::defect::Defect;
use crate::origin::Origin;
use crate::row::stamp::Stamp;

/// Most row numbers the ring of one stripe keeps. Small in tests, so that readers fall behind it.
const MAX_RING: usize = if cfg!(test) { 8 } else { 1 << 13 };
/// Fewest, so that tiny tables do not fall back to scans.
const MIN_RING: usize = if cfg!(test) { 2 } else { 64 };
/// Position of a live reader that is not there.
const NO_READER: u64 = u64::MAX;

/// The newest sequence numbers of a log, to be looked at without the stripe's lock: whether it is worth taking.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    all: AtomicU64,
    local: AtomicU64,
}

impl Tails {
    /// Newest sequence number.
    pub(crate) fn all(&self) -> u64 {
        self.all.load(Ordering::Acquire)
    }

    /// Newest sequence number that was given to a row with a local change.
    pub(crate) fn local(&self) -> u64 {
        self.local.load(Ordering::Acquire)
    }
}

/// Numbers the changes of one stripe.
///
/// Each change gives its row the next sequence number, unless no reader has seen the number the row has: then the
/// change is coalesced in place. Two marks say what was seen, because followers of local changes pass over the
/// others without reading them: a learned change must move past `seen`, a local change past `seen_local` as well.
///
/// Both marks must rise when a number is read, *when a scan starts* and *when a cursor is created or moved*; a change
/// that coalesces behind a reader is lost for it.
pub(crate) struct ChangeLog {
    ring: Box<[u32]>,
    /// Oldest sequence number that the ring may have: it was shorter before.
    first: u64,
    tail: u64,
    local_tail: u64,
    tails: Arc<Tails>,
    seen: u64,
    seen_local: u64,
    /// Next sequence number of each connected follower of local changes, by its reader number.
    live: Vec<u64>,
    removals: Removals,
}

impl ChangeLog {
    /// A log for a stripe that has room for `rows` rows now; it [grows](Self::grow) with them.
    pub(crate) fn new(rows: u32) -> Self {
        Self {
            ring: vec![0; Self::ring_len(rows)].into_boxed_slice(),
            first: 1,
            tail: 0,
            local_tail: 0,
            tails: Arc::default(),
            seen: 0,
            seen_local: 0,
            live: Vec::new(),
            removals: Removals::default(),
        }
    }

    fn ring_len(rows: u32) -> usize {
        (rows as usize).next_power_of_two().clamp(MIN_RING, MAX_RING)
    }

    /// Makes the ring as long as a stripe with room for `rows` rows needs it.
    #[cold]
    pub(crate) fn grow(&mut self, rows: u32) {
        let len = Self::ring_len(rows);
        if len <= self.ring.len() {
            return;
        }
        let mut ring = vec![0; len].into_boxed_slice();
        for sequence in self.oldest()..=self.tail {
            ring[sequence as usize & (len - 1)] = self.row(sequence);
        }
        self.first = self.oldest();
        self.ring = ring;
    }

    /// The newest sequence numbers for those without the lock.
    pub(crate) fn tails(&self) -> &Arc<Tails> {
        &self.tails
    }

    /// Newest sequence number.
    #[inline]
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Newest sequence number that was given to a row with a local change.
    pub(crate) fn local_tail(&self) -> u64 {
        self.local_tail
    }

    /// Oldest sequence number the ring still has.
    pub(crate) fn oldest(&self) -> u64 {
        (self.tail + 1).saturating_sub(self.ring.len() as u64).max(self.first)
    }

    /// The row that got a sequence number, if it was not overwritten; the row's own stamp tells whether it still has it.
    #[inline]
    pub(crate) fn row(&self, sequence: u64) -> u32 {
        self.ring[sequence as usize & (self.ring.len() - 1)]
    }

    /// Numbers a change of `row`, whose stamp was `old`, and returns its new stamp.
    #[inline]
    pub(crate) fn record(&mut self, row: u32, old: Stamp, origin: Origin) -> Stamp {
        let sequence = old.sequence();
        // A learned change that lands on a local one which a connected peer has yet to get must not hide it.
        let local = origin.is_local() || (old.is_local() && self.is_awaited(sequence));
        let unseen = sequence > self.seen && (!origin.is_local() || sequence > self.seen_local);
        let sequence = if unseen { sequence } else { self.next(row) };
        if local {
            self.local_tail = self.local_tail.max(sequence);
            self.tails.local.store(self.local_tail, Ordering::Release);
        }
        Stamp::new(sequence, origin, local)
    }

    /// The next sequence number, for `row`.
    #[inline]
    fn next(&mut self, row: u32) -> u64 {
        self.tail += 1;
        let slot = self.tail as usize & (self.ring.len() - 1);
        self.ring[slot] = row;
        self.tails.all.store(self.tail, Ordering::Release);
        self.tail
    }

    /// Numbers the removal of the entry in `row`, if anybody follows removals. Its number is none that a row has, so cursors
    /// that do not follow removals pass over it.
    pub(crate) fn record_removal(&mut self, row: u32, key: impl FnOnce() -> Box<[u8]>) {
        if self.removals.is_followed() && !Defect::RemovalsLost.is_on() {
            let sequence = self.next(row);
            self.removals.note(sequence, key());
        }
    }

    /// Keeps removals from now on, for one follower more.
    pub(crate) fn follow_removals(&mut self) {
        self.removals.join(self.tail);
    }

    /// Ends that for one follower.
    pub(crate) fn unfollow_removals(&mut self) {
        self.removals.leave();
    }

    /// The keys that were removed, for followers.
    pub(crate) fn removals(&self) -> &Removals {
        &self.removals
    }

    /// Notes that a follower of all changes has read, or passed over, everything up to `sequence`.
    pub(crate) fn saw_all(&mut self, sequence: u64) {
        self.seen = self.seen.max(sequence);
        self.saw_local(sequence);
    }

    /// Notes that a follower of local changes has passed `sequence`.
    pub(crate) fn saw_local(&mut self, sequence: u64) {
        self.seen_local = self.seen_local.max(sequence);
    }

    /// Notes where a connected follower of local changes stands: it reads `next` next.
    pub(crate) fn set_live(&mut self, reader: usize, next: u64) {
        if self.live.len() <= reader {
            self.live.resize(reader + 1, NO_READER);
        }
        self.live[reader] = next;
    }

    /// Forgets a follower.
    pub(crate) fn clear_live(&mut self, reader: usize) {
        if let Some(position) = self.live.get_mut(reader) {
            *position = NO_READER;
        }
    }

    fn is_awaited(&self, sequence: u64) -> bool {
        self.live.iter().any(|&next| next <= sequence)
    }
}
