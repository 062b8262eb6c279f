//! A frequency counter (stick-tables §4), written apart from that of the library.

use haproxy_peers::WireFrequency;

/// Events over a sliding period, on a clock in ms that wraps at 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    start: u32,
    current: u32,
    previous: u32,
}

/// Bit 0 of a period's start is a lock and never set.
const EVEN: u32 = !1;

impl Rate {
    /// Counts events.
    pub(super) fn add(&mut self, events: u32, period: u32, now: u32) {
        if now.wrapping_sub(self.start) < period {
            self.current = self.current.wrapping_add(events);
            return;
        }
        let next = self.start.wrapping_add(period);
        let follows = now.wrapping_sub(next) < period;
        *self = Self {
            start: if follows { next } else { now } & EVEN,
            current: events,
            previous: if follows { self.current } else { 0 },
        };
    }

    /// Events over the last period.
    pub(super) fn read(&self, period: u32, now: u32) -> u32 {
        let period = i64::from(period.max(1));
        let left = i64::from(self.start.wrapping_add(period as u32).wrapping_sub(now).cast_signed());
        let (past, current, left) = match left {
            0.. => (self.previous, self.current, left),
            _ if left + period >= 0 => (self.current, 0, left + period),
            _ => (0, 0, 0),
        };
        if current == 0 && past <= 1 {
            return past;
        }
        // Both factors are under 2^33, so in 128 bits nothing wraps.
        ((i128::from(past) * i128::from(left) + i128::from(current) * i128::from(period))
            / i128::from(period)) as u32
    }

    /// As sent: the raw state, not rotated (peers-protocol §9.3).
    pub(super) fn to_wire(self, now: u32) -> WireFrequency {
        WireFrequency { age: now.wrapping_sub(self.start), current: self.current, previous: self.previous }
    }

    /// As received; `of_the_future` is what 1.6.0 made of the age.
    pub(super) fn from_wire(wire: WireFrequency, now: u32, of_the_future: bool) -> Self {
        let start = if of_the_future { now.wrapping_add(wire.age) } else { now.wrapping_sub(wire.age) };
        Self { start: start & EVEN, current: wire.current, previous: wire.previous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stick_table::FrequencyCounter;

    /// The worked rows of stick-tables §4.
    #[test]
    fn worked_readings() {
        let rate = Rate { start: 100_000, current: 20, previous: 10 };
        for (now, expected) in [(104_000, 26), (110_000, 20), (113_000, 14), (120_000, 0), (125_000, 0)] {
            assert_eq!(rate.read(10_000, now), expected, "at {now}");
        }
        let mut later = rate;
        later.add(5, 10_000, 113_000);
        assert_eq!(later, Rate { start: 110_000, current: 5, previous: 20 });
        let mut idle = rate;
        idle.add(5, 10_000, 125_001);
        assert_eq!(idle, Rate { start: 125_000, current: 5, previous: 0 });
    }

    /// The two implementations agree, also where the clock wraps.
    #[test]
    fn the_library_counts_alike() {
        let mut random = 99u32;
        let mut next = |bound: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % bound
        };
        let (mut rate, mut library) = (Rate::default(), FrequencyCounter::default());
        let mut now = u32::MAX - 200_000;
        for _ in 0..2_000 {
            now = now.wrapping_add(next(1_500));
            if next(20) == 0 {
                now = now.wrapping_add(next(30_000));
            }
            let events = next(9);
            rate.add(events, 10_000, now);
            library.add(events, 10_000, now);
            let later = now.wrapping_add(next(25_000));
            assert_eq!(rate.read(10_000, later), library.read(10_000, later));
            let sent = rate.to_wire(later);
            assert_eq!(Rate::from_wire(sent, later, false), rate);
        }
    }
}
