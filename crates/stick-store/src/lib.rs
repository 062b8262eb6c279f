//! Stick tables on disk, without I/O of its own.
//!
//! A [`Writer`] follows tables and appends what changes to a log of blocks, a few times a second. From time to time it
//! writes all entries once more, a *lap*, and removes what lies before the lap before. [`load`] reads the log into tables when a
//! process starts, and [`load_late`] into tables that are in use. The tables in memory are the truth: there is no snapshot, no index
//! and no file that is written in place.
//!
//! - What was synced is there after a crash, whenever and however it comes.
//! - Damage costs the damaged blocks. The reader says which ones, by file and offset, and older values fill in.
//! - An entry that has expired meanwhile has expired; a clock that was set back lengthens no life.
//!
//! Files are reached through [`Disk`]. docs/state-format.md has the bytes.

mod disk;
pub use disk::{Disk, DiskFile};

mod format;
#[doc(hidden)]
pub use format::segment_of;
pub use format::{BootId, FORMAT};

mod clock;
pub use clock::Clocks;

mod block;
mod mapping;
mod rows;

mod scan;

mod sums;
pub use sums::{NodeNames, Sums};

mod load;
pub use load::{Damage, LeftOut, LoadError, Loaded, SetAside, load, load_late, load_with_sums};

mod writer;
pub use writer::{Options, Tick, TickError, Writer};
