//! The processes of worlds with hubs, and what nodes count for them.

use haproxy_peers::{ConfiguredPeer, DynamicTables, Hub, Limits, TableSet, WireKeyType};
use stick_table::Millis;

use super::{World, process_id};
use crate::node::{Node, NodeSetup};
use crate::stage::node_name;
use crate::truth::{Key, SlotId};
use crate::{Haproxy, HaproxyConfig, HaproxyTable, HubsPlan, Part, Process, Write};

/// Most tables that a hub makes: more than there are.
const MAX_TABLES: usize = 64;

impl World {
    /// A process of a world with hubs.
    pub(super) fn of_hubs(
        &self,
        hubs: &HubsPlan,
        (node, slot): (usize, SlotId),
        expects_predecessor: bool,
        now: Millis,
    ) -> Box<dyn Process> {
        let plan = &self.stage.plan;
        let it = &plan.nodes[node];
        let seed = self.random(1_000_000 + slot as u64).next();
        let peers = hubs.peers(node, plan.nodes.len());
        if hubs.is_hub(node) {
            let (size, max_bytes, max_server_key) = (hubs.room, 0, 256);
            let tables = DynamicTables { size, max_tables: MAX_TABLES, max_bytes, max_server_key };
            let tables = TableSet::new("p", [], None, Some(tables), 3).unwrap().with_update_ids(it.ids);
            let mappings = vec![hubs.mapping(node)];
            let hub = Hub { mappings, node_timeout: hubs.node_timeout, ..Hub::default() };
            let peer = |(other, level)| ConfiguredPeer { level, ..(node_name(other), 0).into() };
            let setup = NodeSetup {
                name: node_name(node),
                peers: peers.into_iter().map(peer).collect(),
                tables: tables.with_hub(hub).unwrap(),
                limits: Limits { max_updates_at_once: it.max_updates, ..Limits::default() },
                chunk: it.chunk,
                old: self.old[node],
                expects_predecessor,
                pid: process_id(plan, slot),
                seed,
            };
            return Box::new(Node::new(setup, now));
        }
        let is_otherwise = self.stage.otherwise[node];
        let (key_type, rate_period_ms) = match is_otherwise {
            true if plan.seed.is_multiple_of(2) => (WireKeyType::IP, hubs.period_ms),
            true => (WireKeyType::INTEGER, 2 * hubs.period_ms),
            false => (WireKeyType::INTEGER, hubs.period_ms),
        };
        let tables = (0..plan.tables.len()).flat_map(|table| hubs.parts().map(move |part| (table, part)));
        let tables = tables.map(|(table, part)| HaproxyTable {
            name: hubs.name(part, table),
            key_type,
            size: plan.tables[table].size as usize,
            expire_ms: plan.tables[table].expire[node],
            rate_period_ms,
            first_update: it.ids.after,
            first_acked: it.ids.after,
            id_stride: it.ids.stride,
        });
        let mut quirks = it.haproxy.unwrap_or(crate::Release::V3_4).quirks();
        quirks.speaks_2_1 &= !self.old[node];
        let config = HaproxyConfig {
            name: node_name(node),
            peers: peers.into_iter().map(|(other, _)| node_name(other)).collect(),
            tables: tables.collect(),
            quirks,
            confirms: true,
            has_predecessor: expects_predecessor,
            pid: process_id(plan, slot),
            seed,
        };
        Box::new(Haproxy::new(config, now))
    }

    /// A node counts in its own table.
    pub(super) fn count(&mut self, node: usize, key: Key, events: u32) {
        let Some(slot) = self.stage.serving(node, 0) else { return };
        let clock = self.stage.clock(slot);
        let before = self.stage.read_part(slot, Part::Own, key).map(|reading| reading.gpc0);
        let value = before.unwrap_or(0).saturating_add(events);
        let Some(table) = self.stage.place_of(slot, Part::Own, key.0) else { return };
        let write = Write { table, key: key.1, gpc0: value, requests: events };
        if let Some(process) = &mut self.stage.slots[slot].process {
            process.write(clock, write);
            self.stage.ledger.counted((slot, node), key, (before, value));
        }
        self.dirty.insert(slot);
    }
}
