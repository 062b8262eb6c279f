//! What `show aggregations` and `show contributions` print, as plain data that the daemon fills in.

use std::sync::Arc;

use stick_aggregate::Aggregate;
use stick_table::Origin;

/// An `aggregations` section.
#[derive(Clone, Default)]
pub struct HubView {
    /// Its name.
    pub id: String,
    /// Nodes that tell their values now.
    pub nodes: u32,
    /// Nodes that should.
    pub expected: u32,
    /// Whether all do, and nothing that they tell is left out of the sums.
    pub complete: bool,
    /// What is left out.
    pub left_out: Vec<LeftOutView>,
    /// Whether results are told to nobody yet.
    pub holding: bool,
    /// How long a node that is away counts, in ms.
    pub node_timeout: u64,
    /// Its peers, this node left out.
    pub peers: Vec<HubPeerView>,
    /// Its sums.
    pub sums: Vec<Arc<Aggregate>>,
}

impl HubView {
    /// The name of the node that tables know by a number.
    pub fn name_of(&self, node: Origin) -> Option<&str> {
        self.peers.iter().find(|peer| peer.origin == node).map(|peer| peer.name.as_str())
    }
}

/// Something that is left out of the sums.
#[derive(Clone, Debug)]
pub struct LeftOutView {
    /// The node that tells it; `None` when the reason is this hub's.
    pub peer: Option<String>,
    /// The full local name of the table; `None` for all tables of the node.
    pub table: Option<String>,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub text: String,
    /// What the operator can do.
    pub remedy: Option<&'static str>,
}

/// A peer of an `aggregations` section.
#[derive(Clone, Debug)]
pub struct HubPeerView {
    /// Its name.
    pub name: String,
    /// What it is: `balancer`, `down` or `up`.
    pub level: &'static str,
    /// The number tables know it by.
    pub origin: Origin,
    /// Time since it was heard, in ms, while it has a session.
    pub heard: Option<u64>,
    /// Whether it told what it held.
    pub told_all: bool,
    /// Time until what it told counts no more, in ms, while it is away.
    pub forgotten_in: Option<u64>,
}
