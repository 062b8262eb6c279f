//! What goes wrong with TLS: at start with files, later with the other side.

use std::io;
use std::path::{Path, PathBuf};

use rustls::{AlertDescription, CertificateError, OtherError};
use thiserror::Error;

/// Why TLS parameters cannot be used; found at start.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TlsError {
    #[error("cannot read {path}: {fault}; name a PEM file that this user may read")]
    Read { path: PathBuf, fault: io::Error },
    #[error("{path} is damaged: {fault}; write the file again")]
    Pem { path: PathBuf, fault: String },
    #[error(
        "{path} holds no certificate in PEM; it must have one between \"-----BEGIN CERTIFICATE-----\" and its end"
    )]
    NoCertificate { path: PathBuf },
    #[error("the directory {path} holds no certificate; put PEM files there, each with its key")]
    EmptyDirectory { path: PathBuf },
    #[error("certificate {number} in {path} cannot be used: {fault}; make it anew")]
    Certificate { path: PathBuf, number: usize, fault: String },
    #[error("neither {crt} nor {key} holds a private key; append the key to {crt}")]
    NoKey { crt: PathBuf, key: PathBuf },
    #[error("the private key in {path} is encrypted; store it without a passphrase, with `openssl pkey`")]
    EncryptedKey { path: PathBuf },
    #[error(
        "the private key in {path} cannot be used: {fault}; make an RSA key of 2048 to 8192 bits, or an ECDSA or \
         Ed25519 key"
    )]
    Key { path: PathBuf, fault: String },
    #[error(
        "no certificate in {crt} belongs to the private key in {key}; put the two that belong together there"
    )]
    KeyMismatch { crt: PathBuf, key: PathBuf },
    #[error("nothing to verify certificates with; add \"ca-file FILE\"")]
    NoAuthorities,
    #[error(
        "the machine has no authorities for @system-ca{faults}; install them, or name a file with \"ca-file FILE\""
    )]
    NoSystemAuthorities { faults: String },
    #[error("\"{name}\" after {keyword} is no host name; write one as it is in the peer's certificate")]
    Name { keyword: &'static str, name: String },
    #[error("these TLS parameters do not go together: {0}; change the TLS versions")]
    Parameters(#[from] rustls::Error),
}

impl TlsError {
    /// The file that cannot be used.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path }
            | Self::EmptyDirectory { path }
            | Self::Certificate { path, .. }
            | Self::EncryptedKey { path }
            | Self::Key { path, .. }
            | Self::NoKey { crt: path, .. }
            | Self::KeyMismatch { crt: path, .. } => Some(path),
            Self::NoAuthorities
            | Self::NoSystemAuthorities { .. }
            | Self::Name { .. }
            | Self::Parameters(_) => None,
        }
    }
}

/// Why no TLS connection came about with the other side.
///
/// An error of the first read converts into this too, which is where a listener's refusal arrives with TLS 1.3.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HandshakeError {
    #[error("the other side does not speak TLS; set \"ssl\" on both sides or on none")]
    NotTls,
    #[error(
        "the other side closed the connection within the handshake; see its log, and whether it has \"ssl\""
    )]
    Closed,
    #[error("the other side showed no certificate; give it one with \"crt FILE\"")]
    NoCertificate,
    #[error("the other side's certificate is refused: {}", fault(.0))]
    Certificate(CertificateError),
    #[error(
        "the other side's certificate is refused: it is not for {host:?}, the host that DNS lists; name another one in \
         \"verifyhost\", or write \"no-verifyhost\" to take any"
    )]
    Host { host: String },
    #[error(
        "the other side's certificate is refused: it is not for the peer name {name:?} (verify-peer-name); make one with \
         that name as alternative name (DNS) or common name"
    )]
    PeerName { name: String },
    #[error("the other side refused: {}", refusal(*.0))]
    Refused(AlertDescription),
    #[error("the TLS handshake failed: {0}; compare TLS versions and protocols of both sides")]
    Tls(rustls::Error),
    #[error("the connection failed within the TLS handshake: {0}")]
    Io(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match error.downcast::<rustls::Error>() {
            Ok(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Ok(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Ok(rustls::Error::InvalidCertificate(fault)) => Self::Certificate(fault),
            Ok(rustls::Error::AlertReceived(alert)) => Self::Refused(alert),
            Ok(other) => Self::Tls(other),
            Err(error) => Self::Io(error),
        }
    }
}

/// What is wrong with a certificate that was shown, and what to do.
fn fault(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "it is signed by no authority of \"ca-file\"; add its authority there".to_owned(),
        E::NotValidForNameContext { expected, .. } => format!(
            "it is not for \"{}\"; name the peer in \"sni\" or \"verifyhost\" as the certificate does",
            expected.to_str()
        ),
        E::Expired | E::ExpiredContext { .. } => "it has expired; renew it".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet; compare the clocks".to_owned(),
        E::Other(OtherError(error)) => match error.downcast_ref() {
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it has an old version of X.509; make one of version 3, as `openssl req -x509` does"
                    .to_owned()
            }
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is an authority's; use one with \"CA:FALSE\", or add this very one to \"ca-file\""
                    .to_owned()
            }
            _ => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// What an alert of the other side means, and what to do.
fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let meaning = match alert {
        A::CertificateRequired => "it wants a certificate from here; add \"crt FILE\"",
        // OpenSSL's answer to a missing certificate with TLS 1.2, and what TLS says when no cipher is shared.
        A::HandshakeFailure => "it wants a certificate from here, or the sides share no cipher; see its log",
        A::UnknownCA => "it does not know the authority of the certificate shown to it; see its \"ca-file\"",
        A::CertificateExpired => "the certificate shown to it has expired; renew it",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate => {
            "it does not take the certificate shown to it; see its log"
        }
        A::ProtocolVersion => "the sides share no TLS version; compare \"ssl-min-ver\" and \"ssl-max-ver\"",
        A::NoApplicationProtocol => "the sides share no protocol; compare \"alpn\"",
        A::UnrecognisedName => "it does not know the name asked for; see \"sni\"",
        other => return format!("alert {other:?}; see its log"),
    };
    meaning.to_owned()
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
        assert!(matches!(tls(rustls::Error::NoCertificatesPresented), HandshakeError::NoCertificate));
        let old =
            CertificateError::Other(OtherError(std::sync::Arc::new(webpki::Error::UnsupportedCertVersion)));
        let text = tls(rustls::Error::InvalidCertificate(old)).to_string();
        assert!(text.contains("old version of X.509"), "{text}");
        let text = tls(rustls::Error::AlertReceived(AlertDescription::DecryptError)).to_string();
        assert_eq!(text, "the other side refused: alert DecryptError; see its log");
    }
}
