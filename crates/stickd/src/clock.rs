//! The one clock of the daemon.

use std::time::{Duration, Instant};

use stick_table::Millis;

/// Milliseconds since a moment before the process started. Monotonic; does not follow the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that shows about an hour: frequency counters that were never used start at 0, which must be in the past.
    const START: Millis = 3_600_000;

    /// Starts a clock.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now, in ms.
    pub fn now(&self) -> Millis {
        Self::START + self.origin.elapsed().as_millis() as u64
    }

    /// Time since the clock was started.
    pub fn uptime(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The moment at which this clock shows `at`.
    pub fn instant(&self, at: Millis) -> Instant {
        self.origin + Duration::from_millis(at.saturating_sub(Self::START))
    }
}
