//! A whole cluster in one thread: processes without I/O, virtual time, and faults told by a seed.
//!
//! A [`Profile`] and a seed give a [`Plan`]: nodes, tables, and steps in time. [`World::run`] carries it out and shows
//! everything that happens to the invariants. The same plan gives the same run, to the byte. [`shrink`] leaves steps out
//! for as long as an invariant still fails.

mod clock;
mod faults;
mod haproxy;
mod hubs;
mod invariants;
mod ledger;
mod node;
mod pipe;
mod plan;
mod process;
mod profile;
mod random;
mod run;
mod shares;
mod shrink;
mod stage;
mod tap;
mod trace;
mod truth;
mod world;

pub use faults::Faults;
pub use haproxy::{Haproxy, HaproxyConfig, HaproxyTable, Quirks, Release};
pub(crate) use hubs::Part;
pub use hubs::{HubsPlan, Layout};
pub use node::{Node, NodeSetup};
pub use pipe::Line;
pub use plan::{NodePlan, Plan, Step, TablePlan, What};
pub use process::{Link, Process, Reading, Want, Write};
pub use profile::Profile;
pub use random::Random;
pub use run::{Report, Seeds, run_all_seeds, run_seed, run_seeds};
pub use shrink::shrink;
pub use trace::Violation;
pub use world::{Outcome, World};
