//! Faults by name.

use crate::{Faults, Layout};

/// A named set of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The faults.
    pub faults: Faults,
}

/// What most profiles share: a network that delays and splits, connections that break.
const ROUGH: Faults = Faults {
    delay_ms: (0, 60),
    room: (300, 65_536),
    split: 400,
    chunk: (200, 65_536),
    max_updates: (1, 200),
    expire_ms: (8_000, 90_000),
    rounds: (1, 3),
    steps: (10, 60),
    moves: 100,
    cut: 6,
    half_close: 2,
    partition: 3,
    stall: 4,
    ..Faults::NONE
};

const MIXED: Faults = Faults {
    two_sections: 150,
    shards: 150,
    different_expiry: 200,
    no_expiry: 80,
    full_tables: 120,
    tight_logs: 200,
    old_nodes: 100,
    haproxies: 80,
    wrap: 300,
    drift_ppm: 2_000,
    flood: 4,
    kill: 3,
    hand_over: 3,
    jump: 1,
    version: 1,
    ..ROUGH
};

/// Worlds with hubs, of which the profile says how they stand.
const SUMS: Faults = Faults {
    nodes: (1, 5),
    keys: (2, 10),
    expire_ms: (20_000, 120_000),
    round_ms: (5_000, 40_000),
    drift_ppm: 100,
    ..Faults::NONE
};

/// The same with a network that delays and splits, connections that break, and nodes at 2.0.
const ROUGH_SUMS: Faults = Faults {
    expire_ms: (20_000, 240_000),
    node_timeout: (5_000, 120_000),
    old_nodes: 100,
    wrap: 300,
    drift_ppm: 2_000,
    delay_ms: ROUGH.delay_ms,
    room: ROUGH.room,
    split: ROUGH.split,
    chunk: ROUGH.chunk,
    max_updates: ROUGH.max_updates,
    rounds: ROUGH.rounds,
    steps: ROUGH.steps,
    cut: ROUGH.cut,
    half_close: ROUGH.half_close,
    partition: ROUGH.partition,
    stall: ROUGH.stall,
    ..SUMS
};

impl Profile {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self { name: "calm", about: "nothing goes wrong", faults: Faults::NONE },
        Self { name: "mixed", about: "a little of everything", faults: MIXED },
        Self {
            name: "storm",
            about: "everything at once, and often",
            faults: Faults {
                nodes: (3, 5),
                steps: (60, 150),
                cut: 25,
                half_close: 10,
                partition: 10,
                stall: 15,
                kill: 8,
                hand_over: 8,
                ..MIXED
            },
        },
        Self {
            name: "links",
            about: "connections break, end by half, stall; processes stay",
            faults: Faults { cut: 20, half_close: 8, partition: 8, stall: 12, ..ROUGH },
        },
        Self {
            name: "restarts",
            about: "processes die and come back empty, or hand over",
            faults: Faults { nodes: (2, 5), no_expiry: 200, kill: 12, hand_over: 12, ..ROUGH },
        },
        Self {
            name: "handover",
            about: "processes hand over to the next one again and again",
            faults: Faults { hand_over: 25, cut: 2, half_close: 1, partition: 1, stall: 2, ..ROUGH },
        },
        Self {
            name: "reloads",
            about: "processes hand over before they were taught; strangers say a node's own name",
            faults: Faults {
                reloads: 15,
                stranger: 8,
                hand_over: 5,
                cut: 2,
                half_close: 1,
                partition: 6,
                stall: 2,
                ..ROUGH
            },
        },
        Self {
            name: "suspends",
            about: "processes do nothing for a while, as when a machine is suspended",
            faults: Faults {
                suspend: 12,
                haproxies: 200,
                old_nodes: 50,
                kill: 2,
                hand_over: 2,
                cut: 3,
                half_close: 1,
                ..ROUGH
            },
        },
        Self {
            name: "clocks",
            about: "clocks drift, jump and wrap",
            faults: Faults { wrap: 800, drift_ppm: 20_000, jump: 8, kill: 2, ..ROUGH },
        },
        Self {
            name: "versions",
            about: "nodes that speak 2.0 only, and change",
            faults: Faults { old_nodes: 400, version: 6, kill: 2, different_expiry: 200, ..ROUGH },
        },
        Self {
            name: "haproxies",
            about: "HAProxys of several releases among the nodes",
            faults: Faults { haproxies: 500, ..ROUGH },
        },
        Self {
            name: "unconfirmed",
            about: "a HAProxy that asks for lessons and does not confirm them",
            faults: Faults {
                unconfirmed: 1_000,
                expire_ms: (200_000, 400_000),
                kill: 6,
                cut: 4,
                ..Faults::NONE
            },
        },
        Self {
            name: "copies",
            about: "a node that copies a table to another one, with write-to",
            faults: Faults { copies: 1_000, haproxies: 300, kill: 6, cut: 6, ..Faults::NONE },
        },
        Self {
            name: "full-tables",
            about: "tables that are too small",
            faults: Faults { full_tables: 800, keys: (8, 40), kill: 3, flood: 8, ..ROUGH },
        },
        Self {
            name: "wraparound",
            about: "clocks and update ids a little before 2^32 and 2^31",
            faults: Faults { wrap: 1_000, kill: 3, hand_over: 3, flood: 10, ..ROUGH },
        },
        Self {
            name: "revolutions",
            about: "update ids that go round several times",
            faults: Faults {
                nodes: (2, 3),
                tables: (1, 1),
                keys: (2, 4),
                // What waits for an acknowledgement stays within one revolution.
                id_stride: (1 << 23, 1 << 25),
                room: (300, 1_000),
                chunk: (200, 400),
                haproxies: 400,
                steps: (20, 60),
                flood: 60,
                cut: 4,
                half_close: 0,
                partition: 1,
                stall: 1,
                kill: 4,
                hand_over: 2,
                ..ROUGH
            },
        },
        Self {
            name: "scans",
            about: "readers that fall behind the change log of one writer and scan the rows",
            faults: Faults {
                nodes: (3, 3),
                tables: (1, 1),
                keys: (60, 64),
                one_writer: 1_000,
                anonymous: true,
                tight_logs: 1_000,
                max_updates: (1, 8),
                chunk: (200, 600),
                room: (300, 900),
                moves: 0,
                steps: (20, 60),
                flood: 60,
                cut: 10,
                half_close: 0,
                partition: 30,
                stall: 30,
                ..ROUGH
            },
        },
        Self {
            name: "floods",
            about: "many requests while acknowledgements do not come",
            faults: Faults {
                flood: 50,
                stall: 30,
                cut: 2,
                half_close: 0,
                partition: 1,
                anonymous: true,
                ..ROUGH
            },
        },
        Self {
            name: "hub",
            about: "nodes count, a hub sums, nothing goes wrong",
            faults: Faults { hubs: &[Layout::One], ..SUMS },
        },
        Self {
            name: "two-hubs",
            about: "two hubs side by side, connections break",
            faults: Faults { hubs: &[Layout::Two], ..ROUGH_SUMS },
        },
        Self {
            name: "levels",
            about: "a hub above two others, connections break",
            faults: Faults { hubs: &[Layout::Levels], nodes: (2, 5), ..ROUGH_SUMS },
        },
        Self {
            name: "hub-restarts",
            about: "nodes that count, and hubs, die and come back empty, or go away; hubs hand over",
            faults: Faults {
                hubs: &[Layout::One, Layout::One, Layout::Two, Layout::Levels],
                kill: 12,
                hand_over: 3,
                leave: 2,
                ..ROUGH_SUMS
            },
        },
        Self {
            name: "full-hubs",
            about: "hubs with room for fewer keys than there are, which end and come again",
            faults: Faults {
                hubs: &[Layout::One, Layout::Two, Layout::Levels],
                small_hubs: 800,
                keys: (2, 12),
                expire_ms: (8_000, 40_000),
                kill: 4,
                hand_over: 2,
                leave: 2,
                ..ROUGH_SUMS
            },
        },
        Self {
            name: "exodus",
            about: "all nodes leave a hub at once, again and again, and come back with what they have",
            faults: Faults {
                hubs: &[Layout::One, Layout::Two, Layout::Levels],
                nodes: (3, 8),
                node_timeout: (1_000, 20_000),
                exodus: 3,
                kill: 4,
                leave: 2,
                rounds: (2, 4),
                ..ROUGH_SUMS
            },
        },
        Self {
            name: "hub-definitions",
            about: "nodes come back with other definitions of their tables, and with the old ones",
            faults: Faults {
                hubs: &[Layout::One, Layout::Two, Layout::Levels],
                node_timeout: (1_000, 4_000),
                rounds: (1, 3),
                redefine: 4,
                ..SUMS
            },
        },
        Self {
            name: "hub-storm",
            about: "hubs, and everything at once",
            faults: Faults {
                hubs: &[Layout::One, Layout::Two, Layout::Levels],
                steps: (60, 150),
                cut: 25,
                half_close: 10,
                partition: 10,
                stall: 15,
                kill: 8,
                hand_over: 4,
                leave: 3,
                ..ROUGH_SUMS
            },
        },
    ];

    /// The one of a name.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|profile| profile.name == name)
    }
}
