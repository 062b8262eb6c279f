//! Connecting to a peer that may have several addresses.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Connected, resolve};
use crate::config::Address;

/// Longest wait for a connection, over all addresses of a name.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An address that has not answered for this long gets company: the next one is tried at the same time (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Most addresses of a peer that are tried.
const MAX_ADDRESSES: usize = 16;

/// The ways to a peer, in the order in which they are tried, and what became of those that were.
pub(crate) struct Route {
    /// Addresses that are left to try.
    left: VecDeque<Place>,
    /// Where connections come from.
    source: Option<SocketAddr>,
    failures: Vec<(Place, io::Error)>,
}

/// One way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By TCP.
    Tcp(SocketAddr),
    /// By a Unix socket.
    Unix(PathBuf),
}

/// A connection, and by which way it came about.
pub(crate) struct Reached {
    pub(crate) place: Place,
    pub(crate) connected: Connected,
}

impl Route {
    /// The ways to `address` and then to `others`, over TCP from the address `source` if it is given, whose port may be 0
    /// for any: of a name, its addresses of the same family.
    ///
    /// # Errors
    /// When a name cannot be resolved within 3 s, or nothing is of the source's family.
    pub(crate) async fn find(
        address: &Address,
        others: &[SocketAddr],
        source: Option<SocketAddr>,
    ) -> io::Result<Self> {
        if let Address::Unix(path) = address {
            return Ok(Self { left: [Place::Unix(path.clone())].into(), source: None, failures: Vec::new() });
        }
        let late = |_| {
            io::Error::other("the name was not resolved within 3 s; see the name servers of this machine")
        };
        let found = timeout(CONNECT_TIMEOUT, resolve(address)).await.map_err(late)??;
        Self::over(&[&found, others].concat(), source)
    }

    fn over(found: &[SocketAddr], source: Option<SocketAddr>) -> io::Result<Self> {
        let fits = |address: &&SocketAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
        let left: VecDeque<_> =
            found.iter().filter(fits).take(MAX_ADDRESSES).map(|ip| Place::Tcp(*ip)).collect();
        if let (true, Some(source)) = (left.is_empty(), source) {
            let ips: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
            let why =
                format!("the source address {} is of another family than {}", source.ip(), ips.join(", "));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self { left, source, failures: Vec::new() })
    }

    /// Connects to the first address that answers. All that are left are tried, in order, within 3 s; one that is slow does
    /// not keep the next one waiting.
    ///
    /// # Errors
    /// When none can be reached: with every address that was tried, and the reason of each.
    pub(crate) async fn connect(&mut self) -> io::Result<Reached> {
        let pause = ATTEMPT_DELAY.min(CONNECT_TIMEOUT / (self.left.len() as u32 + 1));
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut next_at = Instant::now();
        let mut running = JoinSet::new();
        let mut waiting: Vec<Place> = Vec::new();
        loop {
            if !self.left.is_empty() && (running.is_empty() || Instant::now() >= next_at) {
                let Some(place) = self.left.pop_front() else { continue };
                next_at = Instant::now() + pause;
                waiting.push(place.clone());
                let source = self.source;
                running.spawn(async move { (place.clone(), place.connect(source).await) });
            }
            if running.is_empty() {
                return Err(self.error());
            }
            tokio::select! {
                // Only a task that panicked gives an error, and these do not.
                Some(Ok((place, outcome))) = running.join_next() => {
                    waiting.retain(|other| *other != place);
                    match outcome {
                        Ok(connected) => {
                            // Those that lost the race may do better at the handshake.
                            self.left.extend(waiting);
                            return Ok(Reached { place, connected });
                        }
                        Err(error) => self.failures.push((place, error)),
                    }
                }
                () = sleep_until(next_at), if !self.left.is_empty() => {}
                () = sleep_until(deadline) => {
                    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s");
                    self.failures.extend(waiting.into_iter().map(|place| (place, late())));
                    return Err(self.error());
                }
            }
        }
    }

    /// Notes that a connection was of no use. The next call of [`connect`](Self::connect) tries what is left.
    ///
    /// # Errors
    /// When nothing is left: as `connect` reports it.
    pub(crate) fn note_failure(&mut self, place: Place, error: io::Error) -> io::Result<()> {
        self.failures.push((place, error));
        if self.left.is_empty() { Err(self.error()) } else { Ok(()) }
    }

    /// What is wrong with the addresses that were tried.
    fn error(&mut self) -> io::Error {
        let mut failures = std::mem::take(&mut self.failures);
        if failures.len() == 1
            && let Some((_, error)) = failures.pop()
        {
            return error;
        }
        let (mut kind, mut text) = (None, String::from("no address of the peer works"));
        for (number, (place, error)) in failures.iter().enumerate() {
            let separator = if number == 0 { ": " } else { "; " };
            text = format!("{text}{separator}{place}: {error}");
            // Refused only when all of them refuse.
            if kind.is_none_or(|kind| kind == io::ErrorKind::ConnectionRefused) {
                kind = Some(error.kind());
            }
        }
        io::Error::new(kind.unwrap_or(io::ErrorKind::NotFound), text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix@{}", path.display()),
        }
    }
}

impl Place {
    async fn connect(self, source: Option<SocketAddr>) -> io::Result<Connected> {
        match self {
            Self::Tcp(remote) => Connected::tcp(connect_tcp(reachable(remote), source).await?, remote),
            Self::Unix(path) => Ok(Connected::unix(UnixStream::connect(&path).await?, &path)),
        }
    }
}

async fn connect_tcp(remote: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(remote).await };
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections to several peers may come from one port.
    socket.set_reuseaddr(true)?;
    let bind_error =
        |error| io::Error::new(io::Error::kind(&error), format!("cannot connect from {source}: {error}"));
    socket.bind(source).map_err(bind_error)?;
    socket.connect(remote).await
}

/// The loopback address in place of "every address of the machine".
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::super::listen::listen_tcp;
    use super::*;
    use crate::config::WildcardFamilies;
    use tokio::net::TcpListener;

    fn listen(ip: impl Into<IpAddr>, port: u16) -> TcpListener {
        listen_tcp(SocketAddr::new(ip.into(), port), WildcardFamilies::AsSystem, false).unwrap()
    }

    async fn connect(found: &[SocketAddr], source: Option<SocketAddr>) -> io::Result<Connected> {
        Ok(Route::over(found, source)?.connect().await?.connected)
    }

    #[tokio::test]
    async fn of_several_addresses_the_first_that_listens_is_taken() {
        let v4 = listen(Ipv4Addr::LOCALHOST, 0);
        let reached = v4.local_addr().unwrap();
        let refused = SocketAddr::from((Ipv6Addr::LOCALHOST, reached.port()));
        for found in [&[refused, reached], &[reached, refused]] {
            assert_eq!(connect(found, None).await.unwrap().remote, reached.to_string());
        }
        // Where both listen, the order of the resolver counts.
        let _v6 = listen(Ipv6Addr::LOCALHOST, reached.port());
        assert_eq!(connect(&[refused, reached], None).await.unwrap().remote, refused.to_string());
    }

    #[tokio::test]
    async fn an_address_that_is_silent_does_not_keep_the_next_one_waiting() {
        // Its backlog is full, so that no connection is answered.
        let full = TcpSocket::new_v4().unwrap();
        full.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut fillers = Vec::new();
        while let Ok(filler) = timeout(Duration::from_millis(300), TcpStream::connect(silent)).await {
            fillers.push(filler.unwrap());
        }
        let listener = listen(Ipv4Addr::LOCALHOST, 0);
        let reached = listener.local_addr().unwrap();
        let mut route = Route::over(&[silent, reached], None).unwrap();
        assert_eq!(route.connect().await.unwrap().connected.remote, reached.to_string());
        assert_eq!(route.left, [Place::Tcp(silent)], "it may still do better at the handshake");
        let error = connect(&[silent], None).await.err().unwrap();
        assert_eq!(error.to_string(), "no answer within 3 s");
    }

    #[tokio::test]
    async fn an_error_names_every_address_and_its_reason() {
        let port = listen(Ipv4Addr::LOCALHOST, 0).local_addr().unwrap().port();
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let error = connect(&[v6, v4], None).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let refused = "Connection refused (os error 111)";
        assert_eq!(
            error.to_string(),
            format!("no address of the peer works: {v6}: {refused}; {v4}: {refused}")
        );
        let listener = listen(Ipv4Addr::LOCALHOST, 0);
        let reached = listener.local_addr().unwrap();
        let mut route = Route::over(&[v6, reached], None).unwrap();
        let place = route.connect().await.unwrap().place;
        let error = route.note_failure(place, io::Error::other("no status")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert_eq!(
            error.to_string(),
            format!("no address of the peer works: {v6}: {refused}; {reached}: no status")
        );
    }

    #[tokio::test]
    async fn a_connection_comes_from_its_source() {
        let listener = listen(Ipv4Addr::LOCALHOST, 0);
        let reached = listener.local_addr().unwrap();
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, reached.port()));
        for source in [[127, 0, 0, 1], [127, 0, 0, 5]] {
            // Of a name with both families, the address of the source's is taken.
            let connected = connect(&[v6, reached], Some(SocketAddr::from((source, 0)))).await.unwrap();
            let (_, from) = listener.accept().await.unwrap();
            assert_eq!((from.ip(), from.to_string()), (IpAddr::from(source), connected.local));
        }
        // 192.0.2.0/24 is nobody's.
        let error = async |source: &str| {
            let outcome = connect(&[reached], Some(source.parse().unwrap())).await;
            outcome.err().unwrap().to_string()
        };
        assert!(error("192.0.2.77:0").await.starts_with("cannot connect from 192.0.2.77:0: "));
        assert_eq!(error("[::1]:0").await, "the source address ::1 is of another family than 127.0.0.1");
    }

    #[tokio::test]
    async fn connections_to_several_peers_come_from_one_port() {
        let mut source = SocketAddr::from(([127, 0, 0, 5], 0));
        let mut connections = Vec::new();
        for listener in [0, 0].map(|port| listen(Ipv4Addr::LOCALHOST, port)) {
            let address = listener.local_addr().unwrap();
            let connected = connect(&[address], Some(source)).await.unwrap();
            assert!(source.port() == 0 || connected.local == source.to_string());
            source = connected.local.parse().unwrap();
            connections.push(connected);
        }
    }
}
