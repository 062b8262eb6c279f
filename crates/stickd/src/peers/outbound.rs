//! Connections that this side opens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haproxy_peers::{Hello, Status, StatusParser, StatusProgress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::connection::Connection;
use super::target::Target;
use crate::handover::Successor;
use crate::net::{Connected, Reached, Route, Stream};
use crate::tls::{HandshakeError, connection_fault};

/// Longest wait for the status (peers-protocol §3: both sides give up after 5 s of inactivity).
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// How what a peer sends begins when its listener speaks TLS: an alert, or a handshake.
const TLS_STARTS: [&[u8]; 2] = [&[0x15, 0x03], &[0x16, 0x03]];
const ANSWER_IN_TLS: &str = "the peer's listener speaks TLS: add \"ssl\" and its parameters to the peer's line here, or remove \
                             \"ssl\" from its bind line";
const NO_ANSWER: &str = "the peer closed the connection instead of answering the hello; see its log, and whether its listener \
                         wants TLS (\"ssl\")";
/// How an attempt ends that the peer closes.
const CLOSED: [io::ErrorKind; 3] =
    [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
/// How long an attempt of the peer may be on its way that crosses one of this side.
const CROSSING: Duration = Duration::from_secs(1);
/// Longest status line accepted, in bytes.
const MAX_STATUS: usize = 1024;

/// Connects, says hello, and runs the session when the peer accepts it.
pub(super) async fn connect(
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    target: Target,
    hello: Hello,
) {
    let attempt = shake_hands(&cluster, &connection, &target, &hello);
    conclude(&cluster, &connection, &target.address.to_string(), attempt).await;
}

/// Does the same with the process that takes over.
pub(super) async fn teach(
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    successor: Option<Arc<Successor>>,
    hello: Hello,
) {
    let attempt = async {
        let Some(successor) = &successor else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no process takes over"));
        };
        let connected = successor.reach(cluster.config()).await?;
        greet(&cluster, &connection, connected, None, &hello).await
    };
    conclude(&cluster, &connection, "the next process", attempt).await;
}

/// Runs the session of an attempt that succeeds.
async fn conclude(
    cluster: &Arc<Cluster>,
    connection: &Arc<Connection>,
    address: &str,
    attempt: impl Future<Output = io::Result<Answered>>,
) {
    let outcome = tokio::select! {
        outcome = attempt => outcome,
        reason = connection.closed() => {
            cluster.attempt_failed(connection, reason.to_owned(), false);
            return;
        }
    };
    match outcome {
        Ok(Answered { stream, remote, local, status, received }) => {
            let Some(session) = cluster
                .handle_status(connection, status, |session| connection.establish(session, remote, local))
            else {
                // Accepted all the same when another session took the place of this attempt meanwhile.
                if status != Status::Accepted {
                    cluster.journal.refused_by(&connection.name, address, status);
                }
                return;
            };
            cluster.run(Arc::clone(connection), session, stream, &received).await;
        }
        Err(error) => {
            // The latter is a Unix socket's.
            let kind = error.kind();
            let refused = matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
            let error = error.to_string();
            let mut is_away = cluster.attempt_failed(connection, error.clone(), refused);
            if is_away && CLOSED.contains(&kind) {
                // Where both sides connect at once, the peer closes this attempt, and its own may still be on its way.
                tokio::time::sleep(CROSSING).await;
                is_away = !cluster.has_session(&connection.name);
            }
            cluster.journal.unreachable(connection, address, (kind, &error), is_away);
        }
    }
}

/// A connection whose status came.
struct Answered {
    stream: Box<dyn Stream>,
    remote: String,
    local: String,
    status: Status,
    received: Vec<u8>,
}

async fn shake_hands(
    cluster: &Cluster,
    connection: &Connection,
    target: &Target,
    hello: &Hello,
) -> io::Result<Answered> {
    let mut route = Route::find(&target.address, &target.others, target.source).await?;
    loop {
        let Reached { place, connected } = route.connect().await?;
        match greet(cluster, connection, connected, Some(target), hello).await {
            Ok(answered) => return Ok(answered),
            // Another program may listen at this address, and the peer at the next one.
            Err(error) => route.note_failure(place, error)?,
        }
    }
}

/// Says hello and waits for the status. `target` says how to encrypt; a process of this machine is spoken to in plain.
async fn greet(
    cluster: &Cluster,
    connection: &Connection,
    connected: Connected,
    target: Option<&Target>,
    hello: &Hello,
) -> io::Result<Answered> {
    let Connected { mut stream, remote, local, .. } = connected;
    let in_tls = AtomicBool::new(target.is_some_and(|target| target.connector.is_some()));
    let is_plain = !in_tls.load(Ordering::Relaxed);
    let handshake = async {
        if let Some(target) = target
            && let Some(connector) = &target.connector
        {
            let encrypted = connector.connect(stream, &target.host).await.map_err(io::Error::other)?;
            if !connector.proof(&encrypted).admits(&connection.name) {
                let name = connection.name.clone();
                return Err(io::Error::other(HandshakeError::PeerName { name }));
            }
            stream = Box::new(encrypted);
        }
        in_tls.store(false, Ordering::Relaxed);
        let mut line = Vec::new();
        hello.encode(&mut line).map_err(io::Error::other)?;
        if !cluster.may_say_hello(connection) {
            return Err(io::Error::other("the attempt was given up"));
        }
        // One write: HAProxy judges the version only when the whole hello arrives at once (peers-protocol §2.4).
        stream.write_all(&line).await?;
        stream.flush().await?;
        let mut parser = StatusParser::new(MAX_STATUS);
        let mut input = vec![0; 4096];
        loop {
            let read = stream.read(&mut input).await;
            let count = read.map_err(|error| io::Error::new(error.kind(), connection_fault(&error)))?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, NO_ANSWER));
            }
            if is_plain && TLS_STARTS.iter().any(|start| input.starts_with(start)) {
                return Err(io::Error::other(ANSWER_IN_TLS));
            }
            match parser.feed(&input[..count]) {
                StatusProgress::Incomplete => {}
                StatusProgress::Complete(status, consumed) => {
                    let received = input[consumed..count].to_vec();
                    return Ok(Answered { stream, remote, local, status, received });
                }
                StatusProgress::TooLong => {
                    return Err(io::Error::other(
                        "the answer to the hello is no status; see whether a peers listener is at this address",
                    ));
                }
            }
        }
    };
    let silent = || {
        let late = if in_tls.load(Ordering::Relaxed) {
            "no end of the TLS handshake"
        } else {
            "no answer to the hello"
        };
        let listens =
            "see whether a peers listener is at this address, with \"ssl\" on both sides or on none";
        io::Error::other(format!("{late} within 5 s; {listens}"))
    };
    let answered = timeout(STATUS_TIMEOUT, handshake).await.unwrap_or_else(|_| Err(silent()))?;
    cluster.journal.connected(&connection.name, &answered.remote, hello.version, answered.status);
    Ok(answered)
}
