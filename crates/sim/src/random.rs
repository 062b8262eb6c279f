//! Random numbers that stay the same for ever, as seeds are kept in tests.

/// SplitMix64 (Steele, Lea and Flood, 2014): ten lines, and no release of a crate can change what a seed means.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other numbers of the same seed, for a part that must not depend on how many the rest takes.
    pub const fn part(seed: u64, part: u64) -> Self {
        let mut random = Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 when that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number from a range, both ends included.
    pub const fn within(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// A number from a range, small ones far more often than large ones.
    pub const fn skewed(&mut self, (least, most): (u64, u64)) -> u64 {
        let most = self.within((least, most));
        self.within((least, most))
    }

    /// Something that happens in `per_mille` of 1,000 cases.
    pub const fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published numbers of seed 1234567.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn ranges_hold_both_ends_and_chances_are_chances() {
        let mut random = Random::new(7);
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| random.within((3, 6))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert!((0..500).all(|_| (10..=20).contains(&random.skewed((10, 20)))));
        assert_eq!((0..500).filter(|_| random.chance(0)).count(), 0);
        assert_eq!((0..500).filter(|_| random.chance(1_000)).count(), 500);
    }
}
