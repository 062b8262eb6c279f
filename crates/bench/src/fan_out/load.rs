//! The updates, sent when they are due.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use haproxy_peers::WireFrequency;
use haproxy_peers::{Padding, UpdateHeader, encode_frequency, encode_unsigned};

use super::receivers::State;
use super::{KEYS, PER_TICK, SENDERS, TICK};
use crate::stream::definition;
use crate::upkeep::{ACKS, Upkeep, write};
use crate::workload::{EXPIRE_MS, Keys};

/// The driver's writing side of all sessions: one thread writes everything, so that no two messages mix.
#[derive(Debug)]
pub(super) struct Load {
    sockets: Vec<TcpStream>,
    state: Arc<State>,
    /// Updates sent; the last one has this sequence number, the first one 1.
    sent: u64,
    upkeep: Upkeep,
}

/// The session that writes a key.
pub(super) fn sender(key: u64) -> usize {
    (key / PER_TICK) as usize % SENDERS
}

/// The key of an update.
pub(super) fn key(sequence: u64) -> u64 {
    (sequence - 1) % KEYS
}

/// What `conn_cnt` is in an update: a second value to be passed on right.
pub(super) fn check(sequence: u64) -> u32 {
    sequence as u32 ^ 0x155
}

impl Load {
    pub(super) fn new(sockets: Vec<TcpStream>, state: Arc<State>) -> Self {
        let upkeep = Upkeep::new(sockets.len());
        Self { sockets, state, sent: 0, upkeep }
    }

    /// Updates sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends for so many ticks.
    pub(super) fn run(&mut self, ticks: u64) -> Result<()> {
        let batches: Vec<(usize, Vec<u8>)> =
            (0..ticks).map(|tick| self.batch(self.sent + tick * PER_TICK)).collect();
        let start = Instant::now();
        for (tick, (sender, bytes)) in batches.iter().enumerate() {
            let due = start + TICK * tick as u32;
            loop {
                self.service()?;
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                thread::sleep(left.min(ACKS));
            }
            self.state.note_due(self.sent / PER_TICK, due);
            write(&self.sockets[*sender], bytes)?;
            self.sent += PER_TICK;
        }
        Ok(())
    }

    /// The updates after number `sent`, all of one sender.
    fn batch(&self, sent: u64) -> (usize, Vec<u8>) {
        let sender = sender(key(sent + 1));
        let mut bytes = Vec::new();
        // The first of a sender.
        if sent < SENDERS as u64 * PER_TICK {
            bytes = definition(Keys::Ip, EXPIRE_MS);
        }
        for sequence in sent + 1..=sent + PER_TICK {
            // Ids count on; gaps are allowed.
            let header = UpdateHeader { id: Some(sequence as u32), lifetime_ms: None };
            let mut frame = header.begin(&mut bytes);
            let payload = frame.payload();
            Keys::Ip.encode(key(sequence), payload);
            encode_unsigned(sequence as u32, payload);
            encode_unsigned(check(sequence), payload);
            encode_frequency(WireFrequency { age: 1_500, current: 20, previous: 100 }, payload);
            encode_frequency(WireFrequency { age: 1_500, current: 20_000, previous: 30_000 }, payload);
            frame.finish(Padding::None);
        }
        (sender, bytes)
    }

    /// Acknowledges what was received, and shows that everybody is alive.
    fn service(&mut self) -> Result<()> {
        self.upkeep.service(&self.sockets, &*self.state)
    }

    /// Waits until everybody has the last update of every key.
    pub(super) fn settle(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            self.service()?;
            if self.state.is_complete(self.sent) {
                return Ok(());
            }
            ensure!(!self.state.stopped.load(Ordering::Relaxed), "a session ended");
            ensure!(Instant::now() < deadline, "not everybody has the last updates after {limit:?}");
            thread::sleep(ACKS);
        }
    }
}
