//! The certificate of a listener that has several: by the name that the client asks for.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::names;

/// Certificates, the first of which is shown where none is for the name, as by HAProxy without `strict-sni`.
pub(super) struct ByName {
    all: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    /// `all` is not empty, else no connection comes about.
    pub(super) fn new(all: Vec<CertifiedKey>) -> Self {
        Self { all: all.into_iter().map(Arc::new).collect() }
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let is_for =
            |name: &str, own: &CertifiedKey| own.cert.first().is_some_and(|own| names::is_for(own, name));
        let named = name.and_then(|name| self.all.iter().find(|own| is_for(name, own)));
        named.or_else(|| self.all.first()).cloned()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").field("certificates", &self.all.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;

    use super::super::provider;
    use super::*;

    #[test]
    fn the_first_is_shown_unless_another_has_the_name() {
        let certified = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let own = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            CertifiedKey::new(vec![own.der().clone()], provider().key_provider.load_private_key(key).unwrap())
        };
        let all = ByName::new(vec![certified("a.example"), certified("*.b.example")]);
        for (name, number) in
            [(None, 0), (Some("a.example"), 0), (Some("x.b.example"), 1), (Some("c.example"), 0)]
        {
            assert!(Arc::ptr_eq(&all.find(name).unwrap(), &all.all[number]), "{name:?}");
        }
        assert!(ByName::new(Vec::new()).find(None).is_none());
    }
}
