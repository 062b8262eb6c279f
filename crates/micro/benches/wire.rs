//! Varints, frames and whole messages. Throughput in numbers or messages.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haproxy_peers::{DEFAULT_MAX_PAYLOAD, Decoder, decode_frame, varint};
use stickd_micro::{Kind, Sender, numbers};

const NUMBERS: usize = 10_000;
const MESSAGES: u32 = 10_000;

fn varints(criterion: &mut Criterion) {
    let mixes = [
        ("1 byte", numbers::of_lengths(1..=1, NUMBERS)),
        ("2 bytes", numbers::of_lengths(2..=2, NUMBERS)),
        ("3-5 bytes", numbers::of_lengths(3..=5, NUMBERS)),
        ("mixed", numbers::mixed(NUMBERS)),
    ];
    let mut group = criterion.benchmark_group("varint");
    group.throughput(Throughput::Elements(NUMBERS as u64));
    for (name, numbers) in mixes {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| varint::encode(number, &mut bytes));
        let mut out = Vec::with_capacity(bytes.len());
        group.bench_function(format!("encode/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                numbers.iter().for_each(|&number| varint::encode(number, &mut out));
                black_box(&out);
            });
        });
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| {
                let mut rest = &bytes[..];
                while let Ok((number, size)) = varint::decode(rest) {
                    black_box(number);
                    rest = &rest[size..];
                }
            });
        });
    }
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("messages");
    group.throughput(Throughput::Elements(MESSAGES.into()));
    for kind in Kind::ALL {
        let lesson = Sender::new(kind).lesson(0..MESSAGES);
        group.bench_function(format!("decode_frame/{kind:?}"), |bencher| {
            bencher.iter(|| {
                let mut rest = &lesson[..];
                while let Ok(Some((frame, size))) = decode_frame(rest, 0, DEFAULT_MAX_PAYLOAD) {
                    black_box(frame);
                    rest = &rest[size..];
                }
            });
        });
        group.bench_function(format!("Decoder/{kind:?}"), |bencher| {
            bencher.iter(|| {
                let (mut decoder, mut rest) = (Decoder::new(), &lesson[..]);
                while let Ok(Some((message, size))) = decoder.decode(rest) {
                    black_box(message);
                    rest = &rest[size..];
                }
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
    targets = varints, messages
}
criterion_main!(benches);
