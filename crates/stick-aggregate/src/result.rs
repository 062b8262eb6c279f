//! What is published of a key: one value for each element, of all nodes.

use stick_table::{FrequencyCounter, Storage};

use crate::columns::{Column, Columns};
use crate::course::Course;
use crate::lives;
use crate::part::{Head, PART_HEAD, left};
use crate::rate::{RateSum, counter_of, holds_for, looks_again, tolerance};
use crate::rule::Rule;

/// Longest time until a key is looked at again, in ms: well within what ticks can tell.
pub(crate) const NEVER: u32 = 1 << 30;

/// A key's parts, ready to be counted.
pub(crate) struct Parts<'a> {
    pub(crate) words: &'a [u32],
    /// Words of a part.
    pub(crate) width: usize,
}

impl<'a> Parts<'a> {
    #[inline]
    pub(crate) fn iter(&self) -> std::slice::ChunksExact<'a, u32> {
        self.words.chunks_exact(self.width)
    }

    /// The counters whose words begin at `at` in the data of each part.
    #[inline]
    fn counters(&self, at: usize) -> impl Iterator<Item = FrequencyCounter> + Clone {
        self.iter().map(move |part| counter_of(&part[PART_HEAD + at..][..3]))
    }

    /// What is known of the parts without their data.
    #[inline]
    pub(crate) fn survey(&self, now: u32) -> Survey {
        let (mut first, mut last, mut flags) = (NEVER, 0, 0);
        for part in self.iter() {
            let left = left(part[1], now);
            (first, last, flags) = (first.min(left), last.max(left), flags | part[0]);
        }
        Survey { first, last, has_former: flags & Head::FORMER != 0 }
    }

    /// The parts with those of former processes added to their nodes' present ones, in `scratch`; `self` when there are none,
    /// as `has_former` tells.
    pub(crate) fn by_node<'b>(
        &self,
        has_former: bool,
        columns: &Columns,
        written: impl Fn(Head, usize) -> bool,
        scratch: &'b mut Vec<u32>,
        now: u32,
    ) -> Parts<'b>
    where
        'a: 'b,
    {
        let width = self.width;
        if !has_former {
            return Parts { words: self.words, width };
        }
        let is_former = |part: &[u32]| Head::of(part).is(Head::FORMER);
        let is_alone = |part: &[u32]| {
            let generation = Head::of(part).generation();
            !self.iter().any(|other| Head::of(other).generation() == generation && !is_former(other))
        };
        scratch.clear();
        for part in self.iter().filter(|part| !is_former(part) || is_alone(part)) {
            scratch.extend_from_slice(part);
        }
        for former in self.iter().filter(|part| is_former(part) && !is_alone(part)) {
            let generation = Head::of(former).generation();
            let of_it = |part: &&mut [u32]| Head::of(part).generation() == generation;
            if let Some(part) = scratch.chunks_exact_mut(width).find(of_it) {
                lives::combine(columns, part, former, &written, now);
            }
        }
        Parts { words: scratch, width }
    }
}

/// See [`Parts::survey`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Survey {
    /// Remaining time of the part that ends first, and of the one that ends last.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Whether a former process told one of them.
    pub(crate) has_former: bool,
}

/// What comes with a key's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Result {
    /// For how long the result surely holds, in ms.
    pub(crate) holds: u32,
    /// The word of `server_key` in the stripe's dictionary.
    pub(crate) string: u32,
}

/// Writes the result of a key into the data words of the output, of `all` its parts and of `parts`, one for each node. What
/// the output does not share with the source stays as it is.
pub(crate) fn count(
    columns: &Columns,
    (all, parts): (&Parts<'_>, &Parts<'_>),
    written: impl Fn(Head, usize) -> bool,
    now: u32,
    to: &mut [u32],
    falls: &mut Vec<Fall>,
) -> Result {
    falls.clear();
    let mut result = Result { holds: NEVER, string: 0 };
    for column in &columns.all {
        let Some((place, count)) = column.to else { continue };
        if column.storage() == Storage::Dictionary {
            let words = parts.iter().rev().map(|part| part[PART_HEAD + column.from]);
            result.string = words.into_iter().find(|&word| word != 0).unwrap_or(0);
            continue;
        }
        let elements = to[place..place + count * column.width].chunks_exact_mut(column.width);
        for (at, to) in column.offsets().zip(elements) {
            match column.storage() {
                Storage::Frequency => {
                    let (holds, fall) = count_rate(column, at, (all, parts), &written, now, to);
                    result.holds = result.holds.min(holds.unwrap_or(NEVER));
                    falls.push(fall);
                }
                Storage::Unsigned64 => {
                    let value = if column.rule == Rule::Sum {
                        // At most as many parts as nodes: neither half overflows.
                        let [low, high] = [0, 1].map(|word| sum(parts, at + word));
                        u64::try_from(u128::from(low) + (u128::from(high) << 32)).unwrap_or(u64::MAX)
                    } else {
                        count_number(column.rule, at, parts, &written, |words| {
                            u64::from(words[0]) | u64::from(words[1]) << 32
                        })
                    };
                    to.copy_from_slice(&[value as u32, (value >> 32) as u32]);
                }
                Storage::Signed => {
                    // Shifted, so that they are in the order of unsigned numbers.
                    let shift = |word: u32| word ^ (1 << 31);
                    let any = parts.iter().any(|part| written(Head::of(part), at));
                    let value =
                        count_number(column.rule, at, parts, &written, |words| shift(words[0]).into());
                    to[0] = if any { shift(value as u32) } else { 0 };
                }
                Storage::Unsigned | Storage::Dictionary => {
                    let value = if column.rule == Rule::Sum {
                        sum(parts, at)
                    } else {
                        count_number(column.rule, at, parts, &written, |words| words[0].into())
                    };
                    to[0] = value.min(u32::MAX.into()) as u32;
                }
            }
        }
    }
    result
}

/// The sum of a data word of all parts.
#[inline]
fn sum(parts: &Parts<'_>, at: usize) -> u64 {
    parts.iter().map(|part| u64::from(part[PART_HEAD + at])).sum()
}

#[inline]
fn count_number(
    rule: Rule,
    at: usize,
    parts: &Parts<'_>,
    written: impl Fn(Head, usize) -> bool,
    number: impl Fn(&[u32]) -> u64,
) -> u64 {
    let of = |part: &[u32]| number(&part[PART_HEAD + at..]);
    let told = || parts.iter().filter(|part| written(Head::of(part), at));
    match rule {
        Rule::Sum => parts.iter().map(of).fold(0, u64::saturating_add),
        Rule::Or => parts.iter().map(of).fold(0, |bits, more| bits | more),
        Rule::Max => told().map(of).max().unwrap_or(0),
        Rule::Min => told().map(of).min().unwrap_or(0),
        Rule::Last => told().next_back().map_or(0, of),
    }
}

/// How the result of a rate falls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fall {
    /// As it should, for ever.
    Exactly,
    /// What is true may lose so much in a period.
    Peak(u64),
}

/// As [`count`], of a rate. Returns for how long it holds, `None` when for ever, and how it falls.
///
/// The counters of two processes are summed as those of two nodes are: put together first, they would be one counter that
/// is right until the first of their periods ends.
#[inline]
fn count_rate(
    column: &Column,
    at: usize,
    (all, parts): (&Parts<'_>, &Parts<'_>),
    written: impl Fn(Head, usize) -> bool,
    now: u32,
    to: &mut [u32],
) -> (Option<u32>, Fall) {
    let period = column.period;
    let told = || {
        let told = parts.iter().filter(|part| written(Head::of(part), at));
        told.map(|part| counter_of(&part[PART_HEAD + at..]))
    };
    let reading = |counter: &FrequencyCounter| counter.read(period, now);
    let fall = |sum: &RateSum| if sum.is_one() { Fall::Exactly } else { Fall::Peak(sum.peak()) };
    let (counter, holds, fall) = match column.rule {
        Rule::Last => (told().next_back().unwrap_or_default(), None, Fall::Exactly),
        Rule::Max | Rule::Min => {
            let counter = if column.rule == Rule::Max {
                told().max_by_key(reading)
            } else {
                told().min_by_key(reading)
            };
            let counter = counter.unwrap_or_default();
            let sum = RateSum::of(all.counters(at), period, now);
            // Another one may be the largest, or the smallest, at any time.
            let slack = tolerance(reading(&counter));
            (counter, (!sum.is_one()).then(|| holds_for(slack, sum.peak(), period)), fall(&sum))
        }
        Rule::Sum | Rule::Or => {
            let sum = RateSum::of(all.counters(at), period, now);
            let counter = sum.counter(all.counters(at));
            (counter, sum.holds(counter), fall(&sum))
        }
    };
    to.copy_from_slice(&[counter.tick, counter.current, counter.previous]);
    (holds, fall)
}

/// How far what is published is from what is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distance {
    /// So far that it has to be published again.
    Far,
    /// Within the tolerance, surely for so many ms more.
    Near(u32),
}

/// How the rates of a result that are sums go on, in their order.
pub(crate) fn courses(columns: &Columns, parts: &Parts<'_>, now: u32, courses: &mut Vec<Course>) {
    courses.clear();
    for column in columns.all.iter().filter(|column| is_sum(column)) {
        let Some((_, count)) = column.to else { continue };
        let elements = column.offsets().take(count);
        courses.extend(elements.map(|at| Course::of(parts.counters(at), column.period, now)));
    }
}

fn is_sum(column: &Column) -> bool {
    column.storage() == Storage::Frequency && column.rule == Rule::Sum
}

/// Compares the data words that the output has with those that it should have, as they were counted.
pub(crate) fn distance(
    columns: &Columns,
    (falls, courses): (&[Fall], &[Course]),
    is: &[u32],
    should: &[u32],
    now: u32,
) -> Distance {
    let mut holds = NEVER;
    let (mut falls, mut courses) = (falls.iter(), courses.iter());
    for column in &columns.all {
        let Some((place, count)) = column.to else { continue };
        let (is, should) = (&is[place..place + count * column.width], &should[place..]);
        match column.storage() {
            Storage::Dictionary => {}
            Storage::Frequency => {
                let counters = is.chunks_exact(3).zip(should.chunks_exact(3)).zip(&mut falls);
                for ((is, should), fall) in counters {
                    let course = if is_sum(column) { courses.next() } else { None };
                    if is == should && matches!(fall, Fall::Exactly) {
                        continue;
                    }
                    match distance_of_rate(column.period, (*fall, course), is, should, now) {
                        Distance::Far => return Distance::Far,
                        Distance::Near(this) => holds = holds.min(this),
                    }
                }
            }
            _ if is != &should[..is.len()] => return Distance::Far,
            _ => {}
        }
    }
    Distance::Near(holds)
}

fn distance_of_rate(
    period: u32,
    (fall, course): (Fall, Option<&Course>),
    is: &[u32],
    should: &[u32],
    now: u32,
) -> Distance {
    let (is, should) = (counter_of(is), counter_of(should));
    let peak = |counter| RateSum::of(std::iter::once(counter), period, now).peak();
    let truth = match fall {
        Fall::Exactly => peak(should),
        Fall::Peak(peak) => peak,
    };
    // What is published may fall faster than what is true.
    let peak = truth.max(peak(is));
    if peak == 0 {
        return Distance::Near(NEVER);
    }
    let reading = should.read(period, now);
    let holds = match course.filter(|course| course.fits()) {
        Some(course) => course.holds(is, reading),
        None => {
            let slack = tolerance(reading).checked_sub(reading.abs_diff(is.read(period, now)));
            slack.map(|slack| holds_for(slack, peak, period))
        }
    };
    holds.map_or(Distance::Far, |holds| Distance::Near(looks_again(holds, period)))
}
