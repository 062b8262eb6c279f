//! The parts of the stickd daemon, one module each.

pub mod config;
pub mod runtime;
