//! Strangers' words that would be lines of their own, or move the cursor of a terminal.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use stick_table::KeyType;
use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{StickdProcess, ports};

use crate::attack::{connect_from, join};
use crate::node::Node;
use crate::sessions::define;
use crate::tables::{defined, naming, table};

/// A line of its own, a carriage return, an erased line, a line separator, a word that is read from right to left, the
/// same escape as one character, and a line that looks as if it came from stickd.
const EVIL: &str =
    "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2K\u{85}\u{2028}\u{202e}\u{9b}2K\u{7f}\nforged";

/// Whether a text has nothing but lines that can be read.
#[track_caller]
fn assert_clean(text: &str, what: &str) {
    let bad: Vec<_> = text
        .chars()
        .filter(|&letter| {
            let format =
                matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            (letter.is_control() && letter != '\n') || format
        })
        .collect();
    assert!(bad.is_empty(), "{what} has {bad:?}: {text:?}");
    let forged = |line: &&str| line.starts_with("forged") || line.starts_with("2026-01-01");
    assert_eq!(text.lines().find(forged), None, "{what}: {text}");
}

/// Sends bytes from an address of its own, as each has one line a minute, and waits for the other side to close.
fn refused(node: &Node, number: u8, hello: &[u8]) {
    let mut stream = connect_from(Ipv4Addr::new(127, 0, 1, number), node.bind);
    stream.write_all(hello).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn words_of_strangers_are_escaped_wherever_they_are_shown() {
    let node = Node::start("", "  dynamic-peers\n  dynamic-tables size 10\n");
    let one_line = EVIL.replace('\n', " ");
    refused(&node, 1, format!("HAProxyS 2.1\n{one_line}\n").as_bytes());
    refused(&node, 2, format!("HAProxyS 2.{one_line}\n").as_bytes());
    refused(&node, 3, format!("HAProxyS 2.1\nstickd\n{} 1 1\n", one_line.replace(' ', "_")).as_bytes());
    // Letters only, but some of them are read from right to left.
    refused(&node, 4, "HAProxyS 2.1\nstickd\nlb\u{202e}1 1 1\n".as_bytes());
    for text in ["the hello is for a peer named", "the protocol version", "refused a peer that may join"] {
        node.stickd.daemon().wait_log(text, SOON);
    }
    let mut evil = join(node.bind, "evil");
    // A table of that name, one that is defined otherwise, and strings of it.
    evil.write_all(&defined(7, &table(EVIL, KeyType::Integer, &["gpc0"]))).unwrap();
    evil.write_all(&define(1)).unwrap();
    evil.write_all(&naming(5, 1, EVIL.as_bytes())).unwrap();
    node.stickd.daemon().wait_log("updates of table x", SOON);
    let shown = wait::until(SOON, "the entry", || {
        let shown = node.stickd.cli().run("show table t");
        shown.contains("key=5 ").then_some(shown)
    });
    assert_clean(&shown, "show table");
    assert_eq!(shown.lines().filter(|line| line.contains("key=")).count(), 1, "{shown}");
    // Its blanks are escaped too: they would begin further fields.
    assert!(shown.contains(r" server_key=x\n2026-01-01T00:00:00Z\ ERROR\ forged\r\e[2K"), "{shown}");
    for command in ["show peers", "show peers dict", "show table t key 5"] {
        assert_clean(&node.stickd.cli().run(command), command);
    }
    assert!(node.stickd.cli().run("show peers dict").contains("forged"));
    assert_clean(&node.log(), "the log");
    assert!(node.logged("forged") >= 4, "{}", node.log());
}

/// A peer that may not join under a name that only looks like another one.
#[test]
fn a_name_that_cannot_be_shown_is_none() {
    let node = Node::start("", "  dynamic-peers\n");
    for name in ["lb\u{202e}1", "lb\u{200b}1", "lb\u{feff}1", "lb\u{e0041}1"] {
        let mut stream = TcpStream::connect(node.bind).unwrap();
        assert_eq!(crate::attack::hello(&mut stream, name), "504\n", "{name:?}");
    }
    assert_eq!(crate::attack::hello(&mut TcpStream::connect(node.bind).unwrap(), "lbé1"), "200\n");
}

#[test]
fn words_of_a_command_are_escaped_in_its_answer() {
    let node = Node::start("", "");
    let words = EVIL.replace('\n', "\\\n").replace(' ', "\\ ");
    for command in [
        format!("echo {words}"),
        format!("{words} x"),
        format!("show table {words}"),
        format!("show aggregations {words}"),
        format!("show peers {words}"),
        format!("set table t key {words}"),
        format!("prompt {words}"),
        format!("help {words}"),
    ] {
        assert_clean(&node.stickd.cli().run(&command), &format!("{command:?}"));
    }
}

/// What a hub leaves out of its sums is listed by the name that a node gave it.
#[test]
fn a_name_does_not_look_like_further_fields() {
    let hub = ports::free_address();
    let text = format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
         aggregations h\n  peer stickd {hub} local\n  peer lb1 127.0.0.9:1\n  from any to .agg\n"
    );
    let stickd = StickdProcess::start(env!("CARGO_BIN_EXE_stickd"), Some(&text), &[]);
    let mut node = join(hub, "lb1");
    let name = format!("x table=t reason=none \"{EVIL}");
    node.write_all(&defined(7, &table(&name, KeyType::Integer, &["gpc0"]))).unwrap();
    let shown = wait::until_or(
        SOON,
        "the table",
        || stickd.daemon().log(),
        || {
            let shown = stickd.cli().run("show aggregations");
            shown.contains("forged").then_some(shown)
        },
    );
    assert_clean(&shown, "show aggregations");
    let line = shown.lines().find(|line| line.contains("forged")).unwrap();
    assert!(line.contains(r#" table="x table=t reason=none \"x\n2026"#), "{line}");
    stickd.daemon().wait_log("forged", SOON);
    assert_clean(&stickd.daemon().log(), "the log");
    assert_clean(&stickd.cli().run("show peers"), "show peers");
}
