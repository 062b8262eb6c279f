//! Two `peers` sections of one stickd, of which the first copies what its peers tell into a table of the second (`write-to`).

use std::net::SocketAddr;
use std::time::Duration;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports, wait};

on_every_release!(a_copy_reaches_every_peer_of_the_other_section);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
/// HAProxy waits 5 s between attempts, and after its start that long before it asks others than its old process.
const CONNECTED: Duration = Duration::from_secs(40);
const TABLE: &str = "table t type ip size 1k expire 1h store gpt0";
const KEY: &str = "192.0.2.1";

fn haproxy(release: &Release, name: &str, own: SocketAddr, stickd: SocketAddr) -> HaproxyProcess {
    let config = Config::new(name).peer(name, own).peer("stickd", stickd).peers_line(TABLE);
    HaproxyProcess::start(release, config)
}

fn gpt0(side: &stickd_testkit::Cli, table: &str) -> Option<u64> {
    Some(side.table(table).entries.get(KEY)?.number("gpt0"))
}

fn a_copy_reaches_every_peer_of_the_other_section(release: &Release) {
    for relay in ["", "  relay\n"] {
        let [a, b, a1, b1, b2] = [(); 5].map(|()| ports::free_address());
        let text = format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
             peers a\n  bind {a}\n  server stickd\n  server a1 {a1}\n{relay}  {TABLE} write-to b/t\n\
             peers b\n  bind {b}\n  server stickd\n  server b1 {b1}\n  server b2 {b2}\n  {TABLE}\n"
        );
        let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        let first = haproxy(release, "a1", a1, a);
        first.cli().quiet(&format!("set table p/t key {KEY} data.gpt0 5"));
        let state = || {
            let shown =
                ["show table a/t", "show table b/t", "show peers"].map(|it| stickd.cli().run(it)).concat();
            shown + &stickd.daemon().log()
        };
        wait::until_or(CONNECTED, "the copy", state, || {
            (gpt0(&stickd.cli(), "a/t") == Some(5) && gpt0(&stickd.cli(), "b/t") == Some(5)).then_some(())
        });
        // The first peer of the one section and the first one of the other are different peers.
        for (name, own) in [("b1", b1), ("b2", b2)] {
            let side = haproxy(release, name, own, b);
            wait::until_or(CONNECTED, &format!("the copy at {name}, relay {relay:?}"), state, || {
                (gpt0(&side.cli(), "p/t") == Some(5)).then_some(())
            });
        }
        // Who told it is taught it, too, when it begins anew.
        let mut first = first;
        first.restart();
        wait::until_or(CONNECTED, "what a1 told", state, || {
            (gpt0(&first.cli(), "p/t") == Some(5)).then_some(())
        });
    }
}
