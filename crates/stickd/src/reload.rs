//! The reload by a signal: another process of the same command line takes over.
//!
//! The program is started twice: with `check`, as whoever sends the signal may not have done it, and with `run` and
//! `-sf <this process>`. Both read the program's file again, so a new version of stickd is checked and started by its own rules.
//! As long as the new process has not taken over, this one goes on as if nothing had happened.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::supervise::Supervisor;

/// Longest time for the check.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for the new process to take over. It is ended after that.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(120);
/// Most bytes of the check's answer that go to the log.
const MAX_ANSWER: u64 = 16 * 1024;
/// Most lines of it.
const MAX_LINES: usize = 40;

/// How the same program is started once more.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program's file, which may have been replaced since this process was started.
    pub program: PathBuf,
    /// Arguments that check the configuration.
    pub check: Vec<OsString>,
    /// Arguments that run a process which takes over from this one.
    pub take_over: Vec<OsString>,
}

/// Reloads, one at a time.
pub(crate) struct Reload {
    command: Option<CommandLine>,
    supervisor: Supervisor,
    is_running: Arc<AtomicBool>,
    /// The next process, from its start to its end.
    successor: Arc<Mutex<Option<Pid>>>,
}

impl Reload {
    /// `command` is `None` where the program cannot be started again.
    pub(crate) fn new(command: Option<CommandLine>, supervisor: Supervisor) -> Self {
        Self { command, supervisor, is_running: Arc::default(), successor: Arc::default() }
    }

    /// The next process, from its start to its end: it may take over whatever it serves.
    pub(crate) fn successor(&self) -> Arc<Mutex<Option<Pid>>> {
        Arc::clone(&self.successor)
    }

    /// Begins a reload in a task of its own, which reports what fails.
    pub(crate) fn begin(&self) {
        let Some(command) = self.command.clone() else {
            error!("reload refused: the file of the program is not known; this process goes on");
            return;
        };
        if self.is_running.swap(true, Ordering::Relaxed) {
            warn!("reload ignored: another one is under way");
            return;
        }
        let (is_running, supervisor) = (Arc::clone(&self.is_running), self.supervisor.clone());
        let pid = Arc::clone(&self.successor);
        self.supervisor.job("reload", async move {
            reload(&command, &supervisor, &pid).await;
            is_running.store(false, Ordering::Relaxed);
        });
    }

    /// Ends a process that was started and has not taken over: whoever stops this one wants none to run.
    pub(crate) fn cancel(&self) {
        if let Some(pid) = *self.successor.lock() {
            info!(pid = pid.as_raw_nonzero().get(), "reload cancelled: the next process is stopped as well");
            // An error means that it has ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

async fn reload(command: &CommandLine, supervisor: &Supervisor, known_as: &Mutex<Option<Pid>>) {
    info!("reload: checking the configuration");
    if let Err(fault) = check(command).await {
        error!("reload refused: {fault}; this process goes on");
        return;
    }
    let mut successor = Command::new(&command.program);
    // It logs where this process does.
    successor.args(&command.take_over).stdin(Stdio::null());
    let mut successor = match spawn(&mut successor, known_as) {
        Ok(successor) => successor,
        Err(error) => {
            let program = command.program.display();
            error!("reload failed: cannot start {program}: {error}; this process goes on");
            return;
        }
    };
    let pid = successor.id();
    info!(pid, "reload: started the next process");
    // This process ends meanwhile, unless the other one does.
    let waited = timeout(TAKE_OVER_LIMIT, successor.wait()).await;
    if waited.is_ok() {
        *known_as.lock() = None;
    }
    match waited {
        Ok(_) if supervisor.is_stopping() => {}
        Ok(Ok(status)) => error!(
            pid,
            "reload failed: the next process ended before it took over ({status}), its lines are above; this process \
             goes on"
        ),
        Ok(Err(error)) => error!(pid, %error, "reload: cannot wait for the next process; this one goes on"),
        Err(_) if supervisor.is_stopping() => {}
        Err(_) => {
            let seconds = TAKE_OVER_LIMIT.as_secs();
            error!(pid, "reload failed: the next process did not take over within {seconds} s and is ended");
            // An error means that it has ended by itself.
            let _ = successor.kill().await;
            *known_as.lock() = None;
        }
    }
}

/// Starts the next process. It may ask to take over before its id is known here, and is answered after that.
fn spawn(command: &mut Command, known_as: &Mutex<Option<Pid>>) -> std::io::Result<tokio::process::Child> {
    let mut known_as = known_as.lock();
    let child = command.spawn()?;
    *known_as = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    Ok(child)
}

/// Checks the configuration as `stickd check` does. What it says about errors goes to the log.
async fn check(command: &CommandLine) -> Result<(), String> {
    let program = command.program.display();
    let mut check = Command::new(&command.program);
    check.args(&command.check).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut check =
        check.kill_on_drop(true).spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    let mut answer = Vec::new();
    let finish = async {
        if let Some(stderr) = check.stderr.take() {
            stderr.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        }
        check.wait().await
    };
    let status = match timeout(CHECK_LIMIT, finish).await {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(format!("the check of the configuration failed: {error}")),
        Err(_) => return Err(format!("the check took longer than {} s", CHECK_LIMIT.as_secs())),
    };
    let answer = String::from_utf8_lossy(&answer);
    let lines: Vec<_> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().take(MAX_LINES) {
        error!("check: {line}");
    }
    if lines.len() > MAX_LINES {
        error!("check: {} more lines; run \"stickd check\"", lines.len() - MAX_LINES);
    }
    Err(format!("the configuration has errors ({status})"))
}
