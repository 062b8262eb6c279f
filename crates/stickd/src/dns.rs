//! A stub resolver: one question to one of a few name servers, over UDP, or TCP when the answer does not fit.
//!
//! The system's own resolver knows no SRV records and does not tell "there is none" from "nobody answers", which is all
//! the difference here. Nothing is cached: a caching server is where the questions go.

mod message;
mod transport;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use message::Reply;
pub(crate) use message::{Answer, RecordType, Service};

/// Questions that are asked at the same time for one name of the configuration.
pub(crate) const QUESTIONS_AT_ONCE: usize = 16;
/// Wait for an answer before the next server is asked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often each server is asked.
const ROUNDS: usize = 2;
/// Most servers of the system's list: as many as the C library takes.
const MAX_SERVERS: usize = 3;
/// Most names that lead from one to the next.
const MAX_ALIASES: usize = 8;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum DnsError {
    /// No server is known.
    #[error("there is no name server: /etc/resolv.conf has none, and the section no \"nameserver\"")]
    NoServer,
    /// The name cannot be asked for.
    #[error("the name cannot be asked for: {0}")]
    Name(String),
    /// Nothing came in time.
    #[error("the name server {0} does not answer")]
    Silent(SocketAddr),
    /// The server cannot be reached.
    #[error("the name server {0} cannot be reached: {1}")]
    Unreachable(SocketAddr, String),
    /// The server answered that it cannot say.
    #[error("the name server {0} answered {1}")]
    Refused(SocketAddr, String),
    /// The answer cannot be read.
    #[error("the answer of the name server {0} is malformed: {1}")]
    Malformed(SocketAddr, String),
    /// Aliases in a circle, or too many.
    #[error("the name is an alias of an alias, more than {MAX_ALIASES} times")]
    Aliases,
}

impl DnsError {
    /// Whether nobody said anything, so that other questions are likely to be in vain as well.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::NoServer | Self::Silent(_) | Self::Unreachable(..))
    }
}

/// Asks name servers.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    /// The system's when empty.
    servers: Vec<SocketAddr>,
    system: PathBuf,
}

impl Resolver {
    /// Asks these servers in order; the system's when there are none.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, system: "/etc/resolv.conf".into() }
    }

    /// What the name servers know of a name. An answer without records is one, also when it says that there is no such
    /// name.
    pub(crate) async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let servers = self.servers();
        let mut name = name.to_owned();
        for _ in 0..=MAX_ALIASES {
            let answer = ask_all(&servers, &name, kind).await?;
            match answer.alias {
                Some(alias) => name = alias,
                None => return Ok(answer),
            }
        }
        Err(DnsError::Aliases)
    }

    /// The system's list is read each time, as it changes with the network.
    fn servers(&self) -> Vec<SocketAddr> {
        if !self.servers.is_empty() {
            return self.servers.clone();
        }
        let text = std::fs::read_to_string(&self.system).unwrap_or_default();
        system_servers(&text)
    }
}

/// The servers of `resolv.conf`.
fn system_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address: IpAddr =
            words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    };
    text.lines().filter_map(server).take(MAX_SERVERS).collect()
}

/// Asks one server after the other until one knows.
async fn ask_all(servers: &[SocketAddr], name: &str, kind: RecordType) -> Result<Answer, DnsError> {
    let mut failure = DnsError::NoServer;
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        match ask_one(*server, name, kind).await {
            Ok(answer) => return Ok(answer),
            Err(error @ DnsError::Name(_)) => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn ask_one(server: SocketAddr, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
    match exchange(server, name, kind, true).await? {
        Reply::Answer(answer) => Ok(answer),
        // A server that does not know the extension for long answers over UDP.
        Reply::Refused(code) if code.is_of_extensions() => match exchange(server, name, kind, false).await? {
            Reply::Answer(answer) => Ok(answer),
            Reply::Refused(code) => Err(DnsError::Refused(server, code.to_string())),
            Reply::Truncated => Err(malformed(server, "it is cut off over TCP")),
        },
        Reply::Refused(code) => Err(DnsError::Refused(server, code.to_string())),
        Reply::Truncated => Err(malformed(server, "it is cut off over TCP")),
    }
}

/// Asks over UDP, and over TCP when the answer is cut off.
async fn exchange(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    extended: bool,
) -> Result<Reply, DnsError> {
    let question = message::Question { id: random_id(), name, kind, extended };
    let bytes = question.encode()?;
    let reply = transport::udp(server, &bytes, ATTEMPT_TIMEOUT, |answer| question.decode(answer)).await?;
    if !matches!(reply, Reply::Truncated) {
        return Ok(reply);
    }
    transport::tcp(server, &bytes, ATTEMPT_TIMEOUT, |answer| question.decode(answer)).await
}

fn malformed(server: SocketAddr, why: &str) -> DnsError {
    DnsError::Malformed(server, why.to_owned())
}

/// A number that nobody outside can guess.
fn random_id() -> u16 {
    RandomState::new().hash_one(()) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_system() {
        let text = "# nameserver 10.0.0.9\nsearch a.b\n nameserver 10.0.0.1 # first\nnameserver ::1\nnameserver x\n\
                    nameserver\noptions ndots:5\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let servers: Vec<_> = system_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "10.0.0.3:53"]);
    }

    #[tokio::test]
    async fn without_a_server_there_is_no_answer() {
        let resolver = Resolver { servers: Vec::new(), system: "/nonexistent/resolv.conf".into() };
        assert_eq!(resolver.ask("a.b", RecordType::A).await.unwrap_err(), DnsError::NoServer);
    }

    /// Nobody listens there, which the system says at once.
    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = free.local_addr().unwrap();
        drop(free);
        let resolver = Resolver::new(vec![server]);
        let error = resolver.ask("a.b", RecordType::Srv).await.unwrap_err();
        assert!(matches!(&error, DnsError::Unreachable(at, _) if *at == server), "{error}");
        let long = format!("{}.b", "x".repeat(64));
        let error = resolver.ask(&long, RecordType::A).await.unwrap_err();
        assert!(matches!(error, DnsError::Name(_)), "{error}");
    }
}
