//! Connections that peers open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haproxy_peers::{Greeting, Hello, HelloError, HelloParser, HelloProgress, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{Level, debug, info, warn};

use super::cluster::{Cluster, count};
use super::connection::{Connection, Direction};
use crate::net::{Connected, Listener};
use crate::tls::{Acceptor, HandshakeError, NameProof};

/// Longest hello, in bytes, however large messages may be: three names, and many connections may be in the middle of one.
const MAX_HELLO: usize = 16 * 1024;
/// Longest name of a stranger in a line of the log, in characters.
const MAX_SHOWN: usize = 255;
/// Connections without a hello that are closed when there are no file descriptors left.
const ROOM_MADE: usize = 64;
/// Pause after the system could not accept, for example without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stopped` says so.
pub(super) async fn accept(
    cluster: Arc<Cluster>,
    listener: Listener,
    acceptor: Option<Acceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let acceptor = acceptor.map(Arc::new);
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
                welcome(&cluster, connected, acceptor.clone());
                // In a flood of connections the sessions have their turn after each.
                yield_now().await;
            }
            Err(error) => {
                if is_out_of_files(&error) {
                    let dropped = (0..ROOM_MADE).filter(|_| cluster.waiting_room().make_room()).count();
                    cluster.totals().handshakes_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                }
                cluster.limit_reached("accept", &format!("cannot accept a connection: {error}"));
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
fn welcome(cluster: &Arc<Cluster>, connected: Connected, acceptor: Option<Arc<Acceptor>>) {
    let (places, room) = (cluster.places(), cluster.waiting_room());
    let handshakes = cluster.config().handshakes;
    let most = (handshakes.max as usize).min(places.free() + room.len());
    let Some((mut guest, is_full)) = room.enter(connected.remote_ip, most) else {
        cluster.totals().refused();
        count(&cluster.totals().connections_over_limit);
        cluster.limit_reached("maxconn", "peers have all connections there may be: new ones are closed");
        return;
    };
    if is_full {
        count(&cluster.totals().handshakes_dropped);
        let limit = if most < handshakes.max as usize { "maxconn" } else { "handshakes max" };
        cluster.limit_reached(limit, "a connection that has not said its hello is closed for a new one");
    }
    let place = places.take();
    let (cluster, supervisor) = (Arc::clone(cluster), cluster.supervisor.clone());
    supervisor.job("inbound connection", async move {
        let hello = greet(&cluster, connected, acceptor.as_deref());
        let greeted = tokio::select! {
            greeted = timeout(Duration::from_millis(handshakes.timeout.into()), hello) => greeted,
            () = guest.sent_away() => Ok(None),
        };
        drop(guest);
        match greeted {
            Ok(Some(welcome)) => {
                let _session = place.for_session();
                welcome.run(&cluster).await;
            }
            Ok(None) => {}
            Err(_) => {
                cluster.totals().refused();
                count(&cluster.totals().handshakes_timed_out);
                cluster.limit_reached("handshakes timeout", "a connection did not say its hello in time");
            }
        }
    });
}

/// An inbound connection whose hello was accepted.
struct Welcome {
    connection: Arc<Connection>,
    session: Arc<parking_lot::Mutex<haproxy_peers::Session>>,
    stream: Box<dyn crate::net::Stream>,
    received: Vec<u8>,
}

impl Welcome {
    async fn run(mut self, cluster: &Arc<Cluster>) {
        // If it does not go out, the session will notice.
        answer(&mut self.stream, Status::Accepted).await;
        cluster.run(self.connection, self.session, self.stream, &self.received).await;
    }
}

/// Reads the hello and answers it.
async fn greet(cluster: &Arc<Cluster>, connected: Connected, acceptor: Option<&Acceptor>) -> Option<Welcome> {
    let Connected { mut stream, remote, remote_ip, local } = connected;
    let mut proof = NameProof::any();
    if let Some(acceptor) = acceptor {
        match acceptor.accept(stream).await {
            Ok(encrypted) => {
                proof = acceptor.proof(&encrypted);
                stream = Box::new(encrypted);
            }
            Err(error) => {
                report(cluster, remote_ip, "TLS", |left_out| {
                    let section = cluster.name();
                    warn!(section, address = remote, %error, left_out, "TLS handshake failed");
                });
                return None;
            }
        }
    }
    let (hello, received) = match read_hello(cluster, &mut stream).await? {
        Ok(heard) => heard,
        Err(error) => {
            report(cluster, remote_ip, "hello", |left_out| {
                report_hello(cluster, &remote, &error, left_out);
            });
            return None;
        }
    };
    if !proof.admits(&hello.sender) {
        let (section, peer, status) = (cluster.name(), shown(&hello.sender), Status::UnknownPeer);
        report(cluster, remote_ip, peer, |left_out| {
            let error = HandshakeError::PeerName { name: peer.to_owned() };
            warn!(
                section,
                peer,
                address = remote,
                status = status.code(),
                left_out,
                "refused a peer: {error}"
            );
        });
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
        Ok((connection, session)) => Some(Welcome { connection, session, stream, received }),
        Err(greeting) => {
            let from = From { address: &remote, ip: remote_ip, may_join };
            refuse(cluster, &mut stream, &hello, from, greeting).await;
            None
        }
    }
}

/// Reads a hello, and what came behind it. A wrong one is answered; `None` when the connection ended before.
pub(super) async fn read_hello(
    cluster: &Cluster,
    stream: &mut Box<dyn crate::net::Stream>,
) -> Option<Result<(Hello, Vec<u8>), HelloError>> {
    let mut parser = HelloParser::new(cluster.buffer_size().min(MAX_HELLO));
    let mut input = vec![0; 4096];
    loop {
        let count = stream.read(&mut input).await.ok().filter(|&count| count > 0)?;
        match parser.feed(&input[..count], |name| cluster.is_local_name(name)) {
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

/// Where a hello came from.
struct From<'a> {
    address: &'a str,
    ip: Option<std::net::IpAddr>,
    /// Whether it is an address of peers that need no line.
    may_join: bool,
}

async fn refuse(
    cluster: &Cluster,
    stream: &mut Box<dyn crate::net::Stream>,
    hello: &Hello,
    from: From<'_>,
    greeting: Greeting,
) {
    let section = cluster.name();
    let (address, peer) = (from.address, shown(&hello.sender));
    match greeting {
        Greeting::Refuse(status) => {
            let code = status.code();
            if status != Status::UnknownPeer {
                if let Some(left_out) = cluster.may_log(peer, Level::INFO) {
                    info!(section, peer, address, status = code, left_out, "told the peer to come later");
                }
            } else if cluster.is_local_name(&hello.sender) {
                report(cluster, from.ip, peer, |left_out| {
                    let why = "refused a peer that says this node's own name: give each node a name of its own (localpeer, \
                               -L); a copied configuration or machine has the name of its original";
                    warn!(section, peer, address, status = code, left_out, "{why}");
                });
            } else if from.may_join {
                count(&cluster.totals().dynamic_peers_refused);
                report(cluster, from.ip, peer, |left_out| {
                    let why = "refused a peer that may join: there are dynamic-peers max of them, or its name is none";
                    warn!(section, peer, address, status = code, left_out, "{why}");
                });
            } else {
                report(cluster, from.ip, peer, |left_out| {
                    let why = "refused an unknown peer: no peer line of this section has its name";
                    warn!(section, peer, address, status = code, left_out, "{why}");
                });
            }
            answer(stream, status).await;
        }
        Greeting::Drop(reason) => {
            if let Some(left_out) = cluster.may_log(peer, Level::DEBUG) {
                debug!(section, peer, address, reason, left_out, "closed without an answer");
            }
        }
        Greeting::Welcome { .. } => {}
    }
}

/// As much of a stranger's name as is shown.
fn shown(name: &str) -> &str {
    name.char_indices().nth(MAX_SHOWN).map_or(name, |(end, _)| &name[..end])
}

/// Counts a refusal and logs it unless the same stranger, told by address and name, was logged a moment ago, or strangers
/// have caused many lines. The line says how many were left out before it, if any.
fn report(cluster: &Cluster, address: Option<std::net::IpAddr>, name: &str, line: impl FnOnce(Option<u64>)) {
    cluster.totals().refused();
    if let Some(left_out) = cluster.refusal_is_due(address, name) {
        line(left_out);
    }
}

fn report_hello(cluster: &Cluster, remote: &str, error: &HelloError, left_out: Option<u64>) {
    let status = error.status().map_or(0, Status::code);
    warn!(
        section = cluster.name(),
        address = remote,
        status,
        local_peer = cluster.local_name(),
        left_out,
        "refused a hello: {error}"
    );
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
