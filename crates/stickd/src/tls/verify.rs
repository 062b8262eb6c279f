//! Whose certificates are taken.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::authorities::Authorities;
use super::error::TlsError;
use super::names::common_name_is;

/// On a listener with `verify optional` or `required`: clients with a certificate of an authority.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: Authorities,
    chain: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) fn new(
        authorities: Authorities,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        required: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let roots = Arc::clone(&authorities.roots);
        // Hints say which certificate to choose; a peer has one at most.
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .clear_root_hint_subjects()
            .with_crls(revoked)
            .enforce_revocation_expiration();
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let chain = builder.build().map_err(|error| unbuilt(&error))?;
        Ok(Self { authorities, chain })
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self.chain.verify_client_cert(shown, intermediates, now);
        take_listed(&self.authorities, result.map(drop), shown)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, shown, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Towards a peer with `verify required`: a certificate of an authority, with the expected name if there is one.
#[derive(Debug)]
pub(super) struct Server {
    authorities: Authorities,
    name: Option<ServerName<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl Server {
    /// Without a name, names in the certificate do not matter.
    pub(super) fn new(
        authorities: Authorities,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        name: Option<ServerName<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let roots = Arc::clone(&authorities.roots);
        let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .with_crls(revoked)
            .enforce_revocation_expiration();
        let chain = builder.build().map_err(|error| unbuilt(&error))?;
        Ok(Self { authorities, name, chain })
    }
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(shown)?;
        // The name that is asked for is looked at last, and is not the one that counts.
        let result = match self.chain.verify_server_cert(shown, intermediates, asked, ocsp, now) {
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(error),
        };
        take_listed(&self.authorities, result, shown)?;
        if let Some(name) = &self.name {
            verify_server_name(&parsed, name)
                .or_else(|error| if common_name_is(shown, &name.to_str()) { Ok(()) } else { Err(error) })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, shown, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Why there is nothing to verify with; certificates and lists were looked at before.
fn unbuilt(error: &VerifierBuilderError) -> TlsError {
    match error {
        VerifierBuilderError::NoRootAnchors => TlsError::NoAuthorities,
        other => TlsError::Parameters(Error::General(other.to_string())),
    }
}

/// Takes a self-signed authority as the other side's own certificate if it is itself in `ca-file`, as OpenSSL does: the
/// usual set-up with one certificate for all nodes. Its time of validity has been checked before it is found to be an
/// authority's; that the other side has its key, the handshake's signature shows.
fn take_listed(
    authorities: &Authorities,
    result: Result<(), Error>,
    shown: &CertificateDer<'_>,
) -> Result<(), Error> {
    let Err(Error::InvalidCertificate(CertificateError::Other(OtherError(error)))) = &result else {
        return result;
    };
    let is_authority = error.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity);
    if is_authority && authorities.listed.contains(shown) { Ok(()) } else { result }
}

/// Towards a peer with `verify none`: encrypted, but with whoever answers.
#[derive(Debug)]
pub(super) struct AnyServer {
    schemes: Vec<SignatureScheme>,
}

impl AnyServer {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self { schemes: provider.signature_verification_algorithms.supported_schemes() }
    }
}

/// The signature would show that the other side has the key of its certificate. As any certificate is taken, that tells
/// nothing, and certificates whose key cannot be read here are taken too.
impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
