//! The writing side of scripted nodes: one thread writes everything, so that no two messages mix.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::listener::Heard;
use crate::upkeep::{ACKS, Upkeep, write};

/// The sessions that are written to.
#[derive(Debug)]
pub(super) struct Writer {
    sockets: Vec<TcpStream>,
    heard: Arc<Heard>,
    upkeep: Upkeep,
}

impl Writer {
    pub(super) fn new(sockets: Vec<TcpStream>, heard: Arc<Heard>) -> Self {
        let upkeep = Upkeep::new(sockets.len());
        Self { sockets, heard, upkeep }
    }

    /// Closes all sessions but the first ones.
    pub(super) fn keep(&mut self, sessions: usize) {
        self.heard.keep(sessions);
        self.sockets.truncate(sessions);
    }

    /// Writes to one session.
    pub(super) fn write(&self, session: usize, bytes: &[u8]) -> Result<()> {
        write(&self.sockets[session], bytes)
    }

    /// Acknowledges what was received, answers requests for lessons, and shows that everybody is alive; does nothing when it
    /// did so a moment ago.
    pub(super) fn service(&mut self) -> Result<()> {
        self.upkeep.service(&self.sockets, &*self.heard)
    }

    /// [`Self::service`] until something is due.
    pub(super) fn wait_until(&mut self, due: Instant) -> Result<()> {
        loop {
            self.service()?;
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(ACKS));
        }
    }

    /// Waits until these sessions were told what was counted.
    pub(super) fn settle(&mut self, sessions: &[usize], expected: &[u32], limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            self.service()?;
            let Some(wrong) = self.heard.first_wrong(sessions, expected) else { return Ok(()) };
            ensure!(!self.heard.has_stopped(), "a session ended");
            if Instant::now() > deadline {
                bail!("{wrong}, after {limit:?}");
            }
            thread::sleep(ACKS);
        }
    }
}
