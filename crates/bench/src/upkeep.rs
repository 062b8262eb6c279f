//! What keeps many sessions alive that one thread writes: acknowledgements, answers to requests for lessons, heartbeats.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use haproxy_peers::{Ack, Control};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Pause between two acknowledgements, and between two heartbeats.
pub(crate) const ACKS: Duration = Duration::from_millis(10);
const HEARTBEATS: Duration = Duration::from_secs(1);
/// Longest time a subject may not take a byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// What another thread reads from the sessions.
pub(crate) trait Heard {
    /// The table and the number of the update that a session received last.
    fn received(&self, session: usize) -> (u32, u32);

    /// How often a session was asked for a lesson.
    fn asked(&self, session: usize) -> u32;
}

/// What sessions were told so far.
#[derive(Debug)]
pub(crate) struct Upkeep {
    acked: Vec<u32>,
    answered: Vec<u32>,
    next_acks: Instant,
    next_heartbeats: Instant,
}

impl Upkeep {
    pub(crate) fn new(sessions: usize) -> Self {
        let now = Instant::now();
        let (acked, answered) = (vec![0; sessions], vec![0; sessions]);
        Self { acked, answered, next_acks: now, next_heartbeats: now }
    }

    /// Acknowledges what was received, answers requests for lessons, and shows that everybody is alive; does nothing when it
    /// did so a moment ago.
    pub(crate) fn service(&mut self, sockets: &[TcpStream], heard: &impl Heard) -> Result<()> {
        let now = Instant::now();
        if now >= self.next_acks {
            self.next_acks = now + ACKS;
            for (session, socket) in sockets.iter().enumerate() {
                let (table_id, update_id) = heard.received(session);
                if update_id != self.acked[session] {
                    let mut bytes = Vec::new();
                    Ack { table_id, update_id }.encode_unchecked(&mut bytes);
                    write(socket, &bytes)?;
                    self.acked[session] = update_id;
                }
                if self.answered[session] < heard.asked(session) {
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
            sockets.iter().try_for_each(|socket| write(socket, &bytes))?;
        }
        Ok(())
    }
}

/// Writes all of it, and waits for a subject that takes nothing for a while.
pub(crate) fn write(mut socket: &TcpStream, mut bytes: &[u8]) -> Result<()> {
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
