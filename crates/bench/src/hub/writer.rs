//! The writing side of scripted nodes: one thread writes everything, so that no two messages mix.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use haproxy_peers::{Ack, Control};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::listener::Heard;

/// Pause between two acknowledgements, and between two heartbeats.
pub(super) const ACKS: Duration = Duration::from_millis(10);
const HEARTBEATS: Duration = Duration::from_secs(1);
/// Longest time a subject may not take a byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sessions that are written to.
#[derive(Debug)]
pub(super) struct Writer {
    sockets: Vec<TcpStream>,
    heard: Arc<Heard>,
    acked: Vec<u32>,
    answered: Vec<u32>,
    next_acks: Instant,
    next_heartbeats: Instant,
}

impl Writer {
    pub(super) fn new(sockets: Vec<TcpStream>, heard: Arc<Heard>) -> Self {
        let (now, sessions) = (Instant::now(), sockets.len());
        let (acked, answered) = (vec![0; sessions], vec![0; sessions]);
        Self { sockets, heard, acked, answered, next_acks: now, next_heartbeats: now }
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
        let now = Instant::now();
        if now >= self.next_acks {
            self.next_acks = now + ACKS;
            for (session, socket) in self.sockets.iter().enumerate() {
                let (table_id, update_id) = self.heard.received(session);
                if update_id != self.acked[session] {
                    let mut bytes = Vec::new();
                    Ack { table_id, update_id }.encode(&mut bytes);
                    write(socket, &bytes)?;
                    self.acked[session] = update_id;
                }
                if self.answered[session] < self.heard.asked(session) {
                    let mut bytes = Vec::new();
                    Control::ResyncFinished.encode(&mut bytes);
                    write(socket, &bytes)?;
                    self.answered[session] += 1;
                }
            }
        }
        if now >= self.next_heartbeats {
            self.next_heartbeats = now + HEARTBEATS;
            let mut bytes = Vec::new();
            Control::Heartbeat.encode(&mut bytes);
            self.sockets.iter().try_for_each(|socket| write(socket, &bytes))?;
        }
        Ok(())
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

fn write(mut socket: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let time = Timespec::try_from(PATIENCE)?;
                let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&time))?;
                ensure!(ready > 0, "no byte was taken for {PATIENCE:?}");
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("a session broke while the driver wrote"),
        }
    }
    Ok(())
}
