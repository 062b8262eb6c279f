//! What is wrong with TLS parameters at start.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::words::fault;

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
    #[error(
        "{path} holds no list of revoked certificates in PEM; it must have one between \"-----BEGIN X509 CRL-----\" and its \
         end"
    )]
    NoRevocationList { path: PathBuf },
    #[error("list {number} of revoked certificates in {path} cannot be used: {fault}")]
    RevocationList { path: PathBuf, number: usize, fault: String },
    #[error("the directory {path} holds no certificate; put PEM files there, each with its key")]
    EmptyDirectory { path: PathBuf },
    #[error("certificate {number} in {path} cannot be used: {fault}")]
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
    #[error("these TLS parameters do not go together: {}; change the TLS versions", fault(.0))]
    Parameters(#[from] rustls::Error),
}

impl TlsError {
    /// The file that cannot be used.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path }
            | Self::NoRevocationList { path }
            | Self::RevocationList { path, .. }
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
