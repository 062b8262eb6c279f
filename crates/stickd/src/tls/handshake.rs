//! Why no TLS connection came about with a peer.

use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use thiserror::Error;

use super::words::{certificate, connection_fault, fault, refusal};

/// Which end of a connection this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Listens,
    Connects,
}

/// Why no TLS connection came about with a peer. Each text says what to do.
///
/// An error of the first read converts into this too, which is where a listener's refusal arrives with TLS 1.3.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HandshakeError {
    #[error(
        "the peer does not speak TLS: add \"ssl\" to its line for this node, or remove \"ssl\" from this node's own line"
    )]
    PlainPeer,
    #[error(
        "the peer's listener does not speak TLS: add \"ssl crt FILE\" to its bind line, or remove \"ssl\" from its line here"
    )]
    PlainListener,
    #[error(
        "the peer closed the connection within the TLS handshake; see its log, and whether it has \"ssl\" at this address"
    )]
    Closed,
    #[error("{}", fault(&rustls::Error::NoCertificatesPresented))]
    NoCertificate,
    #[error("the peer's certificate is refused: {}", certificate(.0))]
    Certificate(CertificateError),
    #[error(
        "the peer's certificate is refused: it is not for \"{host}\", the host that DNS lists; name another one in \
         \"verifyhost\", or write \"no-verifyhost\" to take any"
    )]
    Host { host: String },
    #[error(
        "the peer's certificate is refused: it is not for the peer name \"{name}\" (verify-peer-name); make one with \
         that name as alternative name (DNS) or common name"
    )]
    PeerName { name: String },
    #[error("{}", refusal(*.0))]
    Refused(AlertDescription),
    #[error("{}", fault(.0))]
    Tls(rustls::Error),
    #[error("the connection failed within the TLS handshake: {}", connection_fault(.0))]
    Io(io::Error),
}

impl HandshakeError {
    pub(super) fn new(side: Side, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match (error.downcast::<rustls::Error>(), side) {
            (Ok(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), Side::Listens) => {
                Self::PlainPeer
            }
            (Ok(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), Side::Connects) => {
                Self::PlainListener
            }
            (Ok(rustls::Error::NoCertificatesPresented), _) => Self::NoCertificate,
            (Ok(rustls::Error::InvalidCertificate(fault)), _) => Self::Certificate(fault),
            (Ok(rustls::Error::AlertReceived(alert)), _) => Self::Refused(alert),
            (Ok(other), _) => Self::Tls(other),
            (Err(error), _) => Self::Io(error),
        }
    }
}

/// Of the side that connects.
impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::new(Side::Connects, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_are_told_apart() {
        let tls = |error| HandshakeError::from(io::Error::new(io::ErrorKind::InvalidData, error));
        let closed = HandshakeError::from(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert!(matches!(closed, HandshakeError::Closed));
        let reset = HandshakeError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(matches!(reset, HandshakeError::Io(_)));
        assert_eq!(
            reset.to_string(),
            "the connection failed within the TLS handshake: the peer reset the connection; see its log"
        );
        assert!(matches!(tls(rustls::Error::NoCertificatesPresented), HandshakeError::NoCertificate));
        let alert = rustls::Error::AlertReceived(AlertDescription::DecryptError);
        assert!(matches!(tls(alert), HandshakeError::Refused(AlertDescription::DecryptError)));
    }
}
