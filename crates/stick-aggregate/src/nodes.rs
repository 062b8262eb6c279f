//! What is known of each node.

use std::ops::Range;

use parking_lot::RwLock;

use crate::part::Head;

/// Most different sets of columns that parts of one node may have at a time, besides all columns.
const MAX_SETS: usize = 15;

/// The nodes by their numbers.
#[derive(Default)]
pub(crate) struct Nodes(RwLock<Vec<Node>>);

#[derive(Clone, Default)]
struct Node {
    /// Number of its session, modulo 256.
    session: u8,
    /// What parts have written whose set is one more than the place here. Their other words are 0.
    sets: Vec<Vec<Range<usize>>>,
}

impl Nodes {
    pub(crate) fn session(&self, node: u16) -> u8 {
        self.0.read().get(usize::from(node)).map_or(0, |node| node.session)
    }

    /// Begins a node's next session.
    pub(crate) fn next_session(&self, node: u16) {
        self.change(node, |node| node.session = node.session.wrapping_add(1));
    }

    fn change<R>(&self, node: u16, change: impl FnOnce(&mut Node) -> R) -> R {
        let mut nodes = self.0.write();
        let number = usize::from(node);
        if nodes.len() <= number {
            nodes.resize(number + 1, Node::default());
        }
        change(&mut nodes[number])
    }

    /// The number of a node's set of columns; `None` when it has too many different ones.
    pub(crate) fn set(&self, node: u16, columns: &[Range<usize>]) -> Option<u8> {
        let known = self.0.read().get(usize::from(node)).and_then(|node| node.place(columns));
        known.or_else(|| {
            self.change(node, |node| {
                if let Some(known) = node.place(columns) {
                    return Some(known);
                }
                if let Some(free) = node.sets.iter().position(Vec::is_empty) {
                    node.sets[free] = columns.to_vec();
                } else if node.sets.len() < MAX_SETS {
                    node.sets.push(columns.to_vec());
                }
                node.place(columns)
            })
        })
    }

    /// Forgets the sets of a node that no part has, of which `used` has a bit each.
    pub(crate) fn forget_sets(&self, node: u16, used: u16) {
        self.change(node, |node| {
            for (place, set) in node.sets.iter_mut().enumerate() {
                if used >> (place + 1) & 1 == 0 {
                    set.clear();
                }
            }
        });
    }

    /// Calls `use_it` with what tells whether a part wrote a data word.
    pub(crate) fn with_written<R>(&self, use_it: impl FnOnce(&dyn Fn(Head, usize) -> bool) -> R) -> R {
        let nodes = self.0.read();
        use_it(&|head, offset| {
            let Some(place) = usize::from(head.set()).checked_sub(1) else { return true };
            let set = nodes.get(usize::from(head.node())).and_then(|node| node.sets.get(place));
            set.is_some_and(|set| set.iter().any(|range| range.contains(&offset)))
        })
    }
}

impl Node {
    /// The number of a set.
    fn place(&self, columns: &[Range<usize>]) -> Option<u8> {
        self.sets.iter().position(|set| set == columns).map(|place| place as u8 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_told_apart_up_to_a_limit_and_used_again() {
        let nodes = Nodes::default();
        let set = |end| std::iter::once(0..end).collect::<Vec<_>>();
        for end in 1..=MAX_SETS {
            assert_eq!(nodes.set(7, &set(end)), Some(end as u8));
        }
        assert_eq!(nodes.set(7, &set(3)), Some(3));
        assert_eq!(nodes.set(7, &set(99)), None);
        assert_eq!(nodes.set(8, &set(99)), Some(1), "each node has its own");
        nodes.forget_sets(7, !(1 << 5));
        assert_eq!(nodes.set(7, &set(99)), Some(5));
        nodes.with_written(|written| {
            let head = |set| Head::new(7, 0, set);
            assert!(written(head(5), 98) && !written(head(5), 99));
            assert!(written(head(0), 1_000) && !written(head(3), 3));
        });
    }

    #[test]
    fn sessions_are_counted_for_each_node() {
        let nodes = Nodes::default();
        (0..257).for_each(|_| nodes.next_session(3));
        assert_eq!((nodes.session(3), nodes.session(2), nodes.session(9)), (1, 0, 0));
    }
}
