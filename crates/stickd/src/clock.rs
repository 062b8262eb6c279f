//! The one clock of the daemon.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use stick_table::Millis;

/// The time since the machine started, pauses included: a machine that is suspended, or moved to another host, wakes up with
/// what was left of each lifetime less the pause.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WITH_PAUSES: ClockId = ClockId::Boottime;
/// Other systems have no such clock, or count pauses in this one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const WITH_PAUSES: ClockId = ClockId::Monotonic;

/// How often `watch_pauses` looks: what was to happen in a pause happens this long after it at most.
const LOOK: Duration = Duration::from_millis(250);
/// A shorter pause changes nothing that anybody waits for: timers are as late as on a busy machine.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// Milliseconds since a moment before the process started. Monotonic; does not follow the wall clock, and goes on while the
/// machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Duration,
}

impl Clock {
    /// A clock that shows about an hour: frequency counters that were never used start at 0, which must be in the past.
    const START: Millis = 3_600_000;

    /// Starts a clock.
    pub fn start() -> Self {
        Self { origin: reading(WITH_PAUSES) }
    }

    /// Now, in ms.
    pub fn now(&self) -> Millis {
        Self::START + self.uptime().as_millis() as u64
    }

    /// Time since the machine started, pauses included.
    pub(crate) fn since_boot() -> Duration {
        reading(WITH_PAUSES)
    }

    /// Time since the clock was started.
    pub fn uptime(&self) -> Duration {
        reading(WITH_PAUSES).saturating_sub(self.origin)
    }

    /// The moment at which this clock shows `at`, unless the machine pauses before: timers do not run meanwhile, see
    /// `watch_pauses`.
    pub fn instant(&self, at: Millis) -> Instant {
        let wanted = Duration::from_millis(at.saturating_sub(Self::START));
        Instant::now() + wanted.saturating_sub(self.uptime())
    }
}

/// The time that a clock shows.
fn reading(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// How far the clock that counts pauses is ahead of the one that timers follow.
fn paused() -> Duration {
    reading(WITH_PAUSES).saturating_sub(reading(ClockId::Monotonic))
}

/// Calls `resumed` with the length of each pause of the machine, shortly after it: timers that are set have that much too long to
/// go, and whoever set them is to look at the clock.
pub(crate) async fn watch_pauses(resumed: impl FnMut(Duration)) {
    watch(paused, resumed).await;
}

/// The same for pauses whose sum is told by `paused`.
async fn watch(paused: impl Fn() -> Duration, mut resumed: impl FnMut(Duration)) {
    let mut before = paused();
    loop {
        tokio::time::sleep(LOOK).await;
        let pause = paused().saturating_sub(before);
        if pause >= SHORTEST_PAUSE {
            before += pause;
            resumed(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_clock_counts_pauses_of_the_machine() {
        let before = reading(WITH_PAUSES);
        let clock = Clock::start();
        let after = reading(WITH_PAUSES);
        assert!((before..=after).contains(&clock.origin));
        assert!(cfg!(not(target_os = "linux")) || WITH_PAUSES == ClockId::Boottime);
        let shown = clock.now();
        assert!((Clock::START..Clock::START + 60_000).contains(&shown));
    }

    /// As if the machine had paused since the clock was started.
    #[test]
    fn a_moment_in_the_past_is_now_and_a_later_one_is_as_far_away_as_the_clock_says() {
        let hour = Duration::from_secs(3_600);
        let clock = Clock { origin: reading(WITH_PAUSES).saturating_sub(hour) };
        let now = clock.now();
        assert!(now >= Clock::START + 3_600_000);
        let until = |at| clock.instant(at).saturating_duration_since(Instant::now());
        assert_eq!(until(now - 1_000), Duration::ZERO);
        assert!(until(now + 60_000) <= Duration::from_secs(60));
        assert!(until(now + 60_000) > Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_noticed_once_and_soon() {
        let sum = AtomicU64::new(77);
        let paused = || Duration::from_millis(sum.load(Ordering::Relaxed));
        let mut pauses = Vec::new();
        let steps = async {
            for (wait, pause) in [(10_000, 600_000), (LOOK.as_millis() as u64 + 1, 100), (5_000, 5_000)] {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                sum.fetch_add(pause, Ordering::Relaxed);
            }
            tokio::time::sleep(2 * LOOK).await;
        };
        tokio::select! {
            () = watch(paused, |pause| pauses.push(pause.as_millis())) => {}
            () = steps => {}
        }
        // Short ones add up.
        assert_eq!(pauses, [600_000, 5_100]);
    }
}
