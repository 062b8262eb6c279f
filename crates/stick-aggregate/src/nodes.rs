//! Whose a part is: the nodes, and the generations of each.

mod generation;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use self::generation::{End, Generation};
use crate::part::Head;

pub(crate) use self::generation::{Ended, Fate, Telling};

/// Most generations there may be at a time: a part has 16 bits for the number of its own.
const MAX_GENERATIONS: usize = 1 << 16;

/// The nodes that have told something.
///
/// A part does not have its node's number but that of a *generation* of the node. What happens to all parts of a node at once
/// (it is forgotten, it was taught, its session's number wraps) ends the generation, whatever the number of its parts. Its
/// parts learn of that when their key is looked at next, see [`Stripe::settle`](crate::stripe::Stripe); a refresh looks for those
/// that are left. A generation that has ended and has no parts is given to the next node that needs one.
#[derive(Default)]
pub(crate) struct Nodes {
    known: RwLock<Known>,
    /// Whether there may be parts whose generation has ended.
    has_ended: AtomicBool,
}

#[derive(Default)]
struct Known {
    /// By their numbers; `None` for a number that is not in use.
    generations: Vec<Option<Generation>>,
    free: Vec<u16>,
    /// The present generation of each node that has one.
    of_node: HashMap<u16, u16>,
}

impl Nodes {
    /// Whether there may be parts whose generation has ended.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// The node begins to tell something; `None` when there are no more numbers.
    pub(crate) fn teller(&self, node: u16) -> Option<Telling<'_>> {
        if self.known.read().present(node).is_none() {
            self.known.write().begin(node)?;
        }
        let known = self.known.read();
        let generation = known.present(node)?;
        generation.enter();
        Some(Telling::new(self, known.of_node[&node], generation.session))
    }

    /// The numbers of the nodes that have told something.
    pub(crate) fn known_nodes(&self) -> Vec<u16> {
        self.known.read().of_node.keys().copied().collect()
    }

    /// The data words, of `all` there are, that a part has written.
    pub(crate) fn columns_of(&self, head: Head, all: usize) -> Vec<Range<usize>> {
        let Some(place) = usize::from(head.set()).checked_sub(1) else {
            return std::iter::once(0..all).collect();
        };
        let known = self.known.read();
        let set = known.get(head.generation()).and_then(|generation| generation.sets.get(place));
        set.cloned().unwrap_or_default()
    }

    /// A node's present generation and session; `None` when it has no part.
    pub(crate) fn present(&self, node: u16) -> Option<(u16, u8)> {
        let known = self.known.read();
        let generation = known.present(node)?;
        Some((known.of_node[&node], generation.session))
    }

    /// The node that a part is of, and whether a session before its present one told it; `None` when the node is gone.
    pub(crate) fn teller_of(&self, head: Head) -> Option<TellerOf> {
        let known = self.known.read();
        let (present, moved_stale) = match known.fate(head.generation()) {
            Fate::Present => (head.generation(), false),
            Fate::Gone => return None,
            Fate::Moved { to, is_stale } => (to, is_stale),
        };
        let generation = known.get(present)?;
        Some(TellerOf { node: generation.node, is_stale: moved_stale || head.is_stale(generation.session) })
    }

    /// Begins a node's next session.
    pub(crate) fn next_session(&self, node: u16) {
        let mut known = self.known.write();
        // Without a generation the node has told nothing that might be of an older session.
        let Some(present) = known.present_mut(node) else { return };
        match present.session.checked_add(1) {
            Some(next) => present.session = next,
            // The numbers begin again: what earlier sessions told must not look like of the next.
            None => self.replace(&mut known, node, End { is_stale: true, ..End::default() }),
        }
    }

    /// The node's process has what it was taught.
    pub(crate) fn taught(&self, node: u16) {
        let mut known = self.known.write();
        if known.present(node).is_some_and(Generation::was_offered) {
            self.replace(&mut known, node, End { is_taught: true, ..End::default() });
        }
    }

    /// Another hub began to teach the node's process at tick `since`, and the process has what that hub knew.
    pub(crate) fn taught_elsewhere(&self, node: u16, since: u32) {
        self.replace(&mut self.known.write(), node, End { elsewhere: Some(since), ..End::default() });
    }

    /// Gives a node another generation, of which its parts are from now on.
    fn replace(&self, known: &mut Known, node: u16, end: End) {
        let Some(&old) = known.of_node.get(&node) else { return };
        known.of_node.remove(&node);
        let Some(new) = known.begin(node) else {
            known.of_node.insert(node, old);
            return;
        };
        if let Some([Some(from), Some(to)]) = known.pair(old, new) {
            to.continue_from(from, end);
            from.end = Some(End { to: Some(new), ..end });
        }
        self.has_ended.store(true, Ordering::Relaxed);
        self.free_ended_of(known);
    }

    /// A node is gone: its parts count no more.
    pub(crate) fn forget(&self, node: u16) {
        let mut known = self.known.write();
        let Some(number) = known.of_node.remove(&node) else { return };
        if let Some(generation) = known.get_mut(number) {
            generation.end = Some(End::default());
        }
        self.has_ended.store(true, Ordering::Relaxed);
        self.free_ended_of(&mut known);
    }

    /// Gives back the numbers of generations that have ended and have no part any more.
    pub(crate) fn free_ended(&self) {
        if self.has_ended() {
            self.free_ended_of(&mut self.known.write());
        }
    }

    fn free_ended_of(&self, known: &mut Known) {
        let remain = known.free_ended();
        self.has_ended.store(remain, Ordering::Relaxed);
    }

    /// The generations that have ended, at this moment.
    pub(crate) fn ended(&self) -> Ended {
        let known = self.known.read();
        let ended = known.generations.iter().map(|it| it.as_ref().is_some_and(|it| it.end.is_some()));
        Ended::new(ended)
    }

    /// Gives the parts of a key whose generation has ended the next one. Returns what else is to be done for the key before they
    /// follow once more.
    pub(crate) fn follow<'a>(&self, heads: impl Iterator<Item = &'a mut u32>) -> Followed {
        let known = self.known.read();
        let mut followed = Followed::default();
        for word in heads {
            let head = Head::of(std::slice::from_ref(word));
            let Some(old) = known.get(head.generation()) else { continue };
            let Some(end) = old.end else { continue };
            let Some(to) = end.to else {
                followed.gone.push(head.generation());
                continue;
            };
            let mut moved = head.of_generation(to);
            if end.is_taught && (head.is(Head::OFFERED) || head.is_known(old.session)) {
                moved = moved.without(Head::OFFERED | Head::KNOWN);
                if !head.is(Head::FORMER) {
                    followed.taught.push(to);
                }
            }
            if end.is_stale {
                moved = moved.with(Head::STALE);
            }
            let elsewhere =
                end.elsewhere.map(|since| Elsewhere { generation: to, session: old.session, since });
            if let Some(elsewhere) = elsewhere.filter(|it| !followed.elsewhere.contains(it)) {
                followed.elsewhere.push(elsewhere);
            }
            known.count(head, moved);
            *word = moved.word();
            followed.has_moved = true;
        }
        followed
    }

    /// Notes that parts were removed.
    pub(crate) fn removed(&self, heads: impl Iterator<Item = Head>) {
        let known = self.known.read();
        heads.for_each(|head| known.take(head));
    }

    /// Notes that the columns of a part have another number.
    pub(crate) fn changed(&self, old: Head, new: Head) {
        if old.set() != new.set() {
            self.known.read().count(old, new);
        }
    }

    /// Notes that a node's present process is offered some of its parts.
    pub(crate) fn offered(&self, generation: u16) {
        if let Some(generation) = self.known.read().get(generation) {
            generation.offer();
        }
    }

    /// The number of a generation's set of columns; `None` when it has too many different ones.
    pub(crate) fn set(&self, telling: &Telling<'_>, columns: &[Range<usize>]) -> Option<u8> {
        let number = telling.generation();
        let known = self.known.read().get(number)?.place(columns);
        known.or_else(|| self.known.write().add_set(number, columns))
    }

    /// Calls `use_it` with what tells whether a part wrote a data word.
    pub(crate) fn with_written<R>(&self, use_it: impl FnOnce(&dyn Fn(Head, usize) -> bool) -> R) -> R {
        let known = self.known.read();
        use_it(&|head, offset| {
            let Some(place) = usize::from(head.set()).checked_sub(1) else { return true };
            let set = known.get(head.generation()).and_then(|generation| generation.sets.get(place));
            set.is_some_and(|set| set.iter().any(|range| range.contains(&offset)))
        })
    }

    /// Panics unless the parts are counted right. For tests.
    #[cfg(test)]
    pub(crate) fn validate(&self, heads: impl Iterator<Item = Head>) {
        let mut counts: HashMap<(u16, u8), u32> = HashMap::new();
        heads.for_each(|head| *counts.entry((head.generation(), head.set())).or_default() += 1);
        let known = self.known.read();
        for (number, generation) in known.generations.iter().enumerate() {
            let Some(generation) = generation else { continue };
            for set in 0..16 {
                let counted = counts.remove(&(number as u16, set)).unwrap_or(0);
                assert_eq!(generation.parts_with(set), counted, "of generation {number} with set {set}");
            }
        }
        assert!(counts.is_empty(), "parts of generations that are not there: {counts:?}");
        let in_use = known.generations.iter().flatten().count();
        assert_eq!(in_use + known.free.len(), known.generations.len());
    }
}

/// Who told a part, see [`Nodes::teller_of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TellerOf {
    pub(crate) node: u16,
    pub(crate) is_stale: bool,
}

/// What is to be done for a key whose parts have [followed](Nodes::follow) their generations.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Whether parts have another generation now, which may have ended as well.
    pub(crate) has_moved: bool,
    /// The generations of parts that count no more.
    pub(crate) gone: Vec<u16>,
    /// The generations of present parts that were taught: a former part of theirs is added to them.
    pub(crate) taught: Vec<u16>,
    /// Nodes whose process has been taught by another hub.
    pub(crate) elsewhere: Vec<Elsewhere>,
}

/// A node's process has been taught by another hub what that one knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The node's generation since.
    pub(crate) generation: u16,
    /// The session of that process.
    pub(crate) session: u8,
    /// Tick at which the lesson began.
    pub(crate) since: u32,
}

impl Known {
    fn get(&self, number: u16) -> Option<&Generation> {
        self.generations.get(usize::from(number))?.as_ref()
    }

    fn get_mut(&mut self, number: u16) -> Option<&mut Generation> {
        self.generations.get_mut(usize::from(number))?.as_mut()
    }

    fn pair(&mut self, one: u16, other: u16) -> Option<[&mut Option<Generation>; 2]> {
        self.generations.get_disjoint_mut([usize::from(one), usize::from(other)]).ok()
    }

    fn present(&self, node: u16) -> Option<&Generation> {
        self.of_node.get(&node).and_then(|&number| self.get(number))
    }

    fn present_mut(&mut self, node: u16) -> Option<&mut Generation> {
        let number = *self.of_node.get(&node)?;
        self.get_mut(number)
    }

    /// Begins a generation of a node that has none; its number, unless there is none left.
    fn begin(&mut self, node: u16) -> Option<u16> {
        if let Some(&there) = self.of_node.get(&node) {
            return Some(there);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.generations.len() < MAX_GENERATIONS => {
                self.generations.push(None);
                (self.generations.len() - 1) as u16
            }
            None => return None,
        };
        self.generations[usize::from(number)] = Some(Generation::new(node));
        self.of_node.insert(node, number);
        Some(number)
    }

    /// What became of a generation's parts.
    fn fate(&self, number: u16) -> Fate {
        let (mut to, mut is_stale) = (number, false);
        while let Some(end) = self.get(to).and_then(|generation| generation.end) {
            is_stale |= end.is_stale;
            match end.to {
                Some(next) => to = next,
                None => return Fate::Gone,
            }
        }
        if to == number { Fate::Present } else { Fate::Moved { to, is_stale } }
    }

    fn take(&self, head: Head) {
        if let Some(generation) = self.get(head.generation()) {
            generation.add(head.set(), u32::MAX);
        }
    }

    /// Counts a part whose head was another one.
    fn count(&self, old: Head, new: Head) {
        if let Some(generation) = self.get(new.generation()) {
            generation.add(new.set(), 1);
        }
        self.take(old);
    }

    /// Frees generations that have ended, have no parts, and are those of no other one's parts; returns whether some remain.
    fn free_ended(&mut self) -> bool {
        let mut remain = false;
        let heirs: Vec<u16> = self.generations.iter().flatten().filter_map(|it| it.end?.to).collect();
        for number in 0..self.generations.len() {
            let Some(generation) = &self.generations[number] else { continue };
            if generation.end.is_none() {
                continue;
            }
            if generation.is_unused() && !heirs.contains(&(number as u16)) {
                self.generations[number] = None;
                self.free.push(number as u16);
            } else {
                remain = true;
            }
        }
        remain
    }

    /// A number for a set of columns of a generation.
    fn add_set(&mut self, number: u16, columns: &[Range<usize>]) -> Option<u8> {
        // Parts that have yet to follow have the same numbers.
        let mut used = 0_u16;
        for (older, generation) in self.generations.iter().enumerate() {
            let Some(generation) = generation else { continue };
            let is_its = older == usize::from(number)
                || matches!(self.fate(older as u16), Fate::Moved { to, .. } if to == number);
            if is_its {
                used |= generation.used_sets();
            }
        }
        self.get_mut(number)?.add_set(columns, used)
    }
}

#[cfg(test)]
mod tests {
    use super::generation::MAX_SETS;
    use super::*;

    fn tell(nodes: &Nodes, node: u16, columns: &[Range<usize>], parts: u32) -> Option<Head> {
        let telling = nodes.teller(node)?;
        let set = nodes.set(&telling, columns)?;
        (0..parts).for_each(|_| telling.added(set));
        Some(Head::new(telling.generation(), telling.session(), set))
    }

    #[test]
    fn sets_are_told_apart_up_to_a_limit_and_used_again() {
        let nodes = Nodes::default();
        let set = |end| std::iter::once(0..end).collect::<Vec<_>>();
        let mut heads = Vec::new();
        for end in 1..=MAX_SETS {
            heads.push(tell(&nodes, 7, &set(end), 1).unwrap());
            assert_eq!(heads[end - 1].set(), end as u8);
        }
        assert_eq!(tell(&nodes, 7, &set(3), 0).map(Head::set), Some(3));
        assert_eq!(tell(&nodes, 7, &set(99), 1), None);
        assert_eq!(tell(&nodes, 8, &set(99), 0).map(Head::set), Some(1), "each node has its own");
        nodes.removed(std::iter::once(heads[4]));
        let other = tell(&nodes, 7, &set(99), 1).unwrap();
        assert_eq!(other.set(), 5);
        nodes.with_written(|written| {
            assert!(written(other, 98) && !written(other, 99));
            let all = Head::new(other.generation(), 0, 0);
            assert!(written(all, 1_000) && !written(heads[2], 3));
        });
    }

    #[test]
    fn sessions_are_counted_for_each_node() {
        let nodes = Nodes::default();
        let all = [0..1, 2..3];
        let head = tell(&nodes, 3, &all, 1).unwrap();
        (0..255).for_each(|_| nodes.next_session(3));
        assert_eq!((nodes.present(3), nodes.present(2)), (Some((head.generation(), 255)), None));
        nodes.next_session(3);
        let (generation, session) = nodes.present(3).unwrap();
        assert_ne!(generation, head.generation());
        assert_eq!((session, nodes.teller_of(head)), (0, Some(TellerOf { node: 3, is_stale: true })));
        // Its part follows when it is looked at.
        let mut word = head.word();
        assert!(nodes.has_ended());
        nodes.follow(std::iter::once(&mut word));
        let moved = Head::of(&[word]);
        assert_eq!(moved.generation(), generation);
        assert!(moved.is_stale(0));
        nodes.free_ended();
        assert!(!nodes.has_ended());
        nodes.validate(std::iter::once(moved));
    }

    #[test]
    fn a_number_is_used_again_only_when_no_part_has_it() {
        let nodes = Nodes::default();
        let all = [0..1, 2..3];
        let head = tell(&nodes, 1, &all, 2).unwrap();
        nodes.forget(1);
        assert!(nodes.has_ended() && nodes.teller_of(head).is_none());
        assert_ne!(tell(&nodes, 2, &all, 1).unwrap().generation(), head.generation());
        // Back before its former parts were collected: it has nothing to do with them.
        assert_ne!(tell(&nodes, 1, &all, 1).unwrap().generation(), head.generation());
        let mut word = head.word();
        assert_eq!(nodes.follow(std::iter::once(&mut word)).gone, [head.generation()]);
        nodes.removed([head, head].into_iter());
        nodes.free_ended();
        assert!(!nodes.has_ended());
        assert_eq!(tell(&nodes, 3, &all, 1).unwrap().generation(), head.generation());
        // Nodes that come and go leave nothing behind.
        for node in 4..1_000 {
            tell(&nodes, node, &all, 0);
            nodes.forget(node);
        }
        assert_eq!((nodes.known.read().generations.len(), nodes.known.read().of_node.len()), (4, 3));
    }

    #[test]
    fn who_tells_while_the_node_is_forgotten_adds_nothing_to_another_one() {
        let nodes = Nodes::default();
        let telling = nodes.teller(1).unwrap();
        let generation = telling.generation();
        nodes.forget(1);
        assert!(!telling.is_present());
        assert_ne!(tell(&nodes, 2, &[0..1, 2..3], 1).unwrap().generation(), generation);
        drop(telling);
        nodes.free_ended();
        assert!(!nodes.has_ended());
    }
}
