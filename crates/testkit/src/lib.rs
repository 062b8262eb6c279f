//! What stickd's tests share: real HAProxy processes of several releases, the daemon under test, clients for the
//! runtime socket and for HTTP, a TCP relay that records and breaks connections, free ports, waiting with a deadline.
//!
//! Everything here blocks and uses plain threads, so that a test reads from top to bottom. Helpers panic with the
//! output of the process concerned: a test that fails should say why without being run again. Nothing depends on
//! timing: what takes time is polled with a deadline ([`wait`]).
//!
//! The HAProxys are put in place by `cargo xtask setup`. A test whose HAProxy is missing panics, it does not skip.

pub mod cache;
pub mod cli;
pub mod daemon;
pub mod dump;
pub mod haproxy;
pub mod http;
pub mod name_server;
pub mod ports;
pub mod relay;
pub mod stickd;
pub mod wait;

pub use cli::Cli;
pub use daemon::{Daemon, Signal};
pub use dump::{EntryDump, TableDump};
pub use haproxy::{Config, HaproxyProcess, Release, Source};
pub use relay::TcpRelay;
pub use stickd::StickdProcess;
