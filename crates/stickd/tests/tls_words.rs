//! What the log says when TLS fails between stickd and a real HAProxy: the peer or its address, the reason and the remedy, in words.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::wait;
use stickd_testkit::{Config, HaproxyProcess, Release, Signal, StickdProcess, on_every_release, ports};
use tempfile::TempDir;

on_every_release!(
    what_fails_when_stickd_connects_is_explained,
    what_fails_when_haproxy_connects_is_explained,
    the_end_of_a_tls_session_is_told_in_words,
);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts.
const LOGGED: Duration = Duration::from_secs(30);

/// Certificates of one authority, each with another fault.
struct Certificates {
    dir: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        let sign = |authority: &str, name: &str, change: fn(&mut CertificateParams)| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, authority);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            let mut params = CertificateParams::new(vec!["node".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            change(&mut params);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(this.path(name), certificate.pem() + &key.serialize_pem()).unwrap();
            issuer.pem()
        };
        let mut authorities = String::new();
        authorities += &sign("first", "good", |_| {});
        authorities += &sign("second", "expired", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        });
        authorities += &sign("third", "future", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2901, 1, 1), date_time_ymd(2902, 1, 1));
        });
        authorities += &sign("fourth", "listens", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        authorities += &sign("fifth", "connects", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        sign("sixth", "stranger", |_| {});
        fs::write(this.path("ca"), authorities).unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    /// `{name}` becomes the file of a certificate, `{verified}` what verifies the other side.
    fn fill(&self, line: &str) -> String {
        let verified = format!("ca-file {} verify required", self.path("ca").display());
        let mut line = line.replace("{verified}", &verified);
        for name in ["good", "expired", "future", "listens", "connects", "stranger"] {
            line = line.replace(&format!("{{{name}}}"), &self.path(name).display().to_string());
        }
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
        line.replace("{tls}", directory)
    }
}

/// What stickd has on the line of this connection, what HAProxy has, and what stickd's line of the log says.
type Case = (&'static str, &'static str, &'static [&'static str]);

fn what_fails_when_stickd_connects_is_explained(release: &Release) {
    let cases: [Case; 14] = [
        ("", "ssl crt {good}", &["ssl"]),
        ("ssl verify none", "", &["TLS", "whether it has \"ssl\"|add \"ssl crt FILE\" to its bind line"]),
        ("ssl {verified}", "ssl crt {expired}", &["it has expired on 2002-01-01; renew it"]),
        ("ssl {verified}", "ssl crt {future}", &["it is not valid before 2901-01-01; compare the clocks"]),
        ("ssl {verified}", "ssl crt {stranger}", &["it is signed by no authority of \"ca-file\"; add"]),
        ("ssl {verified}", "ssl crt {connects}", &["it is not for a node that listens; issue it with"]),
        (
            "ssl {verified} verifyhost lb9",
            "ssl crt {good}",
            &["it is not for \"lb9\" but for \"node\"; name"],
        ),
        (
            "ssl verify none",
            "ssl crt {good} {verified}",
            &["wants a certificate of this node|demands a certificate of this node", "\"crt FILE\""],
        ),
        (
            "ssl verify none crt {expired}",
            "ssl crt {good} {verified}",
            &["this node's certificate because it has expired"],
        ),
        (
            "ssl verify none crt {future}",
            "ssl crt {good} {verified}",
            &["this node's certificate because it is", "clocks"],
        ),
        (
            "ssl verify none crt {listens}",
            "ssl crt {good} {verified}",
            &["because it is not for this purpose", "clientAuth"],
        ),
        (
            "ssl verify none crt {stranger}",
            "ssl crt {good} {verified}",
            &["because it does not know the authority"],
        ),
        (
            "ssl verify none ssl-max-ver TLSv1.2",
            "ssl crt {good} ssl-min-ver TLSv1.3",
            &["share no TLS version"],
        ),
        (
            "ssl verify none",
            "ssl crt {good} ssl-max-ver TLSv1.2 ciphers ECDHE-ECDSA-AES128-SHA",
            &["share no cipher; "],
        ),
    ];
    explained(release, &cases, true, "cannot reach the peer");
}

fn what_fails_when_haproxy_connects_is_explained(release: &Release) {
    let cases: [Case; 9] = [
        (
            "",
            "ssl verify none",
            &["the peer speaks TLS", "add \"ssl crt FILE\" to the line of this listener"],
        ),
        ("ssl crt {good}", "", &["the peer does not speak TLS: add \"ssl\" to its line for this node"]),
        ("ssl crt {good} {verified}", "ssl verify none", &["the peer showed no certificate; give it one"]),
        (
            "ssl crt {good} {verified}",
            "ssl verify none crt {expired}",
            &["it has expired on 2002-01-01; renew it"],
        ),
        (
            "ssl crt {good} {verified}",
            "ssl verify none crt {listens}",
            &["it is not for a node that connects; issue"],
        ),
        ("ssl crt {good} {verified}", "ssl verify none crt {stranger}", &["it is signed by no authority"]),
        (
            "ssl crt {stranger}",
            "ssl {verified}",
            &["this node's certificate because it does not know the authority"],
        ),
        ("ssl crt {connects}", "ssl {verified}", &["because it is not for this purpose", "serverAuth"]),
        (
            "ssl crt {good} ssl-min-ver TLSv1.3",
            "ssl verify none ssl-max-ver TLSv1.2",
            &["share no TLS version"],
        ),
    ];
    explained(release, &cases, false, "");
}

/// Runs the cases, some at a time.
fn explained(release: &Release, cases: &[Case], stickd_connects: bool, start: &'static str) {
    let certificates = Certificates::new();
    for some in cases.chunks(5) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(|| explain(release, &certificates, case, stickd_connects, start));
            }
        });
    }
}

fn explain(release: &Release, certificates: &Certificates, case: &Case, stickd_connects: bool, start: &str) {
    let (ours, theirs, says) = *case;
    let (ours, theirs) = (certificates.fill(ours), certificates.fill(theirs));
    let (here, there, nobody) = (ports::free_address(), ports::free_address(), ports::free_address());
    let global = format!("global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n");
    let table = table("t", TABLE);
    let (stickd, haproxy);
    // The one that connects starts last: its first attempt is at once.
    let config = Config::new("A");
    if stickd_connects {
        let config = config.peers_line(format!("bind {there} {theirs}")).peers_line("server A");
        haproxy = HaproxyProcess::start(
            release,
            config.peers_line(format!("server stickd {nobody}")).table("t", TABLE),
        );
        let text =
            format!("{global}peers p\n  bind {here}\n  server stickd\n  server A {there} {ours}\n{table}");
        stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    } else {
        let text =
            format!("{global}peers p\n  bind {here} {ours}\n  server stickd\n  server A {nobody}\n{table}");
        stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        let config = config.peers_line(format!("bind {there}")).peers_line("server A");
        let config = config.peers_line(format!("server stickd {here} {theirs}"));
        haproxy = HaproxyProcess::start(release, config.table("t", TABLE));
    }
    let found = wait::until_or(
        LOGGED,
        &format!("{says:?}"),
        || stickd.daemon().log(),
        || {
            let log = stickd.daemon().log();
            let fits = |line: &&str| says.iter().all(|text| text.split('|').any(|text| line.contains(text)));
            log.lines()
                .filter(|line| line.contains("WARN") && line.contains(start))
                .find(fits)
                .map(str::to_owned)
        },
    );
    println!("{release}: here \"{ours}\", there \"{theirs}\":\n    {found}");
    assert!(found.contains("section=\"p\"") && found.contains("127.0.0.1:"), "{found}");
    let name = if stickd_connects { "peer=\"A\"" } else { "configured_there=\"A\"" };
    assert!(found.contains(name), "{found}");
    assert_is_prose(&found);
    let peers = stickd.cli().run("show peers");
    assert!(!peers.contains("app_state=RUNNING"), "{peers}");
    drop(haproxy);
}

/// Neither side says anything: who waits for whom is named, in both directions.
#[test]
fn a_handshake_that_does_not_end_is_named() {
    let certificates = Certificates::new();
    let ours = certificates.fill("ssl crt {good}");
    let (here, silent) = (ports::free_address(), TcpListener::bind("127.0.0.1:0").unwrap());
    let there = silent.local_addr().unwrap();
    let text = format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
         peers p\n  bind {here} {ours}\n  server stickd\n  server A {there} ssl verify none\n  handshakes timeout 100ms\n"
    );
    let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    let client = TcpStream::connect(here).unwrap();
    let from = client.local_addr().unwrap();
    stickd
        .daemon()
        .wait_log("its TLS handshake and hello did not come within 100 ms; see what runs there", LOGGED);
    stickd.daemon().wait_log(
        "no end of the TLS handshake within 5 s; see whether a peers listener is at this address",
        LOGGED,
    );
    let log = stickd.daemon().log();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned();
    println!("{}\n{}", line("did not come"), line("no end of"));
    assert!(line("did not come").contains(&format!("the connection from {from} is closed")), "{log}");
    assert!(line("no end of").contains(&format!("peer=\"A\" address=\"{there}\"")), "{log}");
    log.lines().for_each(assert_is_prose);
}

/// No name of a type of the library, no link, no list of numbers.
fn assert_is_prose(line: &str) {
    for code in
        ["://", "Some(", "TLSv1_", "[4", "AlertReceived", "InvalidCertificate", "InvalidMessage", " { "]
    {
        assert!(!line.contains(code), "{code}: {line}");
    }
}

/// By a signal that lets HAProxy end in order, and by one that does not.
fn the_end_of_a_tls_session_is_told_in_words(release: &Release) {
    let certificates = Certificates::new();
    for signal in [Signal::TERM, Signal::KILL] {
        let (here, there) = (ports::free_address(), ports::free_address());
        let ours = certificates.fill("ssl crt {good}");
        let text = format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
             peers p\n  bind {here} {ours}\n  server stickd\n  server A {there}\n{}",
            table("t", TABLE)
        );
        let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        let config =
            Config::new("A").peers_line(format!("bind {}", ports::free_address())).peers_line("server A");
        let config = config.peers_line(format!("server stickd {here} ssl verify none")).table("t", TABLE);
        let haproxy = HaproxyProcess::start(release, config);
        stickd.daemon().wait_log("INFO accepted", LOGGED);
        haproxy.daemon().signal(signal);
        stickd.daemon().wait_log("session ended: ", LOGGED);
        let log = stickd.daemon().log();
        let line = log.lines().find(|line| line.contains("session ended: ")).unwrap_or_default();
        println!("{release}, {signal:?}: {line}");
        assert!(line.contains("session ended: the peer "), "{line}");
        log.lines().for_each(assert_is_prose);
    }
}
