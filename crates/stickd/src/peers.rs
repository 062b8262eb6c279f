//! Peers sections at work: sockets on one side, [`haproxy_peers::Section`] and its sessions on the other.
//!
//! A byte from a peer goes: socket, `exchange`, [`Session::handle_input`](haproxy_peers::Session::handle_input), table.
//! A change goes the other way: table, `poll_transmit`, `exchange`, socket.

mod admission;

mod cluster;
pub use cluster::{Cluster, ClusterSetup};

mod connection;
pub use connection::{Connection, Direction};

mod discovery;
mod exchange;
pub(crate) use exchange::CONNECTION_BYTES;

mod hub;
pub use hub::{HubReport, status_table};

mod inbound;
pub(crate) use inbound::MAX_HELLO as HELLO_BYTES;
mod journal;
mod members;
mod memory;
mod namesakes;
mod outbound;

mod places;
pub use places::Places;

mod succession;
mod target;

mod totals;
pub use totals::Totals;

mod waiting;
