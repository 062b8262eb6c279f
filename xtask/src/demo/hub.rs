//! The second part: two HAProxys that know only a hub limit together.

mod board;
mod cluster;
mod snapshot;
mod story;
mod visits;

pub(super) use cluster::Cluster;
pub(super) use story::tell;
