//! A whole cluster in one thread: processes without I/O, virtual time, and faults told by a seed.

mod process;
pub use process::{Link, Process, Reading, Want, Write};

mod haproxy;
pub use haproxy::{Haproxy, HaproxyConfig, HaproxyTable, Quirks, Release};
