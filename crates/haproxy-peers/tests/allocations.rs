//! Nothing is allocated per update.
//!
//! A session's buffers, a table's blocks and strings known on both sides are allocated once; after that, updates come
//! and go without the allocator. Bounds are numbers of allocations, a reallocation counts as one, for all [`UPDATES`]
//! together. Allocations per read of 64 KiB or per pass of live updates are no harm; bounds are close to what they are.

use allocation_counter::measure;
use stickd_micro::{CHUNK, Kind, Node, Sender};

/// Updates that are counted.
const UPDATES: u32 = 50_000;
/// Room of the tables: 16 shards, and more than is ever used.
const SIZE: u32 = 1_000_000;
const SHARDS: u64 = 16;
/// Live updates of one pass, as limited by default.
const PASS: u64 = 200;

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

fn reads(stream: &[u8]) -> u64 {
    stream.len().div_ceil(CHUNK) as u64
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
fn learning_known_keys_allocates_at_most_once_a_read() {
    for kind in Kind::ALL {
        let (mut node, mut sender) = warm(kind);
        let stream = sender.live(0..UPDATES);
        assert_at_most(reads(&stream), allocations(|| node.learn(&stream, u64::MAX)), kind);
    }
}

/// A table grows by blocks of 4096 rows, its index by doubling: with twice the entries, each of its 16 shards of up to
/// 6,500 rows gets a block more for rows, deadlines and stamps, each may make a list of blocks longer, and its index
/// doubles at most twice.
#[test]
fn learning_new_keys_allocates_what_the_table_grows_by() {
    const GROWTH: u64 = SHARDS * (3 + 3 + 2);
    for kind in Kind::ALL {
        let (mut node, mut sender) = warm(kind);
        let stream = sender.live(UPDATES..2 * UPDATES);
        let counted = allocations(|| node.learn(&stream, u64::MAX));
        assert_eq!(node.table().len(), 2 * UPDATES);
        assert_at_most(reads(&stream) + GROWTH, counted, kind);
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

/// A pass notes where it came to, and so does its acknowledgement.
#[test]
fn pushing_allocates_twice_a_pass() {
    for kind in Kind::ALL {
        let mut node = Node::filled(kind, SIZE, 0..UPDATES);
        node.change(kind, 0..UPDATES);
        node.push(u64::MAX);
        node.change(kind, 0..UPDATES);
        let passes = u64::from(UPDATES).div_ceil(PASS);
        assert_at_most(2 * (passes + 4), allocations(|| node.push(u64::MAX)), kind);
    }
}
