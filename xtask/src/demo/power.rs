//! The power goes at every node at once, and everything comes back from stickd's files.

use super::cluster::Cluster;
use super::comparison::Comparison;
use super::snapshot::View;
use super::stage::{Stage, Watched};
use anyhow::Result;
use std::time::Duration;

/// The step.
pub(super) fn cut(stage: &mut Stage<Cluster>) -> Result<()> {
    let (lb1, lb2, own) = (stage.cluster.lb1.pid(), stage.cluster.lb2.pid(), stage.cluster.stickd.pid());
    stage.screen.step("everything is killed, everything comes back");
    stage
        .screen
        .say("stickd's configuration has one line more than HAProxy's: `state state every 100ms` in global.");
    stage.screen.command(&format!("kill -9 {lb1} {lb2} {own}"));
    let before = stage.cluster.snapshot();
    stage.cluster.kill_all();
    let nobody = stage.watch(Duration::from_secs(2))?;
    stage.check("no process is left that holds an entry", nobody.0.iter().all(|view| view.entries.is_none()));
    stage.screen.command("stickd run -f stickd.cfg");
    stage.cluster.start_stickd_again();
    let read = View::take("stickd", &stage.cluster.stickd.cli());
    stage.screen.say("stickd before the power went, and at the first look at its new process:");
    compare(stage, before.of("stickd"), &read, "stickd has read its entries from disk, lifetimes within 1 s");
    stage.screen.say("Both HAProxys start again, empty, and are taught:");
    stage.cluster.lb1.restart();
    stage.cluster.lb2.restart();
    let wanted = before.of("stickd").count();
    let after = stage.watch_until("both HAProxys to be taught", |_, snapshot| {
        ["lb1", "lb2"].iter().all(|name| snapshot.of(name).count() >= wanted)
    })?;
    for name in ["lb1", "lb2"] {
        stage.screen.say(&format!("{name} before the power went, and now:"));
        let what = format!("{name} has its {wanted} entries back, counters equal, lifetimes within 1 s");
        compare(stage, before.of(name), after.of(name), &what);
    }
    Ok(())
}

fn compare(stage: &mut Stage<Cluster>, before: &View, after: &View, what: &str) {
    let comparison = Comparison::new(before, after);
    for line in comparison.lines(stage.screen.paint) {
        stage.screen.say(&line);
    }
    stage.check(what, comparison.passes());
}
