//! How long it takes to say what is wrong with 24,000 lines: `cargo bench -p stickd --bench check`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stickd::config::{Config, Options};

/// Runs of each text, of which the middle one counts.
const RUNS: usize = 15;

fn main() {
    let proxy = "  mode http\n  balance roundrobin\n  server s 127.0.0.1:80\n";
    let proxies: String = (0..6_000).map(|number| format!("backend b{number}\n{proxy}")).collect();
    let misspelt = "peers p\n peer me :1\n".to_owned()
        + &" tabel t type ip\n pere x :1\n bidn :1\n sheards 3\n".repeat(6_000);
    let tables: String =
        (0..24_000).map(|number| format!(" table t{number} type ip size 1k store gpc0\n")).collect();
    for (what, text) in [
        ("lines for traffic", proxies),
        ("misspelt keywords", misspelt),
        ("words without effect", format!("global\n{}", " nbthread 4\n".repeat(24_000))),
        ("good tables", format!("peers p\n peer me :1\n{tables}")),
    ] {
        let mut times: Vec<_> = (0..RUNS).map(|_| time(&text)).collect();
        times.sort();
        let (middle, shown) = times[RUNS / 2];
        println!("24,000 {what}: {:.1} ms, {shown} bytes shown", middle.as_secs_f64() * 1e3);
    }
}

/// How long the processor takes to read a text and to write its faults, and how much is written. One thread does all of it, and a
/// busy machine stretches its time on the clock on the wall.
fn time(text: &str) -> (Duration, usize) {
    let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
    let start = processor_time();
    let shown = match Config::parse_text("many.cfg", text, &options) {
        Ok(config) => config.warnings.render(false),
        Err(found) => found.render(false),
    };
    (processor_time().saturating_sub(start), shown.len())
}

/// What this thread took of a processor so far.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
