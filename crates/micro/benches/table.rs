//! The table without a wire. Throughput in entries or rows.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stick_table::{Cursor, Follow, Table, Walk};
use stickd_micro::{Kind, NOW, Rows};

/// Entries of the small and of the large table: within the processor's caches, and not.
const ENTRIES: [u32; 2] = [10_000, 1_000_000];

fn filled(entries: u32) -> (Table, Rows) {
    let table = Table::new(Kind::Ip.definition(entries), 1).unwrap();
    let mut rows = Rows::new(Kind::Ip, &table, 0..entries);
    assert_eq!(rows.apply(&table, entries as usize).created, u64::from(entries));
    (table, rows)
}

/// Batches of 512 changes: of entries that are not there, and that are.
fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for entries in ENTRIES {
        group.throughput(Throughput::Elements(entries.into())).sample_size(10);
        group.bench_function(format!("new/{entries}"), |bencher| {
            bencher.iter_batched(
                || {
                    let table = Table::new(Kind::Ip.definition(entries), 1).unwrap();
                    let rows = Rows::new(Kind::Ip, &table, 0..entries);
                    (table, rows)
                },
                |(table, mut rows)| {
                    rows.apply(&table, entries as usize);
                    (table, rows)
                },
                BatchSize::PerIteration,
            );
        });
        let (table, mut rows) = filled(entries);
        group.bench_function(format!("known/{entries}"), |bencher| {
            bencher.iter(|| rows.apply(&table, entries as usize));
        });
    }
    group.finish();
}

/// A table full of entries that are not due takes others: each purges one.
fn purge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("purge");
    for entries in ENTRIES {
        group.throughput(Throughput::Elements(entries.into())).sample_size(10);
        let (table, _) = filled(entries);
        let mut from = entries;
        group.bench_function(entries.to_string(), |bencher| {
            bencher.iter_batched(
                || {
                    // Never a key that the table may still hold.
                    from = from.wrapping_add(entries);
                    Rows::new(Kind::Ip, &table, from - entries..from)
                },
                |mut rows| {
                    let applied = rows.apply(&table, entries as usize);
                    assert_eq!(applied.created, u64::from(entries));
                    rows
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A cursor that is near reads the ring, one that is far behind scans the rows.
/// Reads until there is no news; returns how many entries were visited.
fn read_all(table: &Table, cursor: &mut Cursor) -> usize {
    let mut read = 0;
    while table.has_news(cursor) {
        read += table.read(cursor, usize::MAX, NOW, |entry| {
            black_box(entry.words());
        });
    }
    read
}

fn read(criterion: &mut Criterion) {
    const CHANGES: u32 = 10_000;
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(CHANGES.into()));
    let (table, mut rows) = filled(1_000_000);
    let mut cursor = table.follow(Follow::All, &table.position());
    group.bench_function("ring", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut taken = Duration::ZERO;
            for _ in 0..iterations {
                rows.apply(&table, CHANGES as usize);
                let begun = Instant::now();
                let read = read_all(&table, &mut cursor);
                taken += begun.elapsed();
                assert_eq!(read, CHANGES as usize);
            }
            taken
        });
    });
    table.unfollow(cursor);
    // The rings hold one round over the table. The second is numbered anew because somebody saw the first.
    let behind = table.mark();
    rows.apply(&table, 1_000_000);
    table.mark();
    rows.apply(&table, 1_000_000);
    group.throughput(Throughput::Elements(1_000_000)).sample_size(10);
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            let mut cursor = table.follow(Follow::All, &behind);
            let read = read_all(&table, &mut cursor);
            table.unfollow(cursor);
            assert_eq!(read, 1_000_000);
        });
    });
    group.finish();
}

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    for entries in ENTRIES {
        group.throughput(Throughput::Elements(entries.into())).sample_size(10);
        let (table, _) = filled(entries);
        group.bench_function(entries.to_string(), |bencher| {
            bencher.iter(|| {
                let mut walk = Walk::default();
                while table.walk(&mut walk, 128, NOW, |entry| {
                    black_box(entry.words());
                }) {}
            });
        });
    }
    group.finish();
}

/// A sweep over all rows: none is due, and all are.
fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    for entries in ENTRIES {
        group.throughput(Throughput::Elements(entries.into())).sample_size(10);
        let (table, mut rows) = filled(entries);
        group.bench_function(format!("nothing due/{entries}"), |bencher| {
            bencher.iter(|| assert_eq!(table.sweep(entries, NOW), 0));
        });
        let later = NOW + u64::from(Kind::EXPIRE_MS) + 1;
        group.bench_function(format!("all due/{entries}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut taken = Duration::ZERO;
                for _ in 0..iterations {
                    rows.apply(&table, entries as usize);
                    let begun = Instant::now();
                    // Shards are not equally full, so a second round frees what is left.
                    while !table.is_empty() {
                        table.sweep(entries, later);
                    }
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
    targets = apply, purge, read, walk, sweep
}
criterion_main!(benches);
