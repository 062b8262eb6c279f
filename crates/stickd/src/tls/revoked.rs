//! Lists of revoked certificates (`crl-file`), which authorities sign.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::damage;
use super::error::TlsError;
use super::words;

/// The lists in a `crl-file`, at least one; none without a file.
///
/// As with HAProxy, every certificate of a chain must be on the list of its issuer or known by that not to be: an authority without a
/// list, and an expired list, refuse it. A certificate that is itself in `ca-file` is trusted by that file alone.
pub(super) fn load(path: Option<&Path>) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = fs::read(path).map_err(|fault| TlsError::Read { path: path.to_owned(), fault })?;
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(&text) {
        let list = list.map_err(|error| TlsError::Pem { path: path.to_owned(), fault: damage(&error) })?;
        webpki::BorrowedCertRevocationList::from_der(&list).map_err(|fault| TlsError::RevocationList {
            path: path.to_owned(),
            number: lists.len() + 1,
            fault: words::list_fault(&fault),
        })?;
        lists.push(list);
    }
    if lists.is_empty() {
        return Err(TlsError::NoRevocationList { path: path.to_owned() });
    }
    Ok(lists)
}
