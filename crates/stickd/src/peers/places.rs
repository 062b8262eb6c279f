//! How many connections peers may have opened, over all sections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of `maxconn`. As many as there are configured peers are kept for those.
pub struct Places {
    max: usize,
    reserved: usize,
    /// Connections that are open.
    open: AtomicUsize,
    /// Those of them that have a session.
    sessions: AtomicUsize,
}

/// The place of an open connection, until it is dropped.
pub(super) struct Place(Arc<Places>);

/// The place of a session, until it is dropped.
pub(super) struct SessionPlace(Arc<Places>);

impl Places {
    /// `max` places, of which `reserved` are for configured peers.
    pub fn new(max: usize, reserved: usize) -> Self {
        Self { max, reserved, open: AtomicUsize::new(0), sessions: AtomicUsize::new(0) }
    }

    /// Most connections.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Places that nobody has.
    pub(super) fn free(&self) -> usize {
        self.max.saturating_sub(self.open())
    }

    /// Whether a peer that is not configured may have a session.
    pub(super) fn has_room_for_strangers(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) < self.max.saturating_sub(self.reserved)
    }

    pub(super) fn take(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }
}

impl Place {
    pub(super) fn for_session(&self) -> SessionPlace {
        self.0.sessions.fetch_add(1, Ordering::Relaxed);
        SessionPlace(Arc::clone(&self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_some_are_for_configured_peers() {
        let places = Arc::new(Places::new(3, 2));
        let first = places.take();
        assert_eq!((places.open(), places.free()), (1, 2));
        assert!(places.has_room_for_strangers());
        let session = first.for_session();
        assert!(!places.has_room_for_strangers());
        let others: Vec<_> = (0..3).map(|_| places.take()).collect();
        assert_eq!((places.open(), places.free()), (4, 0));
        drop((session, others));
        assert!(places.has_room_for_strangers());
        drop(first);
        assert_eq!((places.open(), places.free()), (0, 3));
    }
}
