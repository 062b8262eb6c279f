//! Names bound to certificates, between real HAProxys and stickd, and a hand-over with other certificates.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};
use tempfile::TempDir;

use crate::STICKD;

on_every_release!(one_key_is_one_peer);

const TABLE: &str = "type integer size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts.
const RECONNECTED: Duration = Duration::from_secs(30);

/// Certificates of one authority in files.
struct Certificates {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { dir: tempfile::tempdir().unwrap(), issuer };
        fs::write(this.dir.path().join("ca.pem"), this.issuer.pem()).unwrap();
        this
    }

    /// The certificate and key of a node.
    fn node(&self, name: &str) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "node");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.dir.path().join(format!("{name}.pem"));
        fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    }

    /// What follows an address: both sides show a certificate and ask for the other's.
    fn of(&self, name: &str) -> String {
        let (crt, ca) = (self.node(name), self.dir.path().join("ca.pem"));
        format!("ssl crt {} ca-file {} verify required", crt.display(), ca.display())
    }
}

/// A HAProxy that calls itself A with the key of `key`.
fn one_key_is_one_peer(release: &Release) {
    for (key, binds) in [("A", true), ("B", true), ("B", false)] {
        for stickd_connects in [true, false] {
            let certificates = Certificates::new();
            let (here, there) = (ports::free_address(), ports::free_address());
            let (here_for_it, there_for_us) =
                if stickd_connects { (ports::free_address(), there) } else { (here, ports::free_address()) };
            let tls = certificates.of("stickd") + if binds { " verify-peer-name" } else { "" };
            let text = format!(
                "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
                 peers p\n  bind {here} {tls}\n  default-server {tls}\n  server stickd\n  server A {there_for_us}\n{}",
                table("t", TABLE)
            );
            let theirs = certificates.of(key);
            let config = Config::new("A")
                .peers_line(format!("bind {there} {theirs}"))
                .peers_line(format!("default-server {theirs}"))
                .peers_line("server A")
                .peers_line(format!("server stickd {here_for_it}"))
                .table("t", TABLE);
            // The one that connects starts last: its first attempt is at once, the second one after 5 s.
            let (stickd, haproxy);
            if stickd_connects {
                haproxy = HaproxyProcess::start(release, config);
                stickd = StickdProcess::start(STICKD, Some(&text), &[]);
            } else {
                stickd = StickdProcess::start(STICKD, Some(&text), &[]);
                haproxy = HaproxyProcess::start(release, config);
            }
            haproxy.cli().quiet("set table t key 5 data.gpc0 7");
            let log = || stickd.daemon().log();
            if key == "A" || !binds {
                wait::until_or(RECONNECTED, "the entry", log, || {
                    stickd.table("t").entries.contains_key("5").then_some(())
                });
            } else {
                stickd.daemon().wait_log("it is not for the peer name \"A\"", RECONNECTED);
                println!("{release}: {}", log());
                assert!(stickd.table("t").entries.is_empty(), "{}", log());
                assert!(!stickd.cli().run("show peers").contains("app_state=RUNNING"));
            }
        }
    }
}

/// The certificate in use has another authority than the one of the next process: a hand-over needs neither.
#[test]
fn a_hand_over_needs_no_certificate() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let bind = ports::free_address();
    let text = |certificates: &Certificates| {
        let tls = certificates.of("stickd");
        format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
             peers p\n  bind {bind} {tls}\n  default-server {tls}\n  server stickd\n{}",
            table("t", TABLE)
        )
    };
    let mut stickd = StickdProcess::start(STICKD, Some(&text(&old)), &[]);
    stickd.cli().quiet("set table t key 5 data.gpc0 7");
    let before = stickd.replace(Some(&text(&new)), &[]).unwrap();
    before.wait_exit(SOON);
    println!("{}", before.log());
    assert_eq!(stickd.table("t").entry("5").number("gpc0"), 7, "{}", before.log());
}
