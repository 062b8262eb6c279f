//! Why a message is not written.

use stick_table::{DataType, KeyError, Storage, units};
use thiserror::Error;

use crate::{DICTIONARY_SLOTS, WireKeyType};

/// Why a message is not written: a receiver would misread it, or close the session. Nothing is appended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EncodeError {
    #[error("the table's id is {0}; it is 1 to {limit}", limit = i32::MAX)]
    TableId(u32),
    #[error("the table has no name")]
    NoTableName,
    #[error("the parameters of {0} are missing, or out of the order of the data types' numbers")]
    MissingParameters(DataType),
    #[error("there are parameters of {0}, which the definition does not store")]
    UnexpectedParameters(DataType),
    #[error("keys of type {0} with {1} bytes cannot be written")]
    KeyType(WireKeyType, u64),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the lifetime of {0} ms exceeds {limit} ms: a peer would read an entry that has expired", limit = units::MAX_TIME_MS)]
    Lifetime(u32),
    #[error("the values of {0} are missing, or out of the order of the definition")]
    MissingValues(DataType),
    #[error("there are values of {0}, which the definition does not store at this place")]
    UnexpectedValues(DataType),
    #[error("{data_type} has {found} elements in the update and {wanted} in the definition")]
    Elements { data_type: DataType, wanted: u64, found: usize },
    #[error("{data_type} is stored as {wanted:?}, its value is {found:?}")]
    Storage { data_type: DataType, wanted: Storage, found: Storage },
    #[error("the dictionary id is {0}, not 1 to {DICTIONARY_SLOTS}")]
    DictionaryId(u8),
    #[error("byte {0} of the dictionary string is NUL: the receiver's string ends there")]
    DictionaryNul(usize),
    #[error("the hello names nobody at its {0} end")]
    NoName(&'static str),
    #[error("the name of the {end} holds {letter:?}, which ends it")]
    NameLetter {
        /// Which one: `target` or `sender`.
        end: &'static str,
        letter: char,
    },
    #[error("the hello has {length} bytes, receivers take less than {limit} (tune.bufsize)")]
    HelloTooLong { length: usize, limit: usize },
}

impl EncodeError {
    /// Whether a table may have this id.
    pub(crate) fn check_table_id(id: u32) -> Result<(), Self> {
        if id == 0 || id > i32::MAX.cast_unsigned() { Err(Self::TableId(id)) } else { Ok(()) }
    }
}
