//! A section in a hand-over: taught by the process before this one, and teaching the one after it.

use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::{Hello, Section, Status, StopProgress};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::connection::{Connection, Direction};
use super::{inbound, outbound};
use crate::handover::Successor;
use crate::net::Stream;

/// Longest wait for the hello of the process before this one.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

impl Cluster {
    /// Closes the listener and all sessions with remote peers, and begins to teach the process that takes over, if one does.
    pub async fn soft_stop(self: &Arc<Self>, successor: Option<Arc<Successor>>) {
        *self.successor.lock() = successor;
        self.close_listeners().await;
        self.with_section(Section::stop);
    }

    /// How far a soft stop is.
    pub fn stop_progress(&self) -> StopProgress {
        self.with_view(Section::stop_progress).unwrap_or(StopProgress::Teaching)
    }

    /// Updates that passed in the sessions there are: what is learned before it can be taught, and what is taught.
    pub fn updates_passed(&self) -> u64 {
        let connections = self.connections();
        let established = connections.values().filter_map(|connection| connection.established());
        let passed = established.map(|established| {
            let session = established.session.lock();
            session.sent().lesson_updates + session.received().updates
        });
        passed.sum()
    }

    /// The process that takes over is gone.
    pub fn successor_is_gone(self: &Arc<Self>) {
        self.with_section(|section, _| section.no_successor());
    }

    /// Connects to the process that takes over.
    pub(super) fn call_successor(self: &Arc<Self>, connection: Arc<Connection>, hello: Hello) {
        let successor = self.successor.lock().clone();
        let attempt = outbound::teach(Arc::clone(self), connection, successor, hello);
        self.supervisor.job("hand-over", attempt);
    }

    /// The process before this one is alive and will teach.
    pub fn predecessor_is_there(self: &Arc<Self>) {
        self.with_section(Section::predecessor_is_there);
    }

    /// The process before this one has ended.
    pub fn predecessor_is_gone(self: &Arc<Self>) {
        self.with_section(Section::predecessor_is_gone);
    }

    /// Runs the session in which the process before this one teaches.
    pub async fn learn_from_predecessor(self: &Arc<Self>, mut stream: Box<dyn Stream>, pid: i32) {
        let hello = inbound::read_hello(self, &mut stream, |name| self.is_local_name(name));
        let greeting = timeout(HELLO_TIMEOUT, hello).await;
        let (hello, received) = match greeting {
            Ok(Some(Ok(heard))) => heard,
            Ok(Some(Err(error))) => {
                self.journal.predecessor_hello_refused(pid, &error);
                return;
            }
            Ok(None) | Err(_) => return,
        };
        let remote = format!("process {pid}");
        let welcome = self.greet_predecessor(&hello, |session, id, peer, name| {
            let connection = Arc::new(Connection::new(id, peer, name, Direction::Inbound, false));
            let session = connection.establish(session, remote.clone(), remote.clone());
            (connection, session)
        });
        match welcome {
            Ok((connection, session)) => {
                // If it does not go out, the session will notice.
                inbound::answer(&mut stream, Status::Accepted).await;
                self.run(connection, session, stream, &received).await;
            }
            Err(haproxy_peers::Greeting::Refuse(status)) => {
                self.journal.predecessor_told_to_come_later(pid, status);
                inbound::answer(&mut stream, status).await;
            }
            Err(_) => {}
        }
    }
}
