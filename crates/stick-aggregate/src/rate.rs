//! Several frequency counters as one.
//!
//! A counter reads `current + previous × remaining ÷ period`, where `remaining` is what is left of its current period
//! (stick-tables §4). Of several, brought to one moment, `current` and `previous` are summed, and `remaining` becomes the
//! average, weighted by `previous`. So the sum reads the same at that moment, and falls as fast as they do together, until
//! the first of their periods ends. From then on
//!
//! ```text
//! |sum as published − true sum| ≤ 1 + peak × (time since that end + 2 ms) ÷ period
//! peak = Σ max(current, previous)
//! ```
//!
//! as neither falls faster than by `peak` in a period, nor rises.

use stick_table::FrequencyCounter;
use stick_table::defect::Defect;

/// A reading may be wrong by one in so many before it is published again, and always by 1.
const TOLERANCE: u32 = 64;

/// By how much a reading may be wrong before it is published again.
pub(crate) const fn tolerance(reading: u32) -> u32 {
    let part = reading / TOLERANCE;
    if part == 0 { 1 } else { part }
}

/// How long it takes, in ms, until a reading can be wrong by `slack` more whose counters have this [peak](RateSum::peak).
pub(crate) fn holds_for(slack: u32, peak: u64, period: u32) -> u32 {
    let ms = u64::from(slack) * u64::from(period) / peak.max(1);
    ms.clamp(1, 1 << 30) as u32
}

/// After how many ms a reading that is within its tolerance is looked at again if it holds for so many: not so few that it is
/// looked at all the time, and wrong by `peak` ÷ 64 more for that.
pub(crate) fn looks_again(holds: u32, period: u32) -> u32 {
    holds.max(period / TOLERANCE).max(1)
}

/// What counters read together, not rounded.
#[cfg(test)]
pub(crate) fn exact(counters: &[FrequencyCounter], period: u32, now: u32) -> f64 {
    let exact = |counter| {
        let phase = Phase::of(counter, period, now);
        f64::from(phase.current) + f64::from(phase.previous) * f64::from(phase.remaining) / f64::from(period)
    };
    counters.iter().copied().map(exact).sum()
}

/// Frequency counters of one period, gathered at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSum {
    period: u32,
    now: u32,
    /// How many do not read 0.
    count: u32,
    current: u64,
    previous: u64,
    /// Sum of `previous × remaining`.
    weighted: u128,
    /// When the first period ends, in ms from now.
    first_end: u32,
    peak: u64,
    /// By how much the sum may have left its line after a [`part`](Self::part_of) of a period, times the period.
    bend: u128,
}

/// A counter at one moment: events of its current period and of the one before, and what is left of the current one.
#[derive(Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) current: u32,
    pub(crate) previous: u32,
    pub(crate) remaining: u32,
}

impl Phase {
    /// Where a counter is. All is computed, nothing is branched on: which nodes' periods have ended is as good as random.
    #[inline]
    pub(crate) fn of(counter: FrequencyCounter, period: u32, now: u32) -> Self {
        // A tick that is ahead is one that begins now.
        let elapsed = counter.elapsed(now);
        // As at its very end, where a single event of the period before reads 1 still.
        let is_current = elapsed <= period;
        let is_next = elapsed.wrapping_sub(period) <= period;
        let past = if is_next { counter.current } else { 0 };
        let end = if is_current { period } else { period.wrapping_mul(2) };
        Self {
            current: if is_current { counter.current } else { 0 },
            previous: if is_current { counter.previous } else { past },
            remaining: end.wrapping_sub(elapsed),
        }
    }

    /// By how much it has left its line, to either side, after so many ms, times the period.
    #[inline]
    fn bend(self, after: u32) -> u64 {
        u64::from(self.current.abs_diff(self.previous)) * u64::from(after.saturating_sub(self.remaining))
    }

    #[inline]
    const fn is_zero(self) -> bool {
        self.current | self.previous == 0
    }
}

/// A counter of its words: tick, current, previous.
#[inline]
pub(crate) const fn counter_of(words: &[u32]) -> FrequencyCounter {
    FrequencyCounter { tick: words[0], current: words[1], previous: words[2] }
}

/// One counter for a few; zero when it reads so, whatever the tick.
pub(crate) fn sum_of(counters: &[FrequencyCounter], period: u32, now: u32) -> FrequencyCounter {
    let counters = counters.iter().copied();
    RateSum::of(counters.clone(), period, now).counter(counters)
}

impl RateSum {
    /// Gathers counters, whose ticks are on the clock of `now`.
    #[inline]
    pub(crate) fn of(counters: impl Iterator<Item = FrequencyCounter>, period: u32, now: u32) -> Self {
        let (mut current, mut previous, mut peak) = (0_u64, 0_u64, 0_u64);
        let (mut count, mut weighted, mut first_end, mut bend) = (0_u32, 0_u128, u32::MAX, 0_u128);
        let part = Self::part_of(period);
        for counter in counters {
            let phase = Phase::of(counter, period, now);
            count += u32::from(!phase.is_zero());
            current += u64::from(phase.current);
            previous += u64::from(phase.previous);
            peak += u64::from(phase.current.max(phase.previous));
            weighted += u128::from(u64::from(phase.previous) * u64::from(phase.remaining));
            bend += u128::from(phase.bend(part));
            first_end = first_end.min(if phase.is_zero() { u32::MAX } else { phase.remaining });
        }
        Self { period, now, count, current, previous, weighted, first_end, peak, bend }
    }

    /// How far the bends of the counters are followed, in ms.
    const fn part_of(period: u32) -> u32 {
        period / 4
    }

    /// Sum of the most that each counter may lose in a period.
    pub(crate) const fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether there is no other than one counter that reads more than 0: it is exact for ever.
    pub(crate) const fn is_one(&self) -> bool {
        self.count <= 1
    }

    /// One counter for all; `counters` are those that were gathered. It reads their sum rounded down, or one more; at least 1
    /// when one of them does; at most what fits.
    pub(crate) fn counter(
        &self,
        counters: impl Iterator<Item = FrequencyCounter> + Clone,
    ) -> FrequencyCounter {
        let phase = |counter| Phase::of(counter, self.period, self.now);
        if self.is_one() {
            let mut counters = counters;
            return counters.find(|&counter| !phase(counter).is_zero()).unwrap_or_default();
        }
        let period = u64::from(self.period);
        let all = u128::from(self.current) * u128::from(period) + self.weighted;
        if all >= u128::from(u32::MAX) * u128::from(period) {
            return FrequencyCounter { tick: self.now & !1, current: u32::MAX, previous: 0 };
        }
        // Less than 2^64, as the sum of `all` is.
        let weighted = self.weighted as u64;
        let mut current = self.current as u32;
        let average = if self.previous > 0 {
            weighted.div_ceil(self.previous)
        } else {
            let weigh = |phase: Phase| u128::from(u64::from(phase.current) * u64::from(phase.remaining));
            let weighted: u128 = counters.clone().map(|counter| weigh(phase(counter))).sum();
            weighted.div_ceil(u128::from(self.current.max(1))) as u64
        };
        let remaining = self.with_even_tick(average as u32);
        let previous = match remaining {
            // Of a period of 1 ms.
            0 => {
                current += weighted.div_ceil(period) as u32;
                0
            }
            _ => weighted.div_ceil(remaining.into()).min(u32::MAX.into()) as u32,
        };
        let sum = FrequencyCounter { tick: self.tick(remaining), current, previous };
        if sum.read(self.period, self.now) > 0 {
            return sum;
        }
        // Some may read 1 for a single event of the period before: until the last of them stops, so does the sum.
        let singles = counters.map(phase).filter(|phase| phase.current == 0 && phase.previous == 1);
        let Some(end) = singles.map(|phase| phase.remaining).max() else { return sum };
        let end = if self.is_even(end) { end } else { end + 1 };
        FrequencyCounter { tick: self.tick(end), current: 0, previous: 1 }
    }

    const fn tick(&self, remaining: u32) -> u32 {
        self.now.wrapping_add(remaining).wrapping_sub(self.period)
    }

    const fn is_even(&self, remaining: u32) -> bool {
        self.tick(remaining) & 1 == 0
    }

    /// The next remaining time with an even tick, that does not begin in the future.
    fn with_even_tick(&self, remaining: u32) -> u32 {
        let remaining = remaining.clamp(1, self.period.max(1));
        if self.is_even(remaining) {
            remaining
        } else if remaining < self.period {
            remaining + 1
        } else {
            remaining - 1
        }
    }

    /// For how long, in ms, `counter` is surely within the tolerance, which is the one of all; `None` when it is exact for
    /// ever.
    pub(crate) fn holds(&self, counter: FrequencyCounter) -> Option<u32> {
        if self.is_one() || Defect::RatesStay.is_on() {
            return None;
        }
        let tolerance = tolerance(counter.read(self.period, self.now));
        let steep = self.first_end.saturating_add(holds_for(tolerance, self.peak, self.period));
        // Both fall in one line, until a period ends: then a counter leaves its line by the difference of its slopes, and the
        // published one leaves that of all. Together they do so the faster the later it is.
        let part = Self::part_of(self.period);
        let left = part.saturating_sub(Phase::of(counter, self.period, self.now).remaining);
        let own = self.previous.abs_diff(counter.current.into());
        let bend = self.bend + u128::from(own) * u128::from(left);
        let most = u128::from(tolerance) * u128::from(self.period);
        let bent = if bend > most { (u128::from(part) * most / bend) as u32 } else { part };
        // What does not fit is on no line.
        Some(if counter.current == u32::MAX { steep } else { steep.max(bent) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters(told: &[(u32, u32, u32)]) -> impl Iterator<Item = FrequencyCounter> + Clone {
        told.iter().map(|&(tick, current, previous)| FrequencyCounter { tick, current, previous })
    }

    fn sum(told: &[(u32, u32, u32)], period: u32, now: u32) -> (RateSum, FrequencyCounter) {
        let sum = RateSum::of(counters(told), period, now);
        (sum, sum.counter(counters(told)))
    }

    #[test]
    fn the_worked_counters_of_two_nodes() {
        // One is at 6 s of its period of 10 s, the other at 2 s: 10 × 0.4 + 20 and 30 × 0.8 + 5.
        let told = [(100_000, 20, 10), (104_000, 5, 30)];
        let (both, counter) = sum(&told, 10_000, 106_000);
        assert_eq!((counter.current, counter.previous), (25, 40), "no event is lost");
        assert_eq!(counter.tick, 103_000, "4 s and 8 s remain, weighted by 10 and 30");
        assert_eq!(counter.read(10_000, 106_000), 53);
        assert_eq!(counter.read(10_000, 109_000), 41, "and falls as fast as they do: 21 + 20");
        assert_eq!((both.peak(), both.first_end), (50, 4_000));
        // In the next period of the first, and of both.
        let later = sum(&told, 10_000, 112_000).1;
        assert_eq!(later.read(10_000, 112_000), 27, "20 × 0.8 and 30 × 0.2 + 5");
        assert_eq!(sum(&told, 10_000, 124_001).1.read(10_000, 124_001), 0);
    }

    #[test]
    fn one_counter_stays_as_it_is() {
        let (odd, counter) = sum(&[(100_000, 3, 7), (50_000, 9, 9), (101_000, 0, 0)], 10_000, 111_111);
        assert_eq!(counter, FrequencyCounter { tick: 100_000, current: 3, previous: 7 });
        assert_eq!(odd.holds(counter), None);
        assert_eq!(sum(&[], 10_000, 5).1, FrequencyCounter::default());
    }

    #[test]
    fn a_sum_that_does_not_fit_is_the_most_that_does() {
        let half = u32::MAX / 2;
        let counter = sum(&[(100_000, half, 0), (100_000, half, half)], 10_000, 101_001).1;
        assert_eq!(counter.read(10_000, 101_001), u32::MAX);
        let almost = sum(&[(100_000, half, 0), (100_000, half, 0)], 10_000, 100_001).1;
        assert_eq!(almost.read(10_000, 100_001), u32::MAX - 1);
    }

    proptest! {
        /// Whatever peers send.
        #[test]
        fn any_counters_make_one_with_an_even_tick(
            counters in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 2..6),
            period in prop_oneof![1u32..5, any::<u32>()],
            now in any::<u32>(),
        ) {
            let counters: Vec<_> = counters.iter().map(|&(tick, one, two)| (tick & !1, one, two)).collect();
            let (sum, counter) = sum(&counters, period, now);
            prop_assert_eq!(counter.tick & 1, 0);
            prop_assert!(sum.holds(counter).is_none_or(|holds| holds >= 1));
        }

        #[test]
        fn a_sum_is_exact_but_for_rounding(
            ages in proptest::collection::vec((0u64..2_200, 0u32..5_000, 0u32..5_000), 1..20),
            period in prop_oneof![Just(10_000u32), 1u32..40, 1u32..1_000_000],
            now in any::<u32>(),
        ) {
            let counters: Vec<_> = ages
                .iter()
                .map(|&(age, one, two)| (now.wrapping_sub((age * u64::from(period) / 1_000) as u32) & !1, one, two))
                .collect();
            let read = u64::from(sum(&counters, period, now).1.read(period, now));
            let singles = counters
                .iter()
                .map(|&(tick, current, previous)| FrequencyCounter { tick, current, previous }.read(period, now));
            prop_assert!(read >= u64::from(singles.clone().max().unwrap_or(0)));
            let readings: u64 = singles.map(u64::from).sum();
            prop_assert!(read.abs_diff(readings) <= counters.len() as u64, "{} {}", read, readings);
        }

        /// The tolerance, and 1 for rounding; and what the published period ends earlier or later than it should.
        #[test]
        fn a_sum_holds_for_as_long_as_it_says(
            told in proptest::collection::vec((0u64..2_200, 0u32..5_000, 0u32..5_000), 2..60),
            period in prop_oneof![Just(10_000u32), 2u32..40, 1_000u32..1_000_000],
            now in any::<u32>(),
        ) {
            let told: Vec<_> = told
                .iter()
                .map(|&(age, one, two)| (now.wrapping_sub((age * u64::from(period) / 1_000) as u32) & !1, one, two))
                .collect();
            let (sum, counter) = sum(&told, period, now);
            let told: Vec<_> = counters(&told).collect();
            let most = f64::from(tolerance(counter.read(period, now)))
                + 1.0
                + 2.0 * (sum.peak() as f64) / f64::from(period);
            let holds = sum.holds(counter).unwrap_or(2 * period);
            for part in 0..=100 {
                let then = now.wrapping_add((u64::from(holds) * part / 100) as u32);
                let off = (exact(&told, period, then) - exact(&[counter], period, then)).abs();
                prop_assert!(off <= most + 0.001, "{} of {} at {} % of {}", off, most, part, holds);
            }
        }
    }
}
