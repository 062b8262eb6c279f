//! What is published of a key that lacks a contribution: no sum, but nothing less than a node's own value.

use stick_table::{FrequencyCounter, Storage};

use crate::columns::{Column, Columns};
use crate::rate::counter_of;
use crate::rule::Rule;

/// Raises the data words that the output has of a key to those of `new`, by each column's rule: of sums and largest values
/// neither is lower than before. The word of `server_key` stays. Returns whether any other word is another one now.
pub(crate) fn raise(columns: &Columns, is: &mut [u32], new: &[u32], now: u32) -> bool {
    let mut is_raised = false;
    for column in &columns.all {
        let Some((place, count)) = column.to else { continue };
        for at in (0..count).map(|element| place + element * column.width) {
            let (is, new) = (&mut is[at..at + column.width], &new[at..at + column.width]);
            is_raised |= match column.storage() {
                Storage::Dictionary => false,
                Storage::Frequency => raise_rate(column, is, new, now),
                _ if column.rule == Rule::Or => is.iter_mut().zip(new).fold(false, |raised, (is, new)| {
                    let before = std::mem::replace(is, *is | new);
                    raised || *is != before
                }),
                _ if takes(column, is, new) => put(is, new),
                _ => false,
            };
        }
    }
    is_raised
}

/// Puts words in the place of others; whether they differ.
fn put(is: &mut [u32], new: &[u32]) -> bool {
    let differ = is != new;
    is.copy_from_slice(new);
    differ
}

/// Whether the new number takes the place of the one that is there.
fn takes(column: &Column, is: &[u32], new: &[u32]) -> bool {
    let of = |words: &[u32]| match column.storage() {
        Storage::Unsigned64 => i128::from(u64::from(words[0]) | u64::from(words[1]) << 32),
        Storage::Signed => words[0].cast_signed().into(),
        _ => words[0].into(),
    };
    match column.rule {
        Rule::Sum | Rule::Max => of(new) > of(is),
        Rule::Min => of(new) < of(is),
        Rule::Last => true,
        Rule::Or => false,
    }
}

fn raise_rate(column: &Column, is: &mut [u32], new: &[u32], now: u32) -> bool {
    let (old, told) = (counter_of(is), counter_of(new));
    let period = column.period;
    let counter = match column.rule {
        Rule::Last => told,
        Rule::Min => {
            if told.read(period, now) < old.read(period, now) {
                told
            } else {
                old
            }
        }
        _ if is_above(old, told, period, now) => old,
        _ if is_above(told, old, period, now) => told,
        // The higher one at first is the lower one later: one that does not fall for a period is above both.
        _ => FrequencyCounter {
            tick: now & !1,
            current: old.read(period, now).max(told.read(period, now)),
            previous: 0,
        },
    };
    put(is, &[counter.tick, counter.current, counter.previous])
}

/// Whether a counter reads no less than another one from now on: both fall in lines that turn where their periods end.
fn is_above(one: FrequencyCounter, other: FrequencyCounter, period: u32, now: u32) -> bool {
    let turns = [one, other].into_iter().flat_map(|counter| {
        let next = counter.tick.wrapping_add(period);
        [next, next.wrapping_add(1), next.wrapping_add(period)]
    });
    let later = |tick: &u32| tick.wrapping_sub(now).cast_signed() > 0;
    std::iter::once(now)
        .chain(turns.filter(later))
        .all(|tick| one.read(period, tick) >= other.read(period, tick))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_above_stays_above(
            counters in proptest::array::uniform2((0u32..2_200, 0u32..500, 0u32..500)),
            period in 2u32..2_000,
            now in any::<u32>(),
        ) {
            let [one, other] = counters.map(|(age, current, previous)| FrequencyCounter {
                tick: now.wrapping_sub((u64::from(age) * u64::from(period) / 1_000) as u32) & !1,
                current,
                previous,
            });
            if is_above(one, other, period, now) {
                for part in 0..=100 {
                    let tick = now.wrapping_add(2 * period * part / 100);
                    // Both are rounded.
                    prop_assert!(one.read(period, tick) + 1 >= other.read(period, tick));
                }
            }
        }
    }
}
