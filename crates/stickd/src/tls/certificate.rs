//! A node's own certificate: HAProxy's `crt` file, with chain and key in one or the key beside it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::TlsError;
use super::{subject, words};

/// Reads certificate, chain and key from a `crt` file, in any order. Without a key in it, the key is that of
/// `<crt>.key`. The node's certificate is the first that belongs to the key; the others are shown in the file's order.
pub(super) fn load(crt: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let Sections { certificates: mut chain, key } = Sections::read(crt)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: crt.to_owned() });
    }
    let (key_path, key) = match key {
        Some(key) => (crt.to_owned(), key),
        None => key_beside(crt)?,
    };
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|fault| TlsError::Key { path: key_path.clone(), fault: words::fault(&fault) })?;
    if let Some(public) = key.public_key() {
        let mut own = None;
        for (index, certificate) in chain.iter().enumerate() {
            let fault = |fault: webpki::Error| TlsError::Certificate {
                path: crt.to_owned(),
                number: index + 1,
                fault: words::chain_fault(&fault),
            };
            // Reads certificates of every version of X.509, although what it returns is meant for authorities.
            let parsed = webpki::anchor_from_trusted_cert(certificate).map_err(fault)?;
            if subject::content(public.as_ref()) == Some(parsed.subject_public_key_info.as_ref()) {
                own.get_or_insert(index);
            }
        }
        let own = own.ok_or_else(|| TlsError::KeyMismatch { crt: crt.to_owned(), key: key_path })?;
        chain[..=own].rotate_right(1);
    }
    Ok(CertifiedKey::new(chain, key))
}

/// Reads the certificates of a file, or of each file of a directory in the order of their names, at least one.
///
/// As in HAProxy, files of a directory that are not for themselves are left out: keys and what belongs to a certificate.
pub(super) fn load_all(crt: &Path, provider: &CryptoProvider) -> Result<Vec<CertifiedKey>, TlsError> {
    if !crt.is_dir() {
        return Ok(vec![load(crt, provider)?]);
    }
    let read = |fault| TlsError::Read { path: crt.to_owned(), fault };
    let mut files = Vec::new();
    for entry in fs::read_dir(crt).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let beside = ["key", "issuer", "ocsp", "sctl"];
        let is_beside = path.extension().is_some_and(|end| beside.iter().any(|beside| end == *beside));
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_file() && !is_beside && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(TlsError::EmptyDirectory { path: crt.to_owned() });
    }
    files.iter().map(|file| load(file, provider)).collect()
}

fn key_beside(crt: &Path) -> Result<(PathBuf, PrivateKeyDer<'static>), TlsError> {
    let mut path = OsString::from(crt);
    path.push(".key");
    let path = PathBuf::from(path);
    let none = |key| TlsError::NoKey { crt: crt.to_owned(), key };
    match Sections::read(&path) {
        Ok(Sections { key: Some(key), .. }) => Ok((path, key)),
        Ok(_) => Err(none(path)),
        Err(TlsError::Read { fault, .. }) if fault.kind() == io::ErrorKind::NotFound => Err(none(path)),
        Err(error) => Err(error),
    }
}

/// What a PEM file holds; other sections than these, such as `DH PARAMETERS`, are passed over.
pub(super) struct Sections {
    /// Certificates in the file's order.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The first private key.
    pub(super) key: Option<PrivateKeyDer<'static>>,
}

impl Sections {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let text = fs::read(path).map_err(|fault| TlsError::Read { path: path.to_owned(), fault })?;
        Self::parse(&text, path)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, TlsError> {
        // Both ways of OpenSSL to mark an encrypted key; base64 cannot spell either.
        let has = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
        if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
            return Err(TlsError::EncryptedKey { path: path.to_owned() });
        }
        let mut sections = Self { certificates: Vec::new(), key: None };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) =
                section.map_err(|error| TlsError::Pem { path: path.to_owned(), fault: damage(&error) })?;
            if kind == SectionKind::Certificate {
                sections.certificates.push(CertificateDer::from(der));
            } else if sections.key.is_none() {
                sections.key = PrivateKeyDer::from_pem(kind, der);
            }
        }
        Ok(sections)
    }
}

pub(super) fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("\"-----END {}-----\" is missing", String::from_utf8_lossy(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("\"{}\" does not begin a section", String::from_utf8_lossy(line).trim_end())
        }
        pem::Error::Base64Decode(_) => "a section is not base64".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::super::provider;
    use super::*;

    struct Files {
        directory: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, text).unwrap();
            path
        }

        /// Loads this text as `node.pem`; errors come without the directory.
        fn load(&self, text: &str) -> Result<CertifiedKey, String> {
            let crt = self.write("node.pem", text);
            let directory = format!("{}/", self.directory.path().display());
            load(&crt, &provider()).map_err(|error| error.to_string().replace(&directory, ""))
        }
    }

    /// A self-signed certificate and its key, both PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["node".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn sections_come_in_any_order() {
        let (files, (own, key), (other, _)) = (Files::new(), pair(), pair());
        let parameters = "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n";
        for text in [
            format!("{own}{other}{key}"),
            format!("{key}{other}{own}"),
            format!("text\n{other}{key}{parameters}{own}"),
        ] {
            let loaded = files.load(&text).unwrap();
            assert_eq!(loaded.cert, [der(&own), der(&other)]);
            loaded.keys_match().unwrap();
        }
    }

    #[test]
    fn the_key_may_lie_beside_the_certificate() {
        let (files, (own, key), (_, other_key)) = (Files::new(), pair(), pair());
        files.write("node.pem.key", &key);
        files.load(&own).unwrap().keys_match().unwrap();
        files.write("node.pem.key", &other_key);
        let error = files.load(&own).unwrap_err();
        assert_eq!(
            error,
            "no certificate in node.pem belongs to the private key in node.pem.key; put the two that belong together \
             there"
        );
        // The key in the file itself counts first.
        files.load(&format!("{own}{key}")).unwrap().keys_match().unwrap();
    }

    #[test]
    fn a_directory_is_its_files_in_the_order_of_their_names() {
        let (files, (own, key), (other, other_key)) = (Files::new(), pair(), pair());
        let directory = files.directory.path();
        let load_all = || load_all(directory, &provider()).map_err(|error| error.to_string());
        assert!(
            load_all()
                .unwrap_err()
                .ends_with(" holds no certificate; put PEM files there, each with its key")
        );
        files.write("20.pem", &format!("{own}{key}"));
        files.write("10.pem", &other);
        files.write("10.pem.key", &other_key);
        files.write(".hidden", "none");
        files.write("20.pem.ocsp", "none");
        fs::create_dir(files.path("sub")).unwrap();
        let found: Vec<_> = load_all().unwrap().into_iter().map(|loaded| loaded.cert[0].clone()).collect();
        assert_eq!(found, [der(&other), der(&own)]);
        files.write("30.pem", "none");
        assert!(load_all().unwrap_err().contains("30.pem holds no certificate in PEM"));
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let (files, (own, key)) = (Files::new(), pair());
        let error = |text: &str| files.load(text).unwrap_err();
        let cut = own.replace("-----END CERTIFICATE-----", "");
        let garbled = own.replacen("\nM", "\n!", 1);
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let bad_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let bad_certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(
            error(&own),
            "neither node.pem nor node.pem.key holds a private key; append the key to node.pem"
        );
        assert_eq!(
            error(&key),
            "node.pem holds no certificate in PEM; it must have one between \"-----BEGIN CERTIFICATE-----\" and its end"
        );
        assert_eq!(
            error(&cut),
            "node.pem is damaged: \"-----END CERTIFICATE-----\" is missing; write the file again"
        );
        assert_eq!(error(&garbled), "node.pem is damaged: a section is not base64; write the file again");
        assert_eq!(
            error("-----BEGIN CERTIFICATE----\n"),
            "node.pem is damaged: \"-----BEGIN CERTIFICATE----\" does not begin a section; write the file again"
        );
        let locked =
            "the private key in node.pem is encrypted; store it without a passphrase, with `openssl pkey`";
        assert_eq!(error(&format!("{own}{encrypted}")), locked);
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(error(&format!("{own}{old}")), locked);
        let unusable = error(&format!("{own}{bad_key}"));
        assert!(unusable.starts_with("the private key in node.pem cannot be used: "), "{unusable}");
        assert!(unusable.ends_with("; make an RSA key of 2048 to 8192 bits, or an ECDSA or Ed25519 key"));
        let unusable = error(&format!("{bad_certificate}{key}"));
        assert!(unusable.starts_with("certificate 1 in node.pem cannot be used: "), "{unusable}");
        let missing = load(&files.path("none.pem"), &provider()).unwrap_err().to_string();
        assert!(missing.contains("none.pem: No such file or directory"), "{missing}");
        assert!(missing.ends_with("; name a PEM file that this user may read"), "{missing}");
    }
}
