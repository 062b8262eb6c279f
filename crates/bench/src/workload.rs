//! The work every subject gets: tables, keys, and values that can be checked from the key alone.
//!
//! Everything about entry number `i` is computed from `i`, so that nothing has to be remembered: the key is a bijection of
//! `i`, and values and lifetime come from a hash of `i` and of how often the keys have been written (the *generation*).

use stick_table::{Column, KeyType, TableDefinition};

/// Period of the tables' frequency counters, in ms.
const PERIOD_MS: u32 = 10_000;

/// Shortest and longest remaining lifetime of a timed update, in ms: under the tables' `expire` of 1 h.
const LIFETIMES_MS: std::ops::Range<u32> = 1_800_000..3_540_000;

/// `i` times this, modulo 2^32, is the address that is the key of entry `i`: distinct and scattered.
const MULTIPLIER: u32 = 2_654_435_761;

/// The table that is measured.
pub(crate) const TABLE: &str = "t";

/// `expire` of the tables unless a scenario says otherwise, in ms.
pub(crate) const EXPIRE_MS: u32 = 3_600_000;

/// What keys are and what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keys {
    /// `type ip`, four data types, two of them rates.
    Ip,
    /// `type string len 32` with 32 hexadecimal digits, `server_id`.
    String,
}

/// A frequency counter as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Since the start of the current period, in ms.
    pub(crate) age: u32,
    pub(crate) current: u32,
    pub(crate) previous: u32,
}

/// What entry `i` of a generation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Ip { gpc0: u32, conn_cnt: u32, http_req_rate: Rate, bytes_out_rate: Rate },
    String { server_id: u32 },
}

impl Keys {
    /// As in tables of results.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ip => "ip, 4 types",
            Self::String => "string 32, server_id",
        }
    }

    /// The arguments of `stick-table` for a table of `size` entries.
    pub(crate) fn arguments(self, size: u64, expire_ms: u32) -> String {
        match self {
            Self::Ip => format!(
                "type ip size {size} expire {expire_ms}ms store gpc0,http_req_rate(10s),conn_cnt,bytes_out_rate(10s)"
            ),
            Self::String => format!("type string len 32 size {size} expire {expire_ms}ms store server_id"),
        }
    }

    /// The table as a peer defines it.
    pub(crate) fn definition(self, expire_ms: u32) -> TableDefinition {
        let (key_type, columns): (_, &[&str]) = match self {
            Self::Ip => (KeyType::Ip, &["gpc0", "http_req_rate(10s)", "conn_cnt", "bytes_out_rate(10s)"]),
            Self::String => (KeyType::String { max_len: 32 }, &["server_id"]),
        };
        let empty = TableDefinition::new(TABLE, key_type, 1).with_expire(Some(expire_ms));
        columns.iter().fold(empty, |definition, column| {
            let column: Column = column.parse().expect("the columns above are well-formed");
            definition.with_column(column).expect("the columns above go together")
        })
    }

    /// Roomy bytes for one update on the wire.
    pub(crate) const fn room(self) -> usize {
        match self {
            Self::Ip => 44,
            Self::String => 56,
        }
    }

    /// Appends the key of entry `i` as it is on the wire.
    pub(crate) fn encode(self, i: u64, out: &mut Vec<u8>) {
        match self {
            Self::Ip => out.extend_from_slice(&(i as u32).wrapping_mul(MULTIPLIER).to_be_bytes()),
            Self::String => {
                out.push(32);
                out.extend_from_slice(&digits(mix(i)));
                out.extend_from_slice(&digits(mix(!i)));
            }
        }
    }

    /// The number of the entry with this key (without a length in front); `None` when no entry has it.
    pub(crate) fn number(self, key: &[u8]) -> Option<u64> {
        match self {
            Self::Ip => {
                let key = u32::from_be_bytes(key.try_into().ok()?);
                Some(key.wrapping_mul(const { inverse(MULTIPLIER) }).into())
            }
            Self::String => {
                let (first, second) = key.split_at_checked(16)?;
                let i = unmix(number(first)?);
                (number(second)? == mix(!i)).then_some(i)
            }
        }
    }

    /// What entry `i` holds in a generation.
    pub(crate) fn values(self, i: u64, generation: u32) -> Values {
        let bits = hash(i, generation);
        // Every value takes bits of its own, as many as its range has.
        let part = |shift: u32, range: u32| (bits.rotate_right(shift) as u32) % range;
        match self {
            Self::Ip => Values::Ip {
                gpc0: part(0, 512),
                http_req_rate: Rate {
                    age: part(7, PERIOD_MS),
                    current: 1 + part(13, 200),
                    previous: part(19, 200),
                },
                conn_cnt: part(29, 4_096),
                bytes_out_rate: Rate {
                    age: part(37, PERIOD_MS),
                    current: 1 + part(43, 60_000),
                    previous: part(53, 60_000),
                },
            },
            Self::String => Values::String { server_id: 1 + part(0, 200) },
        }
    }
}

/// The remaining lifetime that a timed update of entry `i` carries, in ms.
pub(crate) fn lifetime_ms(i: u64, generation: u32) -> u32 {
    let range = u64::from(LIFETIMES_MS.end - LIFETIMES_MS.start);
    LIFETIMES_MS.start + (hash(i, generation ^ 0x80) % range) as u32
}

fn hash(i: u64, generation: u32) -> u64 {
    mix(i ^ u64::from(generation) << 40)
}

/// A bijection of 64 bits that scatters (the finaliser of SplitMix64).
const fn mix(i: u64) -> u64 {
    let i = (i ^ i >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let i = (i ^ i >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    i ^ i >> 31
}

/// The inverse of [`mix`].
const fn unmix(mixed: u64) -> u64 {
    let i = mixed ^ mixed >> 31 ^ mixed >> 62;
    let i = i.wrapping_mul(0x3196_42b2_d24d_8ec3);
    let i = i ^ i >> 27 ^ i >> 54;
    let i = i.wrapping_mul(0x96de_1b17_3f11_9089);
    i ^ i >> 30 ^ i >> 60
}

/// The number by which a product with the odd `factor` has to be multiplied to get back, modulo 2^32.
const fn inverse(factor: u32) -> u32 {
    // Newton's iteration doubles the right bits each time, starting with three.
    let (mut inverse, mut step) = (factor, 0);
    while step < 4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(factor.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

fn digits(value: u64) -> [u8; 16] {
    std::array::from_fn(|place| b"0123456789abcdef"[(value >> (60 - 4 * place)) as usize & 15])
}

fn number(digits: &[u8]) -> Option<u64> {
    let value = |sum: u64, digit: &u8| match digit {
        b'0'..=b'9' => Some(sum << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(sum << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    };
    (digits.len() == 16).then(|| digits.iter().try_fold(0, value))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_back_to_their_entry() {
        for keys in [Keys::Ip, Keys::String] {
            for i in (0..40_000_000).step_by(7_919) {
                let mut key = Vec::new();
                keys.encode(i, &mut key);
                let key = if keys == Keys::String { &key[1..] } else { &key };
                assert_eq!(keys.number(key), Some(i), "{keys:?} {key:?}");
            }
        }
        assert_eq!(Keys::String.number(b"0123456789abcdef0123456789abcdef"), None);
        assert_eq!(Keys::String.number(b"0123456789ABCDEF0123456789abcdef"), None);
        assert_eq!(Keys::Ip.number(b"abc"), None);
    }

    #[test]
    fn generations_differ() {
        let same = (0..1_000).filter(|&i| Keys::Ip.values(i, 0) == Keys::Ip.values(i, 1)).count();
        assert_eq!(same, 0);
        let same = (0..1_000).filter(|&i| lifetime_ms(i, 0) == lifetime_ms(i, 1)).count();
        assert!(same < 10, "{same}");
    }

    #[test]
    fn entries_have_different_values_and_lifetimes_in_range() {
        let different: std::collections::HashSet<_> =
            (0..1_000).map(|i| format!("{:?}", Keys::Ip.values(i, 0))).collect();
        assert_eq!(different.len(), 1_000);
        assert!((0..10_000).all(|i| LIFETIMES_MS.contains(&lifetime_ms(i, 3))));
    }
}
