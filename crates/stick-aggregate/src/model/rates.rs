//! The rates of the twin: how they read, and two as one.

use stick_table::{FrequencyCounter, Millis};

use super::PERIOD;

pub(super) fn read(counter: FrequencyCounter, now: Millis) -> u32 {
    counter.read(PERIOD, now as u32)
}

/// Two counters as one: that the sum is right is checked elsewhere.
pub(super) fn both(one: FrequencyCounter, other: FrequencyCounter, now: Millis) -> FrequencyCounter {
    crate::rate::sum_of(&[one, other], PERIOD, now as u32)
}
