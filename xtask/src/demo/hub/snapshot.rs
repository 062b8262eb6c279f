//! What the nodes and the hub hold at one moment.

use std::collections::BTreeMap;
use stickd_testkit::{Cli, EntryDump, dump};

/// What a node's rules read.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Requests counted by itself, by client.
    pub(super) own: BTreeMap<String, u64>,
    /// Its copy of the sums.
    pub(super) sums: BTreeMap<String, u64>,
    /// Whether the sums are whole, as the hub said last; `None` once it says nothing.
    pub(super) whole: Option<bool>,
}

/// What the hub sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Hub {
    /// The contributions to each sum: nodes by name with their values.
    pub(super) contributions: BTreeMap<String, Vec<(String, u64)>>,
    /// The sums.
    pub(super) sums: BTreeMap<String, u64>,
    /// Its answer to `show aggregations`.
    pub(super) state: Vec<String>,
}

/// One look at both nodes and the hub; `None` for who does not answer.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Snapshot {
    pub(super) nodes: [Option<Node>; 2],
    pub(super) hub: Option<Hub>,
}

impl Snapshot {
    /// Asks all three.
    pub(super) fn take(nodes: &[Cli; 2], hub: &Cli) -> Self {
        Self { nodes: nodes.each_ref().map(Node::take), hub: Hub::take(hub) }
    }

    /// Every client that anybody knows.
    pub(super) fn clients(&self) -> Vec<&str> {
        let nodes = self.nodes.iter().flatten().flat_map(|node| node.own.keys().chain(node.sums.keys()));
        let hub = self.hub.iter().flat_map(|hub| hub.contributions.keys());
        let mut clients: Vec<&str> = nodes.chain(hub).map(String::as_str).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// Whether both nodes read that the sums are whole.
    pub(super) fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.as_ref().is_some_and(|node| node.whole == Some(true)))
    }

    /// What a node counted of a client itself.
    pub(super) fn own(&self, node: usize, client: &str) -> Option<u64> {
        self.nodes[node].as_ref()?.own.get(client).copied()
    }

    /// What a node knows of a client's sum.
    pub(super) fn sum(&self, node: usize, client: &str) -> Option<u64> {
        self.nodes[node].as_ref()?.sums.get(client).copied()
    }
}

impl Node {
    fn take(cli: &Cli) -> Option<Self> {
        let complete = entries(cli, "p/hub")?.get("complete").map(|entry| entry.number("gpt0") == 1);
        Some(Self { own: counts(cli, "p/clients")?, sums: counts(cli, "p/clients.agg")?, whole: complete })
    }
}

impl Hub {
    fn take(cli: &Cli) -> Option<Self> {
        let state = cli.try_run("show aggregations").ok()?;
        let state = state.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        // The tables are there as soon as a node has told of its own.
        let sums = counts(cli, "data/clients.agg").unwrap_or_default();
        let contributions = sums
            .keys()
            .map(|client| {
                let answer = cli.try_run(&format!("show contributions data/clients key {client}"));
                (client.clone(), contributions(&answer.unwrap_or_default()))
            })
            .collect();
        Some(Self { contributions, sums, state })
    }
}

/// What a node knows of a client's sum, without a look at anything else.
pub(super) fn sum(cli: &Cli, client: &str) -> Option<u64> {
    counts(cli, "p/clients.agg")?.get(client).copied()
}

fn counts(cli: &Cli, table: &str) -> Option<BTreeMap<String, u64>> {
    let entries = entries(cli, table)?;
    Some(entries.into_iter().map(|(key, entry)| (key, entry.number("http_req_cnt"))).collect())
}

fn entries(cli: &Cli, table: &str) -> Option<BTreeMap<String, EntryDump>> {
    let answer = cli.try_run(&format!("show table {table}")).ok()?;
    Some(dump::parse(&answer).ok()?.pop()?.entries)
}

/// Nodes with their values in the answer to `show contributions`.
fn contributions(answer: &str) -> Vec<(String, u64)> {
    let words = |line: &str| {
        let fields: Vec<_> = line.split(' ').filter_map(|word| word.split_once('=')).collect();
        let field = |name| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        Some((field("node")?.to_owned(), field("http_req_cnt")?.parse().ok()?))
    };
    answer.lines().filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_contributions() {
        let answer = "# table: data/clients, result: data/clients.agg, key: 192.0.2.1\n\
            node=lb1 exp=119000 age=12 http_req_cnt=6\n\
            node=lb2 former=1 exp=119000 age=12 http_req_cnt=4\n\
            result: exp=119000 http_req_cnt=10\n";
        assert_eq!(contributions(answer), [("lb1".to_owned(), 6), ("lb2".to_owned(), 4)]);
        assert_eq!(contributions("No such table\n"), []);
    }
}
