//! A listening socket of the runtime API.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Group, User};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use crate::config::{Level, Owner, SeverityOutput, StatsSocket, address::Address};
use crate::net::{self, Stream};
use crate::unix_path::{UnixPath, obstacle};

/// Why a runtime socket cannot be opened. The configuration names the address; the message says what to do.
#[derive(Debug, Error)]
pub enum BindError {
    /// The socket cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Bind(String, io::Error),
    /// There is no such user or group.
    #[error("there is no {kind} \"{name}\": create it, or give its number as {number}")]
    UnknownOwner {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The keyword that takes a number.
        number: &'static str,
    },
    /// Owner or permissions cannot be set.
    #[error("cannot set owner and mode of {0}: {1}")]
    Permissions(String, io::Error),
    /// What stands at the path is not a socket, so it is left alone; or there can be none.
    #[error("cannot listen on {0}: {1}")]
    Obstacle(String, String),
    /// The bound socket cannot be moved to its path.
    #[error("cannot put the socket at {0}: {1}")]
    Publish(String, io::Error),
}

/// One bound socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) level: Level,
    pub(crate) severity: SeverityOutput,
    /// As `show cli sockets` shows it.
    pub(crate) address: String,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, UnixPath),
}

impl Listener {
    /// Binds a socket, or one for each address of a host name. A Unix socket does not stand at its path before
    /// [`publish`](Self::publish).
    pub(crate) async fn bind(config: &StatsSocket, predecessors: &[i32]) -> Result<Vec<Self>, BindError> {
        let name = config.address.to_string();
        let (level, severity) = (config.level, config.severity);
        if let Address::Unix(path) = &config.address {
            let socket = bind_unix(config, path, predecessors)?;
            return Ok(vec![Self { level, severity, address: name, socket }]);
        }
        let error = |error| BindError::Bind(name.clone(), error);
        let addresses = net::resolve(&config.address).await.map_err(error)?;
        let shared = !predecessors.is_empty();
        let listeners = net::listen_at_all(&addresses, config.families, shared).map_err(error)?;
        let bound = listeners.into_iter().map(|listener| {
            let address = listener.local_addr().map_or_else(|_| name.clone(), |address| address.to_string());
            Self { level, severity, address, socket: Socket::Tcp(listener) }
        });
        Ok(bound.collect())
    }

    /// Puts a Unix socket at its path, over the socket that stands there. TCP sockets share their port and need nothing.
    pub(crate) fn publish(&mut self) -> Result<(), BindError> {
        let Socket::Unix(_, place) = &mut self.socket else { return Ok(()) };
        place.publish().map_err(|error| BindError::Publish(self.address.clone(), error))
    }

    /// The port of a TCP socket.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Socket::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Binds a Unix socket, which may take the place of one of `predecessors`.
fn bind_unix(config: &StatsSocket, path: &Path, predecessors: &[i32]) -> Result<Socket, BindError> {
    let name = config.address.to_string();
    let (user, group) = owners(config)?;
    if let Some(obstacle) = obstacle(path) {
        return Err(BindError::Obstacle(name, obstacle));
    }
    let (listener, place) =
        UnixPath::bind_after(path, predecessors).map_err(|error| BindError::Bind(name.clone(), error))?;
    let passing = place.current();
    let protect = || -> io::Result<()> {
        if user.is_some() || group.is_some() {
            chown(&passing, user, group)?;
        }
        if let Some(mode) = config.mode {
            std::fs::set_permissions(&passing, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    protect().map_err(|error| BindError::Permissions(name, error))?;
    Ok(Socket::Unix(listener, place))
}

/// The numbers of the configured user and group.
///
/// # Errors
/// [`BindError::UnknownOwner`] when there is no such user or group.
pub(crate) fn owners(config: &StatsSocket) -> Result<(Option<u32>, Option<u32>), BindError> {
    let user = match &config.user {
        None => None,
        Some(Owner::Id(id)) => Some(*id),
        Some(Owner::Name(name)) => {
            let user = User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
            Some(user.ok_or_else(|| unknown_owner("user", name, "uid"))?)
        }
    };
    let group = match &config.group {
        None => None,
        Some(Owner::Id(id)) => Some(*id),
        Some(Owner::Name(name)) => {
            let group = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
            Some(group.ok_or_else(|| unknown_owner("group", name, "gid"))?)
        }
    };
    Ok((user, group))
}

fn unknown_owner(kind: &'static str, name: &str, number: &'static str) -> BindError {
    BindError::UnknownOwner { kind, name: name.to_owned(), number }
}
