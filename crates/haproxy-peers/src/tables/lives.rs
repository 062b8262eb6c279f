//! How long a table's entries live after a touch, by those who share it.

use std::sync::atomic::{AtomicU32, Ordering};

/// The shortest and the longest `expire` that this side and its peers have for a table, in ms; the longest is `u32::MAX`
/// where entries of somebody do not expire.
///
/// A peer counts from its first definition on, for as long as the process lives: what it told lives on elsewhere.
pub(crate) struct Lives {
    shortest: AtomicU32,
    longest: AtomicU32,
}

impl Lives {
    /// Those of this side alone.
    pub(crate) fn new(expire: Option<u32>) -> Self {
        let expire = expire.unwrap_or(u32::MAX);
        Self { shortest: AtomicU32::new(expire), longest: AtomicU32::new(expire) }
    }

    /// Notes the expiry of a peer's definition, in ms, 0 for none.
    pub(crate) fn note(&self, expire: u64) {
        let expire = match u32::try_from(expire) {
            Ok(0) | Err(_) => u32::MAX,
            Ok(expire) => expire,
        };
        self.shortest.fetch_min(expire, Ordering::Relaxed);
        self.longest.fetch_max(expire, Ordering::Relaxed);
    }

    /// The longest without the shortest, in ms.
    pub(crate) fn spread(&self) -> u32 {
        self.longest.load(Ordering::Relaxed).saturating_sub(self.shortest.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_all_who_were_heard_of() {
        let lives = Lives::new(Some(60_000));
        lives.note(60_000);
        assert_eq!(lives.spread(), 0);
        lives.note(50_000);
        lives.note(65_000);
        assert_eq!(lives.spread(), 15_000);
        lives.note(0);
        assert_eq!(lives.spread(), u32::MAX - 50_000);
        let endless = Lives::new(None);
        endless.note(0);
        assert_eq!(endless.spread(), 0, "nothing expires anywhere");
    }
}
