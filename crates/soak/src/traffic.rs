//! Requests: HTTP to the HAProxys, `set table` to the stickds; a source for each member.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use stickd_testkit::{Cli, http};

use crate::cluster::{Cluster, MEMBERS, NAMES};
use crate::ledger::{Place, SharedLedger};

/// Requests in a second to a HAProxy, and to a stickd.
const HTTP_RATE: u32 = 110;
const SET_RATE: u32 = 20;

/// How a member is made to count.
#[derive(Clone, Debug)]
enum Access {
    Http(SocketAddr),
    Runtime(Cli),
}

/// Whether requests go to a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// The member is about to be killed: requests go on, and may fail.
    Dying,
    #[default]
    Closed,
}

#[derive(Debug)]
struct Source {
    member: usize,
    access: Access,
    gate: Mutex<Gate>,
    /// Held while a request is under way.
    busy: Mutex<()>,
    /// The first failure nobody can explain.
    failure: Mutex<Option<String>>,
}

/// All sources. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Traffic {
    ledger: Arc<SharedLedger>,
    sources: Vec<Arc<Source>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Sources for all members, closed.
    pub(crate) fn start(cluster: &Cluster, ledger: &Arc<SharedLedger>, seed: u64) -> Self {
        let source = |member| {
            let access = match cluster.http_address(member) {
                Some(address) => Access::Http(address),
                None => Access::Runtime(cluster.cli(member)),
            };
            let (gate, busy, failure) = Default::default();
            Arc::new(Source { member, access, gate: Mutex::new(gate), busy, failure })
        };
        let sources: Vec<_> = (0..MEMBERS).map(source).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let run = |source: &Arc<Source>| {
            let (source, ledger, ended) = (source.clone(), ledger.clone(), ended.clone());
            let rng = Rng::with_seed(seed ^ (source.member as u64 + 1));
            thread::spawn(move || source.run(&ledger, &ended, rng))
        };
        let threads = sources.iter().map(run).collect();
        Self { ledger: ledger.clone(), sources, ended, threads }
    }

    /// Lets requests to a member begin, or end when it is killed.
    pub(crate) fn set(&self, member: usize, gate: Gate) {
        *lock(&self.sources[member].gate) = gate;
    }

    /// Ends the requests to a member, and waits for the answer to the one under way.
    pub(crate) fn close(&self, member: usize) {
        self.set(member, Gate::Closed);
        drop(lock(&self.sources[member].busy));
    }

    /// Makes one request while the source is closed.
    pub(crate) fn touch(&self, member: usize, place: &Place) -> io::Result<()> {
        self.sources[member].request(&self.ledger, place)
    }

    /// A request that failed although its member ran.
    pub(crate) fn failure(&self) -> Option<String> {
        self.sources.iter().find_map(|source| lock(&source.failure).clone())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What a source found is in its failure.
            let _ = thread.join();
        }
    }
}

impl Source {
    fn run(&self, ledger: &SharedLedger, ended: &AtomicBool, mut rng: Rng) {
        let rate = if matches!(self.access, Access::Http(_)) { HTTP_RATE } else { SET_RATE };
        while !ended.load(Ordering::Relaxed) {
            let next = Instant::now() + Duration::from_secs(1) / rate;
            let busy = lock(&self.busy);
            if *lock(&self.gate) != Gate::Closed {
                let place = ledger.lock().pick(self.member, &mut rng);
                if let Err(error) = self.request(ledger, &place) {
                    ledger.lock().unanswered(&place);
                    if *lock(&self.gate) == Gate::Open {
                        let text = format!(
                            "a request to {} for {} in {} failed: {error}",
                            NAMES[self.member],
                            place.1,
                            place.0.name()
                        );
                        lock(&self.failure).get_or_insert(text);
                    }
                }
            }
            drop(busy);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn request(&self, ledger: &SharedLedger, place: &Place) -> io::Result<()> {
        let (kind, key) = place;
        match &self.access {
            Access::Http(address) => {
                let answer = http::get(*address, &format!("/{}", kind.name()), &[("x-key", key)])?;
                if answer.status != 200 {
                    return Err(io::Error::other(format!("answered {}", answer.status)));
                }
            }
            Access::Runtime(cli) => {
                let count = ledger.lock().next_count(place);
                let answer = cli.try_run(&format!(
                    "set table {} key {key} data.http_req_cnt {count} data.gpc0 {count}",
                    kind.name()
                ))?;
                if !answer.trim().is_empty() || !answer.ends_with('\n') {
                    return Err(io::Error::other(format!("answered {answer:?}")));
                }
            }
        }
        ledger.lock().answered(place);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
