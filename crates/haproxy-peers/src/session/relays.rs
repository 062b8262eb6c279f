//! Passing live updates on, and who else does.
//!
//! In a section that relays, what one peer tells live goes live to all others, as if this side had changed it. What a
//! lesson told is not passed on: nobody knows how old it is. Two relays that did the same with each other's updates would
//! send them round for ever, so:
//!
//! - The first thing a relay says in a session is that it is one ([`Control::Relay`](crate::Control::Relay)), before any
//!   update. So its neighbours know of each update from a relay that it is one.
//! - What a relay told is passed on to plain peers only, never to a relay. An update goes from the peer that made it to
//!   that peer's relays, from each of them to its neighbours, and from a neighbour that is a relay to plain peers, where it
//!   ends: plain peers pass nothing on. There is no way back to a relay, whatever the topology.
//! - Who is silent at the beginning of a session may yet turn out to be a relay, so where there are relays nothing is
//!   pushed before its first message, for [`ANNOUNCEMENT_MS`] at most. A relay that is slower may get what another relay
//!   told; it knows from whom, and that ends the same way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use stick_table::Origin;

/// Longest wait for the first message of a peer that may be a relay, in ms.
pub(crate) const ANNOUNCEMENT_MS: u64 = 1_000;

/// Whether a section relays, and which of its peers do. Clones share what is known of the peers.
///
/// A peer's mark stays between its sessions, as its updates of before may still be on their way to others; the first
/// message of its next session sets it anew.
#[derive(Clone, Debug)]
pub struct Relays {
    on: bool,
    marks: Arc<Marks>,
}

/// One bit for each number a peer can have.
#[derive(Debug)]
struct Marks {
    words: Box<[AtomicU64]>,
    count: AtomicU32,
}

impl Relays {
    /// Nobody is known to relay. `on` says whether this side does.
    pub fn new(on: bool) -> Self {
        let words = (0..(1 << 16) / u64::BITS).map(|_| AtomicU64::new(0)).collect();
        Self { on, marks: Arc::new(Marks { words, count: AtomicU32::new(0) }) }
    }

    /// Whether this side passes live updates on.
    pub fn is_on(&self) -> bool {
        self.on
    }

    fn place(&self, peer: Origin) -> (&AtomicU64, u64) {
        let number = usize::from(peer.number());
        (&self.marks.words[number / 64], 1 << (number % 64))
    }

    /// Whether a peer is known as a relay.
    ///
    /// The order of memory accesses is that of the table's lock: a peer is marked before its updates are applied.
    pub fn contains(&self, peer: Origin) -> bool {
        let (word, bit) = self.place(peer);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Whether any peer is known as a relay.
    pub(crate) fn any(&self) -> bool {
        self.marks.count.load(Ordering::Relaxed) > 0
    }

    /// Notes what the first message of a peer's session was.
    pub(crate) fn note(&self, peer: Origin, relays: bool) {
        let (word, bit) = self.place(peer);
        let count = &self.marks.count;
        if relays {
            if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                count.fetch_add(1, Ordering::Relaxed);
            }
        } else if word.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for Relays {
    fn default() -> Self {
        Self::new(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_shared_by_clones_and_taken_back() {
        let relays = Relays::new(true);
        let other = relays.clone();
        for number in [1, 63, 64, u16::MAX] {
            assert!(!other.contains(Origin::peer(number)));
            relays.note(Origin::peer(number), true);
            relays.note(Origin::peer(number), true);
            assert!(other.contains(Origin::peer(number)) && other.any());
        }
        assert!(!other.contains(Origin::peer(2)));
        for number in [1, 63, 64, u16::MAX, 2] {
            assert!(other.any() || number == 2);
            relays.note(Origin::peer(number), false);
        }
        assert!(!other.any());
    }
}
