//! What is fuzzed, one function for each target: bytes in, a panic when something is not as it must be.
//!
//! `fuzz/` runs these functions under libFuzzer, `tests/corpus.rs` with every file of the corpus and every past crash.
//! docs/testing/fuzzing.md lists what each target holds to.

mod batch;
mod config;
mod cuts;
mod dictionary;
mod handshake;
mod messages;
mod node;
mod round_trip;
mod runtime;
mod section;
mod session;
mod state;
mod stream;
mod tables;
mod wire;

pub use batch::batch;
pub use config::config;
pub use dictionary::dictionary;
pub use handshake::{hello, status};
pub use messages::{ack, control, define, error, switch, update};
pub use round_trip::round_trip;
pub use runtime::runtime;
pub use section::section;
pub use session::session;
pub use state::state;
pub use stream::stream;
pub use tables::{key, table_line};
pub use wire::{frame, varint};

/// A target by its name, which is that of its directory in `fuzz/corpus` and of its program in `fuzz/fuzz_targets`.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it does; panics when a property does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 21] = [
    Target { name: "ack", run: ack },
    Target { name: "batch", run: batch },
    Target { name: "config", run: config },
    Target { name: "control", run: control },
    Target { name: "define", run: define },
    Target { name: "dictionary", run: dictionary },
    Target { name: "error", run: error },
    Target { name: "frame", run: frame },
    Target { name: "hello", run: hello },
    Target { name: "key", run: key },
    Target { name: "round_trip", run: round_trip },
    Target { name: "runtime", run: runtime },
    Target { name: "section", run: section },
    Target { name: "session", run: session },
    Target { name: "state", run: state },
    Target { name: "status", run: status },
    Target { name: "stream", run: stream },
    Target { name: "switch", run: switch },
    Target { name: "table_line", run: table_line },
    Target { name: "update", run: update },
    Target { name: "varint", run: varint },
];
