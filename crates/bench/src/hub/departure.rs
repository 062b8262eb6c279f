//! Many nodes that leave a hub at once: what others notice who connect meanwhile.
//!
//! Scripted nodes tell what they know and read nothing. Then all of them close at once, and after `node-timeout` none of what they
//! told counts any more. A visitor opens one session after the other all the time, under a few names, and notes how long the answer to its hello
//! takes; `show peers` is asked as well, which needs the section's lock and nothing else that takes long.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use haproxy_peers::{Control, Hello, ProtocolVersion};
use hdrhistogram::Histogram;
use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Cli, ports};

use crate::goals::{Goal, Unit};
use crate::plan::Scenario;
use crate::report::{Table, count};
use crate::run::{Bench, Outcome};
use crate::usage::Watched;

use super::{HUB, SECTION, cluster, definition, update};

/// Updates in one write of a node.
const CHUNK: u64 = 2_000;
/// Names of visitors.
const VISITORS: usize = 8;
/// Pause between two hellos, and between two commands.
const PAUSE: Duration = Duration::from_millis(2);
/// How long visitors come before the nodes leave.
const QUIET: Duration = Duration::from_secs(3);
/// How long what a node told counts after its session.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait until everything is as it should be.
const SETTLE: Duration = Duration::from_secs(120);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most time that the answer to a hello may take while nodes leave, of all but one in a thousand.
const GOAL_MS: f64 = 50.0;

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Size {
    nodes: usize,
    /// Keys of a node: one half of them known to all nodes, the other one to it alone.
    keys: u64,
}

/// How long answers took, in µs.
struct Answers {
    hellos: Histogram<u64>,
    commands: Histogram<u64>,
}

/// What was measured.
struct Round {
    quiet: Answers,
    leaving: Answers,
    /// From the end of the sessions until nothing of theirs counts any more.
    collected: Duration,
    /// Most resident memory, in bytes, and contributions.
    rss: u64,
    contributions: u64,
}

/// Runs the scenario.
pub(crate) fn run(bench: &Bench) -> Result<Outcome> {
    let size =
        if bench.plan.quick { Size { nodes: 20, keys: 20_000 } } else { Size { nodes: 100, keys: 100_000 } };
    let label = Scenario::HubDeparture.label();
    bench.progress.begin(label.clone());
    let round = measure(bench, size).context(label)?;
    bench.progress.done();
    let title =
        format!("Hub, departure: {} nodes with {} keys each leave at once", size.nodes, count(size.keys));
    let header = ["phase", "answer to", "asked", "p50 ms", "p99 ms", "p99.9 ms", "max ms"];
    let mut table = Table::new(title, &header);
    for (phase, answers) in [("before", &round.quiet), ("while they leave", &round.leaving)] {
        for (what, times) in [("a hello", &answers.hellos), ("show peers", &answers.commands)] {
            let mut cells = vec![phase.to_owned(), what.to_owned(), count(times.len())];
            cells.extend([0.5, 0.99, 0.999, 1.0].map(|share| format!("{:.2}", ms(times, share))));
            table.row(cells);
        }
    }
    table.note(format!(
        "{} contributions; {:.1} s after their sessions ended none counted any more, {:.1} s of that are the node-timeout; \
         RSS {:.0} MiB at most.",
        count(round.contributions),
        round.collected.as_secs_f64(),
        NODE_TIMEOUT.as_secs_f64(),
        round.rss as f64 / f64::from(1 << 20)
    ));
    table.note("`show peers` waits for the section's lock, so its longest answer is no less than the longest hold of that.");
    let reached = ms(&round.leaving.hellos, 0.999);
    let goal = Goal {
        work: format!("p99.9 of the answer to a hello while {} nodes leave", size.nodes),
        other: "–".to_owned(),
        stickd: format!("{reached:.1} ms"),
        reached,
        at_least: GOAL_MS,
        aim: GOAL_MS,
        unit: Unit::Milliseconds,
    };
    Ok(Outcome { tables: vec![table], goals: vec![goal] })
}

fn ms(times: &Histogram<u64>, share: f64) -> f64 {
    times.value_at_quantile(share) as f64 / 1e3
}

fn config(own: SocketAddr, nodes: &[String]) -> String {
    let mut config = format!(
        "global\n  localpeer {HUB}\n  stats socket unix@{SOCKET} level admin\n\
         aggregations {SECTION}\n  peer {HUB} {own} local\n"
    );
    nodes.iter().for_each(|name| config.push_str(&format!("  peer {name}\n")));
    let timeout = NODE_TIMEOUT.as_secs();
    config
        + &format!(
            "  from any to .agg\n  tables size 8m memory 0\n  dynamic-peers\n  node-timeout {timeout}s\n"
        )
}

fn measure(bench: &Bench, size: Size) -> Result<Round> {
    let own = ports::free_address();
    let names: Vec<String> = (0..size.nodes).map(|number| format!("node{number}")).collect();
    let hub = bench.stickd()?.start_stickd(&config(own, &names))?;
    let (cli, watched) = (hub.cli(), Watched(hub.pid()));
    let mut nodes = names.iter().map(|name| greet(own, name)).collect::<Result<Vec<_>>>()?;
    tell(&mut nodes, size)?;
    let told = size.nodes as u64 * size.keys;
    wait_for(&cli, &mut nodes, |contributions| contributions == told)
        .with_context(|| format!("{told} contributions were told"))?;
    let contributions = cluster::shown(&cli, "contributions")?;
    let quiet = observe(own, &cli, || {
        let end = Instant::now() + QUIET;
        while Instant::now() < end {
            thread::sleep(QUIET / 10);
            heartbeats(&mut nodes)?;
        }
        Ok(())
    })?;
    let rss = watched.rss()?;
    let mut collected = Duration::ZERO;
    let leaving = observe(own, &cli, || {
        let left = Instant::now();
        nodes.clear();
        wait_for(&cli, &mut nodes, |contributions| contributions == 0).context("all nodes have left")?;
        collected = left.elapsed();
        // What is published of that is pushed as well.
        thread::sleep(QUIET);
        Ok(())
    })?;
    ensure!(collected >= NODE_TIMEOUT, "what nodes told ended after {collected:?}, before their time");
    let rss = rss.max(watched.rss()?);
    Ok(Round { quiet: quiet.0, leaving: leaving.0, collected, rss, contributions })
}

/// Opens a session.
fn greet(address: SocketAddr, name: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (target, sender) = (HUB.to_owned(), name.to_owned());
    let pid = std::process::id();
    let mut bytes = Vec::new();
    Hello { version: ProtocolVersion::V2_1, target, sender, pid, relative_pid: 1 }.encode(&mut bytes)?;
    stream.write_all(&bytes)?;
    let mut status = [0; 4];
    stream.read_exact(&mut status).with_context(|| format!("{name} got no answer to its hello"))?;
    ensure!(status == *b"200\n", "{name} was refused with {:?}", String::from_utf8_lossy(&status));
    Ok(stream)
}

/// All nodes tell what they know, in turns.
fn tell(nodes: &mut [TcpStream], size: Size) -> Result<()> {
    nodes.iter_mut().try_for_each(|node| node.write_all(&definition()))?;
    let mut bytes = Vec::new();
    for first in (0..size.keys).step_by(CHUNK as usize) {
        for (number, node) in nodes.iter_mut().enumerate() {
            bytes.clear();
            for at in first..size.keys.min(first + CHUNK) {
                // Every second key is the node's alone.
                let key = if at % 2 == 0 { at / 2 } else { (number as u64 + 1) * size.keys + at / 2 };
                update(at as u32 + 1, key, 7, &mut bytes);
            }
            node.write_all(&bytes).with_context(|| format!("the hub took nothing from node {number}"))?;
        }
    }
    Ok(())
}

fn heartbeats(nodes: &mut [TcpStream]) -> Result<()> {
    let mut bytes = Vec::new();
    Control::Heartbeat.encode(&mut bytes);
    nodes.iter_mut().try_for_each(|node| node.write_all(&bytes)).context("the hub closed a session")
}

/// Waits until the hub has so many contributions; those nodes that have a session give signs of life.
fn wait_for(cli: &Cli, nodes: &mut [TcpStream], is_it: impl Fn(u64) -> bool) -> Result<()> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let contributions = cluster::shown(cli, "contributions")?;
        if is_it(contributions) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the hub has {contributions} contributions after {SETTLE:?}");
        heartbeats(nodes)?;
        thread::sleep(Duration::from_millis(100));
    }
}

/// What visitors notice while something is done.
fn observe<T>(address: SocketAddr, cli: &Cli, act: impl FnOnce() -> Result<T>) -> Result<(Answers, T)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let visits = scope.spawn(|| {
            repeat(&stop, |number| greet(address, &format!("visitor{}", number % VISITORS)).map(drop))
        });
        let commands =
            scope.spawn(|| repeat(&stop, |_| cli.try_run("show peers").map(drop).map_err(Into::into)));
        let done = act();
        stop.store(true, Ordering::Relaxed);
        let hellos = visits.join().map_err(|_| anyhow!("the visitor panicked"))??;
        let commands = commands.join().map_err(|_| anyhow!("who asks panicked"))??;
        Ok((Answers { hellos, commands }, done?))
    })
}

/// Does something again and again, and notes how long it takes.
fn repeat(stop: &AtomicBool, mut act: impl FnMut(usize) -> Result<()>) -> Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        act(number)?;
        times.record(u64::try_from(started.elapsed().as_micros())?)?;
        thread::sleep(PAUSE);
    }
    ensure!(!times.is_empty(), "nothing was answered");
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// A hub of a few lines that answers hellos, the second one late.
    fn slow_hub(late: Duration) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().take(3).enumerate() {
                if number == 1 {
                    thread::sleep(late);
                }
                stream.unwrap().write_all(b"200\n").unwrap();
            }
        });
        address
    }

    #[test]
    fn an_answer_that_is_late_is_seen() {
        let late = Duration::from_millis(80);
        let address = slow_hub(late);
        let stop = AtomicBool::new(false);
        let times = repeat(&stop, |number| {
            stop.store(number == 2, Ordering::Relaxed);
            greet(address, "v").map(drop)
        });
        let times = times.unwrap();
        assert_eq!(times.len(), 3);
        assert!(ms(&times, 1.0) >= 79.0, "{} ms", ms(&times, 1.0));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.accept().unwrap().0.write_all(b"503\n").unwrap());
        let fault = greet(address, "v").unwrap_err().to_string();
        assert!(fault.contains("v was refused with \"503"), "{fault}");
    }
}
