//! A node's own clock: it started elsewhere, runs at another speed, and jumps.

use stick_table::Millis;

/// Shows another time than the world's. Like the clock of the daemon it never goes back: a jump is forward, as after the
/// machine slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    start: Millis,
    drift_ppm: i64,
    jumped: Millis,
}

impl Clock {
    /// Shows `start` when the world begins, and gains `drift_ppm` µs each second.
    pub(crate) const fn new(start: Millis, drift_ppm: i64) -> Self {
        Self { start, drift_ppm, jumped: 0 }
    }

    /// What it shows at the world's `now`.
    pub(crate) const fn at(&self, now: Millis) -> Millis {
        let gained = now as i64 * self.drift_ppm / 1_000_000;
        (self.start + self.jumped + now).saturating_add_signed(gained)
    }

    /// The world's time from which on it shows `shown` or more.
    pub(crate) const fn world_time(&self, shown: Millis) -> Millis {
        let passed = shown.saturating_sub(self.start + self.jumped) as i64;
        let guess = (passed * 1_000_000 / (1_000_000 + self.drift_ppm)) as u64;
        let mut now = guess.saturating_sub(2);
        while self.at(now) < shown {
            now += 1;
        }
        now
    }

    /// Goes forward at once.
    pub(crate) const fn jump(&mut self, ms: Millis) {
        self.jumped += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_time_is_the_first_moment_at_which_a_time_is_shown() {
        for drift in [-20_000, -37, 0, 37, 20_000] {
            let mut clock = Clock::new(1 << 32, drift);
            clock.jump(12_345);
            for shown in (1 << 32..(1 << 32) + 200_000).step_by(997) {
                let now = clock.world_time(shown);
                assert!(clock.at(now) >= shown, "{drift} ppm");
                assert!(now == 0 || clock.at(now - 1) < shown, "{drift} ppm");
            }
        }
    }
}
