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
//! - An update to a relay says who made it: behind the values, where receivers pass over what they do not know (peers-protocol §8.3),
//!   a byte 0x72 and a hash of that peer's name. Two relays of one node do not bring its own update back to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;
use stick_table::{Origin, OriginLease, Origins};

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
    writers: RwLock<Writers>,
}

/// Who made what relays tell.
#[derive(Debug, Default)]
struct Writers {
    /// The hashes of the names of peers, by their numbers.
    names: HashMap<u16, u64>,
    /// The numbers of changes that a peer made and a relay told, by the relay's number and the hash of the peer's name.
    leases: HashMap<(u16, u64), OriginLease>,
    /// The same by those numbers.
    told: HashMap<u16, (u16, u64)>,
}

/// Begins what an update says of who made it: what else may follow the values are zeros.
const WRITER: u8 = 0x72;

/// The hash of a name that relays tell each other: FNV-1a of 64 bits.
fn name_hash(name: &str) -> u64 {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, add)
}

/// Appends who made an update to its payload.
pub(crate) fn encode_writer(writer: u64, payload: &mut Vec<u8>) {
    payload.push(WRITER);
    payload.extend_from_slice(&writer.to_be_bytes());
}

/// Who made an update, by what follows its values.
pub(crate) fn decode_writer(rest: &[u8]) -> Option<u64> {
    let (&mark, rest) = rest.split_first()?;
    rest.first_chunk().filter(|_| mark == WRITER).map(|bytes| u64::from_be_bytes(*bytes))
}

impl Relays {
    /// Nobody is known to relay. `on` says whether this side does.
    pub fn new(on: bool) -> Self {
        let words = (0..(1 << 16) / u64::BITS).map(|_| AtomicU64::new(0)).collect();
        let (count, writers) = (AtomicU32::new(0), RwLock::default());
        Self { on, marks: Arc::new(Marks { words, count, writers }) }
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

    /// Notes the name of a peer.
    pub(crate) fn note_name(&self, peer: Origin, name: &str) {
        if self.on {
            self.marks.writers.write().names.insert(peer.number(), name_hash(name));
        }
    }

    /// The hash of a peer's name, to be told to relays; `None` for this side.
    pub(crate) fn name_of(&self, peer: Origin) -> Option<u64> {
        self.marks.writers.read().names.get(&peer.number()).copied()
    }

    /// The number for what a relay tells of a peer's changes: that of the relay, unless the peer is one of this side's as
    /// well.
    pub(crate) fn told_by(&self, relay: Origin, writer: u64, origins: &Arc<Origins>) -> Origin {
        let place = (relay.number(), writer);
        if let Some(lease) = self.marks.writers.read().leases.get(&place) {
            return lease.origin();
        }
        let mut writers = self.marks.writers.write();
        if !writers.names.values().any(|name| *name == writer) {
            return relay;
        }
        let Some(lease) = origins.take() else { return relay };
        let origin = lease.origin();
        writers.leases.insert(place, lease);
        writers.told.insert(origin.number(), place);
        // What it tells goes to plain peers only.
        self.note(origin, true);
        origin
    }

    /// Whether a change with this origin was told by a relay.
    pub(crate) fn is_told_by(&self, origin: Origin, relay: Origin) -> bool {
        let told = |(by, _): &(u16, u64)| *by == relay.number();
        origin == relay
            || self.contains(origin) && self.marks.writers.read().told.get(&origin.number()).is_some_and(told)
    }

    /// Whether a peer made a change with this origin, whoever told it.
    pub(crate) fn is_made_by(&self, origin: Origin, peer: Origin) -> bool {
        if origin == peer {
            return true;
        }
        if !self.contains(origin) {
            return false;
        }
        let writers = self.marks.writers.read();
        let made = writers.told.get(&origin.number()).map(|(_, writer)| writer);
        made.is_some() && made == writers.names.get(&peer.number())
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
    fn what_a_relay_tells_of_a_peer_is_that_peer_s_and_the_relay_s() {
        let (relays, origins) = (Relays::new(true), Origins::shared());
        let leases: Vec<_> = (0..3).filter_map(|_| origins.take()).collect();
        let [relay, peer, other] = [0, 1, 2].map(|place: usize| leases[place].origin());
        relays.note(relay, true);
        relays.note_name(peer, "lb1");
        relays.note_name(other, "lb2");
        let mut payload = vec![1];
        encode_writer(relays.name_of(peer).unwrap(), &mut payload);
        assert_eq!(payload.len(), 10);
        let writer = decode_writer(&payload[1..]).unwrap();
        let told = relays.told_by(relay, writer, &origins);
        assert_eq!(relays.told_by(relay, writer, &origins), told);
        assert!(![relay, peer, other].contains(&told));
        assert!(relays.contains(told) && relays.is_told_by(told, relay) && !relays.is_told_by(told, other));
        assert!(relays.is_made_by(told, peer) && !relays.is_made_by(told, other));
        assert!(relays.is_made_by(peer, peer) && !relays.is_made_by(relay, peer));
        // The section has no peer of this name: the relay counts as the writer.
        assert_eq!(relays.told_by(relay, 7, &origins), relay);
        for rest in [&[][..], &[0; 12], &[0x72, 1, 2]] {
            assert_eq!(decode_writer(rest), None);
        }
    }

    #[test]
    fn marks_are_shared_by_clones_and_taken_back() {
        let relays = Relays::new(true);
        let other = relays.clone();
        for number in [1, 63, 64, 65_519] {
            assert!(!other.contains(Origin::peer(number).unwrap()));
            relays.note(Origin::peer(number).unwrap(), true);
            relays.note(Origin::peer(number).unwrap(), true);
            assert!(other.contains(Origin::peer(number).unwrap()) && other.any());
        }
        assert!(!other.contains(Origin::peer(2).unwrap()));
        for number in [1, 63, 64, 65_519, 2] {
            assert!(other.any() || number == 2);
            relays.note(Origin::peer(number).unwrap(), false);
        }
        assert!(!other.any());
    }
}
