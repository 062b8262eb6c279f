//! Who may speak for a node: strangers with its name, processes that ask to take over, processes that teach.

#[path = "../support/tls_pair.rs"]
mod tls_pair;

mod certificates;
mod own_name;
mod reloads;
mod scripted;
mod succession;

pub(crate) const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
