//! Names bound to certificates, between real HAProxys and stickd, and a hand-over with other certificates.

use std::time::Duration;

use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Release, StickdProcess, on_every_release, ports};

use crate::STICKD;
use crate::tls_pair::{Authority, Pair, Tls, both_ways};

on_every_release!(one_key_is_one_peer);

const TABLE: &str = "type integer size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts.
const RECONNECTED: Duration = Duration::from_secs(30);

/// What follows an address of a node of this name.
fn tls_of(authority: &Authority, name: &str) -> String {
    both_ways(&authority.node(name), &authority.file())
}

/// A HAProxy that calls itself A with the key of `key`.
fn one_key_is_one_peer(release: &Release) {
    for (key, binds) in [("A", true), ("B", true), ("B", false)] {
        for stickd_connects in [true, false] {
            let authority = Authority::new();
            let of_stickd = tls_of(&authority, "stickd") + if binds { " verify-peer-name" } else { "" };
            let of_haproxy = tls_of(&authority, key);
            let tls = Tls { of_stickd: &of_stickd, of_haproxy: &of_haproxy };
            let Pair { stickd, haproxy } = Pair::start(release, stickd_connects, &tls, TABLE);
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
    let (old, new) = (Authority::new(), Authority::new());
    let bind = ports::free_address();
    let text = |authority: &Authority| {
        let tls = tls_of(authority, "stickd");
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
