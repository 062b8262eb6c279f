//! The sums over all nodes: one update of a key that so many nodes know, in batches of 512; and the looks at rates that fall.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use stick_aggregate::{Aggregate, Rules, Told};
use stick_table::{Batch, KeyType, Lifetime, Origin, Storage, Table, TableDefinition};

/// Keys: more than the processor's caches hold.
const KEYS: u32 = 100_000;
/// Changes of a batch, as many as a session gathers.
const BATCH: u32 = 512;
const START: u64 = 1_000_000_007;
/// Time from batch to batch: as if 256,000 updates came each second, so that periods end meanwhile.
const PACE: u64 = 2;
const PERIOD: u32 = 10_000;
/// Keys whose rates fall, and time from refresh to refresh.
const FALLING: u32 = 10_000;
const PAUSE: u64 = 100;

const RATE: &[&str] = &["http_req_rate(10s)"];
const COUNTERS: &[&str] = &["gpc(4)"];
const WIDE: &[&str] = &[
    "conn_cnt",
    "conn_cur",
    "conn_rate(10s)",
    "http_req_cnt",
    "http_req_rate(10s)",
    "bytes_out_cnt",
    "bytes_out_rate(10s)",
    "gpc0",
];

fn definition(name: &str, columns: &[&str]) -> TableDefinition {
    let empty = TableDefinition::new(name, KeyType::Ip, KEYS).with_expire(Some(3_600_000));
    let with = |table: TableDefinition, column: &&str| table.with_column(column.parse().expect("a column"));
    columns.iter().try_fold(empty, with).expect("each once")
}

/// As good as random.
const fn scatter(number: u32) -> u32 {
    let number = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
    let number = (number ^ number >> 15).wrapping_mul(0x846c_a68b);
    number ^ number >> 16
}

struct Work {
    aggregate: Aggregate,
    batch: Batch,
    /// Where rates begin in the data words.
    rates: Vec<usize>,
}

impl Work {
    fn new(columns: &[&str]) -> Self {
        let output = Arc::new(Table::new(definition("sums", columns), 1).unwrap());
        let aggregate = Aggregate::new(definition("counts", columns), output, &Rules::default(), 1)
            .expect("tables that fit");
        let mut batch = aggregate.batch();
        batch.set_columns(std::iter::once(0..aggregate.layout().data_words())).unwrap();
        let is_rate = |data_type: stick_table::DataType| data_type.storage() == Storage::Frequency;
        let columns = aggregate.layout().columns().iter();
        let rates = columns.filter(|(column, _)| is_rate(column.data_type())).map(|&(_, at)| at).collect();
        Self { aggregate, batch, rates }
    }

    /// What a node tells of some keys. Each counter has its own phase.
    fn fill(&mut self, keys: impl Iterator<Item = u32>, node: u16, now: u64) {
        for key in keys {
            let bytes = key.wrapping_mul(2_654_435_761).to_be_bytes();
            let words = self.batch.push_canonical(&bytes, Lifetime::Restart);
            for (place, word) in (0..).zip(&mut *words) {
                *word = key % 100 + u32::from(node) + place;
            }
            let phase = scatter(key ^ u32::from(node) << 20) % PERIOD;
            for &at in &self.rates {
                let elapsed = (now as u32).wrapping_add(phase) % PERIOD;
                words[at] = (now as u32).wrapping_sub(elapsed) & !1;
            }
        }
    }

    fn absorb(&mut self, node: u16, now: u64) -> u64 {
        self.aggregate.absorb(&mut self.batch, Origin::peer(node).unwrap(), Told::Live, now).updated
    }

    /// All nodes have told all keys.
    fn told_by(columns: &[&str], nodes: u16) -> Self {
        let mut work = Self::new(columns);
        work.tell(KEYS, nodes, START);
        work
    }

    /// All nodes tell the first keys.
    fn tell(&mut self, keys: u32, nodes: u16, now: u64) {
        for node in 1..=nodes {
            for first in (0..keys).step_by(BATCH as usize) {
                self.fill(first..keys.min(first + BATCH), node, now);
                self.absorb(node, now);
            }
        }
    }
}

fn absorb(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("absorb");
    group.throughput(Throughput::Elements(BATCH.into()));
    for (name, columns) in [("one rate", RATE), ("4 counters", COUNTERS), ("8 columns, 3 rates", WIDE)] {
        for nodes in [2_u16, 8, 50] {
            // Not made when it is not asked for.
            let mut work = None;
            let (mut turn, mut now) = (0_u32, START);
            group.bench_function(format!("{name}/{nodes} nodes"), |bencher| {
                let work = work.get_or_insert_with(|| Work::told_by(columns, nodes));
                bencher.iter(|| {
                    turn = turn.wrapping_add(1);
                    now += PACE;
                    let node = (turn % u32::from(nodes)) as u16 + 1;
                    let keys = (0..BATCH).map(|key| scatter(turn.wrapping_mul(BATCH) + key) % KEYS);
                    work.fill(keys, node, now);
                    assert_eq!(work.absorb(node, now), u64::from(BATCH));
                });
            });
        }
    }
    group.finish();
}

/// A look at all keys, of which none has changed.
fn refresh(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refresh");
    group.throughput(Throughput::Elements(KEYS.into()));
    let work = Work::told_by(COUNTERS, 1);
    group.bench_function("nothing due", |bencher| {
        bencher.iter(|| assert_eq!(work.aggregate.refresh(START, KEYS as usize).keys, 0));
    });
    group.finish();
}

/// From the moment all nodes have told their rates until these have fallen to nothing: a refresh every 100 ms, 200 in all. An
/// element is a key in one refresh.
fn fall(criterion: &mut Criterion) {
    let refreshes = 2 * u64::from(PERIOD) / PAUSE;
    let mut group = criterion.benchmark_group("fall");
    group.throughput(Throughput::Elements(refreshes * u64::from(FALLING)));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for (name, columns) in [("one rate", RATE), ("8 columns, 3 rates", WIDE)] {
        for nodes in [2_u16, 8, 50] {
            let mut now = START;
            let mut work = Work::new(columns);
            group.bench_function(format!("{name}/{nodes} nodes"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut elapsed = Duration::ZERO;
                    for _ in 0..iterations {
                        work.tell(FALLING, nodes, now);
                        let begin = Instant::now();
                        for _ in 0..refreshes {
                            now += PAUSE;
                            work.aggregate.refresh(now, FALLING as usize);
                        }
                        elapsed += begin.elapsed();
                    }
                    elapsed
                });
            });
        }
    }
    group.finish();
}

/// As [`fall`], while each key is told again by some node once a second. Only the refreshes are measured.
fn busy(criterion: &mut Criterion) {
    let refreshes = 2 * u64::from(PERIOD) / PAUSE;
    let mut group = criterion.benchmark_group("busy");
    group.throughput(Throughput::Elements(refreshes * u64::from(FALLING)));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for nodes in [2_u16, 8, 50] {
        let (mut now, mut turn) = (START, 0);
        let mut work = Work::new(RATE);
        work.tell(FALLING, nodes, now);
        group.bench_function(format!("one rate/{nodes} nodes"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..iterations * refreshes {
                    now += PAUSE;
                    for node in 1..=nodes {
                        turn += 1;
                        let keys = u64::from(FALLING) * PAUSE / 1_000 / u64::from(nodes);
                        work.fill((0..keys as u32).map(|key| scatter(turn << 12 ^ key) % FALLING), node, now);
                        work.absorb(node, now);
                    }
                    let begin = Instant::now();
                    work.aggregate.refresh(now, FALLING as usize);
                    elapsed += begin.elapsed();
                }
                elapsed
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
    targets = absorb, refresh, fall, busy
}
criterion_main!(benches);
