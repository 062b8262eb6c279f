//! How sessions begin: hellos of remote peers and of the process before this one, and the answers to hellos of this side.

use std::net::IpAddr;
use std::sync::Arc;

use haproxy_peers::{Greeting, Hello, PeerId, Section, Session, SessionId, Status};
use parking_lot::Mutex;
use stick_table::Millis;

use super::cluster::Cluster;
use super::connection::Connection;
use super::namesakes::Process;
use crate::metrics::counter::Counter;

/// A connection whose hello was accepted.
struct Admitted {
    connection: Arc<Connection>,
    session: Arc<Mutex<Session>>,
    /// Whether it took the place of another session of its peer.
    replaces: bool,
}

impl Cluster {
    /// Answers a hello that comes from the address `from`; `register` makes the connection of a welcome one.
    pub(super) fn greet(
        self: &Arc<Self>,
        hello: &Hello,
        from: Option<IpAddr>,
        may_join: bool,
        register: impl FnOnce(Session, SessionId, PeerId, String) -> (Arc<Connection>, Arc<Mutex<Session>>),
    ) -> Result<(Arc<Connection>, Arc<Mutex<Session>>), Greeting> {
        let may_join = may_join && self.places().has_room_for_strangers();
        let admitted = self.admit(hello, register, |section, now| section.greet(now, hello, may_join))?;
        self.note_process(&hello.sender, Process { address: from, pid: hello.pid }, admitted.replaces);
        Ok((admitted.connection, admitted.session))
    }

    /// Answers the hello of the process before this one.
    pub(super) fn greet_predecessor(
        self: &Arc<Self>,
        hello: &Hello,
        register: impl FnOnce(Session, SessionId, PeerId, String) -> (Arc<Connection>, Arc<Mutex<Session>>),
    ) -> Result<(Arc<Connection>, Arc<Mutex<Session>>), Greeting> {
        let admitted = self.admit(hello, register, |section, now| section.greet_predecessor(now, hello))?;
        Ok((admitted.connection, admitted.session))
    }

    fn admit(
        self: &Arc<Self>,
        hello: &Hello,
        register: impl FnOnce(Session, SessionId, PeerId, String) -> (Arc<Connection>, Arc<Mutex<Session>>),
        greet: impl FnOnce(&mut Section, Millis) -> Greeting,
    ) -> Result<Admitted, Greeting> {
        let (admitted, kind) = self.with_section(|section, now| match greet(section, now) {
            Greeting::Welcome { id, peer, session, kind, replaces } => {
                let (connection, session) = register(*session, id, peer, hello.sender.clone());
                self.register(&connection);
                Ok((Admitted { connection, session, replaces }, kind))
            }
            other => Err(other),
        })?;
        self.journal.accepted(&admitted.connection, hello.version, kind);
        Ok(admitted)
    }

    /// Notes which process has a peer's session now, and warns once a minute when two take it from each other.
    fn note_process(&self, peer: &str, process: Process, replaces: bool) {
        let now = self.clock().now();
        let Some(pair) = self.namesakes.note(peer, process, replaces, now) else { return };
        self.totals().count(Counter::Namesakes);
        self.journal.namesakes(peer, &pair);
    }

    /// The processes that share a peer's name, as `show peers` prints them.
    pub fn namesakes(&self, peer: &str) -> Option<String> {
        let pair = self.namesakes.of(peer, self.clock().now())?;
        Some(format!("{}, {}", pair.one, pair.other))
    }

    /// Takes the status of an attempt; the session when the peer accepted.
    pub(super) fn handle_status(
        self: &Arc<Self>,
        connection: &Connection,
        status: Status,
        establish: impl FnOnce(Session) -> Arc<Mutex<Session>>,
    ) -> Option<Arc<Mutex<Session>>> {
        let session = self.with_section(|section, now| {
            // Before the actions: one of them may be for this session.
            section.handle_status(now, connection.id, status).map(|session| establish(*session))
        });
        if session.is_none() {
            self.connections.lock().remove(&connection.id);
        }
        session
    }
}
