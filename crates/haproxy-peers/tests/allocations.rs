//! Nothing is allocated per update.
//!
//! A session's buffers, a table's blocks and strings known on both sides are allocated once; after that, updates come
//! and go without the allocator. Bounds are numbers of allocations, a reallocation counts as one, for all [`UPDATES`]
//! together.

use allocation_counter::measure;
use haproxy_peers::{Definition, Padding};
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
            Definition::from_table(1, &kind.definition(1)).encode(Padding::None, &mut stream);
        }
        stream.extend(sender.live(0..UPDATES));
        assert_at_most(0, allocations(|| node.learn(&stream, u64::MAX)), kind);
    }
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
