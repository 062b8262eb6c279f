//! `bind` in `global`: several sections behind one listener, told apart by the names in the hello.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// Two sections of different local names; lb1 is a peer of both, lb2 and anybody else of the second only.
fn config(address: SocketAddr) -> String {
    format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n  bind {address} use_aggrs all\n\
         aggregations first\n  from any to .agg\n  peer stickd local\n  peer lb1\n\
         aggregations second\n  from any to .sum\n  peer other local\n  peer lb1\n  peer lb2\n  dynamic-peers\n"
    )
}

/// Says hello as `sender` to `target`; the connection and the status that is answered.
fn greet(address: SocketAddr, target: &str, sender: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // In one write: the answer to a wrong target may close the connection before the next one.
    stream.write_all(format!("HAProxyS 2.1\n{target}\n{sender} 1 1\n").as_bytes()).unwrap();
    let mut status = String::new();
    BufReader::new(&stream).read_line(&mut status).unwrap();
    (stream, status.trim().to_owned())
}

#[test]
fn the_names_of_a_hello_say_which_section_is_meant() {
    let address = ports::free_address();
    let stickd = StickdProcess::start(STICKD, Some(&config(address)), &[]);
    let section_of = |peer: &str| {
        let shown = stickd.cli().run("show peers");
        let mut section = None;
        for line in shown.lines() {
            if let Some((_, rest)) = line.split_once(": [") {
                section = rest.split_once("id=").and_then(|(_, rest)| rest.split([' ', ')']).next());
            }
            if line.contains(&format!("id={peer}(")) && line.contains("last_status=ESTA") {
                return section.map(str::to_owned);
            }
        }
        None
    };
    for (target, sender, status) in
        [("stickd", "stranger", "504"), ("nobody", "lb1", "503"), ("stickd", "lb2", "504")]
    {
        assert_eq!(greet(address, target, sender).1, status, "{sender} to {target}");
    }
    for (target, sender, section) in
        [("stickd", "lb1", "first"), ("other", "lb2", "second"), ("other", "stranger", "second")]
    {
        let (_connection, status) = greet(address, target, sender);
        assert_eq!(status, "200", "{sender} to {target}");
        wait::until(SOON, "the session", || (section_of(sender).as_deref() == Some(section)).then_some(()));
    }
    let log = stickd.daemon().log();
    assert!(log.contains("listening for peers") && log.contains("first,second"), "{log}");
}

#[test]
fn real_haproxys_get_their_sums_from_one_listener() {
    let (address, mine) = (ports::free_address(), ports::free_address());
    let stickd = StickdProcess::start(STICKD, Some(&config(address)), &[]);
    let table = "type ip size 1k expire 1h store gpc0";
    let hap = Config::new("lb1")
        .http(ports::free_address(), ports::free_address())
        .peer("lb1", mine)
        .peer("other", address)
        .table("t", table)
        .table("t.sum", table);
    let hap = HaproxyProcess::start(&Release::newest(), hap);
    hap.cli().quiet("set table t key 192.0.2.1 data.gpc0 7");
    let log = || stickd.daemon().log();
    wait::until_or(SOON, "the sum", log, || {
        let table = hap.table("t.sum");
        table.entries.get("192.0.2.1").filter(|entry| entry.number("gpc0") == 7).map(|_| ())
    });
}
