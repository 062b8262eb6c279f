//! A session from bytes to table and back. Throughput in updates.

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stickd_micro::{Kind, Node, Sender};

/// Entries of the small and of the large table: within the processor's caches, and not.
const ENTRIES: [u32; 2] = [10_000, 1_000_000];
/// Updates of an iteration.
const UPDATES: u32 = 10_000;

/// A lesson fills an empty table.
fn learn_new(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("learn new");
    group.throughput(Throughput::Elements(UPDATES.into()));
    for kind in Kind::ALL {
        let lesson = Sender::new(kind).lesson(0..UPDATES);
        group.bench_function(format!("{kind:?}"), |bencher| {
            bencher.iter_batched(
                || {
                    let mut node = Node::new(kind, 1_000_000);
                    node.ask();
                    node
                },
                |mut node| {
                    node.learn(&lesson, u64::MAX);
                    node
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Live updates of entries that are there, scattered over the table.
fn learn_known(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("learn known");
    group.throughput(Throughput::Elements(UPDATES.into()));
    for entries in ENTRIES {
        for kind in Kind::ALL {
            let mut node = Node::new(kind, entries);
            let mut sender = Sender::new(kind);
            node.learn(&sender.live(0..entries), u64::MAX);
            let streams: Vec<Vec<u8>> =
                (0..entries / UPDATES).map(|at| sender.live(at * UPDATES..(at + 1) * UPDATES)).collect();
            let mut turn = streams.iter().cycle();
            group.bench_function(format!("{kind:?} of {entries}"), |bencher| {
                bencher.iter(|| turn.next().map(|stream| node.learn(stream, u64::MAX)));
            });
        }
    }
    group.finish();
}

/// A whole lesson of a table that was learned.
fn teach(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("teach");
    for entries in [10_000, 100_000] {
        group.throughput(Throughput::Elements(entries.into()));
        for kind in Kind::ALL {
            let node = Node::filled(kind, entries, 0..entries);
            let mut peer = 2;
            group.bench_function(format!("{kind:?} of {entries}"), |bencher| {
                bencher.iter_batched(
                    || {
                        peer += 1;
                        node.connect(peer)
                    },
                    |mut node| {
                        assert_eq!(node.teach(u64::MAX), u64::from(entries));
                        node
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Live updates of local changes, with their acknowledgements.
fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("push");
    group.throughput(Throughput::Elements(UPDATES.into()));
    for kind in Kind::ALL {
        let mut node = Node::filled(kind, 1_000_000, 0..100_000);
        let mut at = 0;
        group.bench_function(format!("{kind:?}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut taken = Duration::ZERO;
                for _ in 0..iterations {
                    node.change(kind, at..at + UPDATES);
                    at = (at + UPDATES) % 100_000;
                    let begun = Instant::now();
                    assert_eq!(node.push(u64::MAX), u64::from(UPDATES));
                    taken += begun.elapsed();
                }
                taken
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = learn_new, learn_known, teach, push
}
criterion_main!(benches);
