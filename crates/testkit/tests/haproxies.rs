//! The testkit against real HAProxys of every release: what the interop tests of stickd rely on.

use std::net::SocketAddr;
use std::process::Command;
use stickd_testkit::haproxy::Form;
use stickd_testkit::relay::Direction;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{
    Config, HaproxyProcess, Release, TableDump, TcpRelay, cache, http, on_every_release, ports,
};

on_every_release!(
    an_entry_set_on_one_peer_reaches_the_other,
    requests_are_tracked_and_reach_the_other,
    a_reload_keeps_entries_and_lifetimes,
    a_restart_learns_from_the_other,
    every_known_data_type_can_be_stored,
    keys_are_unescaped,
    a_relay_sees_the_session_and_cuts_it,
    public_clients_can_ask,
);

const TABLE: &str = "type ip size 1k expire 1h store gpc0,gpc0_rate(10m),http_req_cnt,http_err_cnt";

/// HAProxy's own wait between attempts to reach a peer is 5 s, and it may need several.
const RECONNECTED: std::time::Duration = std::time::Duration::from_secs(60);

/// The configuration of peer `name` of A and B with the tables of these tests.
fn config(name: &str, a: SocketAddr, b: SocketAddr) -> Config {
    Config::new(name)
        .peer("A", a)
        .peer("B", b)
        .http(ports::free_address(), ports::free_address())
        .table("t_ip", TABLE)
        .table("t_str", "type string len 64 size 1k expire 1h store gpc0")
        .table("t_stick", "type string len 32 size 1k expire 1h")
        .track("ip", "req.hdr_ip(x-key)", "t_ip")
        .rule("ip", "sc-inc-gpc0(0)")
        .track("str", "req.hdr(x-key)", "t_str")
        .stick("stick", "req.hdr(x-key)", "t_stick")
}

fn pair(release: &Release) -> (HaproxyProcess, HaproxyProcess) {
    let (a, b) = (ports::free_address(), ports::free_address());
    (HaproxyProcess::start(release, config("A", a, b)), HaproxyProcess::start(release, config("B", a, b)))
}

/// Waits until `table` of `process` satisfies `wanted`.
#[track_caller]
fn wait_table(process: &HaproxyProcess, table: &str, wanted: impl Fn(&TableDump) -> bool) -> TableDump {
    let what = format!("table {table} of {} as peer {}", process.release(), process.config().name());
    let state = || {
        format!("{}\n{}", process.cli().run(&format!("show table {table}")), process.cli().run("show peers"))
    };
    wait::until_or(RECONNECTED, &what, state, || Some(process.table(table)).filter(&wanted))
}

fn an_entry_set_on_one_peer_reaches_the_other(release: &Release) {
    let (a, b) = pair(release);
    a.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7 data.http_req_cnt 4294967295");
    let learned = wait_table(&b, "t_ip", |table| table.used == 1);
    let entry = learned.entry("192.0.2.1");
    assert_eq!((entry.number("gpc0"), entry.number("http_req_cnt")), (7, 4_294_967_295));
    assert!((3_500_000..=3_600_000).contains(&entry.exp), "{entry:?}");
    assert_eq!(learned.values(), a.table("t_ip").values());
}

fn requests_are_tracked_and_reach_the_other(release: &Release) {
    let (a, b) = pair(release);
    let ask = |path: &str, key: &str| http::get(a.http_address(), path, &[("x-key", key)]).unwrap().status;
    let statuses = ["/ip", "/ip", "/ip/error", "/ip/fail"].map(|path| ask(path, "192.0.2.9"));
    assert_eq!(statuses, [200, 200, 404, 503]);
    assert_eq!(ask("/stick", "someone"), 200);
    let learned = wait_table(&b, "t_ip", |table| {
        table
            .entries
            .get("192.0.2.9")
            .is_some_and(|entry| entry.number("http_req_cnt") == 4 && entry.uses == 0)
    });
    let entry = learned.entry("192.0.2.9");
    let numbers = ["gpc0", "gpc0_rate", "http_err_cnt"].map(|name| entry.number(name));
    assert_eq!(numbers, [4, 4, 1], "{entry:?}");
    let stuck = wait_table(&b, "t_stick", |table| table.used == 1);
    let server = stuck.entry("someone").field("server_key").to_owned();
    assert!(["s1", "s2"].contains(&server.as_str()), "{stuck:?}");
}

fn a_reload_keeps_entries_and_lifetimes(release: &Release) {
    let (mut a, b) = pair(release);
    a.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
    // An entry on the other side too: when A has it, A's first lesson is over and it teaches its successor.
    b.cli().quiet("set table t_ip key 192.0.2.2 data.gpc0 8");
    wait_table(&b, "t_ip", |table| table.used == 2);
    let before = wait_table(&a, "t_ip", |table| table.used == 2);
    let old = a.reload_same();
    assert_ne!(old.pid(), a.pid());
    let after = wait_table(&a, "t_ip", |table| table.used == 2);
    assert_eq!(after.values(), before.values());
    for key in ["192.0.2.1", "192.0.2.2"] {
        let (was, is) = (before.entry(key).exp, after.entry(key).exp);
        assert!(is <= was, "{key}: {is} ms left after the reload, {was} ms before");
    }
    // An old process of any release may hold on until its sessions time out.
    old.wait_exit(RECONNECTED);
}

fn a_restart_learns_from_the_other(release: &Release) {
    let (mut a, b) = pair(release);
    a.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
    let learned = wait_table(&b, "t_ip", |table| table.used == 1);
    let old = a.pid();
    a.restart();
    assert_ne!(a.pid(), old);
    assert_eq!(wait_table(&a, "t_ip", |table| table.used == 1).values(), learned.values());
}

fn every_known_data_type_can_be_stored(release: &Release) {
    let known = release.data_types();
    let declare = |arrays: bool| {
        let chosen = known.iter().filter(|one| match one.form {
            Form::Array | Form::RateArray => arrays,
            _ => !(arrays && one.is_replaced_by_array()),
        });
        chosen.filter_map(|one| one.declaration("10s", 3)).collect::<Vec<_>>().join(",")
    };
    let config = Config::new("A")
        .peer("A", ports::free_address())
        .table("scalars", &format!("type ip size 1k expire 1h store {}", declare(false)))
        .table("arrays", &format!("type ip size 1k expire 1h store {}", declare(true)));
    let process = HaproxyProcess::start(release, config);
    for table in ["scalars", "arrays"] {
        process.cli().quiet(&format!("set table {table} key 192.0.2.1 data.server_id 3"));
    }
    let (scalars, arrays) = (process.table("scalars"), process.table("arrays"));
    for one in &known {
        match one.form {
            Form::Scalar | Form::Rate => {
                scalars.entry("192.0.2.1").number(one.name);
            }
            Form::Array | Form::RateArray => {
                let (stem, rest) = one.name.split_at(3);
                for element in 0..3 {
                    arrays.entry("192.0.2.1").number(&format!("{stem}{element}{rest}"));
                }
            }
            Form::Dictionary => {}
        }
    }
    let first_element = process.cli().run("set table arrays key 192.0.2.1 data.gpc[1] 5");
    assert_eq!(first_element.trim().is_empty(), release.cli_addresses_array_elements(), "{first_element}");
}

fn keys_are_unescaped(release: &Release) {
    let (a, _b) = pair(release);
    for key in ["two words", "a=b", "back\\slash", "na\u{ef}ve"] {
        assert_eq!(http::get(a.http_address(), "/str", &[("x-key", key)]).unwrap().status, 200);
        let table = a.table("t_str");
        assert!(table.entries.contains_key(key), "{key:?}: {table:?}\n{}", a.cli().run("show table t_str"));
    }
}

fn a_relay_sees_the_session_and_cuts_it(release: &Release) {
    let (a, b) = (ports::free_address(), ports::free_address());
    let relay = TcpRelay::start(ports::free_address(), a);
    // Only B connects: A looks for B where nobody listens.
    let nobody = ports::free_address();
    let a = HaproxyProcess::start(release, config("A", a, nobody));
    let b = HaproxyProcess::start(release, config("B", relay.address(), b));
    a.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
    wait_table(&b, "t_ip", |table| table.used == 1);
    let said = relay.recordings().remove(0);
    assert!(said.bytes(Direction::ToTarget).starts_with(b"HAProxyS 2.1\nA\nB "), "{said:?}");
    assert!(said.bytes(Direction::FromTarget).starts_with(b"200\n"), "{said:?}");
    relay.cut();
    a.cli().quiet("set table t_ip key 192.0.2.2 data.gpc0 8");
    wait_table(&b, "t_ip", |table| table.used == 2);
    assert!(relay.connections() >= 2);
}

fn public_clients_can_ask(release: &Release) {
    let process = HaproxyProcess::start(release, config("A", ports::free_address(), ports::free_address()));
    process.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
    let socket = process.directory().join("haproxy.sock");

    let script = format!("echo 'show table t_ip' | socat - UNIX-CONNECT:{}", socket.display());
    let by_socat = output(Command::new("sh").args(["-c", &script]));
    assert!(by_socat.contains("key=192.0.2.1 "), "{by_socat}");

    let script = "import sys; from haproxyadmin import haproxy; h = haproxy.HAProxy(socket_file=sys.argv[1]); \
                  print(h.processids); print(h.command('show table t_ip'))";
    let by_admin = output(Command::new(cache::python_program("python")).args(["-c", script]).arg(&socket));
    let process_id = format!("['{}']", process.pid());
    assert!(by_admin.starts_with(&process_id) && by_admin.contains("gpc0=7"), "{by_admin}");

    let mut command = Command::new(cache::python_program("haproxy-cli"));
    let by_cli = output(command.args(["--command", "info", "--socket"]).arg(&socket));
    assert!(by_cli.contains(&format!("Pid: {}", process.pid())), "{by_cli}");
}

fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// Background traffic counts what HAProxy counts.
#[test]
fn traffic_is_counted_by_key() {
    let process =
        HaproxyProcess::start(&Release::newest(), config("A", ports::free_address(), ports::free_address()));
    let traffic = http::Traffic::start(process.http_address(), "/ip", &["192.0.2.1", "192.0.2.2"], 500);
    wait::until(SOON, "50 requests", || (traffic.counts().sent() >= 50).then_some(()));
    let counts = traffic.stop();
    assert_eq!(counts.failed, 0);
    let table = process.table("t_ip");
    for (key, count) in &counts.by_key {
        assert_eq!(table.entry(key).number("http_req_cnt"), *count, "{key}");
    }
}
