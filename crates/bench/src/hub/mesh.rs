//! The same requests at HAProxys that tell each other in a full mesh, by a relay, and by a hub.
//!
//! Without a hub a sum needs a table for each node, which only that node counts in: the last message of a key wins in HAProxy. Rules
//! can add up as many lookups as there are nodes; that is done here to prove that everything arrived.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use stickd_testkit::{StickdProcess, ports, stickd};

use crate::plan::Scenario;
use crate::report::{Table, count};
use crate::run::{Bench, Outcome};
use crate::subject::Node;
use crate::usage::{Foreign, Watched, thread_cpu};

use super::cluster::{self, CONNECTED, LEARNED, local};
use super::http::{Client, counting};
use super::relays::Passed;
use super::{HUB, RESULT, SOURCE, arguments, proof};

/// Connections of clients to each node.
const CONNECTIONS: usize = 2;
/// A state in /proc/net/tcp.
const ESTABLISHED: &str = "01";
/// Longest wait for the last sums.
const SETTLE: Duration = Duration::from_secs(30);

/// How nodes are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Not at all: what requests alone cost.
    Alone,
    Mesh,
    Relay,
    Hub,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Size {
    nodes: usize,
    keys: u64,
    /// Requests a second over all nodes, and for how many seconds.
    rate: u64,
    seconds: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
struct Round {
    connections: usize,
    /// CPU of each HAProxy, and of stickd.
    nodes: Vec<Duration>,
    stickd: Option<Duration>,
    driver: Duration,
    wall: Duration,
    foreign: f64,
    /// Bytes and pieces that passed between nodes, when they were counted.
    passed: (u64, u64),
    requests: u64,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Alone, Self::Mesh, Self::Relay, Self::Hub];

    fn label(self) -> &'static str {
        match self {
            Self::Alone => "no peers",
            Self::Mesh => "full mesh",
            Self::Relay => "one relay",
            Self::Hub => "one hub",
        }
    }

    /// The table that a node counts in.
    fn counted(self, node: usize) -> String {
        match self {
            Self::Alone | Self::Hub => SOURCE.to_owned(),
            Self::Mesh | Self::Relay => format!("{SOURCE}{node}"),
        }
    }

    /// The tables of each node, and those that give the sum when they are added up.
    fn tables(self, nodes: usize) -> (Vec<String>, Vec<String>) {
        let counted: Vec<String> = (0..nodes).map(|node| self.counted(node)).collect();
        match self {
            Self::Alone => (vec![SOURCE.to_owned()], vec![SOURCE.to_owned()]),
            Self::Hub => (vec![SOURCE.to_owned(), RESULT.to_owned()], vec![RESULT.to_owned()]),
            Self::Mesh | Self::Relay => (counted.clone(), counted),
        }
    }
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let size = if bench.plan.quick {
        Size { nodes: 4, keys: 2_000, rate: 400, seconds: 5 }
    } else {
        Size { nodes: 8, keys: 10_000, rate: 2_000, seconds: 20 }
    };
    let title = format!(
        "Hub, mesh: {} × {}, {} requests/s in all, {} keys",
        size.nodes,
        bench.newest_haproxy()?.label(),
        count(size.rate),
        count(size.keys)
    );
    let header = [
        "nodes",
        "connections",
        "B/request on the wire",
        "pieces/request",
        "CPU µs/request, HAProxys",
        "stickd",
        "all",
        "most of one HAProxy, of a core",
        "stickd, of a core",
        "others, of the machine",
        "driver's CPU of a core",
    ];
    let mut table = Table::new(title, &header);
    for shape in Shape::ALL {
        bench.progress.begin(format!("{}, {}", Scenario::HubMesh.label(), shape.label()));
        let context = || format!("{}, {}", Scenario::HubMesh.label(), shape.label());
        let plain = measure(bench, size, shape, false).with_context(context)?;
        let counted = measure(bench, size, shape, true).with_context(context)?;
        table.row(plain.cells(shape, &counted));
        bench.progress.done();
    }
    table.note(
        "Bytes between nodes, both ways, with acknowledgements and heartbeats, without headers of TCP and IP; pieces are reads from a \
         socket. They are counted by relays, in a round of their own; CPU is measured without those.",
    );
    table.note("Nodes without peers: what the requests alone cost. CPU of a HAProxy has its part in both.");
    table.note(
        "In a mesh and with a relay each node counts in a table of its own and has those of all others; with a hub it has its own and \
         the sums. At the end the sum of every key at every node was compared with the requests counted (without peers: its own).",
    );
    Ok(Outcome { tables: vec![table], goals: Vec::new() })
}

impl Round {
    fn cells(&self, shape: Shape, counted: &Self) -> Vec<String> {
        let dash = || "–".to_owned();
        let per_request = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.requests as f64;
        let of_a_core =
            |cpu: Duration| format!("{:.1} %", 100.0 * cpu.as_secs_f64() / self.wall.as_secs_f64());
        let nodes: Duration = self.nodes.iter().sum();
        let most = self.nodes.iter().max().copied().unwrap_or_default();
        let passed = |part: u64| format!("{:.1}", part as f64 / counted.requests as f64);
        vec![
            shape.label().to_owned(),
            self.connections.to_string(),
            if shape == Shape::Alone { dash() } else { passed(counted.passed.0) },
            if shape == Shape::Alone { dash() } else { passed(counted.passed.1) },
            format!("{:.1}", per_request(nodes)),
            self.stickd.map_or_else(dash, |cpu| format!("{:.1}", per_request(cpu))),
            format!("{:.1}", per_request(nodes + self.stickd.unwrap_or_default())),
            of_a_core(most),
            self.stickd.map_or_else(dash, of_a_core),
            format!("{:.0} %", 100.0 * self.foreign),
            of_a_core(self.driver),
        ]
    }
}

fn name(node: usize) -> String {
    format!("lb{node}")
}

/// Everybody at work.
struct Cluster {
    nodes: Vec<Node>,
    stickd: Option<StickdProcess>,
    clients: Vec<Client>,
    passed: Passed,
    /// Where everybody listens for peers.
    listening: Vec<SocketAddr>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.passed.stop();
    }
}

fn start(bench: &Bench, size: Size, shape: Shape, through_relays: bool) -> Result<Cluster> {
    let passed = Passed::default();
    let own: Vec<SocketAddr> = (0..size.nodes).map(|_| ports::free_address()).collect();
    let own_stickd = ports::free_address();
    // Where others find somebody.
    let seen = |address: SocketAddr| if through_relays { passed.relay(address) } else { Ok(address) };
    let others: Vec<(String, SocketAddr)> = own
        .iter()
        .enumerate()
        .map(|(node, &address)| Ok((name(node), seen(address)?)))
        .collect::<Result<_>>()?;
    let arguments = arguments(size.keys);
    let (tables, _) = shape.tables(size.nodes);
    let config = match shape {
        Shape::Alone | Shape::Mesh => None,
        Shape::Hub => {
            let nodes: Vec<_> = others.iter().map(|(name, address)| (name.clone(), Some(*address))).collect();
            Some((HUB, cluster::hub_config(own_stickd, &nodes, size.keys)))
        }
        Shape::Relay => {
            let nodes: Vec<_> = others.iter().map(|(name, address)| (name.as_str(), *address)).collect();
            let lines = tables.iter().map(|table| format!("  table {table} {arguments}\n"));
            let config = stickd::config(own_stickd, &nodes) + "  relay\n" + &lines.collect::<String>();
            Some(("stickd", config))
        }
    };
    let stickd = config.as_ref().map(|(_, config)| bench.stickd()?.start_stickd(config)).transpose()?;
    let middle = config.map(|(name, _)| Ok::<_, anyhow::Error>((name.to_owned(), seen(own_stickd)?)));
    let middle: Vec<_> = middle.into_iter().collect::<Result<_>>()?;
    let (mut nodes, mut clients) = (Vec::new(), Vec::new());
    for (node, &address) in own.iter().enumerate() {
        let peers: Vec<_> = match shape {
            Shape::Alone => Vec::new(),
            Shape::Mesh => others.iter().filter(|(other, _)| *other != name(node)).cloned().collect(),
            Shape::Relay | Shape::Hub => middle.clone(),
        };
        let config = cluster::node_config(&name(node), address, &peers, &tables, &arguments);
        let config = counting(config, &local(&shape.counted(node)));
        nodes.push(bench.newest_haproxy()?.start_node(&config)?);
        clients.push(Client::connect(config.http_address(), CONNECTIONS)?);
    }
    let listening = own.into_iter().chain([own_stickd]).collect();
    Ok(Cluster { nodes, stickd, clients, passed, listening })
}

fn measure(bench: &Bench, size: Size, shape: Shape, through_relays: bool) -> Result<Round> {
    let mut cluster = start(bench, size, shape, through_relays)?;
    let stickd = cluster.stickd.as_ref().map(|stickd| Watched(stickd.pid()));
    let watched: Vec<Watched> = cluster.nodes.iter().map(|node| node.usage).collect();
    thread::sleep(LEARNED);
    // Every key once at every node, so that all sums are sums.
    for client in &mut cluster.clients {
        client.count_all(0..size.keys, || Ok(()))?;
    }
    verify(&cluster, size, shape, 0, CONNECTED)?;
    thread::sleep(Duration::from_secs(1));

    let requests = size.rate * size.seconds;
    let cpu = || -> Result<(Vec<Duration>, Option<Duration>)> {
        let nodes = watched.iter().map(|node| node.cpu()).collect::<Result<_>>()?;
        Ok((nodes, stickd.map(Watched::cpu).transpose()?))
    };
    let pause = Duration::from_secs(1) / u32::try_from(size.rate)?;
    let (before, driver, passed) = (cpu()?, thread_cpu(), cluster.passed.so_far());
    let (foreign, started) = (Foreign::start()?, Instant::now());
    for number in 0..requests {
        thread::sleep((started + pause * number as u32).saturating_duration_since(Instant::now()));
        let client = &mut cluster.clients[node_of(number, size)];
        client.drain()?;
        client.send(number % size.keys)?;
    }
    cluster.clients.iter_mut().try_for_each(|client| client.wait(0, || Ok(())))?;
    // The last of it is on its way.
    thread::sleep(Duration::from_millis(200));
    let (wall, driver) = (started.elapsed(), thread_cpu() - driver);
    let after = cpu()?;
    let so_far = cluster.passed.so_far();
    let nodes: Vec<Duration> =
        after.0.iter().zip(&before.0).map(|(after, before)| *after - *before).collect();
    let stickd = after.1.zip(before.1).map(|(after, before)| after - before);
    let foreign = foreign.share(nodes.iter().sum::<Duration>() + stickd.unwrap_or_default())?;
    verify(&cluster, size, shape, requests, SETTLE)?;
    let connections = established(&cluster.listening)?;
    let passed = (so_far.0 - passed.0, so_far.1 - passed.1);
    Ok(Round { connections, nodes, stickd, driver, wall, foreign, passed, requests })
}

/// Connections to these addresses, as the operating system lists them.
fn established(listening: &[SocketAddr]) -> Result<usize> {
    let text = fs::read_to_string("/proc/net/tcp").context("cannot read /proc/net/tcp")?;
    let ports: Vec<u16> = listening.iter().map(SocketAddr::port).collect();
    let is_one = |line: &str| -> Option<bool> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let port = u16::from_str_radix(words.next()?.rsplit(':').next()?, 16).ok()?;
        Some(ports.contains(&port) && words.nth(1)? == ESTABLISHED)
    };
    Ok(text.lines().skip(1).filter(|line| is_one(line) == Some(true)).count())
}

/// The node that gets a request: another one for the same key each time round.
fn node_of(number: u64, size: Size) -> usize {
    ((number + number / size.keys) % size.nodes as u64) as usize
}

/// Waits until every node holds the sums of what was counted.
fn verify(cluster: &Cluster, size: Size, shape: Shape, requests: u64, limit: Duration) -> Result<()> {
    let mut counted = vec![vec![1_u32; size.keys as usize]; size.nodes];
    for number in 0..requests {
        counted[node_of(number, size)][(number % size.keys) as usize] += 1;
    }
    let sums: Vec<u32> =
        (0..size.keys as usize).map(|key| counted.iter().map(|counted| counted[key]).sum()).collect();
    let tables: Vec<String> = shape.tables(size.nodes).1.iter().map(|table| local(table)).collect();
    for (number, node) in cluster.nodes.iter().enumerate() {
        let expected = if shape == Shape::Alone { &counted[number] } else { &sums };
        proof::wait_for(&name(number), &node.cli, &tables, expected, limit, || Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_are_counted_once() {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(established(&[at]).unwrap(), 0);
        let clients = [(); 3].map(|()| (TcpStream::connect(at).unwrap(), listener.accept().unwrap()));
        assert_eq!(established(&[at]).unwrap(), 3);
        drop(clients);
    }

    #[test]
    fn every_node_gets_every_key() {
        let size = Size { nodes: 3, keys: 4, rate: 1, seconds: 1 };
        let of_key_two: Vec<usize> = (0..3).map(|round| node_of(2 + round * 4, size)).collect();
        assert_eq!(of_key_two, [2, 1, 0]);
    }
}
