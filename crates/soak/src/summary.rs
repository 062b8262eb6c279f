//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::Behind;

/// The result of a run in which nothing disagreed.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How long it took, with the last comparison.
    pub time: Duration,
    /// What the plan was made from.
    pub seed: u64,
    /// Names and versions.
    pub members: Vec<String>,
    /// Faults by name.
    pub events: BTreeMap<&'static str, u64>,
    /// Requests answered.
    pub requests: u64,
    /// Keys of visitors.
    pub visitors: u64,
    /// Points at which everything was compared.
    pub calm_points: u64,
    /// Keys compared, summed over the calm points.
    pub keys: u64,
    /// Entries compared at all members, summed over the calm points and their looks.
    pub entries: u64,
    /// Largest deviation of a lifetime that nothing excuses.
    pub worst_lifetime: Duration,
    /// Entries that differed until the next request, as the protocol allows.
    pub behind: Behind,
    /// Requests, and keys, that were lost with a process that alone knew of them.
    pub lost: [u64; 2],
    /// What the stickds used.
    pub usage: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<34}  {value}");
        row("time", format!("{:.0} s", self.time.as_secs_f32()))?;
        row("seed", self.seed.to_string())?;
        row("members", self.members.join(", "))?;
        for (name, count) in &self.events {
            row(name, count.to_string())?;
        }
        row("requests counted", self.requests.to_string())?;
        row("of visitors that came once", self.visitors.to_string())?;
        row("calm points, all agreed", self.calm_points.to_string())?;
        row("keys compared", self.keys.to_string())?;
        row("entries compared, all members", self.entries.to_string())?;
        row("lifetimes, worst deviation", format!("{} ms", self.worst_lifetime.as_millis()))?;
        let Behind { haproxys, ahead, nobody_knew, too_close, somebody_knew } = self.behind;
        row("differing until the next request", String::new())?;
        row("  at stickds, behind, avoidable", format!("{somebody_knew} (a reachable member knew better)"))?;
        row("  at stickds, too close to tell", format!("{too_close} (a newer touch within 1.6 s)"))?;
        row("  at stickds, behind", format!("{nobody_knew} (no reachable member knew better)"))?;
        row("  at stickds, ahead", format!("{ahead} (they know what a killed owner lost)"))?;
        row("  at HAProxys", haproxys.to_string())?;
        let [requests, keys] = self.lost;
        row("lost by kill -9", format!("{requests} requests of {keys} keys"))?;
        for (place, usage) in self.usage.iter().enumerate() {
            row(if place == 0 { "memory, file descriptors" } else { "" }, usage.clone())?;
        }
        Ok(())
    }
}
