//! Nothing is allocated per update.
//!
//! A session's buffers, a table's blocks and strings known on both sides are allocated once; after that, updates come
//! and go without the allocator. Bounds are numbers of allocations, a reallocation counts as one, for all [`UPDATES`]
//! together.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use allocation_counter::measure;
use haproxy_peers::{
    Definition, Limits, Padding, ProtocolVersion, Relays, Resume, Role, Session, SessionSetup, TableSet,
    decode_frame,
};
use stick_table::{Origin, Table};
use stickd_micro::{Kind, Node, Sender};

/// Updates that are counted.
const UPDATES: u32 = 50_000;
/// Room of the tables: 16 shards, and more than is ever used.
const SIZE: u32 = 1_000_000;
const SHARDS: u64 = 16;

/// How often `work`, which must be on all updates, allocates.
fn allocations(work: impl FnOnce() -> u64) -> u64 {
    let mut worked = 0;
    let counted = measure(|| worked = work());
    assert_eq!(worked, u64::from(UPDATES));
    counted.count_total
}

/// Asserts with the kind of table and both numbers.
fn assert_at_most(bound: u64, counted: u64, kind: Kind) {
    assert!(counted <= bound, "{kind:?}: {counted} allocations, at most {bound} expected");
}

/// A node that learned the entries of the first numbers twice: the first time made them, the second time let buffers
/// find their size.
fn warm(kind: Kind) -> (Node, Sender) {
    let (mut node, mut sender) = (Node::new(kind, SIZE), Sender::new(kind));
    for _ in 0..2 {
        node.learn(&sender.live(0..UPDATES), u64::MAX);
    }
    (node, sender)
}

#[test]
fn learning_known_keys_allocates_nothing() {
    for kind in Kind::ALL {
        let (mut node, mut sender) = warm(kind);
        let stream = sender.live(0..UPDATES);
        assert_at_most(0, allocations(|| node.learn(&stream, u64::MAX)), kind);
    }
}

/// A sender of several tables defines one each time it turns to it.
#[test]
fn a_definition_that_comes_again_allocates_nothing() {
    for kind in Kind::ALL {
        let (mut node, mut sender) = warm(kind);
        let mut stream = Vec::new();
        for _ in 0..1_000 {
            Definition::from_table(1, &kind.definition(1))
                .unwrap()
                .encode(Padding::None, &mut stream)
                .unwrap();
        }
        stream.extend(sender.live(0..UPDATES));
        assert_at_most(0, allocations(|| node.learn(&stream, u64::MAX)), kind);
    }
}

/// A peer that goes from table to table does not leave a full batch behind in each.
#[test]
fn batches_of_many_tables_take_little_memory() {
    const TABLES: u32 = 100;
    let kind = Kind::Ip;
    let named = |number| {
        let mut table = kind.definition(1_000);
        table.name = format!("mypeers/t{number}");
        table
    };
    let tables = (0..TABLES).map(|number| (Arc::new(Table::new(named(number), 1).unwrap()), None));
    let setup = SessionSetup {
        tables: Arc::new(TableSet::new("mypeers", tables, None, None, 1).unwrap()),
        version: ProtocolVersion::V2_1,
        role: Role::Remote,
        origin: Origin::peer(1).unwrap(),
        shard: 0,
        level: haproxy_peers::PeerLevel::Below,
        up_to_date: Arc::new(AtomicBool::new(true)),
        limits: Limits::default(),
        resume: Resume::default(),
        relays: Relays::default(),
        awaits_values: Arc::default(),
    };
    let mut session = Session::new(setup, 0);
    let updates = Sender::new(kind).live(0..4_000);
    let (_, definition) = decode_frame(&updates, 0, 16_384).unwrap().unwrap();
    let mut streams = (0..TABLES).map(|number| {
        let mut stream = Vec::with_capacity(updates.len());
        Definition::from_table(number + 1, &named(number))
            .unwrap()
            .encode(Padding::None, &mut stream)
            .unwrap();
        stream.extend_from_slice(&updates[definition..]);
        stream
    });
    let held = measure(|| streams.by_ref().for_each(|stream| session.handle_input(0, &stream).unwrap()));
    assert_eq!(session.received().updates, u64::from(TABLES) * 4_000);
    // What is made for each table, and 1 MiB of batches.
    let bytes = held.bytes_current;
    assert!(bytes < 4 << 20, "{bytes} bytes");
}

/// A table's memory comes in blocks of its own; what grows by the allocator are the lists of them, for rows, deadlines and
/// index, each at most once with twice the entries.
#[test]
fn learning_new_keys_allocates_at_most_for_lists_of_blocks() {
    for kind in Kind::ALL {
        let (mut node, mut sender) = warm(kind);
        let stream = sender.live(UPDATES..2 * UPDATES);
        let counted = allocations(|| node.learn(&stream, u64::MAX));
        assert_eq!(node.table().len(), 2 * UPDATES);
        assert_at_most(3 * SHARDS, counted, kind);
    }
}

/// The definition, and the strings that are sent, each for the first time.
#[test]
fn teaching_allocates_a_handful() {
    for kind in Kind::ALL {
        let mut node = Node::filled(kind, SIZE, 0..UPDATES);
        assert_at_most(16, allocations(|| node.teach(u64::MAX)), kind);
    }
}

/// Where a pass came to is noted in memory that was used before.
#[test]
fn pushing_allocates_next_to_nothing() {
    for kind in Kind::ALL {
        let mut node = Node::filled(kind, SIZE, 0..UPDATES);
        node.change(kind, 0..UPDATES);
        node.push(u64::MAX);
        node.change(kind, 0..UPDATES);
        assert_at_most(8, allocations(|| node.push(u64::MAX)), kind);
    }
}
