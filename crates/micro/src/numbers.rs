//! Integers to be written as varints.

/// Numbers that take `lengths` bytes as varints, in turn.
pub fn of_lengths(lengths: std::ops::RangeInclusive<usize>, count: usize) -> Vec<u64> {
    /// The smallest number of each length from 1 on (peers-protocol §5).
    const FIRST: [u64; 6] = [0, 240, 2_288, 264_432, 33_818_864, 4_328_786_160];
    let (shortest, longest) = (*lengths.start(), *lengths.end());
    (0..count)
        .map(|place| {
            let length = shortest + place % (longest - shortest + 1);
            let (first, next) = (FIRST[length - 1], FIRST[length]);
            first + (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % (next - first)
        })
        .collect()
}

/// Numbers as updates have them: three of one byte, then one each of two, three and four.
pub fn mixed(count: usize) -> Vec<u64> {
    let (short, long) = (of_lengths(1..=1, count), of_lengths(2..=4, count));
    (0..count).map(|place| if place / 3 % 2 == 0 { short[place] } else { long[place] }).collect()
}
