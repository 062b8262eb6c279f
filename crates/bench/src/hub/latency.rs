//! How soon a request on one HAProxy is part of the sum on another: through a hub, and beside it one hop between HAProxys.
//!
//! Requests come at a steady rate on one HAProxy, whether they are answered or not. A scripted node listens to the same one as the
//! other HAProxy does and notes when each sum comes; the other HAProxy itself is asked again and again about a few of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use hdrhistogram::Histogram;
use stickd_testkit::{Config, ports};

use crate::goals::{Goal, Unit};
use crate::plan::Scenario;
use crate::refuser;
use crate::report::{Table, count};
use crate::run::{Bench, Outcome};
use crate::subject::Node;
use crate::usage::{Foreign, Watched, thread_cpu};

use super::cluster::{self, CONNECTED, CONNECTIONS, LEARNED, local};
use super::http::{Client, counting};
use super::listener::Listener;
use super::poller::{self, Sample};
use super::schedule::Schedule;
use super::writer::Writer;
use super::{HUB, RESULT, SECTION, SOURCE, WIRE_RESULT, WIRE_SOURCE, arguments, proof};

/// The scripted node.
const WATCH: &str = "watch";
/// The other HAProxy is asked about each request whose number is a multiple of this.
const SAMPLE: u64 = 50;
/// Every so many keys one has been counted by the other HAProxy as well, with a hub.
const SHARED: usize = 2;
/// Longest wait for the last sums.
const SETTLE: Duration = Duration::from_secs(20);

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Size {
    keys: u64,
    /// Requests a second, and for how many seconds.
    rate: u64,
    seconds: u64,
}

/// What was measured.
struct Round {
    /// From sending a request to its sum on the wire, and to the answer of the other HAProxy, in µs.
    wire: Histogram<u64>,
    read: Histogram<u64>,
    /// How long the other HAProxy takes to answer such a question, in µs.
    asking: Histogram<u64>,
    requests: u64,
    /// CPU of the hub.
    hub: Option<Duration>,
    driver: Duration,
    wall: Duration,
    foreign: f64,
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let size = if bench.plan.quick {
        Size { keys: 20_000, rate: 500, seconds: 6 }
    } else {
        Size { keys: 100_000, rate: 2_000, seconds: 30 }
    };
    let title = format!(
        "Hub, latency: {} requests/s over {} keys on one {}",
        count(size.rate),
        count(size.keys),
        bench.newest_haproxy()?.label()
    );
    let header = ["way", "until", "p50 µs", "p90 µs", "p99 µs", "max µs", "seen of sent"];
    let mut table = Table::new(title, &header);
    let mut goals = Vec::new();
    for hub in [false, true] {
        bench.progress.begin(format!("{}, hub: {hub}", Scenario::HubLatency.label()));
        let round = measure(bench, size, hub).with_context(|| Scenario::HubLatency.label())?;
        let way = if hub { "HAProxy, hub, HAProxy" } else { "HAProxy, HAProxy" };
        table.row(cells(way, "on the wire", &round.wire, round.requests));
        table.row(cells(way, "an ACL reads it", &round.read, round.requests.div_ceil(SAMPLE)));
        let of_a_core = |cpu: Duration| 100.0 * cpu.as_secs_f64() / round.wall.as_secs_f64();
        let hub_cpu = round.hub.map(|cpu| format!("the hub used {:.0} % of a core, ", of_a_core(cpu)));
        table.note(format!(
            "{way}: {}the driver {:.0} %, others {:.0} % of the machine; an answer takes {} µs (p50).",
            hub_cpu.unwrap_or_default(),
            of_a_core(round.driver),
            100.0 * round.foreign,
            round.asking.value_at_quantile(0.5)
        ));
        let mut goal = |work: &str, share: f64, limit: f64| {
            let reached = round.wire.value_at_quantile(share) as f64;
            let stickd = if hub { format!("{reached:.0} µs") } else { "–".to_owned() };
            let (at_least, aim) = (limit, limit);
            let other = "–".to_owned();
            goals.push(Goal {
                work: work.to_owned(),
                other,
                stickd,
                reached,
                at_least,
                aim,
                unit: Unit::Microseconds,
            });
        };
        if hub {
            goal("p50 through a hub, on the wire", 0.5, 200.0);
            goal("p99 through a hub, on the wire", 0.99, 1_000.0);
        } else {
            goal("p50 of one hop of HAProxy alone, on the wire", 0.5, 60.0);
        }
        bench.progress.done();
    }
    table.note(format!(
        "From when a request is written to when a scripted node has read the sum from its socket; every {SAMPLE}th: to when the \
         answer of the other HAProxy, which is asked again and again, says that its ACL reads the sum."
    ));
    table.note("At the end every sum was compared with the requests counted: at the hub, at both HAProxys and at the scripted node.");
    Ok(Outcome { tables: vec![table], goals })
}

fn cells(way: &str, until: &str, latency: &Histogram<u64>, sent: u64) -> Vec<String> {
    let quantile = |share: f64| latency.value_at_quantile(share).to_string();
    let seen = format!("{:.1} %", 100.0 * latency.len() as f64 / sent as f64);
    let mut cells = vec![way.to_owned(), until.to_owned()];
    cells.extend([0.5, 0.9, 0.99, 1.0].map(quantile));
    cells.push(seen);
    cells
}

/// The two HAProxys' configurations, with the addresses at which they are peers and at which they are asked.
fn configs(
    size: Size,
    own: [SocketAddr; 2],
    asked: [SocketAddr; 2],
    hub: Option<SocketAddr>,
) -> Result<[Config; 2]> {
    let table = arguments(size.keys);
    let names = ["lb1", "lb2"];
    let config = |at: usize| -> Result<Config> {
        let mut others = Vec::new();
        let mut tables = vec![SOURCE.to_owned()];
        if let Some(hub) = hub {
            others.push((HUB.to_owned(), hub));
            tables.push(RESULT.to_owned());
        } else {
            others.push((names[1 - at].to_owned(), own[1 - at]));
            others.push((WATCH.to_owned(), refuser::address()?));
        }
        let read = local(tables.last().expect("two tables at most"));
        let config = cluster::node_config(names[at], own[at], &others, &tables, &table);
        Ok(poller::answering(counting(config, &local(SOURCE)), asked[at], &read))
    };
    Ok([config(0)?, config(1)?])
}

fn measure(bench: &Bench, size: Size, with_hub: bool) -> Result<Round> {
    let haproxy = bench.newest_haproxy()?;
    let [own_hub, first, second] = [(); 3].map(|()| ports::free_address());
    let nodes = [("lb1", Some(first)), ("lb2", Some(second)), (WATCH, None)];
    let nodes = nodes.map(|(name, address)| (name.to_owned(), address));
    let hub = with_hub
        .then(|| bench.stickd()?.start_stickd(&cluster::hub_config(own_hub, &nodes, size.keys)))
        .transpose()?;
    let asked = [(); 2].map(|()| ports::free_address());
    let configs = configs(size, [first, second], asked, with_hub.then_some(own_hub))?;
    let addresses = [configs[0].http_address(), configs[1].http_address()];
    let nodes = [haproxy.start_node(&configs[0])?, haproxy.start_node(&configs[1])?];

    let requests = size.rate * size.seconds;
    let schedule = Arc::new(Schedule::new(size.keys, requests, 1));
    let link =
        if with_hub { cluster::join(own_hub, HUB, WATCH)? } else { cluster::join(first, "lb1", WATCH)? };
    let table = if with_hub { WIRE_RESULT } else { WIRE_SOURCE };
    let (listener, sockets) = Listener::new(vec![link], table, schedule.clone())?;
    let heard = listener.heard();
    let mut writer = Writer::new(sockets, heard.clone());
    let reader = cluster::listen(listener);

    writer.wait_until(Instant::now() + LEARNED)?;
    // Every key once, so that tables have their size and sums are sums.
    let mut clients = [Client::connect(addresses[0], CONNECTIONS)?, Client::connect(addresses[1], 1)?];
    clients[0].count_all(0..size.keys, || writer.service())?;
    let shared = |key: u64| with_hub && key.is_multiple_of(SHARED as u64);
    clients[1].count_all((0..size.keys).filter(|&key| shared(key)), || writer.service())?;
    (0..size.keys).for_each(|key| schedule.set_before(key, 1 + u32::from(shared(key))));
    let read = [local(if with_hub { RESULT } else { SOURCE })];
    let verify = |writer: &mut Writer, requests: u64, limit: Duration| -> Result<()> {
        let counted: Vec<u32> = (0..size.keys).map(|key| schedule.sum_after(key, requests)).collect();
        writer.settle(&[0], &counted, limit)?;
        for (name, node) in ["lb1", "lb2"].iter().zip(&nodes) {
            proof::wait_for(name, &node.cli, &read, &counted, limit, || writer.service())?;
        }
        if let Some(hub) = &hub {
            let table = [format!("{SECTION}/{RESULT}")];
            proof::wait_for("the hub", &hub.cli(), &table, &counted, limit, || writer.service())?;
        }
        Ok(())
    };
    verify(&mut writer, 0, CONNECTED)?;

    // What was looked at a moment ago must not be under way.
    writer.wait_until(Instant::now() + Duration::from_secs(1))?;
    let usage = hub.as_ref().map(|hub| Watched(hub.pid()));
    let cpu = |usage: &Option<Watched>| usage.map(Watched::cpu).transpose();
    let (samples, taken) = mpsc::channel();
    let poller = thread::spawn(move || poller::run(asked[1], &taken));
    let total = |nodes: &[Node]| nodes.iter().map(|node| node.usage.cpu()).sum::<Result<Duration>>();
    let (before, haproxys) = ((cpu(&usage)?, thread_cpu(), heard.cpu()), total(&nodes)?);
    let (foreign, started) = (Foreign::start()?, Instant::now());
    let pause = Duration::from_secs(1) / u32::try_from(size.rate)?;
    for number in 0..requests {
        writer.wait_until(started + pause * number as u32)?;
        clients[0].drain()?;
        let sent = Instant::now();
        schedule.note(number, sent);
        let key = schedule.key(number);
        clients[0].send(key)?;
        if number % SAMPLE == 0 {
            // The poller ends early only with an error, which is looked at below.
            let _ = samples.send(Sample { key, sum: schedule.sum_with(number), sent });
        }
    }
    clients[0].wait(0, || writer.service())?;
    let wall = started.elapsed();
    let driver = thread_cpu() - before.1 + heard.cpu().saturating_sub(before.2);
    drop(samples);
    let polled = poller.join().map_err(|_| anyhow!("the poller panicked"))??;
    let hub_cpu = match (cpu(&usage)?, before.0) {
        (Some(after), Some(before)) => Some(after - before),
        _ => None,
    };
    let haproxys = total(&nodes)? - haproxys;
    let foreign = foreign.share(hub_cpu.unwrap_or_default() + haproxys)?;
    verify(&mut writer, requests, SETTLE)?;
    let wire = heard.take_latency()?;
    cluster::stop(reader, &heard)?;
    ensure!(wire.len() <= requests, "more sums than requests");
    let driver = driver + polled.cpu;
    Ok(Round {
        wire,
        read: polled.latency,
        asking: polled.asking,
        requests,
        hub: hub_cpu,
        driver,
        wall,
        foreign,
    })
}
