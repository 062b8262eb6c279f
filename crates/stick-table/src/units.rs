//! HAProxy's units for times and sizes (stick-tables §1).

use thiserror::Error;

/// Longest time HAProxy accepts for a lifetime or a period: 2^31 − 1 ms, a little under 25 days.
pub const MAX_TIME_MS: u32 = i32::MAX as u32;

/// Why a word is not a time or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UnitError {
    #[error("a number is expected, such as 30 or 5000")]
    NotANumber,
    #[error("the unit is unknown: use us, ms, s, m, h or d")]
    TimeUnit,
    #[error("the suffix is unknown: use k, m or g, which stand for 2^10, 2^20 and 2^30")]
    SizeUnit,
    #[error("the time is over the limit of 2147483647 ms (24 days 20 hours)")]
    TimeTooLong,
    #[error("the size is over the limit of 4294967295")]
    SizeTooLarge,
    #[error("the suffix is unknown: use k, m, g or t, which stand for 2^10, 2^20, 2^30 and 2^40")]
    MemoryUnit,
    #[error("the amount does not fit 64 bits: it is over 18446744073709551615 bytes")]
    MemoryTooLarge,
    #[error("the time is shorter than the smallest step of 1 ms")]
    TimeTooShort,
}

/// Reads a time such as `30`, `500ms`, `10s`, `5m`, `1h` or `1d`; without a unit, milliseconds. Rounds up.
///
/// # Errors
/// When the word is no number, has an unknown unit, is over [`MAX_TIME_MS`], or is under 1 ms without being 0.
pub fn parse_time_ms(word: &str) -> Result<u32, UnitError> {
    let (number, unit) = split(word)?;
    let ms = match unit {
        "us" if number != 0 && number < 1000 => return Err(UnitError::TimeTooShort),
        "us" => number.div_ceil(1000),
        "" | "ms" => number,
        "s" => number.saturating_mul(1_000),
        "m" => number.saturating_mul(60_000),
        "h" => number.saturating_mul(3_600_000),
        "d" => number.saturating_mul(86_400_000),
        _ => return Err(UnitError::TimeUnit),
    };
    u32::try_from(ms).ok().filter(|&ms| ms <= MAX_TIME_MS).ok_or(UnitError::TimeTooLong)
}

/// Reads a size such as `1000`, `100k`, `5m` or `1g`.
///
/// # Errors
/// When the word is no number, has an unknown suffix, or does not fit 32 bits.
pub fn parse_size(word: &str) -> Result<u32, UnitError> {
    let (number, unit) = split(word)?;
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(UnitError::SizeUnit),
    };
    number.checked_mul(1 << shift).and_then(|size| u32::try_from(size).ok()).ok_or(UnitError::SizeTooLarge)
}

/// Reads an amount of memory in bytes, such as `512m`, `20g` or `1t`; 64 bits, as HAProxy has no word for it.
///
/// # Errors
/// When the word is no number, has an unknown suffix, or does not fit 64 bits.
pub fn parse_memory(word: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(word)?;
    // What does not fit saturates.
    if number == u64::MAX {
        return Err(UnitError::MemoryTooLarge);
    }
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(UnitError::MemoryUnit),
    };
    number.checked_mul(1 << shift).ok_or(UnitError::MemoryTooLarge)
}

/// Splits the leading digits from what follows; a number that does not fit saturates.
fn split(word: &str) -> Result<(u64, &str), UnitError> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(UnitError::NotANumber);
    }
    Ok((word[..digits].parse().unwrap_or(u64::MAX), &word[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (word, expected) in [
            ("0", Ok(0)),
            ("1500", Ok(1500)),
            ("30m", Ok(1_800_000)),
            ("24d", Ok(2_073_600_000)),
            ("1001us", Ok(2)),
            ("2147483647", Ok(MAX_TIME_MS)),
            ("2147483648", Err(UnitError::TimeTooLong)),
            ("25d", Err(UnitError::TimeTooLong)),
            ("99999999999999999999d", Err(UnitError::TimeTooLong)),
            ("999us", Err(UnitError::TimeTooShort)),
            ("0us", Ok(0)),
            ("10x", Err(UnitError::TimeUnit)),
            ("10 s", Err(UnitError::TimeUnit)),
            ("s", Err(UnitError::NotANumber)),
            ("-1", Err(UnitError::NotANumber)),
            ("", Err(UnitError::NotANumber)),
        ] {
            assert_eq!(parse_time_ms(word), expected, "{word}");
        }
    }

    #[test]
    fn sizes() {
        for (word, expected) in [
            ("100", Ok(100)),
            ("1k", Ok(1024)),
            ("5m", Ok(5 << 20)),
            ("3G", Ok(3 << 30)),
            ("4g", Err(UnitError::SizeTooLarge)),
            ("1kb", Err(UnitError::SizeUnit)),
            ("k", Err(UnitError::NotANumber)),
        ] {
            assert_eq!(parse_size(word), expected, "{word}");
        }
    }

    #[test]
    fn memory_has_64_bits() {
        for (word, expected) in [
            ("0", Ok(0)),
            ("4294967296", Ok(1 << 32)),
            ("5k", Ok(5 << 10)),
            ("7m", Ok(7 << 20)),
            ("20g", Ok(20 << 30)),
            ("1T", Ok(1 << 40)),
            ("16777215t", Ok(16_777_215 << 40)),
            ("16777216t", Err(UnitError::MemoryTooLarge)),
            ("18446744073709551614", Ok(u64::MAX - 1)),
            ("18446744073709551616", Err(UnitError::MemoryTooLarge)),
            ("1gb", Err(UnitError::MemoryUnit)),
            ("g", Err(UnitError::NotANumber)),
        ] {
            assert_eq!(parse_memory(word), expected, "{word}");
        }
    }
}
