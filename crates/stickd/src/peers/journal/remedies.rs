//! What an operator can do, by what happened.

use std::io::ErrorKind;

use haproxy_peers::{HelloError, SessionError, Status};

/// What a status means and what to do about it.
pub(super) const fn explain(status: Status) -> &'static str {
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

/// About an error of the system, to stand behind its text; nothing where that says it.
pub(super) const fn unreachable(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => "; start the peer, or correct its address here",
        ErrorKind::NotFound => "; correct its address here, or create what is missing",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "; see the routes of this machine, and whether the peer is up"
        }
        ErrorKind::TimedOut => "; see whether the machine is up, and whether a firewall drops packets to it",
        ErrorKind::PermissionDenied => "; see the rules of the firewall and the permissions of the socket",
        _ => "",
    }
}

/// About a hello that is refused.
pub(super) const fn hello(error: &HelloError) -> &'static str {
    match error {
        HelloError::NotPeers => {
            "another program connects to this peers listener: see what runs at that address"
        }
        HelloError::Tls => {
            "add \"ssl crt FILE\" to the line of this listener, or remove \"ssl\" from the peer's line for this node"
        }
        HelloError::Version(_) => "use a release that speaks version 2.0 or 2.1 of the peers protocol",
        HelloError::Target(_) => {
            "this node has the name local_peer: write that name in the peer's line for this node, or change it here \
             (localpeer, -L)"
        }
        HelloError::NoPid | HelloError::SenderNotText => {
            "the sender does not keep to the peers protocol: see what runs at that address"
        }
        HelloError::TooLong(_) => "shorten the peer's name, or raise tune.bufsize",
    }
}

/// About a session that a fault ends, to stand behind its text.
pub(super) const fn session(error: &SessionError) -> &'static str {
    match error {
        SessionError::Malformed(_) => {
            "; see the peer's release and log, and whether another program has its address"
        }
        SessionError::Silent(_) => "; the peer hangs, or the network between drops its packets",
        SessionError::Levels(_) => "",
    }
}
