//! Sessions over TLS with real HAProxys, in both directions of connecting.

#[path = "support/tls_pair.rs"]
mod tls_pair;

use std::time::Duration;

use stickd_testkit::wait;
use stickd_testkit::{Cli, Release, on_every_release};

use crate::tls_pair::{Authority, Pair, Tls, both_ways};

on_every_release!(
    tables_are_shared_when_stickd_connects,
    tables_are_shared_when_haproxy_connects,
    a_certificate_of_another_authority_is_refused,
);

const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";
const RECONNECTED: Duration = Duration::from_secs(30);

/// A pair with the files that its next processes read.
struct Trial {
    pair: Pair,
    _authorities: [Authority; 2],
}

impl Trial {
    /// HAProxy's certificate is of the authority that everybody trusts, or of another.
    fn start(release: &Release, stickd_connects: bool, is_trusted: bool) -> Self {
        let authorities = [Authority::new(), Authority::new()];
        let [ours, theirs] = &authorities;
        let of_stickd = both_ways(&ours.node("127.0.0.1"), &ours.file());
        let haproxys = if is_trusted { ours } else { theirs };
        let of_haproxy = both_ways(&haproxys.node("127.0.0.1"), &ours.file());
        let tls = Tls { of_stickd: &of_stickd, of_haproxy: &of_haproxy };
        Self { pair: Pair::start(release, stickd_connects, &tls, TABLE), _authorities: authorities }
    }
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
    lesson_and_push(&mut Trial::start(release, true, true).pair);
}

fn tables_are_shared_when_haproxy_connects(release: &Release) {
    lesson_and_push(&mut Trial::start(release, false, true).pair);
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
        let Trial { pair, .. } = &Trial::start(release, stickd_connects, false);
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
            pair.stickd.daemon().wait_log("TLS handshake failed: the peer", RECONNECTED);
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
