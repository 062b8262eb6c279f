//! Connections that this side opens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::{Hello, Status, StatusParser, StatusProgress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{Level, debug, info, warn};

use super::cluster::{Cluster, Target};
use super::connection::Connection;
use crate::handover::Successor;
use crate::net::{Connected, Reached, Route, Stream};
use crate::tls::HandshakeError;

/// Longest wait for the status (peers-protocol §3: both sides give up after 5 s of inactivity).
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
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
                    let (section, peer) = (cluster.name(), connection.name.as_str());
                    if let Some(left_out) = cluster.may_log(peer, Level::WARN) {
                        let (code, meaning) = (status.code(), explain(status));
                        warn!(section, peer, status = code, left_out, "the peer refused: {meaning}");
                    }
                }
                return;
            };
            cluster.run(Arc::clone(connection), session, stream, &received).await;
        }
        Err(error) => {
            // The latter is a Unix socket's.
            let refused = matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
            let (section, peer) = (cluster.name(), connection.name.as_str());
            let text = error.to_string();
            // When both sides connect at once, one of the two attempts is closed: no news.
            let is_away = cluster.attempt_failed(connection, text.clone(), refused);
            let is_news = is_away && cluster.is_news(peer, &text);
            let level = if is_news { Level::WARN } else { Level::DEBUG };
            match cluster.may_log(peer, level) {
                None => {}
                Some(left_out) if level == Level::WARN => {
                    warn!(
                        section,
                        peer, address, left_out, "cannot reach the peer, trying again and again: {error}"
                    );
                }
                Some(left_out) => {
                    debug!(section, peer, address, left_out, "cannot reach the peer: {error}");
                }
            }
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
        let mut line = Vec::new();
        hello.encode(&mut line);
        if !cluster.may_say_hello(connection) {
            return Err(io::Error::other("the attempt was given up"));
        }
        // One write: HAProxy judges the version only when the whole hello arrives at once (peers-protocol §2.4).
        stream.write_all(&line).await?;
        stream.flush().await?;
        let mut parser = StatusParser::new(MAX_STATUS);
        let mut input = vec![0; 4096];
        loop {
            let count = stream.read(&mut input).await?;
            if count == 0 {
                return Err(io::Error::other(
                    "the peer closed the connection instead of answering the hello",
                ));
            }
            match parser.feed(&input[..count]) {
                StatusProgress::Incomplete => {}
                StatusProgress::Complete(status, consumed) => {
                    let received = input[consumed..count].to_vec();
                    return Ok(Answered { stream, remote, local, status, received });
                }
                StatusProgress::TooLong => {
                    return Err(io::Error::other("the answer to the hello is no status"));
                }
            }
        }
    };
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "no answer to the hello within 5 s");
    let answered = timeout(STATUS_TIMEOUT, handshake).await.unwrap_or_else(|_| Err(silent()))?;
    if let Some(left_out) = cluster.may_log(&connection.name, Level::INFO) {
        info!(
            section = cluster.name(),
            peer = connection.name,
            address = answered.remote,
            version = %hello.version,
            status = answered.status.code(),
            left_out,
            "connected"
        );
    }
    Ok(answered)
}

/// What a status means and what to do about it.
fn explain(status: Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        Status::TryLater => "it is busy with another session; trying again",
        Status::ProtocolError => "it did not understand the hello; is this address a peers listener?",
        Status::VersionMismatch => "it does not speak this version; trying 2.0 next",
        Status::NameMismatch => {
            "its local peer name is another one; make the name of this peer line (or what \"names\" of server-template gives) \
             the peer's own (localpeer, -L)"
        }
        Status::UnknownPeer => "it has no peer of this node's name; add this node to its peers section",
        Status::Other(_) => "the status is unknown; trying again",
    }
}
