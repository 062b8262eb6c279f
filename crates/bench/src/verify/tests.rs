//! Verification finds what it is there for.

use super::*;
use crate::stream::definition;
use haproxy_peers::{Control, UpdateHeader};
use std::time::Duration;

const COUNT: u64 = 5_000;
/// Time between the lesson a subject got and the one it gives, in ms.
const PAUSE: u32 = 2_000;

/// A subject in the test's hands: what it was taught at which time, and what it says afterwards.
struct Exchange {
    taught: Taught,
    asked: Instant,
}

impl Exchange {
    fn new(work: Work) -> Self {
        let started = Instant::now();
        let stream = work.encode(EXPIRE_MS);
        let passage = Passage(vec![(stream.bytes.len(), started + Duration::from_millis(10))]);
        let taught = Taught::new(work, &stream, started, &passage, started + Duration::from_millis(20));
        Self { taught, asked: started + Duration::from_millis(PAUSE.into()) }
    }

    /// Verifies what a subject tells that has the given entries, each changed by `change`.
    fn told(&self, entries: impl IntoIterator<Item = u64>, change: fn(u64, &mut Told)) -> Result<Verified> {
        let mut bytes = definition(self.taught.work.keys, EXPIRE_MS);
        for i in entries {
            let generation = self.taught.work.generation;
            let lifetime = if self.taught.work.timed { lifetime_ms(i, generation) } else { EXPIRE_MS };
            let mut told = Told { i, generation, lifetime: lifetime - PAUSE, older: PAUSE };
            change(i, &mut told);
            told.append(self.taught.work.keys, &mut bytes);
        }
        let room = bytes.len();
        Control::ResyncFinished.encode(&mut bytes);
        let finished = self.asked + Duration::from_millis(30);
        let passage = Passage(vec![(room, finished)]);
        let received = Received { bytes, passage, asked: self.asked, finished };
        verify(&received, &[&self.taught], Expect::All)
    }

    fn fault(&self, entries: impl IntoIterator<Item = u64>, change: fn(u64, &mut Told)) -> String {
        self.told(entries, change).unwrap_err().to_string()
    }
}

/// One entry as a subject tells it.
struct Told {
    i: u64,
    generation: u32,
    lifetime: u32,
    /// By how much its counters aged.
    older: u32,
}

impl Told {
    fn append(&self, keys: Keys, bytes: &mut Vec<u8>) {
        let header = UpdateHeader { id: Some(1), lifetime_ms: Some(self.lifetime) };
        let mut frame = header.begin(bytes);
        let payload = frame.payload();
        keys.encode(self.i, payload);
        match keys.values(self.i, self.generation) {
            Values::Ip { gpc0, conn_cnt, http_req_rate, bytes_out_rate } => {
                haproxy_peers::encode_unsigned(gpc0, payload);
                haproxy_peers::encode_unsigned(conn_cnt, payload);
                self.rate(http_req_rate, payload);
                self.rate(bytes_out_rate, payload);
            }
            Values::String { server_id } => haproxy_peers::encode_signed(server_id.cast_signed(), payload),
        }
        frame.finish(haproxy_peers::Padding::None);
    }

    fn rate(&self, rate: Rate, payload: &mut Vec<u8>) {
        let Rate { age, current, previous } = rate;
        haproxy_peers::encode_frequency(WireFrequency { age: age + self.older, current, previous }, payload);
    }
}

fn as_taught(_: u64, _: &mut Told) {}

#[test]
fn what_is_right_is_counted() {
    for keys in [Keys::Ip, Keys::String] {
        let new = Work::new(keys, 100, COUNT);
        for work in [new, new.again()] {
            let exchange = Exchange::new(work);
            let verified = exchange.told((100..100 + COUNT).rev(), as_taught).unwrap();
            assert_eq!(verified.entries, COUNT);
        }
    }
}

#[test]
fn a_missing_entry_is_named() {
    for keys in [Keys::Ip, Keys::String] {
        let exchange = Exchange::new(Work::new(keys, 0, COUNT));
        let fault = exchange.fault((0..COUNT).filter(|&i| i != 4_321), as_taught);
        assert!(fault.contains("1 faults") && fault.contains("entry 4321 is missing"), "{fault}");
    }
}

#[test]
fn an_entry_told_twice_is_named() {
    let exchange = Exchange::new(Work::new(Keys::Ip, 0, COUNT));
    let fault = exchange.fault((0..COUNT).chain([17]), as_taught);
    assert!(
        fault.contains("1 faults") && fault.contains("entry 17 (key") && fault.contains("twice"),
        "{fault}"
    );
}

#[test]
fn an_entry_nobody_taught_is_named() {
    let exchange = Exchange::new(Work::new(Keys::Ip, 0, COUNT));
    let fault = exchange.fault(0..=COUNT, as_taught);
    assert!(fault.contains("nobody taught"), "{fault}");
}

#[test]
fn old_values_are_wrong() {
    for keys in [Keys::Ip, Keys::String] {
        let exchange = Exchange::new(Work::new(keys, 0, COUNT).again());
        let fault = exchange.fault(0..COUNT, |i, told| {
            if i == 1_234 {
                told.generation = 0;
            }
        });
        assert!(fault.contains("1 faults") && fault.contains("entry 1234"), "{fault}");
    }
}

#[test]
fn lifetimes_and_ages_must_fit_the_time_that_passed() {
    let exchange = Exchange::new(Work::new(Keys::Ip, 0, COUNT));
    let wrong: [fn(u64, &mut Told); 4] = [
        |_, told| told.lifetime += 500,
        |_, told| told.lifetime -= 500,
        |_, told| told.older = 0,
        |_, told| told.older += 500,
    ];
    for change in wrong {
        let fault = exchange.fault(0..COUNT, change);
        assert!(fault.contains("5000 faults") && fault.contains("and 4990 more"), "{fault}");
    }
    // An even start of a period: 1 ms older.
    assert!(exchange.told(0..COUNT, |_, told| told.older += 1).is_ok());
}

#[test]
fn another_table_is_not_looked_at_and_another_definition_is_an_error() {
    let exchange = Exchange::new(Work::new(Keys::Ip, 0, 1));
    let lesson = |bytes: Vec<u8>| Received {
        bytes,
        passage: Passage::default(),
        asked: exchange.asked,
        finished: exchange.asked,
    };
    let other = verify(&lesson(definition(Keys::String, EXPIRE_MS)), &[&exchange.taught], Expect::Part);
    assert!(other.unwrap_err().to_string().contains("otherwise"));
    let empty = verify(&lesson(Vec::new()), &[&exchange.taught], Expect::All);
    assert!(empty.unwrap_err().to_string().contains("entry 0 is missing"));
}

#[test]
fn times_are_narrowed_to_what_was_on_its_way() {
    let work = Work::new(Keys::Ip, 0, 2_000_000);
    let stream = work.encode(EXPIRE_MS);
    let started = Instant::now();
    // One MiB each 10 ms.
    let pieces = stream.bytes.len() / (1 << 20) + 1;
    let after = |piece: usize| started + Duration::from_millis(10 * (piece as u64 + 1));
    let passage = Passage((0..pieces).map(|piece| ((piece + 1) << 20, after(piece))).collect());
    let taught = Taught::new(work, &stream, started, &passage, after(pieces));
    let (earliest, latest) = taught.learned(1_000_000, started).unwrap();
    let written = 10 * (stream.blocks[1_000_000 / 1_024] >> 20) as i64;
    assert!((written - 10..=written + 10).contains(&earliest), "{earliest} {written}");
    assert!((written + 150..=written + 190).contains(&latest), "{latest} {written}");
    assert_eq!(taught.learned(1_999_999, started).unwrap().1, 10 * (pieces as i64 + 1));
}
