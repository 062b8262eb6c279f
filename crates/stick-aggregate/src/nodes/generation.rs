//! A generation of a node: its parts between two moments at which something happens to all of them.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::Nodes;

/// Most different sets of columns that parts of one node may have at a time, besides all columns.
pub(super) const MAX_SETS: usize = 15;

/// What became of the parts of a generation that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The generation that they are of now; `None` when they count no more.
    pub(super) to: Option<u16>,
    /// Whether they are of sessions before those of that generation.
    pub(super) is_stale: bool,
    /// Whether the node's process has those that it was offered.
    pub(super) is_taught: bool,
    /// When another hub began to teach the node's process, see [`Elsewhere`](super::Elsewhere).
    pub(super) elsewhere: Option<u32>,
}

/// What became of the parts of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Present,
    /// They count no more.
    Gone,
    /// They are of another generation of the node, see [`End`].
    Moved { to: u16, is_stale: bool },
}

pub(super) struct Generation {
    pub(super) node: u16,
    /// Number of the node's session.
    pub(super) session: u8,
    /// What parts have written whose set is one more than the place here. Their other words are 0.
    pub(super) sets: Vec<Vec<Range<usize>>>,
    /// Parts with each set.
    parts: [AtomicU32; MAX_SETS + 1],
    /// Batches that are being absorbed.
    tellers: AtomicU32,
    /// Whether the node's process is offered some of the parts.
    offered: AtomicBool,
    pub(super) end: Option<End>,
}

impl Generation {
    pub(super) fn new(node: u16) -> Self {
        Self {
            node,
            session: 0,
            sets: Vec::new(),
            parts: Default::default(),
            tellers: AtomicU32::new(0),
            offered: AtomicBool::new(false),
            end: None,
        }
    }

    /// Takes over from a generation whose parts become its own.
    pub(super) fn continue_from(&mut self, old: &Self, end: End) {
        self.session = if end.is_stale { 0 } else { old.session };
        self.sets.clone_from(&old.sets);
        let is_offered = old.was_offered() && !end.is_taught || end.elsewhere.is_some();
        self.offered = AtomicBool::new(is_offered);
    }

    pub(super) fn enter(&self) {
        self.tellers.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.tellers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn offer(&self) {
        self.offered.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_offered(&self) -> bool {
        self.offered.load(Ordering::Relaxed)
    }

    /// Counts parts with a set of columns, modulo 2^32: `u32::MAX` is one less.
    pub(super) fn add(&self, set: u8, count: u32) {
        self.parts[usize::from(set)].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn parts_with(&self, set: u8) -> u32 {
        self.parts[usize::from(set)].load(Ordering::Relaxed)
    }

    /// Whether it has no parts, and gets none.
    pub(super) fn is_unused(&self) -> bool {
        self.tellers.load(Ordering::Relaxed) == 0 && self.used_sets() == 0
    }

    /// The sets that parts have, a bit for each.
    pub(super) fn used_sets(&self) -> u16 {
        let used = (0..=MAX_SETS as u8).filter(|&set| self.parts_with(set) > 0);
        used.fold(0, |used, set| used | 1 << set)
    }

    /// The number of a set.
    pub(super) fn place(&self, columns: &[Range<usize>]) -> Option<u8> {
        self.sets.iter().position(|set| set == columns).map(|place| place as u8 + 1)
    }

    /// The number of a set that may be new, if there is one that none of the `used` sets has.
    pub(super) fn add_set(&mut self, columns: &[Range<usize>], used: u16) -> Option<u8> {
        if let Some(known) = self.place(columns) {
            return Some(known);
        }
        if self.sets.len() < MAX_SETS {
            self.sets.push(columns.to_vec());
        } else {
            // Another batch may be about to add parts with one that has none yet.
            let is_alone = self.tellers.load(Ordering::Relaxed) <= 1;
            let free = (0..MAX_SETS).find(|place| is_alone && used >> (place + 1) & 1 == 0)?;
            self.sets[free] = columns.to_vec();
        }
        self.place(columns)
    }
}

/// A batch of a node that is being absorbed: its generation's number is not given to another node meanwhile.
pub(crate) struct Telling<'a> {
    nodes: &'a Nodes,
    generation: Cell<u16>,
    session: u8,
    /// Parts added with `set`, to be counted.
    set: Cell<u8>,
    added: Cell<u32>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(nodes: &'a Nodes, generation: u16, session: u8) -> Self {
        Self { nodes, generation: Cell::new(generation), session, set: Cell::new(0), added: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn generation(&self) -> u16 {
        self.generation.get()
    }

    #[inline]
    pub(crate) fn session(&self) -> u8 {
        self.session
    }

    /// Notes that a part was added.
    pub(crate) fn added(&self, set: u8) {
        if set != self.set.get() {
            self.count();
            self.set.set(set);
        }
        self.added.set(self.added.get() + 1);
    }

    fn count(&self) {
        let known = self.nodes.known.read();
        if let Some(generation) = known.get(self.generation()) {
            generation.add(self.set.get(), self.added.take());
        }
    }

    /// Goes on with the node's present generation; whether there is one still. To be asked before each change while there
    /// are generations that have ended.
    pub(crate) fn is_present(&self) -> bool {
        let known = self.nodes.known.read();
        match known.fate(self.generation()) {
            Fate::Present => true,
            Fate::Gone => false,
            Fate::Moved { to, .. } => {
                if let (Some(old), Some(new)) = (known.get(self.generation()), known.get(to)) {
                    old.add(self.set.get(), self.added.take());
                    new.enter();
                    old.leave();
                }
                self.generation.set(to);
                true
            }
        }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.count();
        let known = self.nodes.known.read();
        if let Some(generation) = known.get(self.generation()) {
            generation.leave();
        }
    }
}

/// The numbers of generations that have ended, a bit for each.
pub(crate) struct Ended(Vec<u64>);

impl Ended {
    pub(super) fn new(ended: impl Iterator<Item = bool>) -> Self {
        let mut bits = Vec::new();
        for (number, ended) in ended.enumerate() {
            if number % 64 == 0 {
                bits.push(0);
            }
            bits[number / 64] |= u64::from(ended) << (number % 64);
        }
        Self(bits)
    }

    #[inline]
    pub(crate) fn contains(&self, generation: u16) -> bool {
        let generation = usize::from(generation);
        self.0.get(generation / 64).is_some_and(|bits| bits >> (generation % 64) & 1 != 0)
    }
}
