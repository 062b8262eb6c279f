//! Which mutants a seed chooses.

use super::list::Mutant;

/// `count` mutants in an order that the seed and their names tell: more of them begin with fewer, and where the source changed
/// elsewhere the others stay.
pub(super) fn choose(mut mutants: Vec<Mutant>, seed: u64, count: usize) -> Vec<Mutant> {
    mutants.sort_by_cached_key(|mutant| hash(seed, mutant.name.as_bytes()));
    mutants.truncate(count);
    mutants
}

/// FNV-1a with a finish that spreads it: the same in every build, as a hash of the standard library need not be.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn seeds_choose_different_names_and_always_the_same() {
        let names: Vec<_> = (0..1_000).map(|number| format!("src/a.rs:{number}:1: change")).collect();
        let first = |seed: u64| names.iter().min_by_key(|name| hash(seed, name.as_bytes())).unwrap();
        let chosen: BTreeSet<_> = (0..50).map(first).collect();
        assert!(chosen.len() > 40, "{}", chosen.len());
        assert_eq!(first(7), first(7));
        assert_eq!(hash(1, b"src/a.rs:1:1: change"), hash(1, b"src/a.rs:1:1: change"));
    }
}
