//! The authorities that certificates of the other side are verified with.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::CertificateResult;

use super::certificate::Sections;
use super::error::TlsError;
use super::words;
use crate::config::CaFile;

/// The contents of a `ca-file`, at least one certificate.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    /// What may sign certificates.
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates of the file themselves, which the other side may show as its own; none for `@system-ca`.
    pub(super) listed: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads them. All certificates of a file must be usable; unusable ones of the machine are passed over.
    pub(super) fn load(from: Option<&CaFile>) -> Result<Self, TlsError> {
        match from {
            None => Err(TlsError::NoAuthorities),
            Some(CaFile::File(path)) => Self::from_file(path),
            Some(CaFile::System) => Self::from_system(rustls_native_certs::load_native_certs()),
        }
    }

    fn from_file(path: &Path) -> Result<Self, TlsError> {
        let listed = Sections::read(path)?.certificates;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in listed.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|fault| TlsError::Certificate {
                path: path.to_owned(),
                number: index + 1,
                fault: match fault {
                    rustls::Error::InvalidCertificate(fault) => words::certificate(&fault),
                    other => words::fault(&other),
                },
            })?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate { path: path.to_owned() });
        }
        Ok(Self { roots: Arc::new(roots), listed })
    }

    fn from_system(found: CertificateResult) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let faults = found.errors.iter().map(|fault| format!(": {fault}")).collect();
            return Err(TlsError::NoSystemAuthorities { faults });
        }
        Ok(Self { roots: Arc::new(roots), listed: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls_native_certs::CertificateResult;

    use super::*;

    #[test]
    fn system_authorities_pass_over_what_is_unusable() {
        let key = KeyPair::generate().unwrap();
        let good = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().der().clone();
        let bad = CertificateDer::from(vec![0x30, 0x00]);
        let mut found = CertificateResult::default();
        found.certs = vec![bad.clone(), good];
        assert_eq!(Authorities::from_system(found).unwrap().roots.len(), 1);

        let mut none = CertificateResult::default();
        none.certs = vec![bad];
        let text = Authorities::from_system(none).unwrap_err().to_string();
        assert!(text.starts_with("the machine has no authorities for @system-ca; install"), "{text}");
    }

    #[test]
    fn a_file_says_which_certificate_is_unusable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let key = KeyPair::generate().unwrap();
        let good = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        std::fs::write(&path, good + "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
            .unwrap();
        let text = Authorities::load(Some(&CaFile::File(path.clone()))).unwrap_err().to_string();
        let start = format!("certificate 2 in {} cannot be used: ", path.display());
        assert!(text.starts_with(&start), "{text}");
        std::fs::write(&path, "no PEM").unwrap();
        let text = Authorities::load(Some(&CaFile::File(path))).unwrap_err().to_string();
        assert!(text.contains("ca.pem holds no certificate in PEM"), "{text}");
        let text = Authorities::load(None).unwrap_err().to_string();
        assert_eq!(text, "nothing to verify certificates with; add \"ca-file FILE\"");
    }
}
