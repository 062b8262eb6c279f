//! What an update costs a hub when few and when many nodes know its key, and many nodes at once.
//!
//! Scripted nodes, each of which knows every key. Then updates come at a steady pace, once from and to two nodes, when the others have
//! told their values and are gone: this is what an update costs; and once from and to all of them, as it is in a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use stickd_testkit::{StickdProcess, ports};

use crate::goals::{Goal, Unit};
use crate::plan::Scenario;
use crate::report::{Table, count};
use crate::run::{Bench, Outcome};
use crate::subject::Candidate;
use crate::usage::{Foreign, Watched, thread_cpu};

use super::cluster;
use super::listener::{Heard, Listener};
use super::schedule::Schedule;
use super::writer::Writer;
use super::{HUB, RESULT, SECTION, WIRE_RESULT, definition, proof, update};

/// How many nodes know a key.
const NODES: [usize; 3] = [2, 8, 50];
/// Nodes that are connected while the cost of an update is measured.
const FEW: usize = 2;
/// Time between two groups of updates, all of one node.
const TICK: Duration = Duration::from_millis(1);
/// Longest wait for the last sums.
const SETTLE: Duration = Duration::from_secs(60);
/// Updates written at once while a node tells what it knows.
const CHUNK: u64 = 2_000;
/// The hub is at rest when it uses less than this share of a processor for so long; it is waited for so long.
const REST_SHARE: f64 = 0.02;
const REST: Duration = Duration::from_millis(500);
const REST_LIMIT: Duration = Duration::from_secs(8);

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Size {
    keys: u64,
    /// Updates in each [`TICK`].
    per_tick: u64,
    seconds: u64,
}

/// A hub whose nodes have told everything.
struct Told<'a> {
    hub: &'a StickdProcess,
    usage: Watched,
    size: Size,
    /// What each node told of each key, one node after the other.
    told: Vec<u32>,
    /// Id of the last update of each node.
    ids: Vec<u32>,
    schedule: Arc<Schedule>,
    /// Updates sent of the schedule.
    sent: u64,
}

/// Measured under load.
struct Load {
    latency: Histogram<u64>,
    sent: u64,
    /// Sums told to all sessions.
    told: u64,
    cpu: Duration,
    driver: Duration,
    wall: Duration,
    /// How long after the last update everybody had every sum.
    behind: Duration,
    foreign: f64,
}

/// Bytes for a contribution: growth of resident memory, and as the hub shows it.
struct Memory {
    rss: f64,
    shown: f64,
    /// Share of a processor that the hub uses when nothing comes.
    idle: f64,
    /// Resident memory in all.
    resident: u64,
}

/// Loads, each with how many nodes were connected.
type Loads = Vec<(usize, Load)>;

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let size = if bench.plan.quick {
        Size { keys: 20_000, per_tick: 20, seconds: 4 }
    } else {
        Size { keys: 100_000, per_tick: 100, seconds: 15 }
    };
    let rate = size.per_tick * 1_000;
    let title = format!("Hub, nodes: each knows {} keys, {} updates/s in all", count(size.keys), count(rate));
    let header = [
        "nodes that know a key",
        "connected",
        "updates/s",
        "CPU µs/update",
        "CPU of a core",
        "sums told/update",
        "p50 ms",
        "p99 ms",
        "max ms",
        "behind at the end ms",
        "others, of the machine",
        "driver's CPU of a core",
    ];
    let mut table = Table::new(title, &header);
    let memory_header = [
        "nodes that know a key",
        "contributions",
        "B each, RSS growth",
        "B each, shown",
        "RSS",
        "at rest, of a core",
    ];
    let mut memories = Table::new("Hub, nodes: memory", &memory_header);
    let mut costs = Vec::new();
    for nodes in NODES {
        bench.progress.begin(format!("{}, {nodes} nodes", Scenario::HubNodes.label()));
        let (memory, loads) = measure(bench.stickd()?, size, nodes)
            .with_context(|| format!("{}, {nodes} nodes", Scenario::HubNodes.label()))?;
        for (connected, load) in &loads {
            table.row(load.cells(nodes, *connected));
        }
        let few = loads.iter().find(|(connected, _)| *connected == FEW).context("always measured")?;
        costs.push(few.1.cost());
        memories.row([
            nodes.to_string(),
            count(nodes as u64 * size.keys),
            format!("{:.0}", memory.rss),
            format!("{:.0}", memory.shown),
            format!("{:.0} MiB", memory.resident as f64 / f64::from(1 << 20)),
            format!("{:.1} %", 100.0 * memory.idle),
        ]);
        bench.progress.done();
    }
    table.note(
        "Latency: from when an update is due to be written to when a node has read the sum; a sum that \
         was overtaken by a later one is not told.",
    );
    table.note("At the end of each row every sum at every connected node and at the hub was compared with what all nodes told.");
    memories.note("RSS growth is from before the first node told anything to after the last one: it has the table of the sums too, \
         and what the hub keeps for sessions.");
    let goals = costs.first().zip(costs.last()).map(|(few, many)| Goal {
        work: format!("CPU of an update, {} nodes ÷ {} nodes that know the key", NODES[2], NODES[0]),
        other: "–".to_owned(),
        stickd: format!("{many:.2} µs"),
        reached: many / few,
        at_least: 2.0,
        aim: 2.0,
        unit: Unit::Share,
    });
    Ok(Outcome { tables: vec![table, memories], goals: goals.into_iter().collect() })
}

impl Load {
    /// CPU of the hub for an update, in µs.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.sent as f64
    }

    fn cells(&self, nodes: usize, connected: usize) -> Vec<String> {
        let of_a_core =
            |cpu: Duration| format!("{:.0} %", 100.0 * cpu.as_secs_f64() / self.wall.as_secs_f64());
        let ms = |share: f64| format!("{:.2}", self.latency.value_at_quantile(share) as f64 / 1e3);
        vec![
            nodes.to_string(),
            connected.to_string(),
            format!("{:.0}", self.sent as f64 / self.wall.as_secs_f64()),
            format!("{:.2}", self.cost()),
            of_a_core(self.cpu),
            format!("{:.1}", self.told as f64 / self.sent as f64),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            self.behind.as_millis().to_string(),
            format!("{:.0} %", 100.0 * self.foreign),
            of_a_core(self.driver),
        ]
    }
}

fn name(node: usize) -> String {
    format!("node{node}")
}

/// What a node tells of a key first.
fn first(node: usize, key: u64) -> u32 {
    1 + ((key + 3 * node as u64) % 7) as u32
}

/// Memory, and the loads.
fn measure(candidate: &Candidate, size: Size, nodes: usize) -> Result<(Memory, Loads)> {
    let own = ports::free_address();
    let names: Vec<String> = (0..nodes).map(name).collect();
    let peers: Vec<_> = names.iter().map(|name| (name.clone(), None)).collect();
    let hub = candidate.start_stickd(&cluster::hub_config(own, &peers, size.keys))?;
    let links = cluster::join_all(own, HUB, &names)?;
    let mut told = Told::new(&hub, size, nodes);
    let (listener, sockets) = Listener::new(links, WIRE_RESULT, told.schedule.clone())?;
    let heard = listener.heard();
    let mut writer = Writer::new(sockets, heard.clone());
    let reader = cluster::listen(listener);
    told.usage.wait_idle()?;
    let before = told.usage.rss()?;
    // Nobody reads meanwhile, so that the sums come once and not once for each node.
    heard.set_paused(true);
    told.tell(&mut writer)?;
    heard.set_paused(false);
    told.verify(&mut writer, nodes)?;
    let idle = told.rest(&mut writer)?;
    let rss = told.usage.rss()?;
    let contributions = cluster::shown(&hub.cli(), "contributions")?;
    ensure!(contributions == nodes as u64 * size.keys, "the hub shows {contributions} contributions");
    let memory = Memory {
        rss: rss.saturating_sub(before) as f64 / contributions as f64,
        shown: cluster::shown(&hub.cli(), "bytes")? as f64 / contributions as f64,
        idle,
        resident: rss,
    };
    let mut loads = vec![(nodes, told.load(&mut writer, &heard, nodes)?)];
    if nodes > FEW {
        // What the others told counts on.
        writer.keep(FEW);
        told.rest(&mut writer)?;
        loads.insert(0, (FEW, told.load(&mut writer, &heard, FEW)?));
    }
    cluster::stop(reader, &heard)?;
    Ok((memory, loads))
}

impl<'a> Told<'a> {
    fn new(hub: &'a StickdProcess, size: Size, nodes: usize) -> Self {
        let loads = if nodes > FEW { 2 } else { 1 };
        let numbers = loads * size.updates();
        let schedule = Arc::new(Schedule::new(size.keys, numbers, size.per_tick));
        let told: Vec<u32> =
            (0..nodes).flat_map(|node| (0..size.keys).map(move |key| first(node, key))).collect();
        let told =
            Self { hub, usage: Watched(hub.pid()), size, told, ids: vec![0; nodes], schedule, sent: 0 };
        (0..size.keys).zip(told.sums()).for_each(|(key, sum)| told.schedule.set_before(key, sum));
        told
    }

    /// The sum of each key, from what each node told.
    fn sums(&self) -> Vec<u32> {
        let keys = self.size.keys as usize;
        (0..keys).map(|key| self.told.iter().skip(key).step_by(keys).sum()).collect()
    }

    /// Every node tells the hub what it knows, in turns.
    fn tell(&mut self, writer: &mut Writer) -> Result<()> {
        let keys = self.size.keys;
        for node in 0..self.ids.len() {
            writer.write(node, &definition())?;
            for chunk in (0..keys).step_by(CHUNK as usize) {
                let mut bytes = Vec::new();
                (chunk..keys.min(chunk + CHUNK)).for_each(|key| self.append(node, key, &mut bytes));
                writer.write(node, &bytes)?;
                writer.service()?;
            }
        }
        Ok(())
    }

    /// Appends what a node knows of a key.
    fn append(&mut self, node: usize, key: u64, bytes: &mut Vec<u8>) {
        self.ids[node] += 1;
        update(self.ids[node], key, self.told[node * self.size.keys as usize + key as usize], bytes);
    }

    /// Waits until the first sessions were told every sum, and the hub says the same.
    fn verify(&self, writer: &mut Writer, sessions: usize) -> Result<()> {
        let (sums, sessions) = (self.sums(), (0..sessions).collect::<Vec<_>>());
        writer.settle(&sessions, &sums, SETTLE)?;
        let table = [format!("{SECTION}/{RESULT}")];
        proof::wait_for("the hub", &self.hub.cli(), &table, &sums, SETTLE, || writer.service())
    }

    /// Waits until the hub has come to rest, a while at most: what it does all the time is never over. Returns the share of a
    /// processor that it uses then.
    fn rest(&self, writer: &mut Writer) -> Result<f64> {
        let deadline = Instant::now() + REST_LIMIT;
        loop {
            let (before, started) = (self.usage.cpu()?, Instant::now());
            writer.wait_until(started + REST)?;
            let share = (self.usage.cpu()? - before).as_secs_f64() / started.elapsed().as_secs_f64();
            if share < REST_SHARE || Instant::now() > deadline {
                return Ok(share);
            }
        }
    }

    /// The first nodes tell updates at a steady pace.
    fn load(&mut self, writer: &mut Writer, heard: &Heard, nodes: usize) -> Result<Load> {
        heard.take_latency()?;
        let before = (self.usage.cpu()?, thread_cpu(), heard.cpu(), heard.told());
        let (foreign, started) = (Foreign::start()?, Instant::now());
        let ticks = self.size.seconds * 1_000;
        let round = self.size.keys / self.size.per_tick;
        let mut bytes = Vec::new();
        for tick in 0..ticks {
            // A node further each time round, so that every node tells of every key.
            let node = ((tick + tick / round) % nodes as u64) as usize;
            bytes.clear();
            for number in self.sent..self.sent + self.size.per_tick {
                let key = self.schedule.key(number);
                self.told[node * self.size.keys as usize + key as usize] += 1;
                self.append(node, key, &mut bytes);
            }
            let due = started + TICK * tick as u32;
            writer.wait_until(due)?;
            self.schedule.note(self.sent, due);
            writer.write(node, &bytes)?;
            self.sent += self.size.per_tick;
        }
        let (wall, last) = (started.elapsed(), Instant::now());
        let driver = thread_cpu() - before.1 + heard.cpu().saturating_sub(before.2);
        let sums = self.sums();
        writer.settle(&(0..nodes).collect::<Vec<_>>(), &sums, SETTLE)?;
        let behind = last.elapsed();
        let cpu = self.usage.cpu()? - before.0;
        let (foreign, told) = (foreign.share(cpu)?, heard.told() - before.3);
        self.verify(writer, nodes)?;
        let (latency, sent) = (heard.take_latency()?, self.size.updates());
        Ok(Load { latency, sent, told, cpu, driver, wall, behind, foreign })
    }
}

impl Size {
    /// Updates of one load.
    fn updates(self) -> u64 {
        self.per_tick * self.seconds * 1_000
    }
}
