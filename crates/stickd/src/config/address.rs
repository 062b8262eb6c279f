//! Addresses in HAProxy's forms: `1.2.3.4:10000`, `:10000`, `[::1]:10000`, `host:10000`, `/path`, `unix@path`, …

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use thiserror::Error;

/// Longest path of a Unix socket, in bytes: what fits a socket address with its terminator.
pub const MAX_UNIX_PATH: usize = 107;

/// Where to listen or to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port. `:10000` and `*:10000` mean every IPv4 address of the machine.
    Ip(SocketAddr),
    /// A host name to resolve, and a port.
    Host {
        /// The name.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
        /// Set by `ipv4@` and `ipv6@`: only addresses of this family count.
        family: Option<Family>,
    },
    /// A Unix socket; a relative path starts at the working directory.
    Unix(PathBuf),
}

/// A family of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The families that a listener at an IPv6 wildcard serves. At every other address the words have no effect, as in HAProxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WildcardFamilies {
    /// IPv6, and IPv4 as well where `net.ipv6.bindv6only` is 0: what the system does by default.
    #[default]
    AsSystem,
    /// IPv4 and IPv6 (`v4v6`).
    Both,
    /// IPv6 (`v6only`, which is stronger than `v4v6`).
    V6Only,
}

/// Why a word is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AddressError {
    #[error("the port is missing")]
    MissingPort,
    #[error("\"{0}\" is not a port: a number from 1 to 65535 is expected")]
    Port(String),
    #[error("a port range is not allowed here: give one port")]
    PortRange,
    #[error("\"{0}\" is neither an address nor a host name")]
    Host(String),
    #[error("\"{0}\" is not an IPv4 address")]
    NotV4(String),
    #[error("\"{0}\" is not an IPv6 address")]
    NotV6(String),
    #[error("the closing bracket of the address is missing")]
    Bracket,
    #[error("addresses that start with {0}@ are not supported")]
    Prefix(String),
    #[error("HAProxy takes {0}@, stickd opens its sockets itself: at an IP address or a path")]
    HaproxysPrefix(String),
    #[error("the path is empty")]
    EmptyPath,
    #[error("the path has {0} bytes; a Unix socket has at most {MAX_UNIX_PATH}")]
    LongPath(usize),
}

impl Address {
    /// Reads an address. The port is mandatory except for Unix sockets. Host names are kept, not resolved.
    ///
    /// # Errors
    /// When the word has none of the forms above; see [`AddressError`].
    pub fn parse(word: &str) -> Result<Self, AddressError> {
        match word.split_once('@') {
            Some(("unix" | "uxst" | "unix+stream", path)) => Self::unix(path),
            Some(("ipv4" | "tcp4" | "ipv4+tcp", rest)) => Self::network(rest, Some(Family::V4)),
            Some(("ipv6" | "tcp6" | "ipv6+tcp", rest)) => Self::network(rest, Some(Family::V6)),
            Some(("tcp" | "ip" | "ip+tcp", rest)) => Self::network(rest, None),
            Some((prefix, _)) if is_haproxys(prefix) => Err(AddressError::HaproxysPrefix(prefix.to_owned())),
            Some((prefix, _)) => Err(AddressError::Prefix(prefix.to_owned())),
            None if word.starts_with('/') => Self::unix(word),
            None => Self::network(word, None),
        }
    }

    /// Whether the address means every address of the machine: good to listen on, not to connect to.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Ip(address) if address.ip().is_unspecified())
    }

    /// Whether a listener at this address and one at `other` would take the same connections. `own` and `others` say what
    /// each serves if it is an IPv6 wildcard; one that leaves this to the system counts as serving both families.
    pub fn overlaps(&self, own: WildcardFamilies, other: &Self, others: WildcardFamilies) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(two)) if one.port() == two.port() => {
                covers(one.ip(), own, two.ip()) || covers(two.ip(), others, one.ip())
            }
            (one, two) => one == two,
        }
    }

    fn unix(path: &str) -> Result<Self, AddressError> {
        match path.len() {
            0 => Err(AddressError::EmptyPath),
            length if length > MAX_UNIX_PATH => Err(AddressError::LongPath(length)),
            _ => Ok(Self::Unix(PathBuf::from(path))),
        }
    }

    fn network(word: &str, family: Option<Family>) -> Result<Self, AddressError> {
        let (host, port) = split_port(word)?;
        let port = parse_port(port)?;
        match (host, family) {
            ("" | "*", Some(Family::V6)) => Ok(Self::Ip((Ipv6Addr::UNSPECIFIED, port).into())),
            ("" | "*", _) => Ok(Self::Ip((Ipv4Addr::UNSPECIFIED, port).into())),
            _ => match host.parse() {
                Ok(IpAddr::V6(_)) if family == Some(Family::V4) => Err(AddressError::NotV4(host.to_owned())),
                Ok(IpAddr::V4(_)) if family == Some(Family::V6) => Err(AddressError::NotV6(host.to_owned())),
                Ok(ip) => Ok(Self::Ip(SocketAddr::new(ip, port))),
                Err(_) if is_host_name(host) => Ok(Self::Host { host: host.to_owned(), port, family }),
                Err(_) => Err(AddressError::Host(host.to_owned())),
            },
        }
    }
}

/// Whether HAProxy has addresses of this kind.
fn is_haproxys(prefix: &str) -> bool {
    let families = ["fd", "abns", "abnsz", "sockpair", "rhttp", "rev", "uxdg", "udp", "quic", "mptcp"];
    prefix.split('+').any(|part| families.contains(&part.trim_end_matches(['4', '6'])))
}

/// Whether a listener at `listening` takes every connection to `ip`.
fn covers(listening: IpAddr, families: WildcardFamilies, ip: IpAddr) -> bool {
    let (listening, ip) = (listening.to_canonical(), ip.to_canonical());
    match listening {
        _ if listening == ip => true,
        IpAddr::V4(all) if all.is_unspecified() => ip.is_ipv4(),
        IpAddr::V6(all) if all.is_unspecified() => ip.is_ipv6() || families != WildcardFamilies::V6Only,
        _ => false,
    }
}

/// Splits `host:port` at the last colon; brackets around the host are taken off.
fn split_port(word: &str) -> Result<(&str, &str), AddressError> {
    if let Some(rest) = word.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressError::Bracket)?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(AddressError::NotV6(host.to_owned()));
        }
        return Ok((host, rest.strip_prefix(':').ok_or(AddressError::MissingPort)?));
    }
    word.rsplit_once(':').ok_or(AddressError::MissingPort)
}

fn parse_port(port: &str) -> Result<u16, AddressError> {
    match port {
        "" => Err(AddressError::MissingPort),
        _ if port.split_once('-').is_some_and(|(low, high)| is_number(low) && is_number(high)) => {
            Err(AddressError::PortRange)
        }
        _ => match port.parse() {
            Ok(number) if number != 0 && is_number(port) => Ok(number),
            _ => Err(AddressError::Port(port.to_owned())),
        },
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters, digits, hyphens, underscores and dots, at most 253 bytes, and not only digits and dots.
fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && host.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !host.starts_with(['-', '.'])
        && !host.contains("..")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Host { host, port, family: None } => write!(f, "{host}:{port}"),
            Self::Host { host, port, family: Some(Family::V4) } => write!(f, "ipv4@{host}:{port}"),
            Self::Host { host, port, family: Some(Family::V6) } => write!(f, "ipv6@{host}:{port}"),
            Self::Unix(path) => write!(f, "unix@{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (word, written) in [
            ("1.2.3.4:10000", "1.2.3.4:10000"),
            (":10000", "0.0.0.0:10000"),
            ("*:10000", "0.0.0.0:10000"),
            ("[::1]:10000", "[::1]:10000"),
            ("::1:10000", "[::1]:10000"),
            (":::10000", "[::]:10000"),
            ("2001:db8::5:1024", "[2001:db8::5]:1024"),
            ("ipv4@:10000", "0.0.0.0:10000"),
            ("ipv6@:10000", "[::]:10000"),
            ("ipv6@*:10000", "[::]:10000"),
            ("ipv4@10.0.0.1:1", "10.0.0.1:1"),
            ("ipv6@::1:65535", "[::1]:65535"),
            ("tcp@node-1.example.org:1024", "node-1.example.org:1024"),
            ("ipv4@node1:1024", "ipv4@node1:1024"),
            ("ipv6@node1:1024", "ipv6@node1:1024"),
            ("node_1:1024", "node_1:1024"),
            ("/run/peers.sock", "unix@/run/peers.sock"),
            ("unix@stickd.sock", "unix@stickd.sock"),
            ("unix@/run/a:b", "unix@/run/a:b"),
        ] {
            let address = Address::parse(word).unwrap();
            assert_eq!(address.to_string(), written, "{word}");
            assert_eq!(Address::parse(written), Ok(address), "{written}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        let port = |text: &str| AddressError::Port(text.to_owned());
        for (word, error) in [
            ("", AddressError::MissingPort),
            ("10.0.0.1", AddressError::MissingPort),
            ("10.0.0.1:", AddressError::MissingPort),
            ("node1", AddressError::MissingPort),
            ("stickd.sock", AddressError::MissingPort),
            ("[::1]", AddressError::MissingPort),
            ("[::1:10000", AddressError::Bracket),
            ("[10.0.0.1]:10000", AddressError::NotV6("10.0.0.1".to_owned())),
            ("10.0.0.1:0", port("0")),
            ("10.0.0.1:65536", port("65536")),
            ("10.0.0.1:+10", port("+10")),
            ("10.0.0.1:http", port("http")),
            ("10.0.0.1:1-5", AddressError::PortRange),
            ("10.0.0.300:1", AddressError::Host("10.0.0.300".to_owned())),
            ("a b:1", AddressError::Host("a b".to_owned())),
            ("a..b:1", AddressError::Host("a..b".to_owned())),
            ("ipv4@::1:1", AddressError::NotV4("::1".to_owned())),
            ("ipv6@10.0.0.1:1", AddressError::NotV6("10.0.0.1".to_owned())),
            ("fd@3", AddressError::HaproxysPrefix("fd".to_owned())),
            ("abns@name", AddressError::HaproxysPrefix("abns".to_owned())),
            ("quic4@:1", AddressError::HaproxysPrefix("quic4".to_owned())),
            ("unix+dgram@x", AddressError::Prefix("unix+dgram".to_owned())),
            ("tpc@:1", AddressError::Prefix("tpc".to_owned())),
            ("unix@", AddressError::EmptyPath),
        ] {
            assert_eq!(Address::parse(word), Err(error), "{word}");
        }
        let long = format!("/{}", "x".repeat(MAX_UNIX_PATH));
        assert_eq!(Address::parse(&long), Err(AddressError::LongPath(108)));
    }

    #[test]
    fn listeners_that_take_the_same_connections_are_known() {
        use WildcardFamilies::{AsSystem, Both, V6Only};
        for (one, families, two, overlap) in [
            ("0.0.0.0:1", AsSystem, "0.0.0.0:1", true),
            ("0.0.0.0:1", AsSystem, "0.0.0.0:2", false),
            ("0.0.0.0:1", AsSystem, "127.0.0.1:1", true),
            ("10.0.0.1:1", AsSystem, "127.0.0.1:1", false),
            (":::1", AsSystem, "0.0.0.0:1", true),
            (":::1", Both, "127.0.0.1:1", true),
            (":::1", V6Only, "0.0.0.0:1", false),
            (":::1", V6Only, "127.0.0.1:1", false),
            (":::1", V6Only, "::1:1", true),
            ("0.0.0.0:1", AsSystem, "::1:1", false),
            ("::ffff:127.0.0.1:1", AsSystem, "127.0.0.1:1", true),
            ("n.example:1", AsSystem, "n.example:1", true),
            ("n.example:1", AsSystem, "m.example:1", false),
            ("/run/a", AsSystem, "unix@/run/a", true),
            ("/run/a", AsSystem, ":1", false),
        ] {
            let (first, second) = (Address::parse(one).unwrap(), Address::parse(two).unwrap());
            assert_eq!(first.overlaps(families, &second, AsSystem), overlap, "{one} {two}");
            assert_eq!(second.overlaps(AsSystem, &first, families), overlap, "{two} {one}");
        }
    }

    #[test]
    fn wildcards_are_known() {
        for (word, wildcard) in [(":1", true), ("ipv6@:1", true), ("10.0.0.1:1", false), ("/s", false)] {
            assert_eq!(Address::parse(word).unwrap().is_wildcard(), wildcard, "{word}");
        }
    }
}
