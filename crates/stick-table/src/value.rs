//! One element of an entry's data.

use std::sync::Arc;

use crate::{FrequencyCounter, Storage};

/// The value of one element, in the storage of its data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Signed 32-bit integer.
    Signed(i32),
    /// Unsigned 32-bit integer.
    Unsigned(u32),
    /// Unsigned 64-bit integer.
    Unsigned64(u64),
    /// Frequency counter, unrotated.
    Frequency(FrequencyCounter),
    /// Dictionary string, `None` when unset.
    Dictionary(Option<Arc<str>>),
}

impl Value {
    /// The value a new entry has.
    pub const fn zero(storage: Storage) -> Self {
        match storage {
            Storage::Signed => Self::Signed(0),
            Storage::Unsigned => Self::Unsigned(0),
            Storage::Unsigned64 => Self::Unsigned64(0),
            Storage::Frequency => Self::Frequency(FrequencyCounter { tick: 0, current: 0, previous: 0 }),
            Storage::Dictionary => Self::Dictionary(None),
        }
    }

    /// The storage this value belongs to.
    pub const fn storage(&self) -> Storage {
        match self {
            Self::Signed(_) => Storage::Signed,
            Self::Unsigned(_) => Storage::Unsigned,
            Self::Unsigned64(_) => Storage::Unsigned64,
            Self::Frequency(_) => Storage::Frequency,
            Self::Dictionary(_) => Storage::Dictionary,
        }
    }
}
