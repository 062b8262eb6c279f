//! Connections that peers open.

use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::{Greeting, Hello, HelloError, HelloParser, HelloProgress, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::connection::{Connection, Direction};
use super::journal::{Limit, Stranger};
use crate::metrics::counter::Counter;
use crate::net::{Connected, Listener};
use crate::tls::{Acceptor, NameProof};

/// Longest hello, in bytes, however large messages may be: three names, and many connections may be in the middle of one.
pub(crate) const MAX_HELLO: usize = 16 * 1024;
/// Connections without a hello that are closed when there are no file descriptors left.
const ROOM_MADE: usize = 64;
/// Pause after the system could not accept, for example without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The sections that a listener serves.
#[derive(Clone)]
pub(super) struct Served {
    /// Counts and bounds connections whose section is not known yet.
    host: Arc<Cluster>,
    /// All of them, in the order of the configuration.
    all: Arc<[Arc<Cluster>]>,
}

impl Served {
    /// The sections of a listener; `None` for none.
    pub(super) fn new(clusters: Vec<Arc<Cluster>>) -> Option<Self> {
        Some(Self { host: Arc::clone(clusters.first()?), all: clusters.into() })
    }

    /// Counts and bounds connections whose section is not known yet.
    pub(super) fn host(&self) -> &Arc<Cluster> {
        &self.host
    }

    /// The section that a hello means: where this node has the name that it was called by, and where the peer has a line, else
    /// where it may join.
    fn section_of(&self, hello: &Hello, remote_ip: Option<std::net::IpAddr>) -> Arc<Cluster> {
        let called = || self.all.iter().filter(|cluster| cluster.is_local_name(&hello.target));
        let listed = called().find(|cluster| cluster.is_member(&hello.sender));
        let found = listed.or_else(|| called().find(|cluster| cluster.may_join(remote_ip)));
        Arc::clone(found.or_else(|| called().next()).unwrap_or(&self.host))
    }
}

/// Accepts connections until `stopped` says so.
pub(super) async fn accept(
    served: Served,
    listener: Listener,
    acceptor: Option<Acceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let acceptor = acceptor.map(Arc::new);
    let cluster = Arc::clone(&served.host);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => {
                // Before `stopped`, whose end tells that the address is free.
                drop(listener);
                return;
            }
        };
        match accepted {
            Ok(connected) => {
                welcome(&served, connected, acceptor.clone());
                // In a flood of connections the sessions have their turn after each.
                yield_now().await;
            }
            Err(error) => {
                if is_out_of_files(&error) {
                    let dropped = (0..ROOM_MADE).filter(|_| cluster.waiting_room().make_room()).count();
                    cluster.totals().add(Counter::HandshakesDropped, dropped as u64);
                }
                cluster.journal.limit_reached(&Limit::Accept(&error));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// Gives a new connection a place, or closes it.
fn welcome(served: &Served, connected: Connected, acceptor: Option<Arc<Acceptor>>) {
    let cluster = &served.host;
    let (places, room) = (cluster.places(), cluster.waiting_room());
    let handshakes = cluster.config().handshakes;
    let most = (handshakes.max as usize).min(places.free() + room.len());
    let Some((mut guest, is_full)) = room.enter(connected.remote_ip, most) else {
        cluster.totals().refused();
        cluster.totals().count(Counter::ConnectionsOverLimit);
        cluster.journal.limit_reached(&Limit::Connections);
        return;
    };
    if is_full {
        cluster.totals().count(Counter::HandshakesDropped);
        let is_maxconn = most < handshakes.max as usize;
        let limit = if is_maxconn { Limit::ConnectionsWithoutHello } else { Limit::Handshakes };
        cluster.journal.limit_reached(&limit);
    }
    let place = places.take();
    let (served, supervisor) = (served.clone(), cluster.supervisor.clone());
    let address = connected.remote.clone();
    let waits_for = if acceptor.is_some() { "TLS handshake and hello" } else { "hello" };
    supervisor.job("inbound connection", async move {
        let cluster = &served.host;
        let hello = greet(&served, connected, acceptor.as_deref());
        let greeted = tokio::select! {
            greeted = timeout(Duration::from_millis(handshakes.timeout.into()), hello) => greeted,
            () = guest.sent_away() => Ok(None),
        };
        drop(guest);
        match greeted {
            Ok(Some(welcome)) => {
                let _session = place.for_session();
                welcome.run().await;
            }
            Ok(None) => {}
            Err(_) => {
                cluster.totals().refused();
                cluster.totals().count(Counter::HandshakesTimedOut);
                let limit_ms = handshakes.timeout;
                cluster.journal.limit_reached(&Limit::HandshakeTime {
                    address: &address,
                    waits_for,
                    limit_ms,
                });
            }
        }
    });
}

/// An inbound connection whose hello was accepted.
struct Welcome {
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    session: Arc<parking_lot::Mutex<haproxy_peers::Session>>,
    stream: Box<dyn crate::net::Stream>,
    received: Vec<u8>,
}

impl Welcome {
    async fn run(mut self) {
        // If it does not go out, the session will notice.
        answer(&mut self.stream, Status::Accepted).await;
        self.cluster.run(self.connection, self.session, self.stream, &self.received).await;
    }
}

/// Reads the hello and answers it.
async fn greet(served: &Served, connected: Connected, acceptor: Option<&Acceptor>) -> Option<Welcome> {
    let cluster = &served.host;
    let Connected { mut stream, remote, remote_ip, local } = connected;
    let from = Stranger { address: &remote, ip: remote_ip, name: "" };
    let mut proof = NameProof::any();
    if let Some(acceptor) = acceptor {
        match acceptor.accept(stream).await {
            Ok(encrypted) => {
                proof = acceptor.proof(&encrypted);
                stream = Box::new(encrypted);
            }
            Err(error) => {
                cluster.totals().refused();
                cluster.journal.tls_failed(from, &error);
                return None;
            }
        }
    }
    let is_local = |name: &str| served.all.iter().any(|cluster| cluster.is_local_name(name));
    let (hello, received) = match read_hello(cluster, &mut stream, is_local).await? {
        Ok(heard) => heard,
        Err(error) => {
            cluster.totals().refused();
            cluster.journal.hello_refused(from, &error);
            return None;
        }
    };
    let cluster = served.section_of(&hello, remote_ip);
    let cluster = &cluster;
    let from = Stranger { name: &hello.sender, ..from };
    if !proof.admits(from.name) {
        let status = Status::UnknownPeer;
        cluster.totals().refused();
        cluster.journal.name_not_proved(from, status);
        answer(&mut stream, status).await;
        return None;
    }
    let may_join = cluster.may_join(remote_ip);
    let welcome = cluster.greet(&hello, remote_ip, may_join, |session, id, peer, name| {
        let connection = Arc::new(Connection::new(id, peer, name, Direction::Inbound, acceptor.is_some()));
        let session = connection.establish(session, remote.clone(), local);
        (connection, session)
    });
    match welcome {
        // No waiting from here on: a time-out would leave a session that nobody runs.
        Ok((connection, session)) => {
            Some(Welcome { cluster: Arc::clone(cluster), connection, session, stream, received })
        }
        Err(greeting) => {
            refuse(cluster, &mut stream, from, may_join, greeting).await;
            None
        }
    }
}

/// Reads a hello to a node of which `is_local` knows the name, and what came behind it. A wrong one is answered; `None` when the
/// connection ended before.
pub(super) async fn read_hello(
    cluster: &Cluster,
    stream: &mut Box<dyn crate::net::Stream>,
    is_local: impl Fn(&str) -> bool,
) -> Option<Result<(Hello, Vec<u8>), HelloError>> {
    let mut parser = HelloParser::new(cluster.buffer_size().min(MAX_HELLO));
    let mut input = vec![0; 4096];
    loop {
        let count = stream.read(&mut input).await.ok().filter(|&count| count > 0)?;
        match parser.feed(&input[..count], &is_local) {
            HelloProgress::Incomplete => {}
            HelloProgress::Complete(hello, consumed) => {
                return Some(Ok((hello, input[consumed..count].to_vec())));
            }
            HelloProgress::Refused(error) => {
                if let Some(status) = error.status() {
                    answer(stream, status).await;
                }
                return Some(Err(error));
            }
        }
    }
}

/// Answers a hello that is not welcome, and logs why. `may_join` when its address is one of peers that need no line.
async fn refuse(
    cluster: &Cluster,
    stream: &mut Box<dyn crate::net::Stream>,
    from: Stranger<'_>,
    may_join: bool,
    greeting: Greeting,
) {
    let journal = &cluster.journal;
    match greeting {
        Greeting::Refuse(status) => {
            if status != Status::UnknownPeer {
                journal.told_to_come_later(from, status);
            } else {
                cluster.totals().refused();
                if cluster.is_local_name(from.name) {
                    journal.own_name_refused(from, status);
                } else if may_join {
                    cluster.totals().count(Counter::DynamicPeersRefused);
                    journal.dynamic_peer_refused(from, status);
                } else {
                    journal.unknown_peer_refused(from, status);
                }
            }
            answer(stream, status).await;
        }
        Greeting::Drop(reason) => journal.closed_without_answer(from, reason),
        Greeting::Welcome { .. } => {}
    }
}

/// Sends a status, and ends the stream after a refusal.
pub(super) async fn answer(stream: &mut Box<dyn crate::net::Stream>, status: Status) {
    let mut line = Vec::new();
    status.encode(&mut line);
    let sent = stream.write_all(&line).await.is_ok() && stream.flush().await.is_ok();
    if sent && status != Status::Accepted {
        let _ = stream.shutdown().await;
    }
}
