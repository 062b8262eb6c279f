//! Who counts, who sums, and what their tables are called, in worlds with hubs.
//!
//! The first nodes are hubs, the others are *leaves*: HAProxys, each of which counts in a table of its own and reads the sums
//! that hubs tell.

use haproxy_peers::{Mapping, PeerLevel};
use stick_table::Millis;

/// How hubs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One for all leaves.
    One,
    /// Two side by side, each for all leaves.
    Two,
    /// One above two others, which have the leaves by turns.
    Levels,
}

/// The hubs of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubsPlan {
    /// How they stand.
    pub layout: Layout,
    /// How long what a node told counts after its last session, in ms.
    pub node_timeout: Millis,
    /// Period of the rates, in ms.
    pub period_ms: u32,
    /// Keys of each table that a hub has room for.
    pub room: u32,
}

/// What a table is to the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// What each counts itself.
    Own,
    /// What its hub made of that.
    Sum,
    /// What the upper hub made of the sums.
    Total,
}

impl HubsPlan {
    /// Number of hubs.
    pub(crate) const fn count(&self) -> usize {
        match self.layout {
            Layout::One => 1,
            Layout::Two => 2,
            Layout::Levels => 3,
        }
    }

    /// Whether a node is a hub.
    pub(crate) const fn is_hub(&self, node: usize) -> bool {
        node < self.count()
    }

    /// Whether a node sums the results of other hubs.
    pub(crate) fn is_upper(&self, node: usize) -> bool {
        self.layout == Layout::Levels && node == 0
    }

    /// Whether the second of two nodes tells the first what to sum.
    fn sums(&self, hub: usize, node: usize) -> bool {
        match self.layout {
            Layout::One | Layout::Two => self.is_hub(hub) && !self.is_hub(node),
            Layout::Levels if hub == 0 => node == 1 || node == 2,
            Layout::Levels => self.is_hub(hub) && !self.is_hub(node) && 1 + node % 2 == hub,
        }
    }

    /// The nodes that tell a hub what to sum, of so many nodes in all.
    pub(crate) fn below(&self, hub: usize, nodes: usize) -> impl Iterator<Item = usize> {
        (0..nodes).filter(move |&node| self.sums(hub, node))
    }

    /// The hubs that a node tells what it counts or sums.
    pub(crate) fn above(&self, node: usize) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(move |&hub| self.sums(hub, node))
    }

    /// The peers of a node, and who each is to it.
    pub(crate) fn peers(&self, node: usize, nodes: usize) -> Vec<(usize, PeerLevel)> {
        let above = self.above(node).map(|hub| (hub, PeerLevel::Above));
        let level = if self.is_upper(node) { PeerLevel::Lower } else { PeerLevel::Below };
        let is_beside = |other: &usize| self.layout == Layout::Two && self.is_hub(node) && *other != node;
        let beside = (0..self.count()).filter(is_beside).map(|hub| (hub, PeerLevel::Beside));
        above.chain(self.below(node, nodes).map(|node| (node, level))).chain(beside).collect()
    }

    /// The end of a table's name.
    const fn suffix(&self, part: Part) -> &'static str {
        match (part, self.layout) {
            (Part::Own, Layout::Levels) => ".local",
            (Part::Own, _) => "",
            (Part::Sum, _) => ".agg",
            (Part::Total, _) => ".l2",
        }
    }

    /// The name of a table on the wire.
    pub(crate) fn name(&self, part: Part, table: usize) -> String {
        format!("/t{table}{}", self.suffix(part))
    }

    /// What a name on the wire stands for.
    pub(crate) fn of_name(&self, name: &str) -> Option<(Part, usize)> {
        let rest = name.strip_prefix("/t")?;
        let digits = rest.find('.').unwrap_or(rest.len());
        let part = self.parts().find(|part| self.suffix(*part) == &rest[digits..])?;
        Some((part, rest[..digits].parse().ok()?))
    }

    /// The tables that there are.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let most = if self.layout == Layout::Levels { 3 } else { 2 };
        [Part::Own, Part::Sum, Part::Total].into_iter().take(most)
    }

    /// What a hub sums.
    pub(crate) fn source(&self, hub: usize) -> Part {
        if self.is_upper(hub) { Part::Sum } else { Part::Own }
    }

    /// What a hub makes of it.
    pub(crate) fn result(&self, hub: usize) -> Part {
        if self.is_upper(hub) { Part::Total } else { Part::Sum }
    }

    /// The same as a hub is configured.
    pub(crate) fn mapping(&self, hub: usize) -> Mapping {
        let from = self.suffix(self.source(hub));
        Mapping {
            from: (!from.is_empty()).then(|| from.to_owned()),
            to: self.suffix(self.result(hub)).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(layout: Layout) -> HubsPlan {
        HubsPlan { layout, node_timeout: 1, period_ms: 1, room: 1 }
    }

    #[test]
    fn each_leaf_has_its_hubs() {
        let above = |layout, node| plan(layout).above(node).collect::<Vec<_>>();
        assert_eq!((above(Layout::One, 0), above(Layout::One, 3)), (vec![], vec![0]));
        assert_eq!((above(Layout::Two, 1), above(Layout::Two, 2)), (vec![], vec![0, 1]));
        assert_eq!((above(Layout::Levels, 0), above(Layout::Levels, 1)), (vec![], vec![0]));
        assert_eq!((above(Layout::Levels, 3), above(Layout::Levels, 4)), (vec![2], vec![1]));
        let levels = plan(Layout::Levels);
        assert_eq!(levels.below(0, 6).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(levels.below(2, 6).collect::<Vec<_>>(), [3, 5]);
        let above = (0, PeerLevel::Above);
        assert_eq!(levels.peers(1, 6), [above, (4, PeerLevel::Below)]);
        assert_eq!(plan(Layout::Two).peers(1, 3), [(2, PeerLevel::Below), (0, PeerLevel::Beside)]);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for layout in [Layout::One, Layout::Two, Layout::Levels] {
            let plan = plan(layout);
            for part in plan.parts() {
                assert_eq!(plan.of_name(&plan.name(part, 12)), Some((part, 12)));
            }
        }
        assert_eq!(plan(Layout::One).name(Part::Own, 0), "/t0");
        assert_eq!(plan(Layout::Levels).of_name("/t0"), None);
        assert_eq!(plan(Layout::One).of_name("/t0.l2"), None);
    }
}
