//! Hubs and their nodes: configurations, sessions of scripted nodes.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Cli, Config, ports};

use crate::learn::attempt;
use crate::link::Link;

use super::listener::{Heard, Listener};
use super::{HUB, SECTION, definition};

/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
pub(super) const CONNECTED: Duration = Duration::from_secs(40);
/// A new HAProxy waits twice 5 s for lessons of others. What it counted meanwhile may be taught back to it as it was before, and so be
/// lost: nothing is counted before that is over.
pub(super) const LEARNED: Duration = Duration::from_secs(12);
/// Longest wait for the requests for lessons of somebody new.
const GREETING: Duration = Duration::from_secs(10);
/// How long a session must last to count as established for good, and how often to connect for that.
const SETTLED: Duration = Duration::from_millis(300);
const ATTEMPTS: usize = 5;
/// Connections of clients to each HAProxy.
pub(super) const CONNECTIONS: usize = 4;

/// A reading thread.
pub(super) type Reader = JoinHandle<Result<()>>;

/// The configuration of a hub of these nodes; those without an address connect themselves.
pub(super) fn hub_config(own: SocketAddr, nodes: &[(String, Option<SocketAddr>)], keys: u64) -> String {
    let mut config = format!(
        "global\n  localpeer {HUB}\n  stats socket unix@{SOCKET} level admin\n\
         aggregations {SECTION}\n  peer {HUB} {own} local\n"
    );
    for (name, address) in nodes {
        let address = address.map(|it| it.to_string()).unwrap_or_default();
        config.push_str(format!("  peer {name} {address}").trim_end());
        config.push('\n');
    }
    // Nodes that are gone count on: some scenarios have many that told something and few sessions.
    config + &format!("  from any to .agg\n  tables size {} memory 4000m\n  node-timeout 1h\n", 2 * keys)
}

/// A HAProxy with these peers and tables, and HTTP.
pub(super) fn node_config(
    name: &str,
    own: SocketAddr,
    others: &[(String, SocketAddr)],
    tables: &[String],
    arguments: &str,
) -> Config {
    let config = Config::new(name).peer(name, own);
    let config = others.iter().fold(config, |config, (name, address)| config.peer(name, *address));
    let config =
        tables.iter().fold(config, |config, table| config.peers_line(format!("table {table} {arguments}")));
    config.http(ports::free_address(), ports::free_address())
}

/// Name of a table of a peers section on the runtime socket of its HAProxy.
pub(super) fn local(table: &str) -> String {
    format!("p/{table}")
}

/// Opens a session as a scripted node that has nothing to teach.
pub(super) fn join(address: SocketAddr, target: &str, own: &str) -> Result<Link> {
    attempt(ATTEMPTS, || {
        let mut link = Link::connect(address, target, own, Some(&definition()))?;
        link.listen(SETTLED)?;
        Ok(link)
    })
}

/// Opens sessions as scripted nodes, and waits until each has been asked for a lesson and that is confirmed, for a while.
pub(super) fn join_all(address: SocketAddr, target: &str, names: &[String]) -> Result<Vec<Link>> {
    let connect = |name: &String| Link::connect(address, target, name, Some(&definition()));
    let mut links = names.iter().map(connect).collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + GREETING;
    while links.iter().any(|link| link.heard().confirms == 0) && Instant::now() < deadline {
        links.iter_mut().try_for_each(|link| link.listen(Duration::from_millis(1)))?;
    }
    Ok(links)
}

/// Starts to read.
pub(super) fn listen(listener: Listener) -> Reader {
    thread::spawn(move || listener.run())
}

/// Ends a reading thread; an error is what went wrong in it.
pub(super) fn stop(reader: Reader, heard: &Heard) -> Result<()> {
    heard.stop();
    reader.join().map_err(|_| anyhow!("the reading thread panicked"))?
}

/// A number of `show aggregations` of the only source, e.g. `bytes`.
pub(super) fn shown(cli: &Cli, field: &str) -> Result<u64> {
    let answer = cli.try_run("show aggregations")?;
    let line = answer.lines().find(|line| line.trim_start().starts_with("table="));
    let value =
        line.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix(&format!("{field}="))));
    value
        .and_then(|value| value.parse().ok())
        .with_context(|| format!("`show aggregations` does not say {field}: {answer}"))
}
