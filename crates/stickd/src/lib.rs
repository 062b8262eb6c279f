//! The parts of the stickd daemon, one module each.
//!
//! - [`config`]: HAProxy's configuration syntax, read, checked and explained.
//! - [`peers`]: peers sections at work; [`net`] and [`tls`] are their sockets.
//! - [`tools`]: subcommands on tables of a directory or of a running daemon.
//! - [`runtime`]: HAProxy's runtime commands.
//! - [`view`]: what there is to show, as data, which [`status`] fills in; [`metrics`] declares its counters and limits.
//! - [`daemon`]: everything put together, started and stopped; [`handover`] is the change of process.

pub mod args;
mod bind_hint;
pub mod budget;
pub mod clock;
pub mod config;
pub mod daemon;
mod date;
mod dns;
mod dumps;
mod durable;
pub mod files;
pub mod handover;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
pub mod metrics;
pub mod net;
mod notify;
pub mod peers;
mod pid_file;
pub mod prepare;
pub mod reload;
pub mod runtime;
mod signals;
mod state;
pub mod status;
pub mod supervise;
mod sweeper;
pub mod tls;
pub mod tools;
mod unix_path;
pub mod view;
