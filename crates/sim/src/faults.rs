//! What can go wrong, how often and how much.

use crate::Layout;

/// The numbers of a profile. A range holds both ends; `per_mille` is out of 1,000 cases; a weight says how often a kind of
/// step comes compared with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Nodes; of a world with hubs those that are none.
    pub nodes: (u64, u64),
    /// How hubs stand, each as often as the others; nothing in a world without hubs.
    pub hubs: &'static [Layout],
    /// How long a hub counts what a node told after its last session, in ms.
    pub node_timeout: (u64, u64),
    /// `per_mille` of worlds whose hubs have room for fewer keys than there are.
    pub small_hubs: u32,
    /// Tables of each section.
    pub tables: (u64, u64),
    /// Keys of each table.
    pub keys: (u64, u64),
    /// Lifetime of entries, in ms.
    pub expire_ms: (u64, u64),
    /// `per_mille` of worlds whose nodes have two sections.
    pub two_sections: u32,
    /// `per_mille` of worlds with shards.
    pub shards: u32,
    /// `per_mille` of tables whose lifetime is another one at each node.
    pub different_expiry: u32,
    /// `per_mille` of tables that do not expire.
    pub no_expiry: u32,
    /// `per_mille` of tables that hold fewer entries than there are keys.
    pub full_tables: u32,
    /// `per_mille` of full tables that refuse new entries.
    pub no_purge: u32,
    /// `per_mille` of tables that have as many rows as their change log has places, the fewest there are.
    pub tight_logs: u32,
    /// `per_mille` of nodes that speak 2.0 only at first.
    pub old_nodes: u32,
    /// `per_mille` of nodes that are HAProxys, in worlds without shards; the first node never is.
    pub haproxies: u32,
    /// `per_mille` of worlds in which one node is a HAProxy that never confirms a lesson, and the others are stickds.
    pub unconfirmed: u32,
    /// `per_mille` of worlds in which the first node, a stickd, copies its first table to another one (`write-to`).
    pub copies: u32,
    /// `per_mille` of worlds in which the first node has all keys.
    pub one_writer: u32,
    /// Whether hellos name no process id: where no process ends, none has to be told from the one before.
    pub anonymous: bool,
    /// `per_mille` of worlds whose clocks and update ids are a little before 2^32 or 2^31.
    pub wrap: u32,
    /// From one update id of a node to the next: with more than 1 ids go round in a run.
    pub id_stride: (u64, u64),
    /// Most that a clock gains or loses, in µs a second.
    pub drift_ppm: u64,
    /// Longest delay of a network, in ms: each has a range of its own below it.
    pub delay_ms: (u64, u64),
    /// Bytes of a connection that are sent and not read, in one direction.
    pub room: (u64, u64),
    /// How often, in 1,000, bytes sent together are split.
    pub split: u32,
    /// Bytes that a node makes to be sent at once.
    pub chunk: (u64, u64),
    /// `tune.peers.max-updates-at-once`.
    pub max_updates: (u64, u64),
    /// Times of trouble, each followed by a calm.
    pub rounds: (u64, u64),
    /// How long the trouble lasts, in ms.
    pub round_ms: (u64, u64),
    /// Steps of a round.
    pub steps: (u64, u64),
    /// `per_mille` of keys that go to another node after a calm.
    pub moves: u32,
    /// Weight: a request changes an entry.
    pub write: u32,
    /// Weight: many requests in short order.
    pub flood: u32,
    /// Weight: the connections of two nodes break.
    pub cut: u32,
    /// Weight: one direction of them ends.
    pub half_close: u32,
    /// Weight: two nodes cannot reach each other for a while.
    pub partition: u32,
    /// Weight: a node does not read what another one sends for a while.
    pub stall: u32,
    /// Weight: a process dies, and an empty one takes its place after a while.
    pub kill: u32,
    /// Weight: a process hands over to the next one.
    pub hand_over: u32,
    /// Weight: a process hands over to the next one, and that to the next, three times in a row.
    pub reloads: u32,
    /// Weight: somebody says a node's own name to it.
    pub stranger: u32,
    /// Weight: a clock jumps.
    pub jump: u32,
    /// Weight: a node's processes do nothing for a while, as time passes.
    pub suspend: u32,
    /// Weight: a process hands over to one that speaks the other version.
    pub version: u32,
    /// Weight: a node that counts for hubs goes away until after the next comparison.
    pub leave: u32,
    /// Weight: all nodes that count for hubs do, at once.
    pub exodus: u32,
    /// Weight: a node comes back with other definitions of its tables.
    pub redefine: u32,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        nodes: (2, 4),
        hubs: &[],
        node_timeout: (30_000, 30_000),
        small_hubs: 0,
        tables: (1, 2),
        keys: (4, 16),
        expire_ms: (20_000, 90_000),
        two_sections: 0,
        shards: 0,
        different_expiry: 0,
        no_expiry: 0,
        full_tables: 0,
        no_purge: 500,
        tight_logs: 0,
        old_nodes: 0,
        haproxies: 0,
        unconfirmed: 0,
        copies: 0,
        one_writer: 0,
        anonymous: false,
        wrap: 0,
        id_stride: (1, 1),
        drift_ppm: 0,
        delay_ms: (0, 5),
        room: (65_536, 65_536),
        split: 0,
        chunk: (65_536, 65_536),
        max_updates: (200, 200),
        rounds: (1, 2),
        round_ms: (5_000, 20_000),
        steps: (20, 80),
        moves: 0,
        write: 100,
        flood: 0,
        cut: 0,
        half_close: 0,
        partition: 0,
        stall: 0,
        kill: 0,
        hand_over: 0,
        reloads: 0,
        stranger: 0,
        jump: 0,
        suspend: 0,
        version: 0,
        leave: 0,
        exodus: 0,
        redefine: 0,
    };
}
