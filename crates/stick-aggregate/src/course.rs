//! How a sum of frequency counters goes on, beside the counter that is published for it.
//!
//! Both fall in straight lines that turn where a period ends: the published counter at the end of its own, the true sum at
//! the end of each node's. So does their difference. Over the next period it is followed from span to span; only within a
//! span, of which there are 32, it is taken for straight. It turns there by what at most `peak ÷ period` does to a slope, so
//! it is wrong by up to `peak ÷ 64` there, as the crate's bound allows.

use stick_table::FrequencyCounter;

use crate::rate::{Phase, tolerance};

/// Spans of a period.
const SPANS: usize = 32;
const SPAN: f64 = 1.0 / SPANS as f64;
/// Where a sum begins that is published as less.
const MOST: f64 = u32::MAX as f64;

/// A sum of frequency counters for one period from a moment on. Times are fractions of the period.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    period: u32,
    now: u32,
    /// What it is at the moment.
    value: f64,
    /// How fast it rises: never more than 0.
    slope: f64,
    /// By how much that changes in each span, and how much the sum is larger for it at the span's end. Behind them, what
    /// happens later.
    turns: [f64; SPANS + 1],
    gains: [f64; SPANS + 1],
}

/// How a counter goes on.
struct Bend {
    value: f64,
    slope: f64,
    /// In which span its period ends, and what that changes.
    span: usize,
    turn: f64,
    gain: f64,
}

impl Bend {
    #[inline]
    fn of(counter: FrequencyCounter, period: u32, now: u32) -> Self {
        let phase = Phase::of(counter, period, now);
        let (current, previous) = (f64::from(phase.current), f64::from(phase.previous));
        let end = f64::from(phase.remaining) / f64::from(period.max(1));
        let span = ((end * SPANS as f64) as usize).min(SPANS);
        // From then on it falls by what is current now.
        let turn = previous - current;
        let gain = turn * ((span + 1) as f64 * SPAN - end);
        Self { value: current + previous * end, slope: -previous, span, turn, gain }
    }
}

impl Course {
    /// The course of some counters, whose ticks are on the clock of `now`.
    pub(crate) fn of(counters: impl Iterator<Item = FrequencyCounter>, period: u32, now: u32) -> Self {
        let (turns, gains) = ([0.0; SPANS + 1], [0.0; SPANS + 1]);
        let mut course = Self { period, now, value: 0.0, slope: 0.0, turns, gains };
        for counter in counters {
            let bend = Bend::of(counter, period, now);
            course.value += bend.value;
            course.slope += bend.slope;
            course.turns[bend.span] += bend.turn;
            course.gains[bend.span] += bend.gain;
        }
        course
    }

    /// Whether a counter can say what it is.
    pub(crate) fn fits(&self) -> bool {
        self.value < MOST
    }

    /// For how long, in ms and one period at most, `counter` is within the tolerance of `reading`, which is the sum rounded;
    /// `None` when it is not. Rounding makes it wrong by 1, besides.
    pub(crate) fn holds(&self, counter: FrequencyCounter, reading: u32) -> Option<u32> {
        let most = f64::from(tolerance(reading)) + 1.0;
        let bend = Bend::of(counter, self.period, self.now);
        let mut off = self.value - bend.value;
        if off.abs() > most {
            return None;
        }
        let mut slope = self.slope - bend.slope;
        let spans = self.turns.iter().zip(&self.gains).take(SPANS).enumerate();
        for (span, (turn, gain)) in spans {
            let mut end = off + slope * SPAN + gain;
            slope += turn;
            if span == bend.span {
                end -= bend.gain;
                slope -= bend.turn;
            }
            if end.abs() > most {
                let part = (most.copysign(end) - off) / (end - off);
                return Some(((span as f64 + part) * SPAN * f64::from(self.period)) as u32);
            }
            off = end;
        }
        Some(self.period)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate::{counter_of, exact, sum_of};

    #[test]
    fn it_holds_until_the_lines_part() {
        // At 100 s: until 105 s the one falls by 10 a second, from then on the other one.
        let told = [[95_000, 0, 100], [95_000, 100, 0]].map(|words| counter_of(&words));
        let course = Course::of(told.into_iter(), 10_000, 100_000);
        // What is published falls by 5 a second, from the same 150. The tolerance is 2, and 1 for rounding.
        let holds = course.holds(counter_of(&[100_000, 100, 50]), 150);
        assert!(matches!(holds, Some(599..=600)), "{holds:?}");
        assert_eq!(course.holds(counter_of(&[100_000, 50, 100]), 150), Some(10_000), "that is how it falls");
        assert_eq!(course.holds(counter_of(&[100_000, 154, 0]), 150), None);
        assert!(course.fits());
    }

    proptest! {
        /// At each moment until then the difference is within the tolerance, but for what spans hide; and then it is not
        /// much less.
        #[test]
        fn it_is_as_near_as_it_says(
            told in proptest::collection::vec((0u32..2_200, 0u32..5_000, 0u32..5_000), 1..30),
            period in prop_oneof![Just(10_000u32), 64u32..100_000],
            wait in 0u32..1_000,
            now in any::<u32>(),
        ) {
            let age = |age: u32| (u64::from(age) * u64::from(period) / 1_000) as u32;
            let counters: Vec<_> =
                told.iter().map(|&(ago, one, two)| counter_of(&[now.wrapping_sub(age(ago)) & !1, one, two])).collect();
            let counter = sum_of(&counters, period, now);
            let now = now.wrapping_add(age(wait));
            let peak = |counters: &[FrequencyCounter]| {
                let phases = counters.iter().map(|&counter| Phase::of(counter, period, now));
                phases.map(|phase| f64::from(phase.current.max(phase.previous))).sum::<f64>()
            };
            let sum = exact(&counters, period, now);
            let holds = Course::of(counters.iter().copied(), period, now).holds(counter, sum as u32);
            let most = f64::from(tolerance(sum as u32)) + 1.0;
            let off = |after: u32| {
                let then = now.wrapping_add(after);
                (exact(&counters, period, then) - exact(&[counter], period, then)).abs()
            };
            prop_assert_eq!(holds.is_none(), off(0) > most);
            let peak = peak(&counters).max(peak(&[counter]));
            if let Some(holds) = holds {
                for part in 0..=200_u64 {
                    let after = (u64::from(holds) * part / 200) as u32;
                    prop_assert!(off(after) <= most + peak / 64.0 + 0.001, "{} at {} of {}", off(after), after, holds);
                }
                if holds < period {
                    // No more than spans hide, and a ms.
                    let least = most - peak / 64.0 - 2.0 * peak / f64::from(period);
                    prop_assert!(off(holds) >= least - 0.001, "{} of {}", off(holds), most);
                }
            }
        }
    }
}
