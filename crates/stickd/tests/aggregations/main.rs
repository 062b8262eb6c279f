//! Hubs between real HAProxys that know only them: limits that hold over all nodes, restarts, levels.

mod beside;
mod cluster;
mod conn_cur;
mod definitions;
mod examples;
mod fallback;
mod left_out;
mod levels;
mod limits;
mod old_nodes;
mod orders;
mod restarts;
mod room;
mod scripted;
mod status;
