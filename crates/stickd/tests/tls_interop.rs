//! Sessions over TLS with real HAProxys, in both directions of connecting.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::wait;
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};
use tempfile::TempDir;

on_every_release!(
    tables_are_shared_when_stickd_connects,
    tables_are_shared_when_haproxy_connects,
    a_certificate_of_another_authority_is_refused,
);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";
const RECONNECTED: Duration = Duration::from_secs(30);

/// Certificates of two authorities in files.
struct Certificates {
    dir: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["ours", "theirs"] {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            fs::write(this.authority(name), issuer.pem()).unwrap();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, "node");
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(this.node(name), certificate.pem() + &key.serialize_pem()).unwrap();
        }
        this
    }

    fn authority(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}-ca.pem"))
    }

    fn node(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    /// What follows an address: both sides show a certificate and ask for the other's.
    fn both_ways(&self, own: &str, trusted: &str) -> String {
        let (crt, ca) = (self.node(own), self.authority(trusted));
        format!("ssl crt {} ca-file {} verify required", crt.display(), ca.display())
    }
}

/// A stickd and a HAProxy that have or lack each other's address.
struct Pair {
    stickd: StickdProcess,
    haproxy: HaproxyProcess,
    _certificates: Certificates,
}

impl Pair {
    /// HAProxy's certificate is of the authority `haproxys`; everybody trusts `ours` only.
    fn start(release: &Release, stickd_connects: bool, haproxys: &str) -> Self {
        let certificates = Certificates::new();
        let (here, there) = (ports::free_address(), ports::free_address());
        let (here_for_it, there_for_us) =
            if stickd_connects { (ports::free_address(), there) } else { (here, ports::free_address()) };
        let tls = certificates.both_ways("ours", "ours");
        let text = format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
             peers p\n  bind {here} {tls}\n  default-server {tls}\n  server stickd\n  server A {there_for_us}\n{}",
            table("t", TABLE)
        );
        let config = haproxy_config(there, here_for_it, &certificates.both_ways(haproxys, "ours"));
        // The one that connects starts last: its first attempt is at once, the second one after 5 s.
        let (stickd, haproxy);
        if stickd_connects {
            haproxy = HaproxyProcess::start(release, config);
            stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        } else {
            stickd = StickdProcess::start(STICKD, Some(&text), &[]);
            haproxy = HaproxyProcess::start(release, config);
        }
        Self { stickd, haproxy, _certificates: certificates }
    }
}

fn haproxy_config(own: SocketAddr, stickd: SocketAddr, tls: &str) -> Config {
    Config::new("A")
        .peers_line(format!("bind {own} {tls}"))
        .peers_line(format!("default-server {tls}"))
        .peers_line("server A")
        .peers_line(format!("server stickd {stickd}"))
        .table("t", TABLE)
}

#[track_caller]
fn wait_value(side: &Cli, key: &str, value: u64) {
    let state = || format!("{}{}", side.run("show table t"), side.run("show peers"));
    wait::until_or(RECONNECTED, &format!("{key}={value} at {side}"), state, || {
        let table = side.table("t");
        table.entries.get(key).is_some_and(|entry| entry.number("gpc0") == value).then_some(())
    });
}

fn tables_are_shared_when_stickd_connects(release: &Release) {
    lesson_and_push(&mut Pair::start(release, true, "ours"));
}

fn tables_are_shared_when_haproxy_connects(release: &Release) {
    lesson_and_push(&mut Pair::start(release, false, "ours"));
}

fn lesson_and_push(pair: &mut Pair) {
    let (stickd, haproxy) = (pair.stickd.cli(), pair.haproxy.cli());
    stickd.quiet("set table t key from-stickd data.gpc0 1");
    haproxy.quiet("set table t key from-haproxy data.gpc0 2");
    wait_value(&haproxy, "from-stickd", 1);
    wait_value(&stickd, "from-haproxy", 2);
    stickd.quiet("set table t key from-stickd data.gpc0 11");
    haproxy.quiet("set table t key from-haproxy data.gpc0 22");
    wait_value(&haproxy, "from-stickd", 11);
    wait_value(&stickd, "from-haproxy", 22);
    // An empty HAProxy is taught over TLS as well.
    pair.haproxy.restart();
    wait_value(&haproxy, "from-stickd", 11);
    wait_value(&haproxy, "from-haproxy", 22);
    let peers = stickd.run("show peers");
    assert!(peers.contains("app_state=RUNNING"), "{peers}");
}

fn a_certificate_of_another_authority_is_refused(release: &Release) {
    for stickd_connects in [true, false] {
        let pair = Pair::start(release, stickd_connects, "theirs");
        let (stickd, haproxy) = (pair.stickd.cli(), pair.haproxy.cli());
        stickd.quiet("set table t key from-stickd data.gpc0 1");
        if stickd_connects {
            let state = || format!("{}\n{}", stickd.run("show peers"), pair.stickd.daemon().log());
            wait::until_or(RECONNECTED, "the reason in show peers", state, || {
                stickd.run("show peers").contains("certificate").then_some(())
            });
            // The line comes after the section knows.
            pair.stickd.daemon().wait_log("cannot reach the peer", RECONNECTED);
        } else {
            pair.stickd.daemon().wait_log("TLS handshake failed", RECONNECTED);
        }
        let log = pair.stickd.daemon().log();
        println!("{release}: {log}");
        let line = log
            .lines()
            .find(|line| line.contains("WARN") && line.contains("certificate"))
            .unwrap_or_else(|| panic!("no warning: {log}"));
        assert!(line.contains("127.0.0.1:") && line.contains("section=\"p\""), "{line}");
        assert!(!stickd.run("show peers").contains("app_state=RUNNING"));
        assert!(haproxy.table("t").entries.is_empty(), "taught to somebody unknown");
    }
}
