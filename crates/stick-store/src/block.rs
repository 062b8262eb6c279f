//! Blocks in the making, one after the other.

use stick_table::EntryRef;

use crate::Clocks;
use crate::format::{Kind, NewBlock};
use crate::rows::{Body, Shape};
use crate::sums::Part;

/// A body of so many bytes is a block.
const FULL_BODY: usize = 64 << 10;

/// Gathers entries and removed keys into blocks, in the order in which they come: it is the order of truth when they are read.
pub(crate) struct Blocks {
    seed: u64,
    next: u64,
    wall: u64,
    boot: u64,
    now: u32,
    /// What `body` is: entries or keys of which table.
    current: Option<(Kind, u32)>,
    body: Body,
    /// Whole blocks.
    ready: Vec<u8>,
    /// Entries and keys since [`begin`](Self::begin).
    rows: u64,
    removed: u64,
}

impl Blocks {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            next: 1,
            wall: 0,
            boot: 0,
            now: 0,
            current: None,
            body: Body::default(),
            ready: Vec::new(),
            rows: 0,
            removed: 0,
        }
    }

    /// Begins with what is written by these clocks, and counts from 0.
    pub(crate) fn begin(&mut self, clocks: &Clocks) {
        (self.wall, self.boot, self.now) = (clocks.wall, clocks.boot, clocks.now as u32);
        (self.rows, self.removed) = (0, 0);
    }

    /// Appends an entry of a table.
    pub(crate) fn entry(&mut self, table: u32, shape: &Shape, entry: EntryRef<'_>) {
        self.make_room(Kind::Rows, table);
        self.body.push_entry(shape, entry, self.now);
        self.rows += 1;
    }

    /// Appends the contributions to a key, each with the name of its node. Many go on in the next block.
    pub(crate) fn contributions<'p>(
        &mut self,
        table: u32,
        shape: &Shape,
        key: &[u8],
        parts: impl Iterator<Item = (&'p str, &'p Part)>,
    ) {
        self.make_room(Kind::Contributions, table);
        self.body.begin_key(shape, key, false);
        for (name, part) in parts {
            if self.body.len() >= FULL_BODY {
                self.make_room(Kind::Contributions, table);
                self.body.begin_key(shape, key, true);
            }
            self.body.push_part(shape, name, part, self.now);
            self.rows += 1;
        }
    }

    /// Appends the removal of a key.
    pub(crate) fn removed(&mut self, table: u32, key: &[u8]) {
        self.make_room(Kind::Removed, table);
        self.body.push_key(key);
        self.removed += 1;
    }

    fn make_room(&mut self, kind: Kind, table: u32) {
        if self.current != Some((kind, table)) || self.body.len() >= FULL_BODY {
            self.end_block();
            self.current = Some((kind, table));
        }
    }

    /// Appends a block of its own; returns its number.
    pub(crate) fn mark(&mut self, kind: Kind, table: u32, body: &[u8]) -> u64 {
        self.end_block();
        let number = self.next;
        self.next += 1;
        let block = NewBlock { kind, table, rows: 0, number, wall: self.wall, boot: self.boot };
        block.encode(body, self.seed, &mut self.ready);
        number
    }

    /// Ends the block in the making, if there is one.
    pub(crate) fn end_block(&mut self) {
        let Some((kind, table)) = self.current.take() else { return };
        let (number, rows) = (self.next, self.body.rows());
        self.next += 1;
        let block = NewBlock { kind, table, rows, number, wall: self.wall, boot: self.boot };
        block.encode(self.body.finish(), self.seed, &mut self.ready);
        self.body.clear();
    }

    /// Whole blocks that are to be written.
    pub(crate) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// Those were written.
    pub(crate) fn clear_ready(&mut self) {
        self.ready.clear();
    }

    /// Drops everything that was not written.
    pub(crate) fn drop_all(&mut self) {
        self.current = None;
        self.body.clear();
        self.ready.clear();
    }

    /// Entries and removed keys since [`begin`](Self::begin).
    pub(crate) const fn counts(&self) -> [u64; 2] {
        [self.rows, self.removed]
    }
}
