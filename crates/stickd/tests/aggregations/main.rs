//! Hubs between real HAProxys that know only them: limits that hold over all nodes, restarts, levels.

mod cluster;
mod examples;
mod levels;
mod limits;
mod orders;
mod restarts;
mod status;
