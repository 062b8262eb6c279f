//! What `cargo xtask instructions` counts.

use std::hint::black_box;

use haproxy_peers::varint;
use stick_table::{Follow, Walk};

use crate::{Kind, NOW, Node, Rows, Sender, numbers};

/// Entries of the tables, and the most that a scenario may be asked for. Every run prepares as many, so that the
/// difference of two runs is the work alone.
pub const LARGEST: u32 = 1 << 16;
/// Room of the tables.
const SIZE: u32 = 1_000_000;

/// Work on a number of updates, entries or numbers.
pub struct Scenario {
    /// Its name, a word.
    pub name: &'static str,
    /// Prepares, and then works on at least `count` of [`LARGEST`]; returns on how many it did.
    pub run: fn(count: u32) -> u64,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 13] = [
        // Twice as many new keys make the index double once: the growth is part of the figure.
        Self { name: "learn-new", run: |count| learn_new(Kind::Ip, count) },
        Self { name: "learn-known", run: |count| learn_known(Kind::Ip, count) },
        Self { name: "learn-string-new", run: |count| learn_new(Kind::String, count) },
        Self { name: "learn-string", run: |count| learn_known(Kind::String, count) },
        Self { name: "learn-server-key", run: |count| learn_known(Kind::ServerKey, count) },
        Self { name: "teach", run: |count| teach(Kind::Ip, count) },
        Self { name: "teach-string", run: |count| teach(Kind::String, count) },
        Self { name: "push", run: push },
        Self { name: "apply", run: apply },
        Self { name: "read", run: read },
        Self { name: "walk", run: walk },
        Self { name: "sweep", run: sweep },
        Self { name: "varint", run: varints },
    ];

    /// The scenario of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        const { &Self::ALL }.iter().find(|scenario| scenario.name == name)
    }
}

/// A lesson fills an empty table.
fn learn_new(kind: Kind, count: u32) -> u64 {
    let mut node = Node::new(kind, SIZE);
    let lesson = Sender::new(kind).lesson(0..LARGEST);
    node.ask();
    node.learn(&lesson, count.into())
}

/// Live updates of entries that are there.
fn learn_known(kind: Kind, count: u32) -> u64 {
    let mut node = Node::new(kind, SIZE);
    let mut sender = Sender::new(kind);
    node.learn(&sender.live(0..LARGEST), u64::MAX);
    let again = sender.live(0..LARGEST);
    node.learn(&again, count.into())
}

fn teach(kind: Kind, count: u32) -> u64 {
    Node::filled(kind, SIZE, 0..LARGEST).teach(count.into())
}

fn push(count: u32) -> u64 {
    let mut node = Node::filled(Kind::Ip, SIZE, 0..LARGEST);
    node.change(Kind::Ip, 0..LARGEST);
    node.push(count.into())
}

/// Batches of changes of entries that are there, without a session.
fn apply(count: u32) -> u64 {
    let node = Node::new(Kind::Ip, SIZE);
    let mut rows = Rows::new(Kind::Ip, node.table(), 0..LARGEST);
    rows.apply(node.table(), LARGEST as usize);
    rows.apply(node.table(), count as usize).updated
}

/// A cursor reads the ring, entry by entry.
fn read(count: u32) -> u64 {
    let node = Node::new(Kind::Ip, SIZE);
    let table = node.table();
    let mut cursor = table.follow(Follow::All, &table.start());
    Rows::new(Kind::Ip, table, 0..LARGEST).apply(table, LARGEST as usize);
    let mut read = 0;
    while read < count as usize && table.has_news(&cursor) {
        read += table.read(&mut cursor, count as usize - read, NOW, |entry| {
            black_box(entry.words());
        });
    }
    table.unfollow(cursor);
    read as u64
}

fn walk(count: u32) -> u64 {
    let node = Node::filled(Kind::Ip, SIZE, 0..LARGEST);
    let (mut walk, mut visited) = (Walk::default(), 0);
    while visited < u64::from(count) {
        node.table().walk(&mut walk, (u64::from(count) - visited) as usize, NOW, |entry| {
            black_box(entry.words());
            visited += 1;
        });
    }
    visited
}

/// A sweep over rows of which none is due.
fn sweep(count: u32) -> u64 {
    let node = Node::filled(Kind::Ip, SIZE, 0..LARGEST);
    assert_eq!(node.table().sweep(count, NOW), 0, "nothing is due");
    count.into()
}

/// Numbers are encoded and decoded.
fn varints(count: u32) -> u64 {
    let numbers = numbers::mixed(LARGEST as usize);
    let mut bytes = Vec::with_capacity(10 * LARGEST as usize);
    for &number in &numbers[..count as usize] {
        varint::encode(black_box(number), &mut bytes);
    }
    let (mut rest, mut decoded) = (&bytes[..], 0);
    while let Ok((number, size)) = varint::decode(rest) {
        black_box(number);
        rest = &rest[size..];
        decoded += 1;
    }
    decoded
}
