//! When something happens.

use std::fmt;

use serde::{Serialize, Serializer};
use stick_table::Millis;

/// When something happens; in JSON the time until then in ms, 0 when it has come, and null when it is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timer {
    /// Not set.
    #[default]
    Never,
    /// The time has come.
    Past,
    /// In this many ms.
    In(u64),
}

impl Timer {
    /// The timer of a moment.
    pub fn until(at: Option<Millis>, now: Millis) -> Self {
        match at {
            None => Self::Never,
            Some(at) if at <= now => Self::Past,
            Some(at) => Self::In(at - now),
        }
    }
}

impl Serialize for Timer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = match *self {
            Self::Never => None,
            Self::Past => Some(0),
            Self::In(ms) => Some(ms),
        };
        ms.serialize(serializer)
    }
}

/// The two most significant units, as HAProxy writes it.
impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = match *self {
            Self::Never => return f.write_str("<NEVER>"),
            Self::Past => return f.write_str("<PAST>"),
            Self::In(ms) => ms / 1000,
        };
        match seconds {
            0..60 => write!(f, "{seconds}s"),
            60..3_600 => write!(f, "{}m{}s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{}h{}m", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_two_largest_units() {
        for (timer, text) in [
            (Timer::Never, "<NEVER>"),
            (Timer::Past, "<PAST>"),
            (Timer::In(999), "0s"),
            (Timer::In(59_999), "59s"),
            (Timer::In(60_000), "1m0s"),
            (Timer::In(7_505_000), "2h5m"),
            (Timer::In(90_000_000), "1d1h"),
        ] {
            assert_eq!(timer.to_string(), text);
        }
    }
}
