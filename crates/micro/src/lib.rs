//! The work that micro-benchmarks, instruction counts and tests of allocations do: tables like those people have,
//! streams of updates as a HAProxy sends them, and a session between the two without a network.
//!
//! - [`Kind`]: the tables, with keys and values by number.
//! - [`Sender`]: bytes of a peer, as lesson or live.
//! - [`Node`]: a session on a table, fed as the daemon feeds it.
//! - [`Scenario`]: what `cargo xtask instructions` counts.
//!
//! Everything is a function of numbers, so each run does the same.

mod kind;
pub use kind::Kind;

mod sender;
pub use sender::Sender;

mod node;
pub use node::{CHUNK, Node};

mod rows;
pub use rows::Rows;

pub mod numbers;

mod scenario;
pub use scenario::{LARGEST, Scenario};

/// The moment at which everything happens, in ms. Later than any age of a rate, so that no clock is negative.
pub const NOW: stick_table::Millis = 100_000_000;
