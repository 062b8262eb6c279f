//! The sums over all nodes, by way of what the crate offers.

mod clear;
mod hub;
mod memory;
mod rates;
mod replacement;
mod restarts;
mod room;
mod rules;
