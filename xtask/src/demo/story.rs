//! What happens to a table that three share, step by step.

use super::cluster::Cluster;
use super::comparison::Comparison;
use super::snapshot::{Snapshot, TABLE, View};
use super::stage::{Stage, Watched};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stickd_testkit::http::{self, Traffic};

/// A client that comes once, at the start: its remaining lifetime runs down while the others' are renewed.
const VISITOR: &str = "192.0.2.9";

/// How long the traffic lasts.
const TRAFFIC: Duration = Duration::from_secs(10);

/// HAProxy takes lessons until 5 s after its start; what it counts before may be overwritten by what another knew earlier.
const SETTLED: Duration = Duration::from_secs(6);

/// Steps 1 to 5.
pub(super) fn tell(stage: &mut Stage<Cluster>) -> Result<()> {
    start(stage)?;
    let counted = traffic(stage)?;
    let before = crash(stage)?;
    come_back(stage, &before)?;
    hand_over(stage, &counted)
}

fn start(stage: &mut Stage<Cluster>) -> Result<()> {
    stage.screen.step("three members of one peers section start");
    stage.screen.say("Each of the three has this section, and a table of the same definition:");
    for line in stage.cluster.section().lines() {
        stage.screen.say(&format!("    {line}"));
    }
    stage.screen.say("See for yourself while this runs:");
    for (_, socket) in stage.cluster.sockets() {
        stage.screen.command(&format!(
            "echo 'show table {TABLE}; show peers' | socat - UNIX-CONNECT:{}",
            socket.display()
        ));
    }
    stage
        .screen
        .say("HAProxy waits five seconds for a predecessor to teach it, then asks the other members.");
    let begun = Instant::now();
    stage.watch_until("every member to have a session with both others", |_, snapshot| {
        begun.elapsed() >= SETTLED && everybody_connected(snapshot)
    })?;
    Ok(())
}

/// Returns how many requests each client made.
fn traffic(stage: &mut Stage<Cluster>) -> Result<BTreeMap<String, u64>> {
    let (lb1, lb2) = (stage.cluster.lb1.http_address(), stage.cluster.lb2.http_address());
    stage.screen.step("traffic through both HAProxys, counted everywhere");
    stage.screen.say("reqs = http_req_cnt, rate = http_req_rate(10s), left = remaining lifetime. By hand:");
    stage.screen.command(&format!("curl -H 'x-key: 192.0.2.1' http://{lb1}/shop"));
    stage.screen.command(&format!("curl -H 'x-key: 192.0.2.66' http://{lb2}/login     # counts in gpc0 too"));
    visit(stage, 5)?;
    let sources = [
        Traffic::start(lb1, "/shop", &["192.0.2.1", "192.0.2.2"], 12),
        Traffic::start(lb2, "/shop", &["192.0.2.3"], 8),
        Traffic::start(lb2, "/login", &["192.0.2.66"], 5),
    ];
    stage.watch(TRAFFIC)?;
    let mut counted = BTreeMap::from([(VISITOR.to_owned(), 5)]);
    for counts in sources.map(Traffic::stop) {
        let answered: u64 = counts.by_key.values().sum();
        ensure!(
            answered == counts.sent(),
            "{} of {} requests were not answered 200",
            counts.sent() - answered,
            counts.sent()
        );
        counted.extend(counts.by_key);
    }
    stage.screen.say("The traffic has stopped; from here on the lifetimes run down.");
    let counted_by = |view: &View| counted.iter().all(|(key, &count)| view.requests(key) == Some(count));
    let agreed = stage.watch_until("all members to count the requests sent", |_, snapshot| {
        snapshot.0.iter().all(counted_by)
    });
    let total: u64 = counted.values().sum();
    let what = format!("lb1, lb2 and stickd each count the {total} requests of {} clients", counted.len());
    stage.check(&what, agreed.is_ok());
    agreed?;
    Ok(counted)
}

/// Returns what the members held when all were well.
fn crash(stage: &mut Stage<Cluster>) -> Result<Snapshot> {
    let (lb1, lb2) = (stage.cluster.lb1.pid(), stage.cluster.lb2.pid());
    stage.screen.step("lb2 stops and lb1 crashes: stickd alone remembers");
    stage.screen.command(&format!("kill {lb2}; kill -9 {lb1}"));
    let before = stage.cluster.snapshot();
    stage.cluster.lb2.stop();
    stage.cluster.lb1.kill9();
    let alone = stage.watch(Duration::from_secs(3))?;
    let pass = alone.of("lb1").entries.is_none()
        && alone.of("lb2").entries.is_none()
        && Comparison::new(before.of("stickd"), alone.of("stickd")).passes();
    stage.check("both HAProxys are gone, stickd keeps every entry", pass);
    Ok(before)
}

fn come_back(stage: &mut Stage<Cluster>, before: &Snapshot) -> Result<()> {
    stage.screen.step("lb1 and lb2 start again, empty, and are taught by stickd");
    for name in ["lb1", "lb2"] {
        let log_length = stage.cluster.stickd.daemon().log().len();
        let begun = Instant::now();
        let process = if name == "lb1" { &mut stage.cluster.lb1 } else { &mut stage.cluster.lb2 };
        process.restart();
        let (pid, program) = (process.pid(), process.release().program());
        let (first, after) = (View::take(name, &process.cli()), begun.elapsed().as_millis());
        stage.screen.command(&format!("{} -L {name} -f haproxy.cfg", program.display()));
        stage.screen.say(&format!(
            "{name}: new process {pid}, {} entries at the first look, {after} ms after its start",
            first.count()
        ));
        let wanted = before.of(name).count();
        let taught = stage.watch_until(&format!("{name} to be taught its entries"), |_, snapshot| {
            snapshot.of(name).count() >= wanted
        })?;
        stage.screen.say("What stickd's log says of its lesson:");
        log(stage, log_length, name);
        stage.screen.say(&format!("{name} before it went, and now:"));
        let what = format!("{name} has its {wanted} entries back, counters equal, lifetimes within 1 s");
        compare(stage, before.of(name), taught.of(name), &what);
    }
    let begun = Instant::now();
    stage.watch_until("every member to have a session with both others", |_, snapshot| {
        begun.elapsed() >= SETTLED && everybody_connected(snapshot)
    })?;
    Ok(())
}

/// Shows what stickd printed of a peer's lesson after the first `from` bytes.
fn log(stage: &mut Stage<Cluster>, from: usize, peer: &str) {
    let text = stage.cluster.stickd.daemon().log();
    let of_peer = format!("peer=\"{peer}\"");
    let tells = |line: &&str| line.contains(&of_peer) && line.contains("lesson");
    for line in text.get(from..).unwrap_or_default().lines().filter(tells) {
        // Without the date: hours, minutes and seconds say enough.
        stage.screen.say(&format!("    {}", line.split_once('T').map_or(line, |(_, rest)| rest)));
    }
}

fn hand_over(stage: &mut Stage<Cluster>, counted: &BTreeMap<String, u64>) -> Result<()> {
    let old_pid = stage.cluster.stickd.pid();
    stage.screen.step("stickd is replaced by a new process, as in an upgrade");
    stage.screen.command(&format!("stickd run -f stickd.cfg -sf {old_pid}"));
    let before = stage.cluster.snapshot();
    let old = stage.cluster.hand_over()?;
    let wanted = before.of("stickd").count();
    let after = stage.watch_until("the new stickd to be taught and the old one to end", |_, snapshot| {
        !old.is_running() && snapshot.of("stickd").count() >= wanted
    })?;
    let new_pid = stage.cluster.stickd.pid();
    stage.screen.say(&format!(
        "old process {old_pid} has ended, new process {new_pid} serves; stickd before and now:"
    ));
    let what = format!("stickd {old_pid} → {new_pid} kept {wanted} entries, lifetimes within 1 s");
    compare(stage, before.of("stickd"), after.of("stickd"), &what);
    stage.screen.say(&format!("Three more requests of {VISITOR} through lb1 reach the new process:"));
    visit(stage, 3)?;
    let expected = counted.get(VISITOR).map(|count| count + 3);
    let flows = stage.watch_until("sessions and updates to flow again", |_, snapshot| {
        snapshot.0.iter().all(|view| view.requests(VISITOR) == expected && view.connected_to(2))
    });
    stage.check("all sessions are back and updates reach the new process", flows.is_ok());
    flows?;
    stage.watch(Duration::from_secs(3))?;
    Ok(())
}

fn compare(stage: &mut Stage<Cluster>, before: &View, after: &View, what: &str) {
    let comparison = Comparison::new(before, after);
    for line in comparison.lines(stage.screen.paint) {
        stage.screen.say(&line);
    }
    stage.check(what, comparison.passes());
}

fn everybody_connected(snapshot: &Snapshot) -> bool {
    snapshot.0.iter().all(|view| view.connected_to(2))
}

/// Requests of the visitor through lb1.
fn visit(stage: &Stage<Cluster>, times: u64) -> Result<()> {
    for _ in 0..times {
        let answer = http::get(stage.cluster.lb1.http_address(), "/shop", &[("x-key", VISITOR)])?;
        ensure!(answer.status == 200, "lb1 answered {}", answer.status);
    }
    Ok(())
}
