//! Connections that peers open.

use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::{Greeting, Hello, HelloError, HelloParser, HelloProgress, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::cluster::Cluster;
use super::connection::{Connection, Direction};
use crate::net::{Connected, Listener};
use crate::tls::Acceptor;

/// Longest wait for a whole hello; HAProxy gives it the same (peers-protocol §3).
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that have not said their hello; further ones are closed at once.
const MAX_UNGREETED: usize = 1024;
/// Pause after the system could not accept, for example without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until `stopped` says so.
pub(super) async fn accept(
    cluster: Arc<Cluster>,
    listener: Listener,
    acceptor: Option<Acceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(MAX_UNGREETED));
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
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    cluster.totals().refused();
                    continue;
                };
                let (cluster, acceptor) = (Arc::clone(&cluster), acceptor.clone());
                tokio::spawn(async move {
                    let greeted =
                        timeout(HELLO_TIMEOUT, greet(&cluster, connected, acceptor.as_deref())).await;
                    drop(permit);
                    if let Ok(Some(welcome)) = greeted {
                        welcome.run(&cluster).await;
                    }
                });
            }
            Err(error) => {
                warn!(section = cluster.name(), %error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
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
    if let Some(acceptor) = acceptor {
        match acceptor.accept(stream).await {
            Ok(encrypted) => stream = Box::new(encrypted),
            Err(error) => {
                report(cluster, remote_ip, "TLS", || {
                    warn!(section = cluster.name(), address = remote, %error, "TLS handshake failed");
                });
                return None;
            }
        }
    }
    let mut parser = HelloParser::new(cluster.buffer_size());
    let mut input = vec![0; 4096];
    let (hello, received) = loop {
        let count = stream.read(&mut input).await.ok().filter(|&count| count > 0)?;
        match parser.feed(&input[..count], |name| cluster.is_local_name(name)) {
            HelloProgress::Incomplete => {}
            HelloProgress::Complete(hello, consumed) => break (hello, input[consumed..count].to_vec()),
            HelloProgress::Refused(error) => {
                report(cluster, remote_ip, "hello", || report_hello(cluster, &remote, &error));
                if let Some(status) = error.status() {
                    answer(&mut stream, status).await;
                }
                return None;
            }
        }
    };
    let may_join = cluster.may_join(remote_ip);
    let welcome = cluster.greet(&hello, may_join, |session, id, peer, name| {
        let connection = Arc::new(Connection::new(id, peer, name, Direction::Inbound, acceptor.is_some()));
        let session = connection.establish(session, remote.clone(), local);
        (connection, session)
    });
    match welcome {
        // No waiting from here on: a time-out would leave a session that nobody runs.
        Ok((connection, session)) => Some(Welcome { connection, session, stream, received }),
        Err(greeting) => {
            refuse(cluster, &mut stream, &hello, (&remote, remote_ip), greeting).await;
            None
        }
    }
}

async fn refuse(
    cluster: &Cluster,
    stream: &mut Box<dyn crate::net::Stream>,
    hello: &Hello,
    (remote, remote_ip): (&str, Option<std::net::IpAddr>),
    greeting: Greeting,
) {
    let (section, peer) = (cluster.name(), hello.sender.as_str());
    match greeting {
        Greeting::Refuse(status) => {
            let stranger = status == Status::UnknownPeer;
            let line = || {
                warn!(
                    section,
                    peer,
                    address = remote,
                    status = status.code(),
                    "refused an unknown peer: no peer line of this section has its name"
                );
            };
            if stranger {
                report(cluster, remote_ip, peer, line);
            } else {
                info!(section, peer, address = remote, status = status.code(), "told the peer to come later");
            }
            answer(stream, status).await;
        }
        Greeting::Drop(reason) => debug!(section, peer, address = remote, reason, "closed without an answer"),
        Greeting::Welcome { .. } => {}
    }
}

/// Counts a refusal and logs it unless the same stranger, told by address and name, was logged a moment ago.
fn report(cluster: &Cluster, address: Option<std::net::IpAddr>, name: &str, line: impl FnOnce()) {
    cluster.totals().refused();
    if cluster.refusal_is_due(address, name) {
        line();
    }
}

fn report_hello(cluster: &Cluster, remote: &str, error: &HelloError) {
    let status = error.status().map_or(0, Status::code);
    warn!(
        section = cluster.name(),
        address = remote,
        status,
        local_peer = cluster.local_name(),
        "refused a hello: {error}"
    );
}

/// Sends a status, and ends the stream after a refusal.
async fn answer(stream: &mut Box<dyn crate::net::Stream>, status: Status) {
    let mut line = Vec::new();
    status.encode(&mut line);
    let sent = stream.write_all(&line).await.is_ok() && stream.flush().await.is_ok();
    if sent && status != Status::Accepted {
        let _ = stream.shutdown().await;
    }
}
