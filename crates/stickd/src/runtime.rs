//! The runtime API: HAProxy's `stats socket` commands on stickd's tables and peers.
//!
//! Scripts written for HAProxy 3.x work unchanged: commands, outputs, error texts and levels are the same
//! (stick-tables §7 and §8). [`Server`] listens, [`serve`] takes a connection that is there already, a [`Context`] says what
//! there is to show and change.

mod clear_table;
mod cluster_wide;
mod command;
mod connection;
mod context;
mod filter;
mod help;
mod hub_view;
mod info;
mod level;
mod listener;
mod mode;
mod peers_view;
mod places;
mod reply;
mod server;
mod set_table;
mod severity;
mod show_aggregations;
mod show_contributions;
mod show_info;
mod show_peers;
mod show_table;
mod table_command;
#[cfg(test)]
mod testing;
mod words;

pub use connection::serve;
pub use context::Context;
pub use hub_view::{HubPeerView, HubView, LeftOutView};
pub use info::{Info, Limits, StateInfo, Usage};
pub use listener::BindError;
pub(crate) use listener::owners;
pub use peers_view::{
    AppState, DictionaryView, HandshakeStatus, LearnState, Membership, PeerView, SectionView, SessionView,
    SharedTableView, TableRef, TableState, Timer, Transport,
};
pub use places::RuntimeUsage;
pub use server::{Server, ServerOptions};
