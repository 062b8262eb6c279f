//! Requests of one client through both nodes by turns.

use super::snapshot;
use anyhow::{Context, Result, anyhow, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use stickd_testkit::{Cli, HaproxyProcess, http};

/// Which node is asked next: of each five requests three go to the first.
const TURNS: [usize; 5] = [0, 1, 0, 1, 0];

/// Time between two requests, so that one can watch.
const PAUSE: Duration = Duration::from_millis(250);

/// Longest wait for a sum to reach both nodes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// The statuses of each node, in order.
    pub(super) statuses: [Vec<u16>; 2],
    /// After each request that was counted, the time until both nodes knew its sum.
    pub(super) known_after: Vec<Duration>,
}

/// Requests under way, stopped when dropped.
#[derive(Debug)]
pub(super) struct Visits {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Answers>>>,
}

impl Answers {
    /// How many requests were answered 200.
    pub(super) fn served(&self) -> usize {
        self.statuses.iter().flatten().filter(|&&status| status == 200).count()
    }

    /// Whether both nodes denied their last request.
    pub(super) fn both_deny(&self) -> bool {
        self.statuses.iter().all(|statuses| statuses.last() == Some(&429))
    }
}

impl Visits {
    /// Asks the nodes by turns until both deny, `most` requests at most. The next request waits until both nodes know of
    /// the one before, as a client's would that comes a moment later.
    pub(super) fn start(nodes: &[HaproxyProcess; 2], client: &str, most: usize) -> Self {
        let nodes = nodes.each_ref().map(|node| (node.http_address(), node.cli()));
        let (stop, client) = (Arc::new(AtomicBool::new(false)), client.to_owned());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut answers = Answers::default();
            for node in TURNS.into_iter().cycle().take(most) {
                if stopped.load(Ordering::Relaxed) || answers.both_deny() {
                    break;
                }
                let status = visit(nodes[node].0, &client)?;
                answers.statuses[node].push(status);
                if status == 200 {
                    let served = answers.served() as u64;
                    answers.known_after.push(wait_known(&nodes, &client, served, &stopped)?);
                }
                thread::sleep(PAUSE);
            }
            Ok(answers)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Whether no more requests are made.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What came of the requests.
    pub(super) fn finish(mut self) -> Result<Answers> {
        let thread = self.thread.take().context("the requests were stopped before")?;
        thread.join().map_err(|_| anyhow!("the requests ended in a panic"))?
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Nobody wants the answers any more.
            let _ = thread.join();
        }
    }
}

/// The status of one request.
pub(super) fn visit(node: SocketAddr, client: &str) -> Result<u16> {
    Ok(http::get(node, "/shop", &[("x-key", client)])?.status)
}

fn wait_known(
    nodes: &[(SocketAddr, Cli); 2],
    client: &str,
    sum: u64,
    stopped: &AtomicBool,
) -> Result<Duration> {
    let begun = Instant::now();
    while !nodes.iter().all(|(_, cli)| snapshot::sum(cli, client) == Some(sum)) {
        if begun.elapsed() >= PATIENCE || stopped.load(Ordering::Relaxed) {
            bail!("not both nodes knew the sum {sum} of {client} after {:?}", begun.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed())
}
