//! Shards of keys (peers-protocol §15).

use std::num::NonZeroU32;

use stick_table::KeyType;
use xxhash_rust::xxh64::xxh64;

/// Says which shard of a section an entry of one table belongs to. HAProxy sends a peer of shard n only what belongs to
/// it; a receiver takes everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableShards {
    seed: u64,
    shards: NonZeroU32,
}

impl TableShards {
    /// For the table of this full local name (`<section>/<name>`, or the proxy's name) in a section of `shards` shards.
    /// The network name would give other shards.
    pub fn new(full_local_name: &str, shards: NonZeroU32) -> Self {
        Self { seed: xxh64(full_local_name.as_bytes(), 0), shards }
    }

    /// The shard of a key given by its canonical bytes: 1 to the number of shards.
    ///
    /// Integers are hashed as HAProxy holds them on a little-endian host.
    #[inline]
    pub fn shard_of(&self, key_type: KeyType, key: &[u8]) -> u32 {
        let hash = match (key_type, key.first_chunk()) {
            (KeyType::Integer, Some(bytes)) => xxh64(&u32::from_be_bytes(*bytes).to_le_bytes(), self.seed),
            _ => xxh64(key, self.seed),
        };
        (hash % u64::from(self.shards.get())) as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
        assert_eq!(TableShards::new("t1", NonZeroU32::MIN).seed, 0x2a62_91d7_e12a_2530);
        assert_eq!(TableShards::new("mypeers/t1", NonZeroU32::MIN).seed, 0x228c_24e2_e137_c589);
        assert_eq!(xxh64(&[10, 0, 0, 1], 0x2a62_91d7_e12a_2530), 0x88d8_3bc8_8524_2577);
    }

    /// peers-protocol §15.
    #[test]
    fn the_worked_rows() {
        let shard = |name: &str, key_type, key: &[u8], shards| {
            TableShards::new(name, NonZeroU32::new(shards).unwrap()).shard_of(key_type, key)
        };
        let string = KeyType::DEFAULT_STRING;
        for (name, key_type, key, of_three, of_two) in [
            ("t1", KeyType::Ip, &[10, 0, 0, 1][..], 1, 2),
            ("t1", KeyType::Ip, &[10, 0, 0, 2], 2, 1),
            ("t1", KeyType::Integer, &1234u32.to_be_bytes(), 1, 2),
            ("t1", string, b"abc", 3, 2),
            ("mypeers/t1", KeyType::Ip, &[10, 0, 0, 1], 1, 1),
            ("mypeers/t1", KeyType::Ip, &[10, 0, 0, 2], 1, 1),
            ("mypeers/t1", string, b"abc", 3, 1),
        ] {
            assert_eq!(shard(name, key_type, key, 3), of_three, "{name} {key:?}");
            assert_eq!(shard(name, key_type, key, 2), of_two, "{name} {key:?}");
            assert_eq!(shard(name, key_type, key, 1), 1);
        }
    }
}
