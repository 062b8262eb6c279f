//! What happens to a limit that two hold together, step by step.

use super::cluster::{Cluster, LIMIT, OWN_LIMIT};
use super::visits::{Visits, visit};
use crate::demo::stage::Stage;
use anyhow::Result;
use std::time::{Duration, Instant};

/// The client that is limited.
const CLIENT: &str = "192.0.2.1";

/// One that comes when the hub is gone.
const LATECOMER: &str = "192.0.2.2";

/// What is served of [`CLIENT`] by each node, [`LIMIT`] in all.
const SERVED: [u64; 2] = [6, 4];

/// Steps 6 to 9.
pub(in crate::demo) fn tell(stage: &mut Stage<Cluster>) -> Result<()> {
    start(stage)?;
    limit(stage)?;
    crash(stage)?;
    fall_back(stage)?;
    stage.cluster.stop();
    Ok(())
}

fn start(stage: &mut Stage<Cluster>) -> Result<()> {
    stage.screen.step("two other HAProxys that do not know each other, and a hub that sums what they count");
    stage.screen.say("The hub has this section:");
    for line in stage.cluster.section().lines() {
        stage.screen.say(&format!("    {line}"));
    }
    stage.screen.say("lb1 has these lines, lb2 the same; the hub itself fills p/clients.agg and p/hub:");
    for line in stage.cluster.rules().lines() {
        stage.screen.say(&format!("    {line}"));
    }
    stage.screen.say("See for yourself while this runs:");
    let node = stage.cluster.nodes[0].directory().join("haproxy.sock");
    let hub = stage.cluster.hub.directory().join(stickd_testkit::stickd::SOCKET);
    let node_commands = "show table p/clients; show table p/clients.agg; show table p/hub";
    stage.screen.command(&format!("echo '{node_commands}' | socat - UNIX-CONNECT:{}", node.display()));
    stage.screen.command(&format!("echo 'show aggregations' | socat - UNIX-CONNECT:{}", hub.display()));
    stage
        .screen
        .say("The hub tells no sums before its nodes told all they know, for up to five seconds; until then");
    stage.screen.say("each HAProxy would hold a limit of its own.");
    let begun = Instant::now();
    stage.watch_until("both HAProxys to read that the sums are whole", |_, snapshot| snapshot.is_whole())?;
    let seconds = begun.elapsed().as_secs_f32();
    stage.screen.say(&format!("The sums are whole, and both HAProxys know that, after {seconds:.1} s."));
    Ok(())
}

fn limit(stage: &mut Stage<Cluster>) -> Result<()> {
    stage.screen.step(&format!("requests of one client by turns, until {LIMIT} of all nodes are reached"));
    for node in &stage.cluster.nodes {
        stage.screen.command(&format!("curl -H 'x-key: {CLIENT}' http://{}/shop", node.http_address()));
    }
    // A limit that did not hold is to be seen as well.
    let visits = Visits::start(&stage.cluster.nodes, CLIENT, 2 * LIMIT);
    let last = stage.watch_until("the requests to end", |_, _| visits.is_over())?;
    let answers = visits.finish()?;
    for (number, statuses) in (1..).zip(&answers.statuses) {
        let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
        stage.screen.say(&format!("lb{number} answered {}", statuses.join(" ")));
    }
    let longest = answers.known_after.iter().max().copied().unwrap_or_default();
    stage.screen.say(&format!(
        "A new sum was known to both HAProxys after {} ms at the most.",
        longest.as_millis().max(1)
    ));
    let own = [0, 1].map(|node| last.own(node, CLIENT).unwrap_or_default());
    let pass = answers.served() == LIMIT && answers.both_deny() && own == SERVED;
    let what = format!(
        "both HAProxys deny at {LIMIT} requests of all, although lb1 counts only {} and lb2 {}",
        own[0], own[1]
    );
    stage.check(&what, pass);
    contributions(stage);
    Ok(())
}

/// Shows and checks what each node counts, as the hub tells it.
fn contributions(stage: &mut Stage<Cluster>) {
    let command = format!("show contributions data/clients key {CLIENT}");
    stage.screen.say("Who counted what, says the hub:");
    stage.screen.command(&format!("echo '{command}' | socat - UNIX-CONNECT:stickd.sock"));
    let answer = stage.cluster.hub.cli().run(&command);
    let lines: Vec<&str> = answer.lines().filter(|line| !line.is_empty()).collect();
    for line in &lines {
        stage.screen.say(&format!("    {line}"));
    }
    let shows = |start: &str, count: u64| {
        let count = format!("http_req_cnt={count}");
        lines.iter().any(|line| line.starts_with(start) && line.split(' ').any(|word| word == count))
    };
    let [one, other] = SERVED;
    let pass = shows("node=lb1 ", one) && shows("node=lb2 ", other) && shows("result: ", LIMIT as u64);
    stage.check(&format!("show contributions tells {one} of lb1, {other} of lb2, {LIMIT} in all"), pass);
}

fn crash(stage: &mut Stage<Cluster>) -> Result<()> {
    let old = stage.cluster.nodes[0].pid();
    stage.screen.step("lb1 crashes and starts again, empty: no limit starts again");
    stage.screen.command(&format!("kill -9 {old}"));
    stage.cluster.nodes[0].kill9();
    stage.watch(Duration::from_secs(1))?;
    let begun = Instant::now();
    stage.cluster.nodes[0].restart();
    let new = stage.cluster.nodes[0].pid();
    let program = stage.cluster.nodes[0].release().program();
    stage.screen.command(&format!("{} -L lb1 -f haproxy.cfg", program.display()));
    let (own, sum) = (Some(SERVED[0]), Some(LIMIT as u64));
    let back = stage.watch_until("lb1 to be taught what it counted, and the sums", |_, snapshot| {
        snapshot.is_whole() && snapshot.own(0, CLIENT) == own && snapshot.sum(0, CLIENT) == sum
    });
    let what = format!("lb1, {old} → {new}, has its own {} and the sum of {LIMIT} back", SERVED[0]);
    stage.check(&what, back.is_ok());
    back?;
    stage.screen.say(&format!("It took {:.1} s.", begun.elapsed().as_secs_f32()));
    let answers = ask(stage, CLIENT, 1)?;
    stage.check(&format!("lb1 and lb2 still deny {CLIENT}"), answers == [[429], [429]]);
    Ok(())
}

fn fall_back(stage: &mut Stage<Cluster>) -> Result<()> {
    stage.screen.step("the hub crashes: each HAProxy holds a limit of its own");
    stage
        .screen
        .say("The hub writes into the table p/hub every second that it is there; the entries live for 3 s.");
    stage.screen.command(&format!("kill -9 {}", stage.cluster.hub.pid()));
    let begun = Instant::now();
    stage.cluster.hub.daemon().kill9();
    stage.watch_until("both HAProxys to find that the hub is gone", |_, snapshot| {
        snapshot.nodes.iter().all(|node| node.as_ref().is_some_and(|node| node.whole.is_none()))
    })?;
    let seconds = begun.elapsed().as_secs_f32();
    stage.screen.say(&format!("Both HAProxys know after {seconds:.1} s. {LATECOMER} comes:"));
    let answers = ask(stage, LATECOMER, OWN_LIMIT + 1)?;
    stage.watch(Duration::from_secs(1))?;
    let mut expected = vec![200; OWN_LIMIT];
    expected.push(429);
    let pass = answers.iter().all(|statuses| *statuses == expected);
    stage.check(
        &format!("without the hub each HAProxy serves {OWN_LIMIT} requests and denies the next"),
        pass,
    );
    stage.screen.say(&format!(
        "{CLIENT} comes again: lb1 counted {} of it, lb2 {} and so has room for one:",
        SERVED[0], SERVED[1]
    ));
    let answers = ask(stage, CLIENT, 2)?;
    stage.check("what each HAProxy counted before counts still", answers == [[429, 429], [200, 429]]);
    Ok(())
}

/// Asks lb1 and then lb2 so many times, and shows what they answer.
fn ask(stage: &mut Stage<Cluster>, client: &str, times: usize) -> Result<[Vec<u16>; 2]> {
    let mut answers = [Vec::new(), Vec::new()];
    for (node, statuses) in answers.iter_mut().enumerate() {
        let address = stage.cluster.nodes[node].http_address();
        for _ in 0..times {
            statuses.push(visit(address, client)?);
        }
        let text: Vec<String> = statuses.iter().map(u16::to_string).collect();
        stage.screen.say(&format!("lb{} answered {client} {}", node + 1, text.join(" ")));
    }
    Ok(answers)
}
