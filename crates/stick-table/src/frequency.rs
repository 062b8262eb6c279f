//! Frequency counters: events over a sliding period (stick-tables §4).

/// How much later than a reader's time a period may start, in ms: 4.6 hours.
const AHEAD: u32 = 1 << 24;

/// A sliding-window counter with HAProxy's state and arithmetic.
///
/// `tick` is the start of the current period on a 32-bit millisecond clock that wraps; its lowest bit is always 0
/// (HAProxy uses it as a lock). A counter that was never used is all zero. The period is not part of the state: it
/// belongs to the table, and every call takes it.
///
/// ```
/// use stick_table::FrequencyCounter;
///
/// let mut rate = FrequencyCounter::default();
/// for _ in 0..20 {
///     rate.add(1, 10_000, 500_000);
/// }
/// assert_eq!(rate.read(10_000, 504_000), 20);
/// assert_eq!(rate.read(10_000, 515_000), 10); // half of the next period is over
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrequencyCounter {
    /// Start of the current period, in ms modulo 2^32, even.
    pub tick: u32,
    /// Events in the current period.
    pub current: u32,
    /// Events in the period before.
    pub previous: u32,
}

impl FrequencyCounter {
    /// A counter that reads `value` now, stays there for this period and fades during the next: what `set table` stores.
    pub const fn set(value: u32, now: u32) -> Self {
        Self { tick: now & !1, current: value, previous: 0 }
    }

    /// The counter as received from a peer: `age` is the time since the start of its current period, in ms.
    pub const fn from_age(age: u32, current: u32, previous: u32, now: u32) -> Self {
        Self { tick: now.wrapping_sub(age) & !1, current, previous }
    }

    /// Time since the start of the current period in ms, as sent to peers. Not rotated, so it may exceed the period;
    /// 0 for a counter without events, whatever its tick (every reader sees the same, and it is shorter).
    pub const fn age(&self, now: u32) -> u32 {
        if self.current == 0 && self.previous == 0 { 0 } else { now.wrapping_sub(self.tick) }
    }

    /// Counts `n` events at `now` (ms) with the given `period` (ms). Sums wrap at 2^32.
    pub const fn add(&mut self, n: u32, period: u32, now: u32) {
        if now.wrapping_sub(self.tick) < period {
            self.current = self.current.wrapping_add(n);
            return;
        }
        self.previous = self.current;
        self.current = n;
        self.tick = self.tick.wrapping_add(period);
        if now.wrapping_sub(self.tick) >= period {
            self.previous = 0;
            self.tick = now;
        }
        self.tick &= !1;
    }

    /// Events over the last `period` ms as seen at `now`. Never changes the counter.
    ///
    /// A period of 0 reads as 0 (HAProxy does not define it).
    pub const fn read(&self, period: u32, now: u32) -> u32 {
        if period == 0 {
            return 0;
        }
        // Not by a signed distance, as in HAProxy: the reading of a counter that nobody touched for 24.9 days would come back.
        let (elapsed, period) = (self.elapsed(now) as u64, period as u64);
        let (past, current, remain) = if elapsed <= period {
            (self.previous, self.current, period - elapsed)
        } else if elapsed <= 2 * period {
            (self.current, 0, 2 * period - elapsed)
        } else {
            return 0;
        };
        if current == 0 && past <= 1 {
            return past;
        }
        ((past as u64 * remain + current as u64 * period) / period) as u32
    }

    /// Time since the start of the current period in ms, 0 when it starts a little later than `now`, as for a reader that
    /// looked at the clock before the last writer.
    pub const fn elapsed(&self, now: u32) -> u32 {
        let elapsed = now.wrapping_sub(self.tick);
        if elapsed > u32::MAX - AHEAD { 0 } else { elapsed }
    }

    /// Makes a counter that nobody used for 24.9 days and two periods one that was never used; whether it did. Ticks wrap after
    /// 49.7 days: done more often than every 4 hours, no counter is taken for a younger one. One of a period over 24.6 days is
    /// stopped when it reads a hundredth of its last period at most. Not earlier: peers are told the age of a counter, by which
    /// the next event begins a period or not.
    pub const fn stop_if_idle(&mut self, period: u32, now: u32) -> bool {
        const EARLIEST: u32 = 1 << 31;
        const LATEST: u32 = u32::MAX - 2 * AHEAD;
        let faded_after = period.saturating_mul(2);
        let idle_after = match faded_after {
            ..=EARLIEST => EARLIEST,
            LATEST.. => LATEST,
            between => between,
        };
        let is_idle = (self.current != 0 || self.previous != 0) && self.elapsed(now) > idle_after;
        if is_idle {
            *self = Self { tick: 0, current: 0, previous: 0 };
        }
        is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: u32 = 10_000;

    /// The worked rows of stick-tables §4.
    #[test]
    fn worked_readings() {
        let counter = FrequencyCounter { tick: 100_000, current: 20, previous: 10 };
        for (now, expected) in [(104_000, 26), (110_000, 20), (113_000, 14), (120_000, 0), (125_000, 0)] {
            assert_eq!(counter.read(PERIOD, now), expected, "at {now}");
        }
        let single = FrequencyCounter { tick: 100_000, current: 1, previous: 0 };
        for now in (100_000..=120_000).step_by(500) {
            assert_eq!(single.read(PERIOD, now), 1, "at {now}");
        }
        assert_eq!(single.read(PERIOD, 120_001), 0);
    }

    #[test]
    fn worked_additions() {
        let start = FrequencyCounter { tick: 100_000, current: 20, previous: 10 };
        let mut rotated = start;
        rotated.add(5, PERIOD, 113_000);
        assert_eq!(rotated, FrequencyCounter { tick: 110_000, current: 5, previous: 20 });
        let mut idle = start;
        idle.add(5, PERIOD, 125_000);
        assert_eq!(idle, FrequencyCounter { tick: 125_000 & !1, current: 5, previous: 0 });
    }

    #[test]
    fn a_period_ends_where_the_next_one_begins() {
        let added = |now| {
            let mut counter = FrequencyCounter { tick: 100_000, current: 20, previous: 10 };
            counter.add(5, PERIOD, now);
            (counter.tick, counter.current, counter.previous)
        };
        assert_eq!(added(109_999), (100_000, 25, 10));
        assert_eq!(added(110_000), (110_000, 5, 20));
        assert_eq!(added(119_999), (110_000, 5, 20));
        assert_eq!(added(120_000), (120_000, 5, 0));
    }

    #[test]
    fn a_received_counter_has_an_even_tick_and_keeps_its_reading() {
        let sent = FrequencyCounter { tick: 7_000, current: 40, previous: 9 };
        let received = FrequencyCounter::from_age(sent.age(9_001), 40, 9, 77_777);
        assert_eq!(received.tick & 1, 0);
        assert_eq!(received.read(PERIOD, 77_777), sent.read(PERIOD, 9_001));
        assert_eq!(FrequencyCounter::default().age(123), 0);
    }

    /// Keeps every event's period start in plain 128-bit numbers on a clock that never wraps.
    #[derive(Default)]
    struct NaiveTwin {
        start: i128,
        current: i128,
        previous: i128,
    }

    impl NaiveTwin {
        fn add(&mut self, n: i128, period: i128, now: i128) {
            if now - self.start < period {
                self.current += n;
            } else if now - self.start < 2 * period {
                (self.previous, self.current) = (self.current, n);
                self.start += period;
            } else {
                (self.previous, self.current, self.start) = (0, n, now);
            }
            self.start -= self.start.rem_euclid(2);
        }

        fn read(&self, period: i128, now: i128) -> i128 {
            let elapsed = now - self.start;
            let (past, current, left) = match elapsed {
                e if e <= period => (self.previous, self.current, period - e),
                e if e <= 2 * period => (self.current, 0, 2 * period - e),
                _ => (0, 0, 0),
            };
            if current == 0 && past <= 1 { past } else { (past * left + current * period) / period }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_twin(
            period in 2u32..100_000,
            begin in any::<u32>(),
            steps in proptest::collection::vec((0u32..150_000, 0u32..1_000, any::<bool>()), 1..60),
        ) {
            let begin = begin & !1;
            let mut counter = FrequencyCounter::set(0, begin);
            let mut twin = NaiveTwin { start: i128::from(begin), ..Default::default() };
            let mut now = u64::from(begin);
            for (pause, n, adds) in steps {
                now += u64::from(pause);
                if adds {
                    counter.add(n, period, now as u32);
                    twin.add(i128::from(n), i128::from(period), i128::from(now));
                }
                prop_assert_eq!(i128::from(counter.read(period, now as u32)), twin.read(i128::from(period), i128::from(now)));
            }
        }
    }

    /// A day before the tick wraps too.
    #[test]
    fn a_counter_that_nobody_touches_reads_0_for_ever() {
        const DAY: u64 = 86_400_000;
        for period in [10_000, 3_600_000, 20 * DAY as u32, i32::MAX as u32] {
            let mut counter = FrequencyCounter { tick: 4_000_000_000, current: 20, previous: 10 };
            for hour in 0..24 * 120_u64 {
                let now = 4_000_000_000 + hour * 3_600_000;
                counter.stop_if_idle(period, now as u32);
                let read = counter.read(period, now as u32);
                let elapsed = hour * 3_600_000;
                let least = if elapsed > 2 * u64::from(period) { 0 } else { u32::MAX };
                assert!(read <= 30.min(least), "{read} after {hour} hours, period {period}");
            }
            assert_eq!(counter, FrequencyCounter::default());
        }
        // Between two looks, and as received from a peer that does not stop it.
        let counter = FrequencyCounter { tick: 100_000, current: 20, previous: 10 };
        for days in [1, 24, 25, 30, 40, 49] {
            let now = (100_000 + days * DAY) as u32;
            assert_eq!(counter.read(PERIOD, now), 0, "after {days} days");
            let age = FrequencyCounter::from_age((days * DAY) as u32, 20, 10, 7_777);
            assert_eq!(age.read(PERIOD, 7_777), 0, "told to be {days} days old");
        }
        // A reader that looked at the clock a moment before the writer.
        assert_eq!(counter.read(PERIOD, 99_990), 30);
    }

    #[test]
    fn a_counter_is_stopped_once_and_one_without_events_never() {
        const LONG_AGO: u32 = 1;
        let now = LONG_AGO + (3 << 30);
        for (current, previous) in [(20, 0), (0, 10), (20, 10)] {
            let mut counter = FrequencyCounter { tick: LONG_AGO, current, previous };
            assert!(counter.stop_if_idle(PERIOD, now), "{current} {previous}");
            assert_eq!(counter, FrequencyCounter::default());
            assert!(!counter.stop_if_idle(PERIOD, now), "it was stopped already");
        }
        let mut young = FrequencyCounter { tick: now - PERIOD, current: 20, previous: 10 };
        assert!(!young.stop_if_idle(PERIOD, now));
        assert_eq!(young.current, 20);
    }

    /// HAProxy does not define it; here it must not divide by it.
    #[test]
    fn a_period_of_0_reads_as_0() {
        assert_eq!(FrequencyCounter::set(20, 1_000).read(0, 1_000), 0);
    }
}
