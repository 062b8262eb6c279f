//! Names bound to certificates.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use tokio_rustls::TlsStream;

use super::subject;

/// Which names the other side of a connection may say: those of its certificate, or any.
#[derive(Clone, Debug)]
pub struct NameProof(Proof);

#[derive(Clone, Debug)]
enum Proof {
    Any,
    /// The certificate that was shown and verified; none fits no name.
    Shown(Option<CertificateDer<'static>>),
}

impl NameProof {
    /// Of a connection without TLS, or without names that are bound: any name.
    pub fn any() -> Self {
        Self(Proof::Any)
    }

    pub(super) fn of<S>(binds: bool, stream: &TlsStream<S>) -> Self {
        if !binds {
            return Self::any();
        }
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        Self(Proof::Shown(shown.map(|certificate| certificate.clone().into_owned())))
    }

    /// Whether the other side may be this name: an alternative name or a common name of its certificate.
    pub fn admits(&self, name: &str) -> bool {
        match &self.0 {
            Proof::Any => true,
            Proof::Shown(shown) => shown.as_ref().is_some_and(|certificate| is_for(certificate, name)),
        }
    }
}

/// Whether an alternative name or a common name of a certificate stands for a name.
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let alternative = || {
        let (parsed, wanted) =
            (ParsedCertificate::try_from(certificate).ok()?, ServerName::try_from(name).ok()?);
        verify_server_name(&parsed, &wanted).ok()
    };
    alternative().is_some() || common_name_is(certificate, name)
}

/// Whether a common name of a certificate's subject stands for a name.
pub(super) fn common_name_is(certificate: &CertificateDer<'_>, name: &str) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| subject::names(certificate.subject(), name))
}
