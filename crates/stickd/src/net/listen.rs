//! Listening sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Connected, resolve};
use crate::config::{Address, WildcardFamilies};
use crate::unix_path::UnixPath;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listening socket.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket at a path.
    Unix(UnixListener, UnixPath),
}

impl Listener {
    /// Listens: at each address of a host name, else once. `families` says what an IPv6 wildcard serves. `predecessors`
    /// are processes that may listen at the same address, as they hand over to this one; without any, an address in use is an
    /// error. A Unix socket stands at its path after [`publish`](Self::publish).
    ///
    /// # Errors
    /// When the address cannot be resolved or bound.
    pub async fn bind(
        address: &Address,
        families: WildcardFamilies,
        predecessors: &[i32],
    ) -> io::Result<Vec<Self>> {
        if let Address::Unix(path) = address {
            let (listener, path) = UnixPath::bind_after(path, predecessors)?;
            return Ok(vec![Self::Unix(listener, path)]);
        }
        let shared = !predecessors.is_empty();
        let listeners = listen_at_all(&resolve(address).await?, families, shared)?;
        Ok(listeners.into_iter().map(Self::Tcp).collect())
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
                Connected::tcp(stream, remote)
            }
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok(Connected::unix(stream, path.path()))
            }
        }
    }
}

/// Listens at every address that this machine has; see [`Listener::bind`].
///
/// # Errors
/// When one cannot be bound, or the machine has none of them: a name may list addresses of a family that is switched off.
pub(crate) fn listen_at_all(
    addresses: &[SocketAddr],
    families: WildcardFamilies,
    shared: bool,
) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut failure = None;
    for &address in addresses {
        match listen_tcp(address, families, shared) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_elsewhere(&error) => failure = Some(error),
            Err(error) if addresses.len() > 1 => {
                return Err(io::Error::new(error.kind(), format!("{address}: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// Whether the machine does not have the address, or not its family.
fn is_elsewhere(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(errno, Some(rustix::io::Errno::ADDRNOTAVAIL | rustix::io::Errno::AFNOSUPPORT))
}

/// Listens at an address that other processes may take over; arguments as in [`Listener::bind`].
pub(super) fn listen_tcp(
    address: SocketAddr,
    families: WildcardFamilies,
    shared: bool,
) -> io::Result<TcpListener> {
    if !shared && address.port() != 0 {
        // Bound without sharing for a moment: that fails if anybody listens there, in any of the families.
        drop(bind_tcp(address, families, false)?);
    }
    let socket = bind_tcp(address, families, true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_tcp(address: SocketAddr, families: WildcardFamilies, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        match families {
            WildcardFamilies::AsSystem => {}
            WildcardFamilies::Both => socket.set_only_v6(false)?,
            WildcardFamilies::V6Only => socket.set_only_v6(true)?,
        }
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use tokio::net::TcpStream;

    const ANY_V6: (Ipv6Addr, u16) = (Ipv6Addr::UNSPECIFIED, 0);

    fn listen(address: impl Into<SocketAddr>, families: WildcardFamilies) -> io::Result<TcpListener> {
        listen_tcp(address.into(), families, false)
    }

    #[tokio::test]
    async fn an_address_in_use_is_shared_by_those_that_take_over_only() {
        let first = listen((Ipv4Addr::LOCALHOST, 0), WildcardFamilies::AsSystem).unwrap();
        let address = first.local_addr().unwrap();
        let second = listen(address, WildcardFamilies::AsSystem);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listen_tcp(address, WildcardFamilies::AsSystem, true).unwrap();
    }

    #[tokio::test]
    async fn an_ipv6_wildcard_serves_the_families_that_are_asked_for() {
        let bindv6only = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap();
        let by_default = bindv6only.trim() == "0";
        for (families, serves_v4) in [
            (WildcardFamilies::AsSystem, by_default),
            (WildcardFamilies::Both, true),
            (WildcardFamilies::V6Only, false),
        ] {
            let listener = Listener::Tcp(listen(ANY_V6, families).unwrap());
            let Listener::Tcp(tcp) = &listener else { unreachable!() };
            let port = tcp.local_addr().unwrap().port();
            let v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            assert_eq!(v4.is_ok(), serves_v4, "{families:?}: {v4:?}");
            if let Ok(client) = &v4 {
                let accepted = listener.accept().await.unwrap();
                assert_eq!(accepted.remote, client.local_addr().unwrap().to_string(), "not ::ffff:…");
                assert_eq!(accepted.local, client.peer_addr().unwrap().to_string());
            }
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_listener_of_the_other_family_is_noticed() {
        use WildcardFamilies::{Both, V6Only};
        let in_use = |result: io::Result<TcpListener>| {
            result.err().map(|error| error.kind()) == Some(io::ErrorKind::AddrInUse)
        };
        for first in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
            let v4 = listen((first, 0), Both).unwrap();
            let port = v4.local_addr().unwrap().port();
            assert!(in_use(listen((Ipv6Addr::UNSPECIFIED, port), Both)), "{first} listens");
            assert!(!in_use(listen((Ipv6Addr::UNSPECIFIED, port), V6Only)), "{first} listens");
        }
        let both = listen(ANY_V6, Both).unwrap();
        let port = both.local_addr().unwrap().port();
        assert!(in_use(listen((Ipv4Addr::UNSPECIFIED, port), Both)));
        assert!(in_use(listen((Ipv4Addr::LOCALHOST, port), Both)));
        // A process that takes over may serve more families than the one before.
        for families in [Both, V6Only] {
            listen_tcp((Ipv6Addr::UNSPECIFIED, port).into(), families, true).unwrap();
        }
        listen_tcp((Ipv4Addr::UNSPECIFIED, port).into(), Both, true).unwrap();
    }

    #[tokio::test]
    async fn a_name_is_listened_at_wherever_the_machine_has_its_addresses() {
        // 192.0.2.0/24 is nobody's.
        let elsewhere = SocketAddr::from(([192, 0, 2, 77], 0));
        let local = [SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        let all = [elsewhere, local[0], local[1]];
        let found = listen_at_all(&all, WildcardFamilies::AsSystem, false).unwrap();
        let ips: Vec<_> = found.iter().map(|listener| listener.local_addr().unwrap().ip()).collect();
        assert_eq!(ips, local.map(|address| address.ip()));
        let error = listen_at_all(&[elsewhere], WildcardFamilies::AsSystem, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let taken = found[1].local_addr().unwrap();
        let error = listen_at_all(&[local[0], taken], WildcardFamilies::AsSystem, false).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{taken}: ")), "{error}");
    }
}
