//! `aggregations` sections.

use serde::Serialize;
use stick_aggregate::Aggregate;

use super::Usage;

/// An `aggregations` section.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HubView {
    /// Its name.
    pub name: String,
    /// Nodes that send their values now.
    pub nodes: u32,
    /// Nodes that should.
    pub expected: u32,
    /// Whether all do, and the sums leave out nothing of what they send.
    pub complete: bool,
    /// Whether results are held back.
    pub holding: bool,
    /// Time since the expected node that was heard least recently was heard, in ms; `None` without nodes, and when one was
    /// never heard.
    pub age_ms: Option<u64>,
    /// How long a node that is away counts, in ms.
    pub node_timeout_ms: u64,
    /// Bytes of all sums; it is reached when something is left out.
    pub memory: Usage,
    /// Its peers, this node left out.
    pub peers: Vec<HubPeerView>,
    /// What is left out.
    pub left_out: Vec<LeftOutView>,
    /// Its sums.
    pub sums: Vec<SumView>,
}

impl HubView {
    /// The name of the node that tables know by a number.
    pub fn name_of(&self, origin: u16) -> Option<&str> {
        self.peers.iter().find(|peer| peer.origin == origin).map(|peer| peer.name.as_str())
    }

    /// Whether a table, or its result, is one of the sums.
    pub fn has(&self, table: &str) -> bool {
        self.sums.iter().any(|sum| sum.table == table || sum.result == table)
    }
}

/// Something that is left out of the sums.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutView {
    /// The node that sends it; `None` when the reason is this hub's.
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
#[derive(Clone, Debug, Serialize)]
pub struct HubPeerView {
    /// Its name.
    pub name: String,
    /// What it is: `balancer`, `down`, `beside` or `up`.
    pub level: &'static str,
    /// The number tables know it by.
    pub origin: u16,
    /// Time since it was heard, in ms, while it has a session.
    pub heard_ms: Option<u64>,
    /// Whether it sent all that it held.
    pub told_all: bool,
    /// Time until its values count no more, in ms, while it is away.
    pub forgotten_in_ms: Option<u64>,
}

/// The sums of a table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SumView {
    /// Full local name of the table that is summed.
    pub table: String,
    /// Full local name of the table with the results.
    pub result: String,
    /// Keys.
    pub keys: u64,
    /// Most keys.
    pub size: u32,
    /// Contributions of nodes, over all keys.
    pub contributions: u64,
    /// Bytes.
    pub bytes: u64,
}

impl SumView {
    /// The sums of a table at this moment.
    pub fn of(sum: &Aggregate) -> Self {
        let usage = sum.usage();
        Self {
            table: sum.source().name.clone(),
            result: sum.output().definition().name.clone(),
            keys: usage.keys,
            size: sum.source().size,
            contributions: usage.contributions,
            bytes: usage.bytes,
        }
    }
}
