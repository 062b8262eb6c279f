//! The process after this one.

use std::io;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::directory;
use super::door::{GREETING, TEACH};
use crate::config::PeersSection;
use crate::net::Connected;

/// Longest wait until a word is taken.
const WORD_TIMEOUT: Duration = Duration::from_millis(100);

/// A process that takes over, and the connection on which it said so.
pub struct Successor {
    pid: i32,
    control: Mutex<BufReader<UnixStream>>,
}

impl Successor {
    pub(super) fn new(pid: i32, control: BufReader<UnixStream>) -> Self {
        Self { pid, control: Mutex::new(control) }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Says that this process is alive and will teach; whether the successor is there to hear it.
    pub async fn says_to_wait(&self) -> bool {
        let mut control = self.control.lock().await;
        let said = timeout(WORD_TIMEOUT, control.write_all(b"wait\n")).await;
        // One that is too busy to read is there.
        if said.is_ok_and(|written| written.is_err()) {
            return false;
        }
        let heard = timeout(Duration::from_millis(1), control.read_u8()).await;
        !matches!(heard, Ok(Err(_)))
    }

    /// Connects to it to teach a section.
    pub(crate) async fn reach(&self, section: &PeersSection) -> io::Result<Connected> {
        let mut stream = reach(self.pid).await?;
        let words = [GREETING, TEACH, section.keyword(), &section.name.escape_debug().to_string()].join("\t");
        stream.write_all((words + "\n").as_bytes()).await?;
        let name = format!("process {}", self.pid);
        Ok(Connected { stream: Box::new(stream), remote: name.clone(), remote_ip: None, local: name })
    }
}

/// Connects to the hand-over socket of a process of this user, or of root.
pub(super) async fn reach(pid: i32) -> io::Result<UnixStream> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for directory in directory::candidates() {
        let path = directory::socket(&directory, pid.unsigned_abs());
        match UnixStream::connect(&path).await {
            Ok(stream) => {
                let credentials = stream.peer_cred()?;
                let user = credentials.uid();
                if credentials.pid() == Some(pid) && (user == geteuid().as_raw() || user == 0) {
                    return Ok(stream);
                }
                let why = format!("another process answers at {}", path.display());
                failure = io::Error::new(io::ErrorKind::PermissionDenied, why);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
