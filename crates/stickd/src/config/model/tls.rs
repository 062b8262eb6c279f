//! TLS of listeners and towards peers.

use std::path::PathBuf;

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BindTls {
    /// Certificate chain and private key, PEM.
    pub crt: PathBuf,
    /// Authorities for certificates of clients.
    pub ca_file: Option<CaFile>,
    /// Lists of certificates that those authorities revoked, PEM.
    pub crl_file: Option<PathBuf>,
    /// Whether clients must show a certificate; [`Verify::None`] by default.
    pub verify: Verify,
    /// Whether a peer's certificate must be for the name that it says (`verify-peer-name`).
    pub verify_peer_name: bool,
    /// Versions to speak.
    pub versions: TlsVersions,
    /// Application protocols to offer, most wanted first; usually empty.
    pub alpn: Vec<String>,
}

/// TLS towards a remote peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Authorities for the peer's certificate; set whenever `verify` is [`Verify::Required`].
    pub ca_file: Option<CaFile>,
    /// Lists of certificates that those authorities revoked, PEM.
    pub crl_file: Option<PathBuf>,
    /// [`Verify::Required`] (the default) or [`Verify::None`].
    pub verify: Verify,
    /// Certificate chain and private key to show, PEM.
    pub crt: Option<PathBuf>,
    /// Name to ask for, from `sni str(NAME)` or `sni NAME`.
    pub sni: Option<String>,
    /// Name the peer's certificate must carry.
    pub verify_host: Option<String>,
    /// Whether the certificate of a member that DNS lists may be for any host (`no-verifyhost`).
    pub any_host: bool,
    /// Whether the certificate must be for the peer's name (`verify-peer-name`).
    pub verify_peer_name: bool,
    /// Versions to speak.
    pub versions: TlsVersions,
    /// Application protocols to offer, most wanted first; usually empty.
    pub alpn: Vec<String>,
}

/// Where authorities come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CaFile {
    /// A PEM file.
    File(PathBuf),
    /// `@system-ca`: the machine's own.
    System,
}

/// How the other side's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Not at all.
    None,
    /// When it shows one (listeners only).
    Optional,
    /// Always.
    Required,
}

/// The range of TLS versions to speak, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsVersions {
    /// Lowest.
    pub min: TlsVersion,
    /// Highest.
    pub max: TlsVersion,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { min: TlsVersion::V12, max: TlsVersion::V13 }
    }
}

/// A TLS version stickd speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}
