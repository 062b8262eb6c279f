//! Latency of other work: a peer that updates a small table of its own at a steady pace and waits for each acknowledgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use haproxy_peers::{Definition, Padding, UpdateHeader, encode_unsigned};
use stick_table::{KeyType, TableDefinition};

use crate::link::Link;
use crate::report::Table;
use crate::statistics::percentile;
use crate::stream::TABLE_ID;
use crate::subject::Subject;

/// Time between two probes: each is sent when it is due, whether the one before was answered or not.
pub(crate) const PACE: Duration = Duration::from_millis(1);
/// Different keys used.
const KEYS: u32 = 500;
/// How long to wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Name of the table.
const TABLE: &str = "probe";

/// A running probe.
#[derive(Debug)]
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Latencies>>,
}

/// When probes were due, and how long their acknowledgements took from then.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<(Instant, Duration)>);

/// The probe's table: name and arguments.
pub(crate) fn table() -> (String, String) {
    (TABLE.to_owned(), "type integer size 1k expire 1h store gpc0".to_owned())
}

/// Its definition as a message.
fn definition() -> Vec<u8> {
    let definition = TableDefinition::new(TABLE, KeyType::Integer, 1).with_expire(Some(3_600_000));
    let column = "gpc0".parse().expect("a data type");
    let definition = definition.with_column(column).expect("the only column");
    let mut bytes = Vec::new();
    let definition = Definition::from_table(TABLE_ID, &definition).expect("a table with a name");
    definition.encode(Padding::None, &mut bytes).expect("the definition of a table");
    bytes
}

impl Probe {
    /// Connects and begins.
    pub(crate) fn start(subject: &Subject) -> Result<Self> {
        let link = subject.connect_settled("probe", Some(&definition()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Ok(Self { stop, thread: thread::spawn(move || run(link, &stopped)) })
    }

    /// Ends when everything sent is answered.
    pub(crate) fn stop(self) -> Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

fn run(mut link: Link, stop: &AtomicBool) -> Result<Latencies> {
    link.send(&definition())?;
    let (mut latencies, mut due) = (Vec::with_capacity(100_000), Vec::with_capacity(100_000));
    let mut next = Instant::now();
    let mut answer = |due: &[Instant], heard: Option<u32>| {
        let now = Instant::now();
        let acked = (heard.unwrap_or(0) as usize).min(due.len());
        latencies.extend(due[latencies.len().min(acked)..acked].iter().map(|&due| (due, now - due)));
        acked
    };
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= next {
            due.push(next);
            next += PACE;
            link.send(&update(due.len() as u32))?;
        } else if link.ready(next - now)? {
            link.take()?;
            answer(&due, link.heard().acked);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while answer(&due, link.heard().acked) < due.len() {
        if Instant::now() > deadline {
            return Err(anyhow!("the probe's updates are not acknowledged"));
        }
        if link.ready(PACE)? {
            link.take()?;
        }
    }
    Ok(Latencies(latencies))
}

fn update(id: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(id), lifetime_ms: None }.begin(&mut bytes);
    let payload = frame.payload();
    payload.extend_from_slice(&(id % KEYS).to_be_bytes());
    encode_unsigned(id, payload);
    frame.finish(Padding::None);
    bytes
}

impl Latencies {
    /// Those due in a span of time.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Self {
        Self(self.0.iter().filter(|(due, _)| (from..to).contains(due)).copied().collect())
    }

    /// Adds those of another round.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Percentile in ms.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted: Vec<f64> = self.0.iter().map(|(_, latency)| latency.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        percentile(&sorted, share).unwrap_or(f64::NAN)
    }

    /// p50, p99, p99.9 and the longest, in ms, then how many there are.
    pub(crate) fn cells(&self) -> Vec<String> {
        let mut cells: Vec<String> =
            [0.5, 0.99, 0.999, 1.0].iter().map(|&share| format!("{:.2}", self.percentile(share))).collect();
        cells.push(self.0.len().to_string());
        cells
    }

    /// A table for rows of label columns and [`Self::cells`].
    pub(crate) fn table(title: &str, labels: &[&str]) -> Table {
        let columns = ["p50 ms", "p99 ms", "p99.9 ms", "max ms", "probes"];
        let mut table = Table::new(title, &[labels, &columns].concat());
        table.note(format!(
            "Latency: another peer updates a table of its own every {PACE:?}; from when an update is due to its \
             acknowledgement."
        ));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_span_asked_for_counts() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let all = Latencies((0..1_000).map(|ms| (at(ms), Duration::from_millis(ms))).collect());
        let some = all.between(at(100), at(200));
        assert_eq!(some.0.len(), 100);
        assert!((some.percentile(1.0) - 199.0).abs() < 0.1);
        assert!((some.percentile(0.5) - 149.0).abs() < 0.1);
    }
}
