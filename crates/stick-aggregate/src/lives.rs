//! The values of one node's processes, compared and put together.

use stick_table::Storage;

use crate::columns::{Columns, Lives};
use crate::part::{Head, PART_HEAD};
use crate::rate::{counter_of, sum_of};

/// A rate that reads less than before by one in so many, or by 1, may be the same: it travelled for another time.
const SAME_RATE: u32 = 8;

/// The number an element stands for: a rate is read. Text is none.
fn number(storage: Storage, words: &[u32], period: u32, now: u32) -> u64 {
    match storage {
        Storage::Unsigned => words[0].into(),
        Storage::Unsigned64 => u64::from(words[0]) | u64::from(words[1]) << 32,
        Storage::Frequency => sum_of(&[counter_of(words)], period, now).read(period, now).into(),
        Storage::Signed | Storage::Dictionary => 0,
    }
}

/// The elements that only rise, and rates, in two processes' data words: number of one, number of the other, and whether
/// they are rates.
fn numbers<'a>(
    columns: &'a Columns,
    one: &'a [u32],
    other: &'a [u32],
    now: u32,
) -> impl Iterator<Item = (u64, u64, bool)> + 'a {
    columns.all.iter().filter(|column| column.lives == Lives::Add).flat_map(move |column| {
        let storage = column.storage();
        column.offsets().map(move |at| {
            let of = |words: &[u32]| number(storage, &words[at..at + column.width], column.period, now);
            (of(one), of(other), storage == Storage::Frequency)
        })
    })
}

/// Whether a process that tells `new` knows what `old` says: nothing that only rises is lower.
pub(crate) fn knows(columns: &Columns, new: &[u32], old: &[u32], now: u32) -> bool {
    numbers(columns, new, old, now).all(|(new, old, is_rate)| {
        let same = if is_rate { old / u64::from(SAME_RATE) + 1 } else { 0 };
        new.saturating_add(same) >= old
    })
}

/// Whether something was less than half in `before` of what it is in `former`: a process that told `before`, and now tells
/// no less than `former`, did not count up to there.
pub(crate) fn leapt(columns: &Columns, before: &[u32], former: &[u32], now: u32) -> bool {
    numbers(columns, before, former, now).any(|(before, former, _)| before < former.div_ceil(2))
}

/// Adds an older process's part to the part of a newer one. The word of `server_key` becomes the older one's when the newer
/// one has none.
pub(crate) fn combine(
    columns: &Columns,
    newer: &mut [u32],
    older: &[u32],
    written: impl Fn(Head, usize) -> bool,
    now: u32,
) {
    let (new_head, old_head) = (Head::of(newer), Head::of(older));
    if newer[1].wrapping_sub(older[1]).cast_signed() < 0 {
        newer[1] = older[1];
    }
    if old_head.set() == 0 {
        newer[0] = new_head.complete().word();
    }
    let (newer, older) = (&mut newer[PART_HEAD..], &older[PART_HEAD..]);
    for column in &columns.all {
        for at in column.offsets() {
            let (to, from) = (&mut newer[at..at + column.width], &older[at..at + column.width]);
            match (column.lives, column.storage()) {
                (_, Storage::Dictionary) => {
                    if to[0] == 0 {
                        to[0] = from[0];
                    }
                }
                (Lives::Newest, _) => {
                    if !written(new_head, at) && written(old_head, at) {
                        to.copy_from_slice(from);
                    }
                }
                (Lives::Or, _) => to.iter_mut().zip(from).for_each(|(to, from)| *to |= from),
                (Lives::Add, Storage::Frequency) => {
                    let sum = sum_of(&[counter_of(from), counter_of(to)], column.period, now);
                    to.copy_from_slice(&[sum.tick, sum.current, sum.previous]);
                }
                (Lives::Add, Storage::Unsigned64) => {
                    let of = |words: &[u32]| u64::from(words[0]) | u64::from(words[1]) << 32;
                    let sum = of(to).saturating_add(of(from));
                    to.copy_from_slice(&[sum as u32, (sum >> 32) as u32]);
                }
                (Lives::Add, _) => to[0] = to[0].saturating_add(from[0]),
            }
        }
    }
}

/// Takes over from `new` what a process knows better than any lesson: what is not summed over a node's processes.
pub(crate) fn take_newest(columns: &Columns, data: &mut [u32], new: &[u32], written: impl Fn(usize) -> bool) {
    for column in columns.all.iter().filter(|column| column.lives == Lives::Newest) {
        if column.storage() == Storage::Dictionary {
            continue;
        }
        for at in column.offsets().filter(|&at| written(at)) {
            data[at..at + column.width].copy_from_slice(&new[at..at + column.width]);
        }
    }
}
