//! Clients of the runtime socket that keep places, say too much or too little, or do not take their answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};

use crate::honest::Honest;
use crate::node::Node;

fn connect(node: &Node) -> UnixStream {
    UnixStream::connect(node.stickd.directory().join(SOCKET)).unwrap()
}

#[test]
fn more_connections_than_places_that_say_nothing() {
    let node = Node::start("  stats maxconn 4\n  stats timeout 1h\n", "");
    let honest = Honest::start(&node);
    let idle = honest.unharmed_by(&node, "idle runtime connections", || {
        let idle: Vec<_> = (0..40).map(|_| connect(&node)).collect();
        // Behind all of them; nobody waits an hour.
        let shown = node.stickd.cli().run("show version");
        assert!(shown.starts_with(env!("CARGO_PKG_VERSION")), "{shown}");
        idle
    });
    node.wait_info("Stickd_runtime_connections_dropped", |count| count >= 36);
    assert_eq!(node.info("Stickd_runtime_connections_limit"), 4);
    assert!(node.info("Stickd_runtime_connections") <= 4);
    drop(idle);
}

#[test]
fn commands_that_come_letter_by_letter_or_never_end() {
    let node = Node::start("  stats timeout 1s\n", "");
    let honest = Honest::start(&node);
    let before = node.memory();
    honest.unharmed_by(&node, "slow and endless commands", || {
        thread::scope(|scope| {
            for number in 0..8 {
                let mut stream = connect(&node);
                scope.spawn(move || {
                    let (part, pause) = if number % 2 == 0 { (1, 100) } else { (100_000, 0) };
                    let letters = vec![b'x'; part];
                    let started = Instant::now();
                    while stream.write_all(&letters).is_ok() {
                        assert!(started.elapsed() < SOON, "not closed");
                        thread::sleep(Duration::from_millis(pause));
                    }
                });
            }
        });
    });
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB more");
}

#[test]
fn answers_that_are_not_taken() {
    let node = Node::start("  stats maxconn 4\n  stats timeout 1h\n", "");
    for key in 0..5_000 {
        if key % 500 == 0 {
            let commands: Vec<_> =
                (key..key + 500).map(|key| format!("set table t key {key} data.gpc0 1")).collect();
            let _ = node.stickd.cli().run(&commands[..250].join(";"));
            let _ = node.stickd.cli().run(&commands[250..].join(";"));
        }
    }
    assert_eq!(node.info("Stickd_entries"), 5_000);
    let honest = Honest::start(&node);
    let before = node.memory();
    honest.unharmed_by(&node, "answers that are not taken", || {
        let mut deaf: Vec<_> = (0..4).map(|_| connect(&node)).collect();
        for stream in &mut deaf {
            stream.write_all(format!("{}\n", ["show table t"; 50].join(";")).as_bytes()).unwrap();
        }
        wait::until(SOON, "the answer to somebody else", || {
            node.stickd.cli().run("show version").starts_with(env!("CARGO_PKG_VERSION")).then_some(())
        });
        // Those who had to leave got a part.
        let mut part = Vec::new();
        let _ = deaf[0].read_to_end(&mut part);
        assert!(!part.is_empty());
        drop(deaf);
    });
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB more");
    node.wait_info("Stickd_runtime_connections_dropped", |count| count >= 1);
}
