//! Definitions that a hub refused, to be looked at again when something changed.

use std::collections::BTreeMap;

use super::learner::MAX_KEPT_DEFINITION;

/// Most definitions kept.
const MAX_DEFINITIONS: usize = 256;

/// The definitions by the sender's ids of their tables.
#[derive(Default)]
pub(super) struct Refused {
    definitions: BTreeMap<u32, Box<[u8]>>,
    bytes: usize,
}

impl Refused {
    /// Most bytes held.
    pub(super) const MOST_MEMORY: usize =
        MAX_DEFINITIONS * (MAX_KEPT_DEFINITION + size_of::<(u32, Box<[u8]>)>());

    /// Whether exactly this definition was refused, and nothing has changed since.
    pub(super) fn is_known(&self, id: u32, payload: &[u8]) -> bool {
        self.definitions.get(&id).is_some_and(|known| **known == *payload)
    }

    /// Whether a definition of this id was refused. Those beyond the limit are taken for such ones.
    pub(super) fn has(&self, id: u32) -> bool {
        self.definitions.contains_key(&id) || self.definitions.len() >= MAX_DEFINITIONS
    }

    pub(super) fn note(&mut self, id: u32, payload: &[u8]) {
        self.remove(id);
        if self.definitions.len() < MAX_DEFINITIONS {
            // One that is too long to be kept stands for an id that is known.
            let kept = if payload.len() <= MAX_KEPT_DEFINITION { payload } else { &[] };
            self.bytes += kept.len();
            self.definitions.insert(id, kept.into());
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(removed) = self.definitions.remove(&id) {
            self.bytes -= removed.len();
        }
    }

    /// All of them, to be noted again if they are still refused.
    pub(super) fn take(&mut self) -> Vec<Box<[u8]>> {
        self.bytes = 0;
        std::mem::take(&mut self.definitions).into_values().collect()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.definitions.len() * size_of::<(u32, Box<[u8]>)>()
    }
}
