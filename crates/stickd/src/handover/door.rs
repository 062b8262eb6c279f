//! The socket by which a process can be asked to hand over, and by which it is taught.
//!
//! Each connection begins with one line of words between tabs:
//!
//! ```text
//! stickd-handover 1 take-over          the next process asks; the description of its sections follows
//! stickd-handover 1 teach KEYWORD NAME   the process before this one teaches a section: a hello of the peers protocol follows
//! ```

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, geteuid};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::directory;
use super::identity::{self, Identity};
use super::successor::Successor;
use crate::peers::Cluster;
use crate::supervise::Supervisor;
use crate::unix_path::UnixPath;

/// First words of each connection: the name of the protocol and its version.
pub(super) const GREETING: &str = "stickd-handover 1";
/// Word of a process that asks to take over.
pub(super) const TAKE_OVER: &str = "take-over";
/// Word of a process that teaches.
pub(super) const TEACH: &str = "teach";
/// Answer to a process that may take over.
pub(super) const YES: &str = "yes";
/// Word of a process that is ready to take over.
pub(super) const GO: &str = "go";
/// Longest line, in bytes.
pub(super) const MAX_LINE: u64 = 64 * 1024;
/// Longest wait for the first words of a connection.
const WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a process that may take over until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that are looked after at a time: of one successor, and of the sections of its predecessors.
const MAX_CONNECTIONS: usize = 256;
/// Pause after the system could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening socket. Dropping it removes its file.
pub struct Door {
    listener: UnixListener,
    path: UnixPath,
}

/// Who answers the door.
pub struct Doorkeeper {
    /// What this process serves.
    pub identity: Identity,
    /// Its sections.
    pub clusters: Vec<Arc<Cluster>>,
    /// The processes that may teach it.
    pub predecessors: HashSet<i32>,
    /// Where a successor that is ready goes.
    pub ready: mpsc::Sender<Successor>,
    /// The process that may take over.
    pub successor: Mutex<Option<i32>>,
    /// The process that this one started itself, which may serve other sections: its configuration is the operator's.
    pub started: Arc<Mutex<Option<Pid>>>,
    /// Of the tasks of connections.
    pub supervisor: Supervisor,
}

impl Door {
    /// Opens the door of this process, in the first directory that can be had.
    ///
    /// # Errors
    /// When there is none, with what is wrong with each.
    pub fn open() -> io::Result<Self> {
        let mut faults = Vec::new();
        for directory in directory::candidates() {
            match Self::open_in(&directory) {
                Ok(door) => return Ok(door),
                Err(error) => faults.push(format!("{}: {error}", directory.display())),
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, faults.join("; ")))
    }

    fn open_in(directory: &std::path::Path) -> io::Result<Self> {
        directory::prepare(directory)?;
        let path = directory::socket(directory, std::process::id());
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            // As in two containers that share a directory and not their process ids.
            let why = format!("another process of the same id answers at {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        remove_abandoned(directory);
        let (listener, mut path) = UnixPath::bind(&path)?;
        path.publish()?;
        Ok(Self { listener, path })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.path.path().to_owned()
    }

    /// Answers it for ever.
    pub async fn answer(self, keeper: Arc<Doorkeeper>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let visited = Arc::clone(&keeper);
                    keeper.supervisor.job("hand-over", async move {
                        if let Err(error) = visited.admit(stream).await {
                            debug!(%error, "a connection for a hand-over ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection for a hand-over; raise the limit of open files if there are too many");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Doorkeeper {
    async fn admit(&self, stream: UnixStream) -> io::Result<()> {
        let credentials = stream.peer_cred()?;
        let (user, pid) = (credentials.uid(), credentials.pid().unwrap_or(0));
        // The directory keeps others out; whoever changed its permissions does not change this.
        if user != geteuid().as_raw() && user != 0 {
            warn!(
                pid,
                user,
                "refused a process of another user at the hand-over socket: start it as the user of this one"
            );
            return Ok(());
        }
        let mut stream = BufReader::new(stream);
        let words = timeout(WORDS_TIMEOUT, read_line(&mut stream)).await??;
        let mut words = words.split('\t');
        if words.next() != Some(GREETING) {
            return refuse(&mut stream, "it does not speak this version of the hand-over").await;
        }
        match words.next() {
            Some(TAKE_OVER) => self.hand_over(stream, pid).await,
            Some(TEACH) => {
                let (keyword, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                self.learn(stream, pid, keyword, name).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The process before this one teaches a section.
    async fn learn(&self, stream: BufReader<UnixStream>, pid: i32, keyword: &str, name: &str) {
        if !self.predecessors.contains(&pid) {
            warn!(
                pid,
                "refused a process that wants to teach: this one was not started with -sf and its pid"
            );
            return;
        }
        let is_it = |cluster: &&Arc<Cluster>| {
            let config = cluster.config();
            config.keyword() == keyword && config.name.escape_debug().to_string() == name
        };
        match self.clusters.iter().find(is_it) {
            Some(cluster) => cluster.learn_from_predecessor(Box::new(stream), pid).await,
            None => {
                warn!(
                    pid,
                    section = name,
                    "the old process teaches a section that is not configured here: what it holds is lost"
                );
            }
        }
    }

    /// Another process asks to take over: yes when it serves the same sections.
    async fn hand_over(&self, mut stream: BufReader<UnixStream>, pid: i32) -> io::Result<()> {
        let theirs = timeout(WORDS_TIMEOUT, read_identity(&mut stream)).await??;
        if let Some(reason) = self.promise(pid, &theirs) {
            warn!(pid, "refused a process that asked to take over, and keeps running: {reason}");
            return refuse(&mut stream, &reason).await;
        }
        let said = async {
            stream.write_all(format!("{YES}\n").as_bytes()).await?;
            timeout(READY_TIMEOUT, read_line(&mut stream)).await?
        };
        match said.await {
            Ok(word) if word == GO => {
                // The receiver is gone only when the process ends anyway.
                let _ = self.ready.send(Successor::new(pid, stream)).await;
            }
            _ => {
                *self.successor.lock() = None;
                info!(pid, "the process that asked to take over did not become ready: this one continues");
            }
        }
        Ok(())
    }

    /// Promises to hand over to a process, or says why not.
    fn promise(&self, pid: i32, theirs: &Identity) -> Option<String> {
        let mut successor = self.successor.lock();
        if let Some(first) = *successor {
            return Some(format!("process {first} takes over already"));
        }
        let is_own = Pid::from_raw(pid).is_some_and(|pid| *self.started.lock() == Some(pid));
        let refusal = if is_own { None } else { self.identity.refusal(theirs) };
        if refusal.is_none() {
            *successor = Some(pid);
        }
        refusal
    }
}

/// The process ids of the other stickds of this user that answer at their doors, in order.
pub(crate) fn running() -> Vec<u32> {
    let entries = directory::candidates().into_iter().flat_map(std::fs::read_dir).flatten().flatten();
    let pids = entries.filter_map(|entry| {
        let path = entry.path();
        let pid = path.file_name()?.to_str()?.strip_suffix(".sock")?.parse().ok()?;
        (pid != std::process::id() && std::os::unix::net::UnixStream::connect(&path).is_ok()).then_some(pid)
    });
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Removes the sockets of processes that were killed.
fn remove_abandoned(directory: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_socket = path.extension().is_some_and(|extension| extension == "sock");
        let refused = || std::os::unix::net::UnixStream::connect(&path).err();
        if is_socket && refused().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // One that stays is looked at by the next process.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Reads a line without its end.
pub(super) async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    stream.take(MAX_LINE).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn read_identity(stream: &mut BufReader<UnixStream>) -> io::Result<Identity> {
    let mut identity = Identity::default();
    let mut left = identity::MAX_DESCRIPTION;
    loop {
        let line = read_line(stream).await?;
        if line == identity::END {
            return Ok(identity);
        }
        left = left.checked_sub(line.len() as u64 + 1).ok_or(io::ErrorKind::FileTooLarge)?;
        identity.add(&line)?;
    }
}

async fn refuse(stream: &mut BufReader<UnixStream>, reason: &str) -> io::Result<()> {
    stream.write_all(format!("no\t{reason}\n").as_bytes()).await
}
