//! When a row changed last, and who changed it.

use crate::Origin;

/// Sequence number (46 bits), whether the values come from a lesson (1 bit), whether a local change waits to be pushed
/// (1 bit), and origin (16 bits) of a row's last change, in one word. Sequence number 0 marks a free row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const FREE: Self = Self(0);
    const LOCAL_BIT: u64 = 1 << 16;
    const LESSON_BIT: u64 = 1 << 17;

    pub(crate) const fn new(sequence: u64, origin: Origin, local: bool) -> Self {
        Self(sequence << 18 | (local as u64) << 16 | origin.number() as u64)
    }

    /// The stamp of a change that a lesson told.
    pub(crate) const fn of_lesson(self) -> Self {
        Self(self.0 | Self::LESSON_BIT)
    }

    /// Whether the values come from a lesson, so that nobody knows how old they are.
    pub(crate) const fn is_of_lesson(self) -> bool {
        self.0 & Self::LESSON_BIT != 0
    }

    /// The stamp of a row whose entry is over: who made it and how no longer matters to the next one.
    pub(crate) const fn of_the_dead(self) -> Self {
        Self(self.0 >> 18 << 18)
    }

    /// The stamp of a row, in its first two words.
    #[inline]
    pub(crate) fn of_row(words: &[u32]) -> Self {
        Self(u64::from(words[0]) | u64::from(words[1]) << 32)
    }

    /// Writes the stamp of a row.
    #[inline]
    pub(crate) fn write(self, words: &mut [u32]) {
        words[0] = self.0 as u32;
        words[1] = (self.0 >> 32) as u32;
    }

    #[inline]
    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> 18
    }

    pub(crate) const fn origin(self) -> Origin {
        Origin::with_number(self.0 as u16)
    }

    /// Whether the row carries a change of this process that live readers are to push.
    #[inline]
    pub(crate) const fn is_local(self) -> bool {
        self.0 & Self::LOCAL_BIT != 0
    }

    #[cfg(test)]
    pub(crate) const fn is_free(self) -> bool {
        self.sequence() == 0
    }
}
