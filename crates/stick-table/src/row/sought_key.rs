//! A key in the form rows are compared with.

use crate::row::layout::{INLINE_KEY_WORDS, Layout};

/// A canonical key to be looked for, see [`Layout`].
#[derive(Clone, Copy)]
pub(crate) enum SoughtKey<'a> {
    /// The key words of a row.
    Words(&'a [u32]),
    /// Of a table whose keys are too long to stand in a row.
    Long(&'a [u8]),
}

impl SoughtKey<'_> {
    /// Calls `use_it` with a canonical key in the form a table's rows are compared with.
    #[inline]
    pub(crate) fn with<R>(layout: &Layout, key: &[u8], use_it: impl FnOnce(SoughtKey<'_>) -> R) -> R {
        if !layout.key_is_inline() {
            return use_it(SoughtKey::Long(key));
        }
        let mut words = [0; INLINE_KEY_WORDS];
        let words = &mut words[..layout.key_words()];
        layout.pad_key(words, key);
        use_it(SoughtKey::Words(words))
    }
}

/// Whether two rows have the same key words. A loop, as keys are short and a call would cost more.
#[inline]
pub(crate) fn same(one: &[u32], other: &[u32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

/// Copies a few words: a loop, as a call would cost more.
#[inline]
pub(crate) fn copy(from: &[u32], to: &mut [u32]) {
    for (from, to) in from.iter().zip(to) {
        *to = *from;
    }
}
