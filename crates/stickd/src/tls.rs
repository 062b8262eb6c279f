//! TLS between peers, as `ssl` on `bind`, `peer` and `server` lines asks for it.
//!
//! An [`Acceptor`] serves one listener, a [`Connector`] one remote peer. Both are [`Loaded`] once at start, before anything
//! is bound, so that a bad file stops the start with a [`TlsError`] and not the first connection; a file changed later
//! has no effect until the next start. Both are cheap to clone, and neither keeps the private key's file open.
//!
//! The meaning is HAProxy's:
//! - a listener asks for certificates only with `verify optional` or `required`; one that is shown must be good;
//! - towards a peer, `verify none` encrypts and trusts any certificate;
//! - the name in the peer's certificate is compared with `sni`, else with `verifyhost`, else not at all;
//! - a self-signed certificate is good when it is itself in `ca-file`;
//! - with `crl-file`, no certificate of the chain may be revoked, and each authority of it must have a list there that is in time.
//!
//! Sessions are never resumed: connections of peers last for days, and so every one of them verifies anew.
//!
//! Neither side limits the time of a handshake: put it under the deadline that bounds the hello.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::debug;

use crate::config::{BindTls, CaFile, ServerTls, TlsVersion, TlsVersions, Verify};

mod authorities;
mod by_name;
mod certificate;
mod error;
mod handshake;
mod loaded;
mod names;
mod revoked;
mod subject;
mod verify;
mod words;

pub use error::TlsError;
pub use handshake::HandshakeError;
pub use loaded::Loaded;
pub use names::NameProof;
/// A connection over TLS, on either side; shut it down to tell the other side that no byte is missing.
pub use tokio_rustls::TlsStream;
pub use words::connection_fault;

use authorities::Authorities;
use by_name::ByName;
use handshake::Side;
use verify::{AnyServer, Clients, Server};

/// The listening side: takes TLS connections with the parameters of one `bind` line.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    binds_names: bool,
}

impl Acceptor {
    /// Reads certificate, key and authorities.
    ///
    /// # Errors
    /// When a file cannot be read or used; the message names it and says what to do.
    pub fn load(tls: &BindTls) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(tls.versions))?;
        let builder = match tls.verify {
            Verify::None => {
                unused(tls.ca_file.as_ref(), tls.crl_file.as_deref())?;
                builder.with_no_client_auth()
            }
            Verify::Optional | Verify::Required => {
                let authorities = Authorities::load(tls.ca_file.as_ref())?;
                let revoked = revoked::load(tls.crl_file.as_deref())?;
                let required = tls.verify == Verify::Required;
                let clients = Clients::new(authorities, revoked, required, &provider)?;
                builder.with_client_cert_verifier(Arc::new(clients))
            }
        };
        let own = certificate::load_all(&tls.crt, &provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(own)));
        config.alpn_protocols = protocols(&tls.alpn);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), binds_names: tls.verify_peer_name })
    }

    /// Which names the other side of a connection may say.
    pub fn proof<S>(&self, stream: &TlsStream<S>) -> NameProof {
        NameProof::of(self.binds_names, stream)
    }

    /// Takes a connection. What the client must show has been verified when this returns.
    ///
    /// # Errors
    /// When the handshake fails; the stream is closed then, after an alert to the client where TLS has one.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.tls.accept(stream).await;
        Ok(accepted.map_err(|error| HandshakeError::new(Side::Listens, error))?.into())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// The connecting side: opens TLS connections with the parameters of one `peer` or `server` line.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    /// The name to ask for; without `sni` none is asked for and this has no effect.
    name: ServerName<'static>,
    /// Whether the certificate must be for the host that is connected to.
    binds_host: bool,
    binds_names: bool,
}

impl Connector {
    /// As [`load`](Self::load) for members that DNS lists: without `sni`, `verifyhost` and `no-verifyhost` the certificate
    /// must be for the name of the host.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_for_members(tls: &ServerTls) -> Result<Self, TlsError> {
        let is_named = tls.sni.is_some() || tls.verify_host.is_some() || tls.any_host;
        let binds_host = tls.verify != Verify::None && !is_named;
        Ok(Self { binds_host, ..Self::load(tls)? })
    }

    /// Which names the other side of a connection may have.
    pub fn proof<S>(&self, stream: &TlsStream<S>) -> NameProof {
        NameProof::of(self.binds_names, stream)
    }

    /// Reads certificate, key and authorities.
    ///
    /// # Errors
    /// When a file cannot be read or used, or a name is none; the message says which and what to do.
    pub fn load(tls: &ServerTls) -> Result<Self, TlsError> {
        let provider = provider();
        let sni = tls.sni.as_deref().map(|name| server_name("sni", name)).transpose()?;
        let verify_host =
            tls.verify_host.as_deref().map(|name| server_name("verifyhost", name)).transpose()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(tls.versions))?
            .dangerous();
        let builder = match tls.verify {
            Verify::None => {
                unused(tls.ca_file.as_ref(), tls.crl_file.as_deref())?;
                builder.with_custom_certificate_verifier(Arc::new(AnyServer::new(&provider)))
            }
            // A listener always shows a certificate, so that `optional` asks for the same as `required`.
            Verify::Optional | Verify::Required => {
                let authorities = Authorities::load(tls.ca_file.as_ref())?;
                let revoked = revoked::load(tls.crl_file.as_deref())?;
                let name = sni.clone().or(verify_host);
                let server = Server::new(authorities, revoked, name, &provider)?;
                builder.with_custom_certificate_verifier(Arc::new(server))
            }
        };
        let mut config = match &tls.crt {
            Some(crt) => {
                let own = certificate::load(crt, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols(&tls.alpn);
        config.resumption = Resumption::disabled();
        config.enable_sni = sni.is_some();
        let name = sni.unwrap_or_else(|| ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into()));
        let (tls, binds_names) = (TlsConnector::from(Arc::new(config)), tls.verify_peer_name);
        Ok(Self { tls, name, binds_host: false, binds_names })
    }

    /// Opens a connection on a stream that leads to the peer. Its certificate has been verified when this returns.
    ///
    /// `host` is compared with the certificate after [`load_for_members`](Self::load_for_members) only: for configured peers `sni`
    /// and `verifyhost` are, as in HAProxy.
    ///
    /// The peer may refuse the certificate shown to it after that, with TLS 1.3: then the first read fails, with an
    /// error that [`HandshakeError::from`] makes readable.
    ///
    /// # Errors
    /// When the handshake fails; the stream is closed then, after an alert to the peer where TLS has one.
    pub async fn connect<S>(&self, stream: S, host: &str) -> Result<TlsStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().and_then(|version| version.as_str());
        let cipher = session.negotiated_cipher_suite().and_then(|cipher| cipher.suite().as_str());
        debug!(host, version, cipher, "TLS established");
        let stream = stream.into();
        if NameProof::of(self.binds_host, &stream).admits(host.trim_end_matches('.')) {
            Ok(stream)
        } else {
            Err(HandshakeError::Host { host: host.to_owned() })
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Reads authorities and lists that nothing is verified with: a file that cannot be used is refused all the same, as by HAProxy.
fn unused(authorities: Option<&CaFile>, revoked: Option<&Path>) -> Result<(), TlsError> {
    authorities.map(|file| Authorities::load(Some(file))).transpose()?;
    revoked::load(revoked).map(drop)
}

/// The cryptography, without making it the whole process's choice.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The versions of a range; none for an empty one, which the configuration refuses and rustls does too.
fn versions(range: TlsVersions) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V12, &TLS12), (TlsVersion::V13, &TLS13)];
    let spoken = all.into_iter().filter(|(version, _)| (range.min..=range.max).contains(version));
    spoken.map(|(_, version)| version).collect()
}

fn protocols(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.clone().into_bytes()).collect()
}

fn server_name(keyword: &'static str, name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name { keyword, name: name.to_owned() })
}
