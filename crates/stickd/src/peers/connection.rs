//! One connection as the cluster knows it.

use std::sync::{Arc, OnceLock};

use haproxy_peers::{PeerId, Session, SessionId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This side.
    Outbound,
}

/// A connection from the attempt or the accepted hello to its end.
pub struct Connection {
    /// Its id in the section.
    pub id: SessionId,
    /// Its peer.
    pub peer: PeerId,
    /// The peer's name.
    pub name: String,
    /// Who opened it.
    pub direction: Direction,
    /// Whether it is encrypted.
    pub tls: bool,
    established: OnceLock<Established>,
    close: OnceLock<&'static str>,
    wake: Notify,
}

/// What a connection has after the handshake.
pub struct Established {
    /// The session.
    pub session: Arc<Mutex<Session>>,
    /// The other end's address.
    pub remote: String,
    /// This end's address.
    pub local: String,
}

impl Connection {
    pub(super) fn new(id: SessionId, peer: PeerId, name: String, direction: Direction, tls: bool) -> Self {
        let established = OnceLock::new();
        Self { id, peer, name, direction, tls, established, close: OnceLock::new(), wake: Notify::new() }
    }

    /// The session, after the handshake.
    pub fn established(&self) -> Option<&Established> {
        self.established.get()
    }

    pub(super) fn establish(&self, session: Session, remote: String, local: String) -> Arc<Mutex<Session>> {
        let session = Arc::new(Mutex::new(session));
        let established = Established { session: Arc::clone(&session), remote, local };
        let _ = self.established.set(established);
        session
    }

    /// Tells the connection's task to end. The first reason counts.
    pub(super) fn close(&self, reason: &'static str) {
        let _ = self.close.set(reason);
        self.wake.notify_one();
    }

    /// Why the connection is to end, if it is.
    pub(super) fn is_closed(&self) -> Option<&'static str> {
        self.close.get().copied()
    }

    /// Waits until the connection is to end.
    pub(super) async fn closed(&self) -> &'static str {
        loop {
            if let Some(reason) = self.is_closed() {
                return reason;
            }
            self.woken().await;
        }
    }

    pub(super) fn request_lesson(&self) {
        if let Some(established) = self.established.get() {
            established.session.lock().request_lesson();
        }
        self.wake.notify_one();
    }

    /// Waits until the session has something to say, or the connection is to end. For one task.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}
