//! A stickd and a HAProxy that speak TLS with each other, and the certificates for it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, ports};
use tempfile::TempDir;

/// An authority, and the certificates that it gave, in files.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { dir: tempfile::tempdir().unwrap(), issuer };
        fs::write(this.file(), this.issuer.pem()).unwrap();
        this
    }

    /// What trusts it.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The certificate and key of a node for this name.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "node");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.dir.path().join(format!("{name}.pem"));
        fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    }
}

/// What follows an address: both sides show a certificate and ask for the other's.
pub(crate) fn both_ways(own: &Path, trusted: &Path) -> String {
    format!("ssl crt {} ca-file {} verify required", own.display(), trusted.display())
}

/// What the two write behind addresses.
pub(crate) struct Tls<'a> {
    pub(crate) of_stickd: &'a str,
    pub(crate) of_haproxy: &'a str,
}

/// A stickd and a HAProxy `A`, of which one has the other's address, with the table `t`.
pub(crate) struct Pair {
    pub(crate) stickd: StickdProcess,
    pub(crate) haproxy: HaproxyProcess,
}

impl Pair {
    pub(crate) fn start(release: &Release, stickd_connects: bool, tls: &Tls<'_>, of_table: &str) -> Self {
        let (here, there) = (ports::free_address(), ports::free_address());
        let (here_for_it, there_for_us) =
            if stickd_connects { (ports::free_address(), there) } else { (here, ports::free_address()) };
        let Tls { of_stickd, of_haproxy } = tls;
        let text = format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
             peers p\n  bind {here} {of_stickd}\n  default-server {of_stickd}\n  server stickd\n  server A {there_for_us}\n{}",
            table("t", of_table)
        );
        let config = Config::new("A")
            .peers_line(format!("bind {there} {of_haproxy}"))
            .peers_line(format!("default-server {of_haproxy}"))
            .peers_line("server A")
            .peers_line(format!("server stickd {here_for_it}"))
            .table("t", of_table);
        // The one that connects starts last: its first attempt is at once, the second one after 5 s.
        let start = || StickdProcess::start(env!("CARGO_BIN_EXE_stickd"), Some(&text), &[]);
        if stickd_connects {
            let haproxy = HaproxyProcess::start(release, config);
            Self { stickd: start(), haproxy }
        } else {
            let stickd = start();
            Self { stickd, haproxy: HaproxyProcess::start(release, config) }
        }
    }
}
