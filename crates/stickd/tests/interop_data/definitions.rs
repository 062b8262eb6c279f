//! Tables that both sides define differently.

use crate::pair::{CONNECTED, Pair, Setup};
use stickd_testkit::wait;
use stickd_testkit::{Release, on_every_release};

on_every_release!(what_differs_is_reported_by_name);

/// A table, its definitions on HAProxy and on stickd, and what stickd says about the difference.
const DIFFERENT: [(&str, &str, &str, &[&str]); 7] = [
    (
        "key_type",
        "type ipv6 size 1k expire 1h store gpc0",
        "type ip size 1k expire 1h store gpc0",
        &["key type ipv6, configured ip", "key size 16, configured 4"],
    ),
    (
        "key_size",
        "type string len 20 size 1k expire 1h store gpc0",
        "type string len 21 size 1k expire 1h store gpc0",
        &["key size 21, configured 22"],
    ),
    (
        "no_length",
        "type string size 1k expire 1h store gpc0",
        "type string len 32 size 1k expire 1h store gpc0",
        &["key size 32, configured 33"],
    ),
    (
        "expire",
        "type ip size 1k expire 1h store gpc0",
        "type ip size 1k expire 30m store gpc0",
        &["expire 3600000 ms, configured 1800000 ms"],
    ),
    (
        "period",
        "type ip size 1k expire 1h store gpc0,conn_rate(10s)",
        "type ip size 1k expire 1h store gpc0,conn_rate(20s)",
        &["period of conn_rate 10000 ms, configured 20000 ms"],
    ),
    (
        "elements",
        "type ip size 1k expire 1h store gpc(3),gpt(1)",
        "type ip size 1k expire 1h store gpc(2),gpt(2)",
        &["gpt of 1 elements, configured 2", "gpc of 3 elements, configured 2"],
    ),
    (
        "stored",
        "type ip size 1k expire 1h store gpc0,gpc1",
        "type ip size 1k expire 1h store gpc0,gpt0",
        &["gpt0 not sent, configured", "gpc1 sent, not configured"],
    ),
];

/// The lines below a table in `show peers` that tell how it differs.
fn mismatches(pair: &Pair, table: &str) -> Vec<String> {
    let said = pair.stickd.cli().run("show peers p");
    let at = format!(" id={table} update=");
    let below = said.lines().skip_while(|line| !line.contains(&at)).skip(1);
    below.map_while(|line| line.trim().strip_prefix("mismatch: ").map(str::to_owned)).collect()
}

fn what_differs_is_reported_by_name(release: &Release) {
    let mut setup = Setup::new().table("same", "type ip size 1k expire 1h store gpc0");
    for (name, haproxy, stickd, _) in DIFFERENT {
        setup = setup.tables(name, haproxy, stickd);
    }
    // One that stickd does not have.
    let pair = setup.haproxy(|config| config.table("unknown", "type ip size 1k store gpc0")).start(release);
    pair.haproxy.cli().quiet("set table unknown key 192.0.2.1 data.gpc0 5");
    for table in ["key_size", "no_length"] {
        pair.haproxy.cli().quiet(&format!("set table {table} key k data.gpc0 5"));
    }
    pair.haproxy.cli().quiet("set table key_type key 2001:db8::1 data.gpc0 5");
    pair.stickd.cli().quiet("set table key_type key 192.0.2.2 data.gpc0 6");
    for table in ["expire", "period", "stored", "same"] {
        pair.haproxy.cli().quiet(&format!("set table {table} key 192.0.2.1 data.gpc0 5"));
        pair.stickd.cli().quiet(&format!("set table {table} key 192.0.2.2 data.gpc0 6"));
    }
    for (table, _, _, differences) in DIFFERENT {
        let log = || format!("{}\n{}", pair.stickd.daemon().log(), pair.stickd.cli().run("show peers"));
        wait::until_or(CONNECTED, &format!("a report of {table}"), log, || {
            (mismatches(&pair, table) == differences).then_some(())
        });
        let text = differences.join("; ");
        let reported = match table {
            "key_type" | "key_size" | "no_length" => format!("updates of table {table} are ignored: {text}"),
            _ => format!("table {table} is defined differently by the peer: {text}"),
        };
        pair.stickd.daemon().wait_log(&reported, CONNECTED);
        let log = pair.stickd.daemon().log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&reported)).collect();
        assert!(lines.iter().any(|line| line.contains("section=\"p\" peer=\"A\"")), "{reported}\n{log}");
    }
    pair.stickd.daemon().wait_log("updates of table unknown are ignored: no table of this name", CONNECTED);
    let said = pair.stickd.cli().run("show peers p");
    assert!(said.contains(&format!(" mismatches={} ", DIFFERENT.len() + 1)), "{said}");
    pair.wait_same("same", |table| table.used == 2);
    assert!(mismatches(&pair, "same").is_empty());
    // What agrees in its keys is shared, and nothing of what does not is mixed up.
    for table in ["expire", "period", "stored"] {
        wait::until_or(
            CONNECTED,
            &format!("{table} to be shared"),
            || pair.state(table),
            || {
                let (haproxy, stickd) = (pair.haproxy.table(table), pair.stickd.table(table));
                let numbers =
                    |key: &str| [&haproxy, &stickd].map(|table| Some(table.entries.get(key)?.number("gpc0")));
                (numbers("192.0.2.1") == [Some(5); 2] && numbers("192.0.2.2") == [Some(6); 2]).then_some(())
            },
        );
    }
    for table in ["key_size", "no_length"] {
        assert_eq!(pair.stickd.table(table).used, 0, "{table}");
    }
    assert_eq!(pair.stickd.table("key_type").entries.len(), 1);
    assert_eq!(pair.haproxy.table("key_type").used, 1);
    let exp = pair.stickd.table("expire").entry("192.0.2.1").exp;
    assert!(exp <= 1_800_000, "{exp} ms are left of what may live 1800000 ms");
}
