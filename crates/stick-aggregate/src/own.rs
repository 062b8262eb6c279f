//! A node's own values, to teach a process of it that does not know them.

use std::sync::Arc;

use stick_table::Dictionary;

/// Where [`Aggregate::own_values`](crate::Aggregate::own_values) goes on. Start with `OwnWalk::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnWalk {
    pub(crate) stripe: usize,
    pub(crate) slot: u32,
}

/// A node's own value of a key, see [`Aggregate::own_values`](crate::Aggregate::own_values).
pub struct OwnValue<'a> {
    key: &'a [u8],
    words: &'a [u32],
    remaining: Option<u32>,
    dictionary: &'a Dictionary,
}

impl<'a> OwnValue<'a> {
    pub(crate) fn new(
        key: &'a [u8],
        words: &'a [u32],
        remaining: Option<u32>,
        dictionary: &'a Dictionary,
    ) -> Self {
        Self { key, words, remaining, dictionary }
    }

    /// The key in canonical form (see [`KeyType`](stick_table::KeyType)).
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The data words by the source's layout; zero where the node told nothing.
    pub fn words(&self) -> &'a [u32] {
        self.words
    }

    /// The string a `server_key` word stands for, `None` when unset.
    pub fn string(&self, word: u32) -> Option<&'a Arc<str>> {
        self.dictionary.get(word)
    }

    /// Remaining lifetime in ms; `None` when the source's entries do not expire.
    pub fn remaining(&self) -> Option<u32> {
        self.remaining
    }
}
