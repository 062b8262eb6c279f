//! The steps of a plan, carried out.

use std::num::NonZeroU32;
use std::sync::Arc;

use haproxy_peers::{Limits, TableSet, WireKeyType};
use stick_table::{Column, DataType, KeyType, Millis, Table, TableDefinition};

use super::{Flood, Pair, Start, World, process_id};
use crate::ledger::Ledger;
use crate::node::{Node, NodeSetup};
use crate::plan::{Step, What};
use crate::stage::{COPY, Seen, Slot, node_name, table_name};
use crate::truth::{Key, PERIOD_MS, SlotId};
use crate::{Haproxy, HaproxyConfig, HaproxyTable, Process, Release, Write};

/// Processes that hand over in a row.
const RELOADS: u64 = 3;
/// A value that nobody writes.
const NOBODYS: u32 = 4_000_000_000;

fn pair((one, other): (usize, usize)) -> Pair {
    (one.min(other), one.max(other))
}

impl World {
    pub(super) fn step(&mut self, step: &Step) {
        let now = self.stage.now;
        self.stage.trace.note(now, 0, || format!("==> {:?}", step.what));
        if step.what.is_done_by().is_some_and(|node| self.stage.suspended[node] > now) {
            return;
        }
        match step.what {
            What::Write { table, key, requests } => self.write((table, key), requests),
            What::Count { node, table, key, events } => self.count(node, (table, key), events),
            What::Flood { node, table, count, every_ms } => {
                self.floods.push(Flood { at: now, node, table, left: count, every_ms });
            }
            What::Cut { nodes } => self.cut(nodes),
            What::HalfClose { nodes } => self.each_pipe(nodes, crate::pipe::Pipe::finish),
            What::Partition { nodes, ms } => {
                self.cut(nodes);
                self.partitions.push((pair(nodes), now + ms));
            }
            What::Stall { nodes, ms } => self.each_pipe(nodes, |pipe, now| pipe.stall(now + ms)),
            What::Kill { node, quietly, ms } => self.kill(node, quietly, Some(ms)),
            What::Leave { node, quietly } => self.kill(node, quietly, None),
            What::Exodus { quietly } => {
                let first = self.stage.plan.hubs.map_or(0, |hubs| hubs.count());
                (first..self.stage.plan.nodes.len()).for_each(|node| self.kill(node, quietly, None));
            }
            What::Redefine { node, ms } => {
                if self.serves(node) {
                    self.stage.otherwise[node] = !self.stage.otherwise[node];
                    self.kill(node, false, Some(ms));
                }
            }
            What::HandOver { node } => self.hand_over(node),
            What::Reloads { node, every_ms } => self.reload_in_a_row(node, every_ms),
            What::Stranger { node, table, key } => {
                let section = self.stage.plan.tables[table].section;
                if let Some(slot) = self.stage.serving(node, section) {
                    let (clock, place) = (self.stage.clock(slot), self.stage.place(table));
                    let write = Write { table: place, key, gpc0: NOBODYS, requests: 0 };
                    if let Some(process) = &mut self.stage.slots[slot].process {
                        process.visit_by_stranger(clock, write);
                        self.dirty.insert(slot);
                    }
                }
            }
            What::Version { node } => {
                if self.serves(node) && self.stage.plan.nodes[node].haproxy.is_none() {
                    self.old[node] = !self.old[node];
                    self.hand_over(node);
                }
            }
            What::Suspend { node, ms } => self.stage.suspended[node] = now + ms,
            What::Jump { node, ms } => self.stage.clocks[node].jump(ms),
            What::Move { table, key, node } => self.move_key((table, key), node),
            What::Calm => self.calm(),
            What::Compare => {
                self.settle();
                Ledger::look(&mut self.stage);
                self.see(&Seen::Looked);
                self.see(&Seen::Compared);
                self.stage.calm_since = None;
                let back = self.stage.away.drain(..).map(|node| Start { at: now, node });
                self.starts.extend(back);
            }
            What::CompareVersions => self.see(&Seen::VersionsCompared),
        }
    }

    /// A request at the node that has the key.
    fn write(&mut self, key: Key, requests: u32) {
        let (table, number) = key;
        let plan = &self.stage.plan.tables[table];
        let node = self.owners[table][number as usize];
        if self.stage.suspended[node] > self.stage.now {
            return;
        }
        let Some(slot) = self.stage.serving(node, plan.section) else { return };
        let (clock, place) = (self.stage.clock(slot), self.stage.place(table));
        let expire = plan.expire[node];
        let before = self.stage.read(slot, key).map(|reading| reading.gpc0);
        self.stage.truth.next_value += 1;
        let value = self.stage.truth.next_value;
        // The model of HAProxy counts in any case.
        let requests = if self.stage.slots[slot].haproxy { requests.max(1) } else { requests };
        let write = Write { table: place, key: number, gpc0: value, requests };
        let Some(process) = &mut self.stage.slots[slot].process else { return };
        if process.write(clock, write) {
            let now = self.stage.now;
            let stage = &mut self.stage;
            let was_over = before.is_none() && stage.truth.last_held(slot, key).is_some();
            stage.truth.write((slot, clock), (key, value), (requests, expire), before, now);
            if was_over && stage.slots[slot].haproxy {
                stage.truth.counts_unknown(value);
            }
        }
        self.dirty.insert(slot);
    }

    pub(super) fn flood_due(&mut self) {
        for at in 0..self.floods.len() {
            while self.floods[at].left > 0 && self.floods[at].at <= self.stage.now {
                let Flood { node, table, left, every_ms, .. } = self.floods[at];
                self.floods[at].left -= 1;
                self.floods[at].at = self.stage.now + every_ms;
                let owned = self.owners[table].iter().enumerate().filter(|(_, owner)| **owner == node);
                let keys: Vec<_> = owned.map(|(key, _)| key as u32).collect();
                if let Some(key) = keys.get(left as usize % keys.len().max(1)) {
                    self.write((table, *key), 1);
                }
            }
        }
        self.floods.retain(|flood| flood.left > 0);
    }

    fn cut(&mut self, nodes: (usize, usize)) {
        self.each_pipe(nodes, crate::pipe::Pipe::cut);
        self.each_pipe((nodes.1, nodes.0), crate::pipe::Pipe::cut);
    }

    /// Does something with what leads from the first of two nodes to the second.
    fn each_pipe(&mut self, (from, to): (usize, usize), act: impl Fn(&mut crate::pipe::Pipe, Millis)) {
        let stage = &mut self.stage;
        for connection in &mut stage.connections {
            for side in 0..2 {
                let nodes = [side, 1 - side].map(|side| stage.slots[connection.ends[side].slot].node);
                if nodes == [from, to] {
                    act(&mut connection.pipes[side], stage.now);
                }
            }
        }
    }

    pub(super) fn is_parted(&self, one: usize, other: usize) -> bool {
        let nodes = pair((one, other));
        self.partitions.iter().any(|(parted, until)| *parted == nodes && *until > self.stage.now)
    }

    fn serves(&self, node: usize) -> bool {
        self.stage.serving(node, 0).is_some()
    }

    /// Ends a node's processes, until `ms` later or, without that, until after the next comparison.
    fn kill(&mut self, node: usize, quietly: bool, ms: Option<u64>) {
        if !self.serves(node) {
            return;
        }
        for slot in 0..self.stage.slots.len() {
            if self.stage.slots[slot].node == node && self.stage.slots[slot].process.is_some() {
                self.stage.slots[slot].killed = true;
                self.end_process(slot, quietly);
            }
        }
        self.note_loss(node);
        match ms {
            Some(ms) => self.starts.push(Start { at: self.stage.now + ms, node }),
            None => self.stage.away.push(node),
        }
    }

    /// A process is gone; its machine says so, unless `quietly`.
    pub(super) fn end_process(&mut self, slot: SlotId, quietly: bool) {
        self.stage.slots[slot].process = None;
        self.stage.slots[slot].timeout = None;
        self.stage.slots[slot].listens = false;
        for at in 0..self.stage.connections.len() {
            for side in 0..2 {
                let end = self.stage.connections[at].ends[side];
                if end.slot == slot && end.open {
                    self.close(at, side);
                    if quietly {
                        self.stage.connections[at].pipes[side].mute();
                    }
                }
            }
        }
        self.stage.connections.retain(|connection| connection.ends.iter().any(|end| end.open));
    }

    /// Not while an earlier hand-over is under way: what the process before the last one knows is older, and its lesson would
    /// be taken for the last one's.
    fn hand_over(&mut self, node: usize) {
        let is_leaving = |slot: &Slot| slot.node == node && slot.process.is_some() && !slot.listens;
        if self.serves(node) && !self.stage.slots.iter().any(is_leaving) {
            self.replace(node);
        }
    }

    /// A HAProxy does not wait for its own lesson: of its kind one process hands over.
    fn reload_in_a_row(&mut self, node: usize, every_ms: u64) {
        self.hand_over(node);
        if self.stage.plan.nodes[node].haproxy.is_none() {
            let next = |number| Start { at: self.stage.now + number * every_ms, node };
            self.reloads.extend((1..RELOADS).map(next));
            self.reload_due();
        }
    }

    pub(super) fn reload_due(&mut self) {
        let now = self.stage.now;
        while let Some(at) = self.reloads.iter().position(|reload| reload.at <= now) {
            let Start { node, .. } = self.reloads.remove(at);
            if self.serves(node) && self.stage.suspended[node] <= now {
                self.replace(node);
            }
        }
    }

    /// The next process of a node takes over from the one that serves.
    fn replace(&mut self, node: usize) {
        let before: Vec<_> = (0..self.stage.slots.len())
            .filter(|&slot| self.stage.slots[slot].node == node && self.stage.slots[slot].serves())
            .collect();
        for &slot in &before {
            self.stage.slots[slot].listens = false;
        }
        self.note_loss(node);
        self.start(node, true);
        for slot in before {
            let clock = self.stage.clock(slot);
            if let Some(process) = &mut self.stage.slots[slot].process {
                process.stop(clock);
                self.dirty.insert(slot);
            }
        }
        self.settle();
    }

    /// A node's process is gone or about to go. What others do not have of what it alone would tell may be lost: nobody
    /// pushes that any more.
    fn note_loss(&mut self, node: usize) {
        let stage = &mut self.stage;
        let last: Vec<_> =
            stage.truth.all_last().map(|version| (version.key, version.value, version.slot)).collect();
        for (key, value, writer) in last {
            if stage.slots[writer].node != node && stage.slots[writer].serves() {
                continue;
            }
            let section = stage.plan.tables[key.0].section;
            let others = stage.all_serving(section).filter(|&slot| stage.slots[slot].node != node);
            let told = others.filter(|&slot| stage.is_told(stage.slots[slot].node, key));
            let floor = told.map(|slot| stage.read(slot, key).map_or(0, |reading| reading.gpc0)).min();
            if floor != Some(value) {
                stage.truth.may_be_lost(key, floor.unwrap_or(0));
            }
        }
    }

    pub(super) fn start_due(&mut self) {
        let now = self.stage.now;
        while let Some(at) = self.starts.iter().position(|start| start.at <= now) {
            let Start { node, .. } = self.starts.remove(at);
            self.start(node, false);
        }
    }

    /// Starts the processes of a node.
    pub(super) fn start(&mut self, node: usize, expects_predecessor: bool) {
        for section in 0..self.stage.plan.sections {
            let slot = self.stage.slots.len();
            let now = self.stage.clocks[node].at(self.stage.now);
            let release = self.stage.plan.nodes[node].haproxy;
            let place = (node, section, slot);
            let process: Box<dyn Process> = match release {
                _ if let Some(hubs) = self.stage.plan.hubs => {
                    self.of_hubs(&hubs, (node, slot), expects_predecessor, now)
                }
                Some(release) => Box::new(self.haproxy(place, release, expects_predecessor, now)),
                None => Box::new(self.stickd(place, expects_predecessor, now)),
            };
            self.stage.slots.push(Slot {
                node,
                section,
                process: Some(process),
                listens: true,
                killed: false,
                haproxy: release.is_some(),
                old: self.old[node],
                begun: self.stage.now,
                fired: None,
                timeout: None,
            });
            if release.is_some() {
                let is_before = |other: &SlotId| self.stage.slots[*other].node == node;
                let before: Vec<_> = (0..slot).filter(is_before).collect();
                self.stage.truth.begins_anew(slot, &before);
            }
            let who = self.stage.name(slot);
            self.stage.trace.note(self.stage.now, slot as u64, || format!("{who} starts"));
            self.dirty.insert(slot);
        }
    }

    fn haproxy(
        &self,
        (node, section, slot): (usize, usize, SlotId),
        release: Release,
        has_predecessor: bool,
        now: Millis,
    ) -> Haproxy {
        let plan = &self.stage.plan;
        let tables = plan.tables_of(section).map(|table| HaproxyTable {
            key_type: WireKeyType::INTEGER,
            name: table_name(table),
            size: plan.tables[table].size as usize,
            expire_ms: plan.tables[table].expire[node],
            rate_period_ms: PERIOD_MS,
            first_update: plan.nodes[node].ids.after,
            first_acked: plan.nodes[node].ids.after,
            id_stride: plan.nodes[node].ids.stride,
        });
        let others = (0..plan.nodes.len()).filter(|&other| other != node);
        let config = HaproxyConfig {
            name: node_name(node),
            peers: others.map(node_name).collect(),
            tables: tables.collect(),
            quirks: release.quirks(),
            has_predecessor,
            confirms: plan.nodes[node].confirms,
            pid: process_id(plan, slot),
            seed: self.random(1_000_000 + slot as u64).next(),
        };
        Haproxy::new(config, now)
    }

    fn stickd(
        &self,
        (node, section, slot): (usize, usize, SlotId),
        expects_predecessor: bool,
        now: Millis,
    ) -> Node {
        let plan = &self.stage.plan;
        let it = &plan.nodes[node];
        let tables = plan.tables_of(section).map(|table| (Arc::new(self.table(node, table)), None));
        let mut tables: Vec<(_, Option<Arc<Table>>)> = tables.collect();
        if plan.copies
            && (node, section) == (0, 0)
            && let Some((_, copy)) = tables.first_mut()
        {
            let expire = plan.tables_of(section).find_map(|table| plan.tables[table].expire[node]);
            let definition = TableDefinition::new(COPY, KeyType::Integer, 1_000).with_expire(expire);
            let target = Arc::new(Table::new(definition, 6).unwrap());
            *copy = Some(Arc::clone(&target));
            tables.push((target, None));
        }
        let shards = plan.shards.and_then(NonZeroU32::new);
        let tables = TableSet::new("p", tables, shards, None, 3).unwrap().with_update_ids(it.ids);
        let others = (0..plan.nodes.len()).filter(|&other| other != node);
        let setup = NodeSetup {
            name: node_name(node),
            peers: others.map(|other| (node_name(other), plan.nodes[other].shard).into()).collect(),
            tables,
            limits: Limits { max_updates_at_once: it.max_updates, ..Limits::default() },
            chunk: it.chunk,
            old: self.old[node],
            expects_predecessor,
            pid: process_id(plan, slot),
            seed: self.random(1_000_000 + slot as u64).next(),
        };
        Node::new(setup, now)
    }

    fn table(&self, node: usize, table: usize) -> Table {
        let it = &self.stage.plan.tables[table];
        let mut definition =
            TableDefinition::new(table_name(table), KeyType::Integer, it.size).with_expire(it.expire[node]);
        definition.no_purge = it.no_purge;
        let columns =
            [Column::plain(DataType::Gpc0), Column::new(DataType::HttpReqRate, None, Some(PERIOD_MS))];
        for column in columns.into_iter().flatten() {
            // Both are new to the table.
            let _ = definition.add_column(column);
        }
        Table::new(definition, 5).unwrap()
    }

    /// A key goes to another node, if all that are told of it hold the last write.
    fn move_key(&mut self, key: Key, node: usize) {
        let section = self.stage.plan.tables[key.0].section;
        let Some(value) = self.stage.truth.last(key).map(|version| version.value) else { return };
        if !self.stage.is_told(self.owners[key.0][key.1 as usize], key) {
            // Of another shard: it would not hear of what is written elsewhere, and keep its own.
            return;
        }
        let agreed = self.stage.all_serving(section).all(|slot| {
            let holds = self.stage.read(slot, key).map(|reading| reading.gpc0);
            holds == Some(value)
        });
        if agreed {
            self.owners[key.0][key.1 as usize] = node;
        }
    }

    /// Everything heals, and nothing more is written.
    fn calm(&mut self) {
        let now = self.stage.now;
        self.floods.clear();
        self.partitions.clear();
        let stage = &self.stage;
        let woken = (0..stage.slots.len()).filter(|&slot| stage.awake(slot, now) > now);
        self.dirty.extend(woken);
        self.stage.suspended.iter_mut().for_each(|until| *until = now.min(*until));
        self.starts.iter_mut().for_each(|start| start.at = now);
        self.reloads.clear();
        for connection in &mut self.stage.connections {
            connection.pipes.iter_mut().for_each(crate::pipe::Pipe::resume);
        }
        self.stage.calm_since = Some(now);
    }
}
