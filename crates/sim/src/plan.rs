//! What is to happen in a run: made from the seed before it begins, so that steps can be left out.

use std::fmt;

use haproxy_peers::UpdateIds;
use stick_table::Millis;

use crate::pipe::Line;
use crate::random::Random;
use crate::{Faults, HubsPlan, Profile, Release};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// What its clock shows at the beginning, in ms.
    pub clock: Millis,
    /// What its clock gains, in µs a second.
    pub drift_ppm: i64,
    /// Whether it speaks 2.0 only at first.
    pub old: bool,
    /// Its release, if it is a HAProxy.
    pub haproxy: Option<Release>,
    /// Whether it confirms the lessons that it is taught; a HAProxy only.
    pub confirms: bool,
    /// Its shard in the eyes of the others, 0 for all.
    pub shard: u32,
    /// Bytes made to be sent at once.
    pub chunk: usize,
    /// `tune.peers.max-updates-at-once`.
    pub max_updates: usize,
    /// How its updates are numbered.
    pub ids: UpdateIds,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// Place of its section.
    pub section: usize,
    /// Keys that are used.
    pub keys: u32,
    /// Most entries.
    pub size: u32,
    /// Whether it refuses new entries when it is full.
    pub no_purge: bool,
    /// Lifetime of entries at each node, in ms.
    pub expire: Vec<Option<u32>>,
}

impl TablePlan {
    /// Whether entries may go before they are over.
    pub fn may_be_full(&self) -> bool {
        self.size < self.keys
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A request at the node that has the key.
    Write {
        /// Place of the table.
        table: usize,
        /// The key.
        key: u32,
        /// Events to count.
        requests: u32,
    },
    /// A node of a world with hubs counts in its own table.
    Count {
        /// The node.
        node: usize,
        /// Place of the table.
        table: usize,
        /// The key.
        key: u32,
        /// Events to count.
        events: u32,
    },
    /// `count` requests at a node, each for the next of its keys.
    Flood {
        /// The node.
        node: usize,
        /// Place of the table.
        table: usize,
        /// How many.
        count: u32,
        /// Time between them, in ms.
        every_ms: u64,
    },
    /// The connections of two nodes break.
    Cut {
        /// The two nodes.
        nodes: (usize, usize),
    },
    /// What the first of two nodes sends ends; it may still hear the other.
    HalfClose {
        /// The two nodes.
        nodes: (usize, usize),
    },
    /// Two nodes cannot reach each other.
    Partition {
        /// The two nodes.
        nodes: (usize, usize),
        /// How long, in ms.
        ms: u64,
    },
    /// The second of two nodes does not read what the first sends.
    Stall {
        /// The two nodes.
        nodes: (usize, usize),
        /// How long, in ms.
        ms: u64,
    },
    /// A process dies, with or without a word of its machine; the next one starts after a while.
    Kill {
        /// The node.
        node: usize,
        /// Whether its machine says nothing either.
        quietly: bool,
        /// How long, in ms.
        ms: u64,
    },
    /// A process hands over to the next one.
    HandOver {
        /// The node.
        node: usize,
    },
    /// A process hands over to the next one, which hands over before it was taught, and that as well.
    Reloads {
        /// The node.
        node: usize,
        /// Time from one to the next, in ms.
        every_ms: u64,
    },
    /// Somebody connects to a node, says its own name, and tells an entry.
    Stranger {
        /// The node.
        node: usize,
        /// Place of the table.
        table: usize,
        /// The key.
        key: u32,
    },
    /// A process hands over to one that speaks the other version.
    Version {
        /// The node.
        node: usize,
    },
    /// A process dies, and the node stays away until after the next comparison.
    Leave {
        /// The node.
        node: usize,
        /// Whether its machine says nothing either.
        quietly: bool,
    },
    /// All nodes that count for hubs leave at once, until after the next comparison.
    Exodus {
        /// Whether their machines say nothing either.
        quietly: bool,
    },
    /// A node ends and comes back with other definitions of its tables, or with those that it had.
    Redefine {
        /// The node.
        node: usize,
        /// How long it is away, in ms.
        ms: u64,
    },
    /// A clock jumps forward.
    Jump {
        /// The node.
        node: usize,
        /// How long, in ms.
        ms: u64,
    },
    /// A node's processes do nothing for a while. Time passes for them as well.
    Suspend {
        /// The node.
        node: usize,
        /// How long, in ms.
        ms: u64,
    },
    /// A key goes to another node, if all hold the same.
    Move {
        /// Place of the table.
        table: usize,
        /// The key.
        key: u32,
        /// The node.
        node: usize,
    },
    /// Everything heals, nothing more is written.
    Calm,
    /// Everybody should hold the same by now.
    Compare,
    /// By now no session should be at 2.0 that could be at 2.1.
    CompareVersions,
}

impl What {
    /// The node whose process has to do it, so that it does not happen while that does nothing. Of a write the node changes
    /// with time.
    pub(crate) fn is_done_by(&self) -> Option<usize> {
        match self {
            Self::Count { node, .. }
            | Self::HandOver { node }
            | Self::Reloads { node, .. }
            | Self::Stranger { node, .. }
            | Self::Version { node } => Some(*node),
            _ => None,
        }
    }
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Time in ms.
    pub at: Millis,
    /// What.
    pub what: What,
}

impl Step {
    /// Whether the step is trouble, so that a run may go without it.
    pub fn may_go(&self) -> bool {
        !matches!(self.what, What::Calm | What::Compare | What::CompareVersions)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  {:?}", self.at, self.what)
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed it was made from.
    pub seed: u64,
    /// The name of the profile.
    pub profile: &'static str,
    /// The nodes.
    pub nodes: Vec<NodePlan>,
    /// The tables.
    pub tables: Vec<TablePlan>,
    /// Number of sections.
    pub sections: usize,
    /// Number of shards, if there are any.
    pub shards: Option<u32>,
    /// The hubs, if there are any.
    pub hubs: Option<HubsPlan>,
    /// Whether the first node has all keys.
    pub one_writer: bool,
    /// Whether hellos name no process id.
    pub anonymous: bool,
    /// Whether the first node copies its first table to another one.
    pub copies: bool,
    /// How connections treat bytes.
    pub line: Line,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Releases that take part. Not 3.0, which does not push what it learned and then changed (peers-protocol §18.12).
const RELEASES: [Release; 6] =
    [Release::V2_4, Release::V2_6, Release::V2_8, Release::V3_2, Release::V3_4, Release::V3_5Dev];
/// Keys of each table that hubs have room for, unless they are small: more than there are.
const ROOM: u32 = 1_000;
/// After a calm has begun everybody holds the same within this time, in ms: a back-off of 5 s, two lessons of which the first
/// was partial (6 s between them), one after the other from each peer.
const COMPARE_MS: u64 = 35_000;
/// The same among nodes of which one refuses 2.1. When a process that was taught dies silently, its session is given up after
/// a minute; the next one's hello of 2.1 is refused without a look at that, which a HAProxy takes for final: it waits to be
/// called, so nothing replaces the session earlier (seed 226139 of `mixed`). The same where a
/// lesson is not confirmed: for a minute its learner is told nothing.
const COMPARE_OLD_MS: u64 = 60_000 + COMPARE_MS;
/// A refusal of 2.1 is believed for a minute, and found to be wrong within another pause.
const COMPARE_VERSIONS_MS: u64 = 130_000;

impl Plan {
    /// The run of a seed.
    pub fn new(profile: &Profile, seed: u64) -> Self {
        let random = &mut Random::part(seed, 1);
        let faults = &profile.faults;
        let sections = if random.chance(faults.two_sections) { 2 } else { 1 };
        let count = random.within(faults.nodes) as usize;
        let mut hubs = hubs(faults, random);
        let count = count + hubs.map_or(0, |hubs| hubs.count());
        let shards = (count > 2 && random.chance(faults.shards)).then(|| random.within((2, 3)) as u32);
        let wraps = random.chance(faults.wrap);
        let mut nodes: Vec<_> = (0..count).map(|place| node(faults, shards, wraps, place, random)).collect();
        // By numbers of their own: what else a seed makes stays as it is.
        let silent = &mut Random::part(seed, 40);
        if silent.chance(faults.unconfirmed) {
            // A HAProxy as a teacher would wait for ever, so it is the only one.
            nodes.iter_mut().for_each(|node| node.haproxy = None);
            let place = silent.within((1, count as u64 - 1)) as usize;
            let release = RELEASES[silent.below(RELEASES.len() as u64) as usize];
            (nodes[place].haproxy, nodes[place].confirms) = (Some(release), false);
        }
        if let Some(hubs) = &mut hubs {
            // By numbers of their own: what else a seed makes stays as it is.
            let small = &mut Random::part(seed, 41);
            if small.chance(faults.small_hubs) {
                hubs.room = small.within((1, faults.keys.1)) as u32;
            }
            (hubs.count()..count).for_each(|place| leaf(&mut nodes[place], random));
        }
        let mut tables = Vec::new();
        for section in 0..sections {
            for _ in 0..random.within(faults.tables) {
                tables.push(table(faults, section, count, random));
            }
        }
        let one_writer = random.chance(faults.one_writer);
        let slow = random.skewed(faults.delay_ms);
        let line = Line {
            delay_ms: (random.below(slow + 1), slow),
            room: random.skewed(faults.room) as usize,
            split: faults.split,
            read: (1, random.skewed((1, 16_384))),
        };
        let mut plan = Self {
            seed,
            profile: profile.name,
            nodes,
            tables,
            sections,
            shards,
            hubs,
            one_writer,
            anonymous: faults.anonymous,
            copies: Random::part(seed, 41).chance(faults.copies),
            line,
            steps: Vec::new(),
        };
        plan.fill(faults, random);
        plan
    }

    fn fill(&mut self, faults: &Faults, random: &mut Random) {
        // Sessions are to be there, at least now and then.
        let mut at = random.skewed((0, 8_000));
        // Whether some node may refuse 2.1.
        let mut refuses = self.nodes.iter().any(|node| node.old);
        for _ in 0..random.within(faults.rounds) {
            let end = at + random.within(faults.round_ms);
            let mut times: Vec<_> =
                (0..random.within(faults.steps)).map(|_| random.within((at, end))).collect();
            times.sort_unstable();
            let steps = times.into_iter().map(|at| Step { at, what: self.what(faults, random) });
            let steps: Vec<_> = steps.collect();
            let versions = steps.iter().any(|step| matches!(step.what, What::Version { .. }));
            self.steps.extend(steps);
            self.steps.push(Step { at: end, what: What::Calm });
            refuses |= versions;
            let is_slow = refuses || self.nodes.iter().any(|node| !node.confirms);
            at = end + if is_slow { COMPARE_OLD_MS } else { COMPARE_MS };
            self.steps.push(Step { at, what: What::Compare });
            if versions {
                at = end + COMPARE_VERSIONS_MS;
                self.steps.push(Step { at, what: What::CompareVersions });
            }
            for table in 0..self.tables.len() {
                for key in 0..self.tables[table].keys {
                    if random.chance(faults.moves) {
                        let node = random.below(self.nodes.len() as u64) as usize;
                        self.steps.push(Step { at, what: What::Move { table, key, node } });
                    }
                }
            }
        }
    }

    fn what(&self, faults: &Faults, random: &mut Random) -> What {
        let weights = [
            faults.write,
            faults.flood,
            faults.cut,
            faults.half_close,
            faults.partition,
            faults.stall,
            faults.kill,
            faults.hand_over,
            faults.version,
            faults.jump,
            faults.leave,
            faults.exodus,
            faults.redefine,
            faults.reloads,
            faults.stranger,
            faults.suspend,
        ];
        let mut left = random.below(weights.iter().map(|&weight| u64::from(weight)).sum());
        let kind = weights.iter().position(|&weight| {
            let here = left < u64::from(weight);
            left = left.wrapping_sub(u64::from(weight));
            here
        });
        let count = self.nodes.len() as u64;
        let node = random.below(count) as usize;
        let other = (node + 1 + random.below(count - 1) as usize) % self.nodes.len();
        let nodes = self.hubs.map_or((node, other), |hubs| linked(&hubs, self.nodes.len(), random));
        let table = random.below(self.tables.len() as u64) as usize;
        match kind {
            Some(1) => {
                let count = random.skewed((20, 200)) as u32;
                What::Flood { node, table, count, every_ms: random.skewed((0, 30)) }
            }
            Some(2) => What::Cut { nodes },
            Some(3) => What::HalfClose { nodes },
            Some(4) => What::Partition { nodes, ms: random.within((500, 12_000)) },
            Some(5) => What::Stall { nodes, ms: random.skewed((50, 12_000)) },
            Some(6) => What::Kill { node, quietly: random.chance(300), ms: random.skewed((0, 8_000)) },
            // What a HAProxy taught its successor, and when, hubs do not know.
            Some(7) => What::HandOver { node: self.hubs.map_or(node, |hubs| node % hubs.count()) },
            Some(8) => What::Version { node },
            Some(9) => What::Jump { node, ms: random.skewed((1, 8_000)) },
            // So long that nothing counts any more of what its process before told.
            Some(12) => What::Redefine { node: self.leaf(random), ms: random.within((5_000, 9_000)) },
            Some(10) => What::Leave { node: self.leaf(random), quietly: random.chance(300) },
            Some(11) => What::Exodus { quietly: random.chance(300) },
            Some(13) => What::Reloads { node, every_ms: random.skewed((0, 300)) },
            Some(15) => What::Suspend { node, ms: random.skewed((50, 15_000)) },
            Some(14) => {
                let key = random.below(u64::from(self.tables[table].keys)) as u32;
                What::Stranger { node, table, key }
            }
            _ if self.hubs.is_some() => What::Count {
                node: self.leaf(random),
                table,
                key: random.below(u64::from(self.tables[table].keys)) as u32,
                events: random.skewed((1, 60)) as u32,
            },
            _ => {
                let key = random.below(u64::from(self.tables[table].keys)) as u32;
                What::Write { table, key, requests: random.skewed((0, 30)) as u32 }
            }
        }
    }

    /// A node that counts for hubs.
    fn leaf(&self, random: &mut Random) -> usize {
        let first = self.hubs.map_or(0, |hubs| hubs.count());
        first + random.below((self.nodes.len() - first) as u64) as usize
    }

    /// Whether nodes change the definitions of their tables.
    pub fn redefines(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, What::Redefine { .. }))
    }

    /// The tables of a section by their places.
    pub fn tables_of(&self, section: usize) -> impl Iterator<Item = usize> {
        (0..self.tables.len()).filter(move |&table| self.tables[table].section == section)
    }
}

fn node(faults: &Faults, shards: Option<u32>, wraps: bool, place: usize, random: &mut Random) -> NodePlan {
    let half = if random.chance(500) { 1 << 31 } else { 1 << 32 };
    let (clock, after) = match wraps {
        true => (half - random.within((0, 60_000)), (half - random.within((1, 40))) as u32),
        false => (3_600_000 + random.below(1_000_000), 0),
    };
    // Odd, as the model of HAProxy asks for. A draw only where there is a choice: other profiles keep their runs.
    let stride = match faults.id_stride {
        (1, 1) => 1,
        range => random.skewed(range) as u32 | 1,
    };
    NodePlan {
        clock,
        drift_ppm: random.within((0, 2 * faults.drift_ppm)) as i64 - faults.drift_ppm as i64,
        old: random.chance(faults.old_nodes),
        haproxy: (place > 0 && shards.is_none() && random.chance(faults.haproxies))
            .then(|| RELEASES[random.below(RELEASES.len() as u64) as usize]),
        confirms: true,
        shard: shards.map_or(0, |shards| random.within((0, u64::from(shards))) as u32),
        chunk: random.skewed(faults.chunk) as usize,
        max_updates: random.skewed(faults.max_updates) as usize,
        ids: UpdateIds { after, stride },
    }
}

fn hubs(faults: &Faults, random: &mut Random) -> Option<HubsPlan> {
    let layout = match faults.hubs {
        [] => return None,
        layouts => layouts[random.below(layouts.len() as u64) as usize],
    };
    Some(HubsPlan {
        layout,
        node_timeout: random.within(faults.node_timeout),
        // So long that rates are there at a comparison.
        period_ms: random.within((60_000, 200_000)) as u32,
        room: ROOM,
    })
}

/// Makes a node one that counts for hubs: a HAProxy.
fn leaf(node: &mut NodePlan, random: &mut Random) {
    node.haproxy = Some(RELEASES[random.below(RELEASES.len() as u64) as usize]);
}

/// Two nodes with a connection between them, one after the other as it comes.
fn linked(hubs: &HubsPlan, nodes: usize, random: &mut Random) -> (usize, usize) {
    let pairs = (0..hubs.count()).flat_map(|hub| hubs.below(hub, nodes).map(move |node| (hub, node)));
    let pairs: Vec<_> = pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect();
    pairs[random.below(pairs.len() as u64) as usize]
}

fn table(faults: &Faults, section: usize, nodes: usize, random: &mut Random) -> TablePlan {
    let keys = random.within(faults.keys) as u32;
    let full = random.chance(faults.full_tables);
    let tight = random.chance(faults.tight_logs);
    let size = match (full, tight) {
        (true, _) => 1 + random.below(u64::from(keys)) as u32,
        (false, true) => keys.max(60),
        (false, false) => 1_000,
    };
    let endless = random.chance(faults.no_expiry);
    let differs = random.chance(faults.different_expiry);
    let expire = random.within(faults.expire_ms);
    let expire = |random: &mut Random| if differs { random.within(faults.expire_ms) } else { expire };
    let expire = (0..nodes).map(|_| (!endless).then(|| expire(random) as u32)).collect();
    TablePlan { section, keys, size, no_purge: random.chance(faults.no_purge), expire }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_whose_steps_are_in_order() {
        for profile in &Profile::ALL {
            for seed in 0..50 {
                let plan = Plan::new(profile, seed);
                assert_eq!(plan, Plan::new(profile, seed));
                assert!(plan.steps.windows(2).all(|two| two[0].at <= two[1].at), "{} {seed}", profile.name);
                assert!(plan.steps.iter().any(|step| !step.may_go()));
            }
        }
    }
}
