//! From the hash of a key to its row: buckets of one cache line each.

use wide::u32x8;

use crate::row::pages::Page;

/// Slots of a bucket. The bucket's last word counts them.
const SLOTS: usize = 15;
/// Words of a bucket.
const WORDS: usize = SLOTS + 1;
/// Slots filled on average when the index grows.
const FULL: u32 = 13;
/// Logarithm of the buckets of a block: 64 KiB. Whole blocks given up when an index grows are of use to the next one.
const PAGE_SHIFT: u32 = 10;
/// Bits of a slot that hold the row; those above hold a tag, part of the hash.
const ROW_BITS: u32 = 22;
/// Rows an index can tell apart.
pub(crate) const MAX_ROWS: u32 = 1 << ROW_BITS;

const PAGE_MASK: usize = (1 << PAGE_SHIFT) - 1;
const ROW_MASK: u32 = MAX_ROWS - 1;
/// In a bucket's last word: the filled slots (low byte) and, above, the keys that found the bucket full and went on.
const OVERFLOW: u32 = 1 << 8;
const COUNT_MASK: u32 = OVERFLOW - 1;

type Bucket = [u32; WORDS];

/// A hash index of row numbers that reads one cache line for most lookups, and none of the rows but those it finds.
///
/// ```text
/// bucket   | slot 0 | slot 1 | … | slot 14 | filled slots, keys that went on |
/// slot     | tag: 10 bits of the hash | row: 22 bits |
/// ```
///
/// A key's bucket follows from its hash; a key that finds it full goes to the next one, and every bucket it passed
/// counts it, so that a lookup knows when to stop and a removal leaves no trace. The hash comes from the caller; bits
/// 0 to 9 make the tag and bits 16 to 47 choose the bucket.
pub(crate) struct Index {
    pages: Vec<Page>,
    buckets: u32,
    len: u32,
    /// Buckets that hold what the owner expects at most: growth stops there for a while.
    enough: u32,
}

impl Index {
    /// An empty index that expects at most about `rows` rows.
    pub(crate) fn new(rows: u32) -> Self {
        // One slot in five free, as stripes fill unevenly.
        Self { pages: Vec::new(), buckets: 0, len: 0, enough: rows.div_ceil(12).max(1) }
    }

    /// Number of rows in the index.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn home(&self, hash: u64) -> u32 {
        ((u64::from((hash >> 16) as u32) * u64::from(self.buckets)) >> 32) as u32
    }

    #[inline]
    const fn tag(hash: u64) -> u32 {
        (hash as u32) << ROW_BITS
    }

    #[inline]
    fn bucket(&self, number: u32) -> &Bucket {
        &self.pages[(number >> PAGE_SHIFT) as usize].as_chunks().0[number as usize & PAGE_MASK]
    }

    #[inline]
    fn bucket_mut(&mut self, number: u32) -> &mut Bucket {
        &mut self.pages[(number >> PAGE_SHIFT) as usize].as_chunks_mut().0[number as usize & PAGE_MASK]
    }

    #[inline]
    fn after(&self, number: u32) -> u32 {
        if number + 1 < self.buckets { number + 1 } else { 0 }
    }

    /// A word of the bucket of a hash: to have it in the cache when it is needed.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u32 {
        if self.buckets == 0 { 0 } else { self.bucket(self.home(hash))[SLOTS] }
    }

    /// A row that may be that of the hash, most likely the only one; `None` when there is none.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The row of a hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.buckets == 0 {
            return None;
        }
        let tag = Self::tag(hash);
        let mut number = self.home(hash);
        // A key went on at most once around.
        for _ in 0..self.buckets {
            let bucket = self.bucket(number);
            let mut found = matches(bucket, tag);
            while found != 0 {
                let row = bucket[found.trailing_zeros() as usize] & ROW_MASK;
                if is_it(row) {
                    return Some(row);
                }
                found &= found - 1;
            }
            if bucket[SLOTS] < OVERFLOW {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// Whether the index should grow before the next insertion.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.buckets * FULL
    }

    /// Adds a row that is not there. The index must not be [full](Self::is_full).
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, row: u32) {
        debug_assert!(!self.is_full() && row < MAX_ROWS);
        let slot = Self::tag(hash) | row;
        let mut number = self.home(hash);
        loop {
            let bucket = self.bucket_mut(number);
            let count = (bucket[SLOTS] & COUNT_MASK) as usize;
            if count < SLOTS {
                bucket[count] = slot;
                bucket[SLOTS] += 1;
                break;
            }
            bucket[SLOTS] += OVERFLOW;
            number = self.after(number);
        }
        self.len += 1;
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, hash: u64, row: u32) {
        let slot = Self::tag(hash) | row;
        let home = self.home(hash);
        let mut number = home;
        for _ in 0..self.buckets {
            let bucket = self.bucket_mut(number);
            let count = (bucket[SLOTS] & COUNT_MASK) as usize;
            if let Some(place) = bucket[..count].iter().position(|&other| other == slot) {
                bucket[place] = bucket[count - 1];
                bucket[SLOTS] -= 1;
                self.len -= 1;
                let mut passed = home;
                while passed != number {
                    self.bucket_mut(passed)[SLOTS] -= OVERFLOW;
                    passed = self.after(passed);
                }
                return;
            }
            number = self.after(number);
        }
        debug_assert!(false, "the row is in the index");
    }

    /// Makes the index larger, and empty: the caller inserts all rows anew.
    ///
    /// It grows by four, in steps that end with what is enough: inserting anew is a fifth of what a growing table costs when
    /// it doubles, and the most that stands empty is three quarters of what the table is made for.
    pub(crate) fn grow(&mut self) {
        let mut wanted = self.enough;
        if self.buckets >= self.enough {
            wanted = self.buckets + self.buckets / 4 + 1;
        } else {
            while wanted / 4 > self.buckets {
                wanted /= 4;
            }
        }
        // The old blocks go first: the new ones may be they.
        self.pages.clear();
        let mut left = wanted as usize;
        while left > 0 {
            let buckets = left.min(1 << PAGE_SHIFT);
            self.pages.push(Page::new(buckets * WORDS));
            left -= buckets;
        }
        self.buckets = wanted;
        self.len = 0;
    }
}

/// The filled slots with this tag, one bit each.
#[inline]
fn matches(bucket: &Bucket, tag: u32) -> u32 {
    let (halves, _) = bucket.as_chunks();
    let [low, high] = [halves[0], halves[1]].map(|half: [u32; WORDS / 2]| {
        let tags = u32x8::new(half) & u32x8::splat(!ROW_MASK);
        tags.simd_eq(u32x8::splat(tag)).to_bitmask()
    });
    (low | high << (WORDS / 2)) & ((1 << (bucket[SLOTS] & COUNT_MASK)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Hashes with few different buckets, the last one among them, and few tags, so that keys go on to the next bucket and
    /// around.
    fn hash(key: u32) -> u64 {
        let home: u64 = [0, 1 << 31, u32::MAX.into()][key as usize % 3];
        home << 16 | u64::from(key % 5)
    }

    fn insert(index: &mut Index, rows: &HashMap<u32, u32>, key: u32, row: u32) {
        if index.is_full() {
            index.grow();
            for (&key, &row) in rows {
                index.insert(hash(key), row);
            }
        }
        index.insert(hash(key), row);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..120), 1..600), expected in 1u32..200) {
            let mut index = Index::new(expected);
            let mut rows = HashMap::new();
            for (add, key) in steps {
                // The row is that of the key, so the closure can tell keys apart.
                if add && !rows.contains_key(&key) {
                    insert(&mut index, &rows, key, key + 7);
                    rows.insert(key, key + 7);
                } else if !add && rows.remove(&key).is_some() {
                    index.remove(hash(key), key + 7);
                }
                prop_assert_eq!(index.len(), rows.len());
                for key in 0..120 {
                    let found = index.find(hash(key), |row| row == key + 7);
                    prop_assert_eq!(found, rows.get(&key).copied());
                }
            }
            for (key, row) in rows.drain() {
                index.remove(hash(key), row);
            }
            let left: u32 = (0..index.buckets).map(|number| index.bucket(number)[SLOTS]).sum();
            prop_assert_eq!(left, 0, "removals leave no trace");
        }
    }

    #[test]
    fn an_index_of_the_expected_size_is_not_much_larger() {
        let mut index = Index::new(120_000);
        while index.buckets < 10_000 {
            index.grow();
        }
        assert_eq!(index.buckets, 10_000);
        index.grow();
        assert_eq!(index.buckets, 12_501, "more rows than expected have their place too");
    }
}
