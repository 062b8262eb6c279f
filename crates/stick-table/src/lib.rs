//! HAProxy's stick tables as a library.
//!
//! A stick table keeps counters, rates, tags and persistence for a key (an address, a user, a cookie) for a
//! limited time. This crate holds what an entry is, how it ages, and how its changes are read in order. It
//! does no I/O, reads no clock (`now` is an argument everywhere) and starts no threads.
//!
//! Where to look first:
//!
//! - [`TableDefinition`]: key type, size, expiry and the data types a table stores; it parses from a `stick-table` line and
//!   prints as one.
//! - [`Table`]: entries by key; [`Batch`] to apply many changes at once, [`Cursor`] to read what changed since, and
//!   [`Feed`] to hand it to a receiver that acknowledges.
//! - [`DataType`], [`KeyType`]: the vocabulary, with HAProxy's names and numbers.
//! - [`FrequencyCounter`]: the sliding-window rate, with HAProxy's exact arithmetic.

mod data_type;
pub use data_type::{DataType, Storage};

mod key_type;
pub use key_type::{KeyError, KeyText, KeyType};

mod column;
pub use column::{Column, ColumnError};

mod definition;
pub use definition::{DefinitionError, LineError, LineFault, ServerKeySource, TableDefinition};

mod frequency;
pub use frequency::FrequencyCounter;

mod value;
pub use value::Value;

mod row;
pub use row::{dictionary::Dictionary, layout::Layout};

mod table;
pub use table::{Table, UpdateError};

mod entry;
pub use entry::{EntryMut, EntryRef};

mod batch;
pub use batch::{Ages, Applied, Batch, ChangeRef, ColumnsError, Precedence};

mod schema;
pub use schema::Schema;

mod log;
pub use log::cursor::{Change, Cursor, Follow, Position, Walk};
pub use log::feed::Feed;

mod lifetime;
pub use lifetime::Lifetime;

mod origin;
pub use origin::{Origin, OriginLease, Origins};

mod tally;
pub use tally::Tally;

mod memory;
pub use memory::MemoryLimit;

#[doc(hidden)]
pub mod defect;

mod common;
mod stripe;

pub mod units;

/// A point on the table's own monotonic clock, in milliseconds.
///
/// Only differences matter: the origin is whatever the caller chose. The low 32 bits are what HAProxy calls a
/// tick, and what frequency counters keep.
pub type Millis = u64;

#[cfg(test)]
mod model;
