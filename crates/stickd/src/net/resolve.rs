//! The addresses of a host name.

use std::io;
use std::net::SocketAddr;

use super::lookup::look_up;
use crate::config::Address;
use crate::config::address::Family;

/// Every IP address that `address` stands for, in the order of the system's resolver (RFC 6724): at least one.
///
/// # Errors
/// When the name is unknown, has no address of the wanted family, or `address` is a Unix socket.
pub(crate) async fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    match address {
        Address::Ip(address) => Ok(vec![*address]),
        Address::Host { host, port, family } => {
            let is_wanted = |found: &SocketAddr| match family {
                None => true,
                Some(Family::V4) => found.is_ipv4(),
                Some(Family::V6) => found.is_ipv6(),
            };
            let found = look_up(host, *port).await?.into_iter().filter(is_wanted);
            let mut addresses = Vec::new();
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() {
                return Err(no_address(host, *family));
            }
            Ok(addresses)
        }
        Address::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn no_address(host: &str, family: Option<Family>) -> io::Error {
    let kind = match family {
        None => "address",
        Some(Family::V4) => "IPv4 address",
        Some(Family::V6) => "IPv6 address",
    };
    io::Error::new(io::ErrorKind::NotFound, format!("{host} has no {kind}"))
}
