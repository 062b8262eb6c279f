//! Listening and connecting, over TCP and Unix sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

use crate::config::Address;
use crate::config::address::Family;
use crate::unix_path::UnixPath;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection with its ends, as `show peers` prints them.
pub struct Connected {
    /// The bytes.
    pub stream: Box<dyn Stream>,
    /// The other end: `<ip>:<port>`, or `unix:<path>`.
    pub remote: String,
    /// The other end's address, `None` for Unix sockets.
    pub remote_ip: Option<IpAddr>,
    /// This end.
    pub local: String,
}

/// A listening socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket at a path.
    Unix(UnixListener, UnixPath),
}

impl Listener {
    /// Listens. `shared` lets another process listen at the same address, so that a new one can take over from an old
    /// one; without it an address in use is an error. A Unix socket stands at its path after [`publish`](Self::publish).
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind(address: &Address, shared: bool) -> io::Result<Self> {
        if let Address::Unix(path) = address {
            return bind_unix(path, shared);
        }
        Ok(Self::Tcp(listen_tcp(resolve(address, None).await?, shared)?))
    }

    /// Puts a Unix socket at its path: from now on clients reach this process. TCP needs nothing.
    ///
    /// # Errors
    /// When what stands at the path cannot be replaced.
    pub fn publish(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Unix(_, path) => path.publish(),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// As the system says; most are of one connection or pass.
    pub async fn accept(&self) -> io::Result<Connected> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                tcp(stream, remote)
            }
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok(unix(stream, path.path()))
            }
        }
    }
}

/// Listens at an address that other processes may take over; `shared` as in [`Listener::bind`].
pub(crate) fn listen_tcp(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    if !shared && address.port() != 0 {
        // Bound without sharing for a moment: that fails if anybody listens there.
        drop(bind_tcp(address, false)?);
    }
    let socket = bind_tcp(address, true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &Path, shared: bool) -> io::Result<Listener> {
    if !shared && std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let (listener, path) = UnixPath::bind(path)?;
    Ok(Listener::Unix(listener, path))
}

/// Connects, over TCP from the address `source` if it is given, whose port may be 0 for any.
///
/// # Errors
/// When the name cannot be resolved, nobody answers within 3 s, or the connection is refused.
pub async fn connect(address: &Address, source: Option<SocketAddr>) -> io::Result<Connected> {
    let attempt = async {
        if let Address::Unix(path) = address {
            return Ok(unix(UnixStream::connect(path).await?, path));
        }
        let remote = resolve(address, source).await?;
        tcp(connect_tcp(reachable(remote), source).await?, remote)
    };
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s");
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(timed_out()))
}

async fn connect_tcp(remote: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(remote).await };
    if source.is_ipv4() != remote.is_ipv4() {
        let why = format!("the source address {} is of another family than {}", source.ip(), remote.ip());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
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

fn tcp(stream: TcpStream, remote: SocketAddr) -> io::Result<Connected> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?.to_string();
    Ok(Connected {
        remote: remote.to_string(),
        remote_ip: Some(remote.ip().to_canonical()),
        local,
        stream: Box::new(stream),
    })
}

fn unix(stream: UnixStream, path: &Path) -> Connected {
    let name = format!("unix:{}", path.display());
    Connected { remote: name.clone(), remote_ip: None, local: name, stream: Box::new(stream) }
}

/// The address of a name; of several the first that can be reached from `source`.
async fn resolve(address: &Address, source: Option<SocketAddr>) -> io::Result<SocketAddr> {
    match address {
        Address::Ip(address) => Ok(*address),
        Address::Host { host, port, family } => {
            let fits = |found: &SocketAddr| match family {
                None => source.is_none_or(|source| source.is_ipv4() == found.is_ipv4()),
                Some(Family::V4) => found.is_ipv4(),
                Some(Family::V6) => found.is_ipv6(),
            };
            let found = lookup_host((host.as_str(), *port)).await?.find(fits);
            found
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{host} has no such address")))
        }
        Address::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_shared_by_those_that_take_over_only() {
        let first = listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(listen_tcp(address, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listen_tcp(address, true).unwrap();
    }

    #[tokio::test]
    async fn a_connection_comes_from_its_source() {
        let listener = listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        for source in [[127, 0, 0, 1], [127, 0, 0, 5]] {
            let connected = connect(&address, Some(SocketAddr::from((source, 0)))).await.unwrap();
            let (_, from) = listener.accept().await.unwrap();
            assert_eq!((from.ip(), from.to_string()), (IpAddr::from(source), connected.local));
        }
        // 192.0.2.0/24 is nobody's.
        let error = async |source: &str| {
            let outcome = connect(&address, Some(source.parse().unwrap())).await;
            outcome.err().unwrap().to_string()
        };
        assert!(error("192.0.2.1:0").await.starts_with("cannot connect from 192.0.2.1:0: "));
        assert!(error("[::1]:0").await.contains("another family"));
    }

    #[tokio::test]
    async fn connections_to_several_peers_come_from_one_port() {
        let mut listeners =
            [0, 0].map(|port| listen_tcp(SocketAddr::from(([127, 0, 0, 1], port)), false).unwrap());
        let mut source = SocketAddr::from(([127, 0, 0, 5], 0));
        let mut connections = Vec::new();
        for listener in &mut listeners {
            let address = Address::Ip(listener.local_addr().unwrap());
            let connected = connect(&address, Some(source)).await.unwrap();
            assert!(source.port() == 0 || connected.local == source.to_string());
            source = connected.local.parse().unwrap();
            connections.push(connected);
        }
    }
}
