//! Days of the calendar, in UTC.

use std::fmt;

/// A day, printed as `2031-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) year: u64,
    /// From 1.
    pub(crate) month: u8,
    /// From 1.
    pub(crate) day: u8,
}

impl Day {
    /// The day on which so many seconds had passed since 1970.
    pub(crate) const fn of(seconds: u64) -> Self {
        // Years start in March here, so that leap days come last; 719468 days lie between 0000-03-01 and 1970-01-01.
        let days = seconds / 86_400 + 719_468;
        let era_day = days % 146_097;
        let era_year = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
        let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
        let month = (5 * year_day + 2) / 153;
        let day = year_day - (153 * month + 2) / 5 + 1;
        let year = era_year + days / 146_097 * 400 + (month >= 10) as u64;
        Self { year, month: ((month + 2) % 12 + 1) as u8, day: day as u8 }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_009_843_199, "2001-12-31"),
            (1_009_843_200, "2002-01-01"),
        ] {
            assert_eq!(Day::of(seconds).to_string(), text);
        }
    }
}
