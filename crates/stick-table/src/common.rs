//! What the parts of a table share.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::lifetime::{self, Lifetime};
use crate::memory::Share;
use crate::row::layout::Layout;
use crate::row::sought_key::SoughtKey;
use crate::{Millis, TableDefinition};

/// What the deadline of a free row is.
pub(crate) const NO_DEADLINE: u32 = 0;

/// What all stripes of a table share.
pub(crate) struct Common {
    pub(crate) definition: TableDefinition,
    pub(crate) layout: Layout,
    /// Where each frequency counter is in the data words, with its period in ms.
    pub(crate) rates: Box<[(usize, u32)]>,
    seed: u64,
    /// Constants of the hash, secret as the seed is: clients choose keys, and with constants that everybody knows (the default of
    /// foldhash) they can choose as many as they like that have one hash under any seed.
    constants: SharedSeed,
    /// Entries of all stripes, so that `size` is exact although the stripes fill unevenly.
    used: AtomicU32,
    /// Rows that the stripes have room for without growing.
    rows: AtomicU32,
    /// Changes told to peers live.
    pub(crate) pushed: AtomicU64,
    /// Of memory that it shares with other tables.
    pub(crate) memory: Option<Share>,
}

impl Common {
    pub(crate) fn new(definition: TableDefinition, seed: u64) -> Self {
        let layout = Layout::new(&definition);
        let rates = layout.columns().iter().filter(|(column, _)| column.data_type().has_period());
        let rates = rates.flat_map(|(column, offset)| {
            let width = column.data_type().storage().words();
            (0..column.count() as usize).map(move |element| (offset + element * width, column.period()))
        });
        Self {
            rates: rates.collect(),
            definition,
            layout,
            seed,
            constants: SharedSeed::from_u64(seed),
            used: AtomicU32::new(0),
            rows: AtomicU32::new(0),
            pushed: AtomicU64::new(0),
            memory: None,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: SoughtKey<'_>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.constants);
        match key {
            SoughtKey::Words(&[word]) => hasher.write_u32(word),
            SoughtKey::Words(words) => hasher.write(bytemuck::cast_slice(words)),
            SoughtKey::Long(key) => hasher.write(key),
        }
        hasher.finish()
    }

    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn add_rows(&self, rows: u32) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Takes up to `wanted` of the table's places; returns how many.
    pub(crate) fn take_places(&self, wanted: u32) -> u32 {
        if wanted == 0 {
            return 0;
        }
        let mut size = self.definition.size;
        if let Some(memory) = &self.memory {
            let wanted = self.used().saturating_add(wanted).min(size);
            size = memory.places(wanted, size).min(size);
        }
        let take = |used: u32| Some(used + wanted.min(size.saturating_sub(used)));
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(used) | Err(used) => wanted.min(size.saturating_sub(used)),
        }
    }

    /// Gives places back that were not needed.
    pub(crate) fn give_places_back(&self, places: u32) {
        self.used.fetch_sub(places, Ordering::Relaxed);
    }

    /// The deadline of an entry that is touched now; the touch time itself when entries do not expire. Never that of a
    /// free row: an entry lives 1 ms longer once in 49 days.
    #[inline]
    pub(crate) fn deadline(&self, lifetime: Lifetime, old: u32, now: Millis) -> u32 {
        let now = now as u32;
        let deadline = match (self.definition.expire, lifetime) {
            (None, Lifetime::Touched(age)) => now.wrapping_sub(age.min(lifetime::OLDEST_TOUCH)),
            (None, _) => now,
            (Some(expire), Lifetime::Touched(age)) => now.wrapping_add(expire.saturating_sub(age)),
            (Some(expire), Lifetime::Restart) => now.wrapping_add(expire),
            (Some(expire), Lifetime::Exactly(ms)) => now.wrapping_add(ms.min(expire)),
            (Some(_), Lifetime::Keep) => old,
        };
        if deadline == NO_DEADLINE { 1 } else { deadline }
    }

    #[inline]
    pub(crate) fn is_over(&self, deadline: u32, now: Millis) -> bool {
        self.definition.expire.is_some() && lifetime::is_over(deadline, now as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::KeyType;

    /// The last eight bytes of a key of up to 16 are combined with a constant, and multiplied. Where the constant is known, they can
    /// be chosen so that the product is 0, whatever else is in the key and whatever the seed is.
    #[test]
    fn keys_that_are_chosen_against_known_constants_do_not_collide() {
        const KNOWN: u64 = 0x3f84_d5b5_b547_0917;
        for (seed, key_type) in
            [(1, KeyType::Binary { len: 16 }), (2, KeyType::Binary { len: 16 }), (3, KeyType::Ipv6)]
        {
            let common = Common::new(TableDefinition::new("t", key_type, 100), seed);
            let hashes = (0..1_000_u64).map(|number| {
                let key = [number.to_le_bytes(), KNOWN.to_le_bytes()].concat();
                SoughtKey::with(&common.layout, &key, |key| common.hash(key))
            });
            let hashes: HashSet<_> = hashes.collect();
            assert_eq!(hashes.len(), 1_000, "{key_type:?}");
        }
    }
}
