//! A process a test started: its output, its signals, its end.

use crate::cli::Cli;
use crate::wait;
use rustix::process::{Pid, kill_process};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;

/// A log that has not grown for this long is what there is, and the longest wait for that.
const SETTLED: Duration = Duration::from_millis(20);
const MOST_SETTLING: Duration = Duration::from_secs(1);

/// A child process whose standard output and error go to a file. Dropping it kills it, by its process id.
#[derive(Debug)]
pub struct Daemon {
    child: Mutex<Child>,
    pid: u32,
    name: String,
    log: PathBuf,
}

/// How a process ended that was expected to run.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status, or `None` when it runs but did not get ready in time (it was killed then).
    pub status: Option<ExitStatus>,
    /// What it printed.
    pub log: String,
}

impl Daemon {
    /// Starts `command` with its output going to the file `log`. `name` is for messages.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn(
        name: impl Into<String>,
        command: &mut Command,
        log: impl Into<PathBuf>,
    ) -> io::Result<Self> {
        let log = log.into();
        let output = File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Self { pid: child.id(), child: Mutex::new(child), name: name.into(), log })
    }

    /// Waits until `show info` on `cli` is answered by this very process: during a take-over the socket's path may
    /// still lead to the process before it.
    ///
    /// # Errors
    ///
    /// When it ended instead, or did not answer within `limit` (it is killed then).
    pub fn wait_ready(self, cli: &Cli, limit: Duration) -> Result<Self, Ended> {
        let pid = self.pid.to_string();
        let ready = wait::poll(limit, || match self.try_exit() {
            Some(status) => Some(Some(status)),
            None => (cli.info("Pid").as_ref() == Some(&pid)).then_some(None),
        });
        match ready {
            Some(None) => Ok(self),
            Some(status) => Err(Ended { status, log: self.log() }),
            None => Err(Ended { status: None, log: self.log() }),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it printed so far on standard output and error. stickd writes its log on a thread of its own, a moment after the
    /// event, so this waits until nothing more comes.
    pub fn log(&self) -> String {
        let deadline = Instant::now() + MOST_SETTLING;
        let mut log = self.printed();
        while Instant::now() < deadline {
            std::thread::sleep(SETTLED);
            let later = self.printed();
            if later == log {
                break;
            }
            log = later;
        }
        log
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The file its output goes to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until its output has `text`.
    ///
    /// # Panics
    ///
    /// After `limit`, with the output there is.
    #[track_caller]
    pub fn wait_log(&self, text: &str, limit: Duration) {
        let what = format!("{} to print {text:?}", self.name);
        wait::until_or(limit, &what, || self.log(), || self.printed().contains(text).then_some(()));
    }

    /// How it ended, or `None` while it runs.
    pub fn try_exit(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.try_exit().is_none()
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it still runs after `limit`, with its output.
    #[track_caller]
    pub fn wait_exit(&self, limit: Duration) -> ExitStatus {
        let what = format!("{} (pid {}) to end", self.name, self.pid);
        wait::until_or(limit, &what, || self.log(), || self.try_exit())
    }

    /// Sends a signal; nothing happens when it has ended.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) {
        // A child that was not waited for keeps its id, so under the lock the id cannot be another process's.
        let mut child = self.lock();
        if matches!(child.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&child), signal).unwrap_or_else(|error| {
                panic!("cannot send {signal:?} to {} (pid {}): {error}", self.name, self.pid)
            });
        }
    }

    /// Ends it at once, as a crash would, and waits for that.
    pub fn kill9(&self) {
        let mut child = self.lock();
        // An error here means that it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "ended with {status} before it was ready; it printed:\n{}", self.log),
            None => write!(f, "did not answer on its runtime socket in time; it printed:\n{}", self.log),
        }
    }
}

impl std::error::Error for Ended {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::SOON;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> (Daemon, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let daemon =
            Daemon::spawn("sh", Command::new("sh").args(["-c", script]), dir.path().join("log")).unwrap();
        (daemon, dir)
    }

    #[test]
    fn both_outputs_are_kept() {
        let (daemon, _dir) = shell("echo out; echo err >&2; exit 3");
        assert_eq!(daemon.wait_exit(SOON).code(), Some(3));
        assert_eq!(daemon.log(), "out\nerr\n");
    }

    #[test]
    fn a_signal_reaches_the_process() {
        let (daemon, _dir) = shell("trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done");
        daemon.wait_log("ready", SOON);
        assert!(daemon.is_running());
        daemon.signal(Signal::USR1);
        assert_eq!(daemon.wait_exit(SOON).code(), Some(5));
        daemon.signal(Signal::USR1);
    }

    #[test]
    fn dropping_kills() {
        let (daemon, _dir) = shell("exec sleep 1000");
        let stat = format!("/proc/{}", daemon.pid());
        assert!(Path::new(&stat).exists());
        drop(daemon);
        assert!(!Path::new(&stat).exists());
    }

    #[test]
    fn kill9_is_a_crash() {
        let (daemon, _dir) = shell("trap '' TERM; exec sleep 1000");
        daemon.kill9();
        assert_eq!(daemon.wait_exit(SOON).signal(), Some(9));
    }

    #[test]
    fn a_process_that_ends_is_not_ready() {
        let (daemon, dir) = shell("echo bad configuration; exit 1");
        let ended = daemon.wait_ready(&Cli::unix(dir.path().join("none.sock")), SOON).unwrap_err();
        assert!(ended.to_string().contains("bad configuration"), "{ended}");
        assert_eq!(ended.status.and_then(|status| status.code()), Some(1));
    }
}
