//! Everything there is in a world at one moment: what invariants look at.

use std::num::NonZeroU32;

use haproxy_peers::{ProtocolVersion, TableShards};
use stick_table::{KeyType, Millis};

use crate::clock::Clock;
use crate::ledger::{Ledger, Word};
use crate::pipe::Pipe;
use crate::plan::Plan;
use crate::tap::{Noted, Tap};
use crate::trace::Trace;
use crate::truth::{Carried, Key, SlotId, Truth, Version};
use crate::{Link, Part, Process, Reading};

/// An entry that has less than this left may end while everybody is asked, in ms.
pub(crate) const MARGIN_MS: Millis = 3_000;

/// A process and its place.
pub(crate) struct Slot {
    /// Its node.
    pub(crate) node: usize,
    /// Its section.
    pub(crate) section: usize,
    /// The process; `None` when it is gone.
    pub(crate) process: Option<Box<dyn Process>>,
    /// Whether connections reach it.
    pub(crate) listens: bool,
    /// Whether it was killed.
    pub(crate) killed: bool,
    /// Whether it is a HAProxy.
    pub(crate) haproxy: bool,
    /// Whether it speaks 2.0 only.
    pub(crate) old: bool,
    /// When it began, in the world's time.
    pub(crate) begun: Millis,
    /// When it looked at its clock last, in the world's time.
    pub(crate) fired: Option<Millis>,
    /// When it wants to look at its clock next, by that clock.
    pub(crate) timeout: Option<Millis>,
}

impl Slot {
    /// Whether it takes part, and does not only hand over.
    pub(crate) fn serves(&self) -> bool {
        self.process.is_some() && self.listens
    }

    /// A name for the process in messages; `number` is its own.
    pub(crate) fn name(&self, plan: &Plan, number: SlotId) -> String {
        match plan.sections {
            1 => format!("{}#{number}", node_name(self.node)),
            _ => format!("{}.{}#{number}", node_name(self.node), self.section),
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The process.
    pub(crate) slot: SlotId,
    /// Its number of the connection.
    pub(crate) link: Link,
    /// Whether it did not close.
    pub(crate) open: bool,
}

/// A connection. Side 0 opened it; pipe and tap 0 lead from side 0 to side 1.
pub(crate) struct Connection {
    /// A number that is never used again.
    pub(crate) id: u64,
    /// The ends.
    pub(crate) ends: [End; 2],
    /// Bytes on their way.
    pub(crate) pipes: [Pipe; 2],
    /// What was said.
    pub(crate) taps: [Tap<Way>; 2],
    /// The version of the hello.
    pub(crate) version: Option<ProtocolVersion>,
    /// Whether the hello was accepted and both know.
    pub(crate) established: bool,
}

/// What is known of something on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    /// Among nodes that share their tables.
    pub(crate) carried: Option<Carried>,
    /// In a world with hubs.
    pub(crate) word: Option<Word>,
}

/// The world at one moment.
pub(crate) struct Stage {
    /// The time in ms.
    pub(crate) now: Millis,
    /// What the world was made from.
    pub(crate) plan: Plan,
    /// Each node's clock.
    pub(crate) clocks: Vec<Clock>,
    /// All processes there ever were.
    pub(crate) slots: Vec<Slot>,
    /// All connections that are not gone.
    pub(crate) connections: Vec<Connection>,
    /// What was written.
    pub(crate) truth: Truth,
    /// What was told in a world with hubs.
    pub(crate) ledger: Ledger,
    /// Of each node, whether its tables are defined otherwise than at the start: with keys of another type, or rates of another
    /// period.
    pub(crate) otherwise: Vec<bool>,
    /// Until when each node's processes do nothing, in the world's time.
    pub(crate) suspended: Vec<Millis>,
    /// Nodes that are away until after the next comparison.
    pub(crate) away: Vec<usize>,
    /// When the last calm began; `None` in times of trouble.
    pub(crate) calm_since: Option<Millis>,
    /// What happened.
    pub(crate) trace: Trace,
}

/// What an invariant is shown.
pub(crate) enum Seen<'a> {
    /// An end of a connection said something; the connection by its place, the end by its side.
    Said(usize, usize, &'a Noted, &'a Way),
    /// The other end heard it.
    Heard(usize, usize, &'a Noted),
    /// A process did something.
    Acted(SlotId),
    /// A while went by.
    Looked,
    /// After a calm everybody should agree.
    Compared,
    /// After a long calm versions should agree as well.
    VersionsCompared,
}

/// A checker of something that must always be.
pub(crate) trait Invariant {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Looks at what happened; says what should not have been.
    fn see(&mut self, stage: &Stage, seen: &Seen<'_>, say: &mut dyn FnMut(String));
}

impl Stage {
    /// A process's clock.
    pub(crate) fn clock(&self, slot: SlotId) -> Millis {
        self.clocks[self.slots[slot].node].at(self.now)
    }

    /// When a process can do something that it would do at `at`, in the world's time.
    pub(crate) fn awake(&self, slot: SlotId, at: Millis) -> Millis {
        at.max(self.suspended[self.slots[slot].node])
    }

    /// A table's place in its section.
    pub(crate) fn place(&self, table: usize) -> usize {
        let section = self.plan.tables[table].section;
        self.plan.tables_of(section).position(|other| other == table).unwrap_or(0)
    }

    /// What a process holds for a key.
    pub(crate) fn read(&self, slot: SlotId, (table, key): Key) -> Option<Reading> {
        self.slots[slot].process.as_ref()?.read(self.clock(slot), self.place(table), key)
    }

    /// All keys of all tables.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let tables = self.plan.tables.iter().enumerate();
        tables.flat_map(|(table, it)| (0..it.keys).map(move |key| (table, key)))
    }

    /// The place of a table at a process of a world with hubs.
    pub(crate) fn place_of(&self, slot: SlotId, part: Part, table: usize) -> Option<usize> {
        let name = self.plan.hubs?.name(part, table);
        self.slots[slot].process.as_ref()?.place_of(&name)
    }

    /// What a process of a world with hubs holds for a key in one of its tables.
    pub(crate) fn read_part(&self, slot: SlotId, part: Part, (table, key): Key) -> Option<Reading> {
        let place = self.place_of(slot, part, table)?;
        self.slots[slot].process.as_ref()?.read(self.clock(slot), place, key)
    }

    /// Whether all hubs say that nothing is left out of their sums.
    pub(crate) fn is_whole(&self) -> bool {
        let hubs = 0..self.plan.hubs.map_or(0, |hubs| hubs.count());
        hubs.filter_map(|hub| self.serving(hub, 0))
            .all(|slot| self.slots[slot].process.as_ref().is_none_or(|process| process.is_whole()))
    }

    /// Whether a hub's process ever refused what it was told, as it had no room.
    pub(crate) fn has_refused(&self, hub: SlotId) -> bool {
        self.slots[hub].process.as_ref().is_some_and(|process| process.has_refused())
    }

    /// The process of a node and section that serves now.
    pub(crate) fn serving(&self, node: usize, section: usize) -> Option<SlotId> {
        let is_it = |slot: &Slot| slot.serves() && slot.node == node && slot.section == section;
        self.slots.iter().rposition(is_it)
    }

    /// All processes of a section that serve now.
    pub(crate) fn all_serving(&self, section: usize) -> impl Iterator<Item = SlotId> {
        (0..self.plan.nodes.len()).filter_map(move |node| self.serving(node, section))
    }

    /// Whether a node is told a key by the others.
    pub(crate) fn is_told(&self, node: usize, (table, key): Key) -> bool {
        let shard = self.plan.nodes[node].shard;
        let shards = self.plan.shards.and_then(NonZeroU32::new).filter(|_| shard != 0);
        shards.is_none_or(|shards| {
            let shards = TableShards::new(&table_name(table), shards);
            shards.shard_of(KeyType::Integer, &key.to_be_bytes()) == shard
        })
    }

    /// Whether the entry of a write may be over, or soon, by the expiry of the node that wrote it or of this process: what has
    /// ended here by its own expiry nobody needs to tell its successor.
    pub(crate) fn may_be_over(&self, version: &Version, slot: SlotId) -> bool {
        let expire = &self.plan.tables[version.key.0].expire;
        let ends = [version.slot, slot].map(|slot| expire[self.slots[slot].node]);
        ends.into_iter().flatten().any(|ms| version.written + Millis::from(ms) <= self.now + MARGIN_MS)
    }

    /// Whether a process began after the last write of a key, by a HAProxy.
    pub(crate) fn is_late(&self, slot: SlotId, key: Key) -> bool {
        let begun = self.slots[slot].begun;
        self.truth.last(key).is_some_and(|last| self.slots[last.slot].haproxy && last.written < begun)
    }

    /// Whether an update tells what its sender wrote itself before another node wrote.
    pub(crate) fn is_second_writer(&self, sender: SlotId, carried: &Carried) -> bool {
        let wrote = self.truth.version(carried.value).is_some_and(|version| version.slot == sender);
        let last = self.truth.last(carried.key);
        wrote && last.is_some_and(|last| self.slots[last.slot].node != self.slots[sender].node)
    }

    /// A name for a process in messages.
    pub(crate) fn name(&self, slot: SlotId) -> String {
        self.slots[slot].name(&self.plan, slot)
    }
}

/// The peer name of a node.
pub(crate) fn node_name(node: usize) -> String {
    char::from(b'a' + node as u8).to_string()
}

/// The name of the table that gets copies of the first one, which only the first node has.
pub(crate) const COPY: &str = "copy";

/// The name of a table.
pub(crate) fn table_name(table: usize) -> String {
    format!("t{table}")
}

/// The place of a table with this name.
pub(crate) fn table_of_name(name: &str) -> Option<usize> {
    name.strip_prefix('t')?.parse().ok()
}
