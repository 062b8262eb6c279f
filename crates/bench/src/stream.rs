//! The bytes of many updates, encoded before any clock starts.

use haproxy_peers::WireFrequency;
use haproxy_peers::{Definition, Padding, UpdateHeader, encode_frequency, encode_signed, encode_unsigned};

use crate::workload::{Keys, Rate, Values, lifetime_ms};

/// HAProxy starts each batch of this many updates with an explicit id (`tune.peers.max-updates-at-once`).
const BATCH: u64 = 200;

/// A mark is kept for every this many updates: where they begin in the bytes.
pub(crate) const BLOCK: u64 = 1_024;

/// The id by which the driver names the table.
pub(crate) const TABLE_ID: u32 = 1;

/// Which entries are sent, in what order, with what values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) keys: Keys,
    /// Number of the first entry.
    pub(crate) first: u64,
    /// How many entries, below 2^31.
    pub(crate) count: u64,
    /// How often the same keys were written before: chooses the values.
    pub(crate) generation: u32,
    /// Id of the first update; the others follow.
    pub(crate) first_id: u32,
    /// Whether updates carry their remaining lifetime.
    pub(crate) timed: bool,
    order: Order,
}

/// The place of an entry in the stream: a product modulo the number of entries.
#[derive(Clone, Copy, Debug)]
struct Order {
    stride: u64,
    inverse: u64,
}

impl Work {
    /// Timed updates of entries that were never written, in the order of their numbers.
    pub(crate) fn new(keys: Keys, first: u64, count: u64) -> Self {
        Self {
            keys,
            first,
            count,
            generation: 0,
            first_id: 1,
            timed: true,
            order: Order { stride: 1, inverse: 1 },
        }
    }

    /// The same entries with new values, as live updates without lifetimes, in an order that has nothing to do with the
    /// first one.
    pub(crate) fn again(self) -> Self {
        let again = Self { generation: self.generation + 1, timed: false, ..self };
        Self { first_id: self.first_id + self.count as u32, order: Order::scattered(self.count), ..again }
    }

    /// The same with ids that follow those of `updates` others.
    pub(crate) fn after(self, updates: u32) -> Self {
        Self { first_id: self.first_id + updates, ..self }
    }

    /// Id of the last update.
    pub(crate) fn last_id(&self) -> u32 {
        self.first_id + (self.count - 1) as u32
    }

    /// Where entry `i` is in the stream; `None` when it is not part of it.
    pub(crate) fn place(&self, i: u64) -> Option<u64> {
        let offset = i.checked_sub(self.first).filter(|&offset| offset < self.count)?;
        Some(offset * self.order.inverse % self.count)
    }

    /// The entry at a place in the stream.
    fn entry(&self, place: u64) -> u64 {
        self.first + place * self.order.stride % self.count
    }

    /// Encodes everything, the definition of the table first.
    pub(crate) fn encode(&self, expire_ms: u32) -> Stream {
        let mut bytes = definition(self.keys, expire_ms);
        bytes.reserve_exact(self.count as usize * self.keys.room());
        let mut blocks = Vec::with_capacity((self.count / BLOCK) as usize + 2);
        for place in 0..self.count {
            if place % BLOCK == 0 {
                blocks.push(bytes.len());
            }
            let i = self.entry(place);
            let id = self.first_id + place as u32;
            // Those after which acknowledgements are waited for as well: some releases swap the bytes of others.
            let explicit = place % BATCH == 0 || (place + 1) % BLOCK == 0 || place + 1 == self.count;
            let header = UpdateHeader {
                id: explicit.then_some(id),
                lifetime_ms: self.timed.then(|| lifetime_ms(i, self.generation)),
            };
            append(self.keys, header, i, self.generation, &mut bytes);
        }
        blocks.push(bytes.len());
        bytes.shrink_to_fit();
        Stream { bytes, blocks }
    }
}

impl Order {
    /// A stride near the golden section of `count` that visits every place.
    fn scattered(count: u64) -> Self {
        let mut stride = (count as f64 * 0.618_034) as u64 | 1;
        loop {
            if let Some(inverse) = inverse(stride, count) {
                return Self { stride, inverse };
            }
            stride += 2;
        }
    }
}

/// The number whose product with `factor` is 1 modulo `modulus`, if there is one.
fn inverse(factor: u64, modulus: u64) -> Option<u64> {
    let modulus = modulus as i64;
    let (mut rest, mut next) = (modulus, factor as i64 % modulus);
    let (mut sum, mut term) = (0_i64, 1_i64);
    while next != 0 {
        let quotient = rest / next;
        (rest, next) = (next, rest - quotient * next);
        (sum, term) = (term, sum - quotient * term);
    }
    (rest == 1).then(|| sum.rem_euclid(modulus) as u64).or_else(|| (modulus == 1).then_some(0))
}

/// Encoded updates.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Definition and updates.
    pub(crate) bytes: Vec<u8>,
    /// Where each block of [`BLOCK`] updates begins, and the end.
    pub(crate) blocks: Vec<usize>,
}

/// The definition of the table as a message.
pub(crate) fn definition(keys: Keys, expire_ms: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let definition =
        Definition::from_table(TABLE_ID, &keys.definition(expire_ms)).expect("a table with a name");
    definition.encode(Padding::None, &mut bytes).expect("the definition of a table");
    bytes
}

/// Appends the update of an entry.
pub(crate) fn append(keys: Keys, header: UpdateHeader, i: u64, generation: u32, out: &mut Vec<u8>) {
    let mut frame = header.begin(out);
    let payload = frame.payload();
    keys.encode(i, payload);
    match keys.values(i, generation) {
        Values::Ip { gpc0, conn_cnt, http_req_rate, bytes_out_rate } => {
            // In the order of the data types' numbers.
            encode_unsigned(gpc0, payload);
            encode_unsigned(conn_cnt, payload);
            encode_rate(http_req_rate, payload);
            encode_rate(bytes_out_rate, payload);
        }
        Values::String { server_id } => encode_signed(server_id.cast_signed(), payload),
    }
    frame.finish(Padding::None);
}

fn encode_rate(Rate { age, current, previous }: Rate, out: &mut Vec<u8>) {
    encode_frequency(WireFrequency { age, current, previous }, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::EXPIRE_MS;
    use haproxy_peers::{Decoder, Message};

    #[test]
    fn every_entry_has_one_place() {
        for count in [1, 2, 3, 1_000, 65_536, 99_991] {
            let again = Work::new(Keys::Ip, 500, count).again();
            let mut seen = vec![false; count as usize];
            for place in 0..count {
                let i = again.entry(place);
                assert_eq!(again.place(i), Some(place), "{count}");
                assert!(!std::mem::replace(&mut seen[(i - 500) as usize], true));
            }
            assert_eq!((again.place(499), again.place(500 + count)), (None, None));
        }
    }

    #[test]
    fn the_second_order_is_another_one() {
        let again = Work::new(Keys::Ip, 0, 1_000_000).again();
        let neighbours =
            (1..1_000).filter(|&place| again.entry(place).abs_diff(again.entry(place - 1)) < 1_000);
        assert_eq!(neighbours.count(), 0);
    }

    #[test]
    fn streams_are_what_a_peer_understands() {
        for (keys, bytes_each) in [(Keys::Ip, 27..30), (Keys::String, 40..43)] {
            let work = Work::new(keys, 7, 1_500);
            let stream = work.encode(EXPIRE_MS);
            assert!(bytes_each.contains(&(stream.bytes.len() / 1_500)), "{}", stream.bytes.len());
            assert_eq!(stream.blocks.len(), 3);
            let (mut decoder, mut rest, mut entries) = (Decoder::new(), &stream.bytes[..], Vec::new());
            while let Some((message, size)) = decoder.decode(rest).unwrap() {
                if let Message::Update(update) = message {
                    let lifetime = update.update.header.lifetime_ms.unwrap();
                    let i = keys.number(&update.update.key).unwrap();
                    assert_eq!(lifetime, lifetime_ms(i, 0));
                    entries.push(i);
                }
                rest = &rest[size..];
            }
            assert_eq!(entries, (7..1_507).collect::<Vec<_>>());
        }
    }
}
