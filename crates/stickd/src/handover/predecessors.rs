//! The processes before this one.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Identity;
use super::door::{GO, GREETING, TAKE_OVER, YES, read_line};
use super::successor::reach;
use crate::peers::Cluster;
use crate::supervise::Supervisor;

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The processes that hand over to this one. Dropped before [`take_over`](Self::take_over), they go on as if nobody had asked.
#[derive(Default)]
pub struct Predecessors(Vec<Predecessor>);

struct Predecessor {
    pid: i32,
    control: BufReader<UnixStream>,
}

/// What a process says that is asked to hand over.
enum Answer {
    Yes(Predecessor),
    No(String),
}

impl Predecessors {
    /// Asks the processes of `-sf` to hand over to this one, which serves `identity`.
    ///
    /// A process that is not there, this one itself (an old pid file of a container), and one that does not answer are
    /// passed over with a line of the log.
    ///
    /// # Errors
    /// When stickds are named and all of them refuse: they go on, and this process would stand beside them.
    pub async fn ask(pids: &[i32], identity: &Identity) -> anyhow::Result<Self> {
        let (mut all, mut refusals, mut asked) = (Self::default(), Vec::new(), HashSet::new());
        for &pid in pids.iter().filter(|pid| asked.insert(**pid)) {
            if pid.unsigned_abs() == std::process::id() {
                warn!(
                    pid,
                    "-sf names this process itself, from an old pid file: nothing to take over from it"
                );
            } else if !is_there(pid) {
                warn!(pid, "-sf names a process that is not running: nothing to take over from it");
            } else {
                match ask(pid, identity).await {
                    Ok(Answer::Yes(predecessor)) => all.0.push(predecessor),
                    Ok(Answer::No(reason)) => {
                        warn!(pid, "the process does not hand over and keeps running: {reason}");
                        refusals.push(format!("process {pid}: {reason}"));
                    }
                    Err(error) => warn!(
                        pid,
                        %error,
                        "-sf names a process that has no hand-over socket of this user (another program, another \
                         user's, or a stickd without one): it is left alone"
                    ),
                }
            }
        }
        if all.0.is_empty() && !refusals.is_empty() {
            bail!("no process hands over to this one; {}", refusals.join("; "));
        }
        Ok(all)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their process ids.
    pub fn pids(&self) -> HashSet<i32> {
        self.0.iter().map(|predecessor| predecessor.pid).collect()
    }

    /// Lets them hand over: this process is ready. Then tells the sections as long as one of them is there.
    pub async fn take_over(mut self, clusters: Vec<Arc<Cluster>>, supervisor: &Supervisor) {
        for Predecessor { pid, control } in &mut self.0 {
            match control.write_all(format!("{GO}\n").as_bytes()).await {
                Ok(()) => info!(pid = *pid, "asked the old process to hand over"),
                Err(error) => warn!(pid = *pid, %error, "cannot ask the old process to hand over"),
            }
        }
        let left = Arc::new(AtomicUsize::new(self.0.len()));
        for mut predecessor in self.0 {
            let (left, clusters) = (Arc::clone(&left), clusters.clone());
            supervisor.job("predecessor", async move {
                while read_line(&mut predecessor.control).await.is_ok() {
                    clusters.iter().for_each(Cluster::predecessor_is_there);
                }
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    clusters.iter().for_each(Cluster::predecessor_is_gone);
                }
            });
        }
    }
}

fn is_there(pid: i32) -> bool {
    let found = Pid::from_raw(pid).map_or(Err(rustix::io::Errno::SRCH), test_kill_process);
    found != Err(rustix::io::Errno::SRCH)
}

async fn ask(pid: i32, identity: &Identity) -> io::Result<Answer> {
    let mut control = BufReader::new(reach(pid).await?);
    let answer = async {
        let request = format!("{GREETING}\t{TAKE_OVER}\n{}", identity.describe());
        control.write_all(request.as_bytes()).await?;
        read_line(&mut control).await
    };
    let answer = timeout(ANSWER_TIMEOUT, answer).await??;
    Ok(match answer.split_once('\t') {
        None if answer == YES => Answer::Yes(Predecessor { pid, control }),
        Some((_, reason)) => Answer::No(reason.to_owned()),
        None => Answer::No("its answer is not of this version of the hand-over".to_owned()),
    })
}
