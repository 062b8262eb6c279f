//! Listening and connecting, over TCP and Unix sockets.

mod connect;
mod listen;
mod lookup;
mod resolve;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub(crate) use connect::{Reached, Route};
pub use listen::Listener;
pub(crate) use listen::listen_at_all;
pub(crate) use resolve::resolve;

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

impl Connected {
    fn tcp(stream: TcpStream, remote: SocketAddr) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (local, remote) = (canonical(stream.local_addr()?), canonical(remote));
        Ok(Self {
            remote: remote.to_string(),
            remote_ip: Some(remote.ip()),
            local: local.to_string(),
            stream: Box::new(stream),
        })
    }

    fn unix(stream: UnixStream, path: &Path) -> Self {
        let name = format!("unix:{}", path.display());
        Self { remote: name.clone(), remote_ip: None, local: name, stream: Box::new(stream) }
    }
}

/// An IPv4 address as such, also where a listener of both families has it as `::ffff:a.b.c.d`.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}
