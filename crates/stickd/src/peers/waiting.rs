//! Connections that have not said their hello.
//!
//! Anybody who reaches the listener can open connections and say nothing. There are so many of them at a time, and no more:
//! when there is no place for a new one, the oldest of the source that has most is closed. A peer says its hello as soon as it
//! is connected, so it is through before its turn would come, however many others wait.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Bits of an IPv6 address that tell sources apart: one host has the rest to itself.
const SOURCE_BITS: u32 = 64;

/// Where a connection comes from; `None` for a Unix socket.
type Source = Option<IpAddr>;

/// The connections that wait, the oldest first.
#[derive(Default)]
pub(super) struct WaitingRoom(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    guests: BTreeMap<u64, Place>,
    /// How many of the guests each source has.
    sources: HashMap<Source, usize>,
    next: u64,
}

struct Place {
    source: Source,
    /// Never sent anything: its end tells the guest to leave.
    _stay: oneshot::Sender<()>,
}

/// A place in the room, until it is dropped.
pub(super) struct Guest {
    room: Arc<WaitingRoom>,
    number: u64,
    sent_away: oneshot::Receiver<()>,
}

impl WaitingRoom {
    /// Lets a connection in if `places` is at least 1. Whether others were sent away for it is told as well.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>, places: usize) -> Option<(Guest, bool)> {
        if places == 0 {
            return None;
        }
        let source = address.map(source);
        let (stay, sent_away) = oneshot::channel();
        let mut waiting = self.0.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.guests.insert(number, Place { source, _stay: stay });
        *waiting.sources.entry(source).or_default() += 1;
        let full = waiting.guests.len() > places;
        while waiting.guests.len() > places {
            waiting.send_one_away();
        }
        Some((Guest { room: Arc::clone(self), number, sent_away }, full))
    }

    /// Sends one connection away, as if there were no place for it; whether there was one.
    pub(super) fn make_room(&self) -> bool {
        self.0.lock().send_one_away()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.lock().guests.len()
    }
}

impl Waiting {
    fn send_one_away(&mut self) -> bool {
        let most = self.sources.values().max().copied();
        let busiest = |place: &Place| self.sources.get(&place.source).copied() == most;
        let oldest = self.guests.iter().find(|(_, place)| busiest(place)).map(|(&number, _)| number);
        oldest.map(|number| self.leave(number)).is_some()
    }

    fn leave(&mut self, number: u64) {
        let Some(place) = self.guests.remove(&number) else { return };
        if let Some(count) = self.sources.get_mut(&place.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&place.source);
            }
        }
    }
}

impl Guest {
    /// Waits until the place is needed for somebody else.
    pub(super) async fn sent_away(&mut self) {
        let _ = (&mut self.sent_away).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.0.lock().leave(self.number);
    }
}

fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) >> SOURCE_BITS << SOURCE_BITS;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn is_sent_away(guest: &mut Guest) -> bool {
        guest.sent_away.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_oldest_of_the_busiest_source_makes_room() {
        let room = Arc::new(WaitingRoom::default());
        let enter = |text| room.enter(address(text), 3).unwrap();
        let (mut lone, _) = enter("192.0.2.1");
        let (mut first, _) = enter("192.0.2.2");
        let (mut second, full) = enter("192.0.2.2");
        assert!(!full);
        let (mut third, full) = enter("192.0.2.2");
        assert!(full);
        assert!(is_sent_away(&mut first));
        assert!(!is_sent_away(&mut lone) && !is_sent_away(&mut second) && !is_sent_away(&mut third));
        assert_eq!(room.len(), 3);
        // Who was sent away leaves no place behind.
        drop(first);
        assert_eq!(room.len(), 3);
        drop((lone, second, third));
        assert_eq!(room.len(), 0);
        assert!(room.0.lock().sources.is_empty());
    }

    #[test]
    fn fewer_places_than_guests_send_several_away() {
        let room = Arc::new(WaitingRoom::default());
        let mut guests: Vec<_> = (0..10).map(|_| room.enter(None, 10).unwrap().0).collect();
        let (_last, _) = room.enter(None, 4).unwrap();
        assert_eq!(guests.iter_mut().filter_map(|guest| is_sent_away(guest).then_some(())).count(), 7);
        assert!(room.enter(None, 0).is_none());
    }

    #[test]
    fn addresses_of_one_network_are_one_source_in_ipv6() {
        let same = |one: &str, two: &str| source(one.parse().unwrap()) == source(two.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
