//! Places of runtime connections, and who has to leave when all are taken.
//!
//! A client that says nothing, or takes nothing of its answer, keeps its place only as long as nobody else needs it. So the
//! commands of others are answered however many such clients there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a client may make the server wait, while others wait for a place: for its first command, which most send at
/// once, and for everything later.
const FIRST_COMMAND: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(2);
/// Pause between two looks for somebody who has to leave.
const LOOK: Duration = Duration::from_millis(20);

/// How many runtime connections there are, and how many had to leave.
#[derive(Debug, Default)]
pub struct RuntimeUsage {
    connections: AtomicUsize,
    dropped: AtomicU64,
}

impl RuntimeUsage {
    /// Connections that are served.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that were closed because others waited for a place.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The places.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    occupants: Mutex<Occupants>,
    usage: Arc<RuntimeUsage>,
}

#[derive(Default)]
struct Occupants {
    all: BTreeMap<u64, Arc<Occupant>>,
    next: u64,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    occupant: Arc<Occupant>,
    _permit: OwnedSemaphorePermit,
}

/// What is known of a connection.
struct Occupant {
    /// Until when its client may make the server wait; `None` while the server is at work, or when it was told to leave.
    patience: Mutex<Option<Instant>>,
    leave: Notify,
}

impl Places {
    pub(crate) fn new(count: usize, usage: Arc<RuntimeUsage>) -> Self {
        let free = Arc::new(Semaphore::new(count.max(1)));
        Self { free, occupants: Mutex::default(), usage }
    }

    /// Waits for a place.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = loop {
            let acquired = Arc::clone(&self.free).acquire_owned();
            match timeout(LOOK, acquired).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => self.make_room(),
            }
        };
        let occupant = Arc::new(Occupant { patience: Mutex::new(None), leave: Notify::new() });
        let mut occupants = self.occupants.lock();
        let number = occupants.next;
        occupants.next += 1;
        occupants.all.insert(number, Arc::clone(&occupant));
        self.usage.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { places: Arc::clone(self), number, occupant, _permit: permit })
    }

    /// Tells the connection that is overdue longest to leave, if one is.
    fn make_room(&self) {
        let now = Instant::now();
        let occupants = self.occupants.lock();
        let until = |occupant: &Occupant| occupant.patience.lock().filter(|until| *until <= now);
        let overdue = occupants.all.values().filter_map(|occupant| Some((until(occupant)?, occupant)));
        if let Some((_, occupant)) = overdue.min_by_key(|(until, _)| *until) {
            *occupant.patience.lock() = None;
            occupant.leave.notify_one();
            self.usage.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Place {
    /// The server waits for the client from now on: for its first command, or later.
    pub(crate) fn waits(&self, is_first: bool) {
        let patience = if is_first { FIRST_COMMAND } else { LATER };
        *self.occupant.patience.lock() = Some(Instant::now() + patience);
    }

    /// The server is at work.
    pub(crate) fn works(&self) {
        *self.occupant.patience.lock() = None;
    }

    /// Waits until the connection has to leave.
    pub(crate) async fn has_to_leave(&self) {
        self.occupant.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.occupants.lock().all.remove(&self.number);
        self.places.usage.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing here takes so long.
    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn who_makes_the_server_wait_leaves_when_others_need_the_place() {
        let usage = Arc::<RuntimeUsage>::default();
        let places = Arc::new(Places::new(2, Arc::clone(&usage)));
        let (busy, idle) = (places.take().await.unwrap(), places.take().await.unwrap());
        busy.works();
        idle.waits(true);
        let leaves = async {
            idle.has_to_leave().await;
            drop(idle);
        };
        let both = async { tokio::join!(places.take(), leaves) };
        let (third, ()) = timeout(DEADLINE, both).await.unwrap();
        assert_eq!((usage.connections(), usage.dropped()), (2, 1));
        drop((busy, third));
        assert_eq!((usage.connections(), usage.dropped()), (0, 1));
    }

    #[tokio::test]
    async fn who_is_served_stays() {
        let usage = Arc::<RuntimeUsage>::default();
        let places = Arc::new(Places::new(1, Arc::clone(&usage)));
        let busy = places.take().await.unwrap();
        busy.waits(true);
        busy.works();
        assert!(timeout(5 * FIRST_COMMAND, places.take()).await.is_err());
        drop(busy);
        assert!(places.take().await.is_some());
        assert_eq!(usage.dropped(), 0);
    }
}
