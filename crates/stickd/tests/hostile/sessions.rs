//! Peers that have a session and do harm with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use haproxy_peers::{Ack, Control, Definition, Padding, class, kind};
use stickd_testkit::wait;

use crate::attack::{LONG, flood, is_closed, join};
use crate::honest::{Honest, definition, update};
use crate::node::Node;

/// A peer that never sent a heartbeat is given up after 10 s of silence.
const GIVEN_UP: Duration = Duration::from_secs(40);
/// Memory that a session may take beside its tables, at most, in KiB: what is read and written at once, and a batch.
const PER_SESSION: u64 = 8 * 1024;
/// Lines of the log that a peer may cause in a test: 100, and one more each second.
const LINES: usize = 100 + 40;

/// The bytes of a control message.
pub(crate) fn control(message: Control) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// The definition of `t` as a table of this id, also of one that no table has.
pub(crate) fn define(id: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let definition = Definition { id, ..Definition::from_table(1, &definition()).unwrap() };
    definition.encode_unchecked(Padding::None, &mut bytes);
    bytes
}

fn table_of(entries: u32) -> Vec<u8> {
    let mut bytes = define(1);
    (1..=entries).for_each(|key| bytes.extend(update(key, 7)));
    bytes
}

#[test]
fn half_a_message_and_silence() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    honest.unharmed_by(&node, "half a message, then silence", || {
        let mut evil = join(node.bind, "evil");
        // 16 000 bytes are announced, and 100 come.
        let mut half = define(1);
        half.extend([class::STICK_TABLE, kind::UPDATE, 0xf0, 0xd9, 0x06]);
        half.extend([0; 100]);
        evil.write_all(&half).unwrap();
        wait::until_or(
            GIVEN_UP,
            "the silent peer to be given up",
            || node.log(),
            || is_closed(&mut evil).then_some(()),
        );
    });
    node.logged_once("nothing was received");
}

#[test]
fn lessons_again_and_again_without_reading() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    let mut evil = join(node.bind, "evil");
    evil.write_all(&table_of(100_000)).unwrap();
    node.wait_info("Stickd_entries", |entries| entries >= 100_000);
    let before = node.memory();
    honest.unharmed_by(&node, "lessons asked for and not read", || {
        let requests = control(Control::ResyncRequest).repeat(1_000);
        let started = Instant::now();
        evil.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while started.elapsed() < LONG {
            // Fails when the daemon does not read for a moment.
            let _ = evil.write(&requests);
        }
    });
    let grown = node.memory().saturating_sub(before);
    assert!(grown < PER_SESSION, "{grown} KiB more");
    assert!(node.logged("asked for a lesson") <= LINES, "{} lines", node.logged("asked for a lesson"));
}

#[test]
fn lessons_again_and_again_that_are_read_and_confirmed() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    let mut teacher = join(node.bind, "evil");
    teacher.write_all(&table_of(100_000)).unwrap();
    node.wait_info("Stickd_entries", |entries| entries >= 100_000);
    let evil = join(node.bind, "evil");
    let before = node.memory();
    honest.unharmed_by(&node, "lessons asked for and confirmed", || {
        let round = [control(Control::ResyncRequest), control(Control::ResyncConfirm)].concat();
        assert!(flood(evil, &round, LONG) > 1);
    });
    let grown = node.memory().saturating_sub(before);
    assert!(grown < PER_SESSION, "{grown} KiB more");
    assert!(node.logged("asked for a lesson") <= LINES, "{} lines", node.logged("asked for a lesson"));
    // The count of what was left out is told.
    node.wait_info("Stickd_log_lines_left_out", |count| count > 0);
}

#[test]
fn sessions_opened_again_and_again() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    honest.unharmed_by(&node, "sessions replaced again and again", || {
        let started = Instant::now();
        let mut last: Option<TcpStream> = None;
        let mut count = 0;
        while started.elapsed() < LONG {
            last = Some(join(node.bind, "evil"));
            count += 1;
        }
        drop(last);
        assert!(count > 50, "{count}");
    });
    let lines = node.logged("evil");
    assert!(lines <= LINES + 10, "{lines} lines");
    node.wait_info("Stickd_peer_connections", |count| count == 2);
}

#[test]
fn malformed_messages_in_one_session_after_the_other() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    honest.unharmed_by(&node, "malformed messages", || {
        let started = Instant::now();
        let mut oversized = vec![class::STICK_TABLE, kind::UPDATE];
        // 2^28 bytes are announced.
        oversized.extend([0xf0, 0xf0, 0xff, 0xff, 0x7f]);
        let malformed = [oversized, vec![class::RESERVED, 0], vec![class::STICK_TABLE, kind::DEFINE, 1, 0]];
        for bytes in malformed.iter().cycle() {
            if started.elapsed() >= LONG {
                break;
            }
            let mut evil = join(node.bind, "evil");
            evil.write_all(bytes).unwrap();
            while matches!(evil.read(&mut [0; 4096]), Ok(1..)) {}
        }
    });
    node.wait_info("Stickd_messages_oversized", |count| count > 0);
    assert!(node.info("Stickd_protocol_errors") > node.info("Stickd_messages_oversized"));
    // Warnings have lines of their own beside the others.
    assert!(node.logged("evil") <= 2 * LINES + 10, "{} lines", node.logged("evil"));
}

/// Acknowledgements of what was never sent, updates of tables that were never defined, messages of unknown classes, and
/// confirmations out of the blue.
#[test]
fn nonsense() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    let mut bytes = Vec::new();
    for id in 0..500 {
        Ack { table_id: id * 77, update_id: u32::MAX - id }.encode_unchecked(&mut bytes);
        bytes.extend([class::STICK_TABLE, kind::SWITCH, 1, (id % 200) as u8]);
        bytes.extend(update(id, 1));
        bytes.extend(control(Control::ResyncConfirm));
        bytes.extend(control(Control::ResyncFinished));
        bytes.extend([77, 200, 3, 1, 2, 3]);
    }
    let before = node.memory();
    let times = honest.unharmed_by(&node, "nonsense", || flood(join(node.bind, "evil"), &bytes, LONG));
    assert!(times > 1, "{}", node.log());
    let grown = node.memory().saturating_sub(before);
    assert!(grown < PER_SESSION, "{grown} KiB more");
    assert!(node.log().lines().count() < LINES, "{}", node.log());
}

/// Several peers that send as much as they can: the honest ones have their turn.
#[test]
fn updates_as_many_as_the_daemon_takes() {
    let node = Node::start("", "  dynamic-peers\n");
    let honest = Honest::start(&node);
    let bytes = table_of(10_000);
    honest.unharmed_by(&node, "updates as many as possible", || {
        thread::scope(|scope| {
            for number in 0..4 {
                let evil = join(node.bind, &format!("evil{number}"));
                scope.spawn(|| assert!(flood(evil, &bytes, LONG) > 1));
            }
        });
    });
    node.wait_info("Stickd_updates_received", |count| count > 10_000);
}
