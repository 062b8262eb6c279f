//! The runtime API: HAProxy's `stats socket` commands on stickd's tables and peers.
//!
//! Scripts written for HAProxy 3.x work unchanged: commands, outputs, error texts and levels are the same
//! (stick-tables §7 and §8). [`Server`] listens, [`serve`] takes a connection that is there already, a [`Context`] says what
//! there is to show and change.

mod clear_table;
pub(crate) mod cluster_wide;
mod command;
mod connection;
mod context;
pub(crate) mod filter;
mod help;
mod level;
mod listener;
mod mode;
mod places;
mod reply;
pub(crate) use reply::CHUNK_BYTES;
mod restore_table;
mod server;
mod set_table;
mod severity;
mod show_aggregations;
mod show_contributions;
mod show_info;
mod show_json;
mod show_peers;
mod show_state;
mod show_table;
mod show_top;
pub(crate) mod table_command;
#[cfg(test)]
pub(crate) mod testing;
mod words;

pub use connection::serve;
pub use context::Context;
pub(crate) use filter::{DataName, Filter, reading};
pub use listener::BindError;
pub(crate) use listener::{Listener, owners};
pub use places::RuntimeUsage;
pub(crate) use places::{Place, Places};
pub(crate) use server::most_bytes;
pub use server::{Server, ServerOptions};
pub(crate) use show_table::printed_name;
