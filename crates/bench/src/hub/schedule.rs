//! When what was counted: keys take turns, so that a sum tells which request or update it has last.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests or updates with numbers from 0: number n counts one more for key n modulo the number of keys.
#[derive(Debug)]
pub(super) struct Schedule {
    base: Instant,
    /// The sum of each key before number 0.
    before: Vec<AtomicU32>,
    /// When each group of `grain` numbers was due or sent, in ns after `base`; 0 before that.
    times: Vec<AtomicU64>,
    grain: u64,
}

impl Schedule {
    /// For `numbers` of them, whose times are told in groups of `grain`.
    pub(super) fn new(keys: u64, numbers: u64, grain: u64) -> Self {
        let before = (0..keys).map(|_| AtomicU32::new(0)).collect();
        let times = (0..numbers.div_ceil(grain)).map(|_| AtomicU64::new(0)).collect();
        Self { base: Instant::now(), before, times, grain }
    }

    /// Number of keys.
    pub(super) fn keys(&self) -> u64 {
        self.before.len() as u64
    }

    /// The key of a number.
    pub(super) fn key(&self, number: u64) -> u64 {
        number % self.keys()
    }

    /// Sets the sum of a key before number 0.
    pub(super) fn set_before(&self, key: u64, sum: u32) {
        self.before[key as usize].store(sum, Ordering::Relaxed);
    }

    /// The sum of the key of a number that has it and nothing later.
    pub(super) fn sum_with(&self, number: u64) -> u32 {
        let before = self.before[self.key(number) as usize].load(Ordering::Relaxed);
        before + 1 + (number / self.keys()) as u32
    }

    /// The sum of a key after so many numbers.
    pub(super) fn sum_after(&self, key: u64, numbers: u64) -> u32 {
        let before = self.before[key as usize].load(Ordering::Relaxed);
        before + (numbers / self.keys() + u64::from(key < numbers % self.keys())) as u32
    }

    /// Notes when the group of a number was due or sent.
    pub(super) fn note(&self, number: u64, at: Instant) {
        let time = at.saturating_duration_since(self.base).as_nanos() as u64;
        self.times[(number / self.grain) as usize].store(time.max(1), Ordering::Relaxed);
    }

    /// How long it took from the time noted until a sum was seen; `None` for a sum of before.
    pub(super) fn latency(&self, key: u64, sum: u32, seen: Instant) -> Option<Duration> {
        let before = self.before.get(key as usize)?.load(Ordering::Relaxed);
        let turn = u64::from(sum.checked_sub(before)?.checked_sub(1)?);
        let number = turn * self.keys() + key;
        let time = self.times.get((number / self.grain) as usize)?.load(Ordering::Relaxed);
        let seen = seen.saturating_duration_since(self.base).as_nanos() as u64;
        (time > 0).then(|| Duration::from_nanos(seen.saturating_sub(time)))
    }
}
