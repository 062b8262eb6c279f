//! The reading side of all sessions.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use haproxy_peers::{
    Control, DefineHead, Reader, UpdateForm, UpdateHeader, class, decode_frame, decode_unsigned, kind,
};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::load::{check, key, sender};
use super::{KEYS, PER_TICK, SESSIONS};
use crate::upkeep;
use crate::usage::thread_cpu;
use crate::workload::Keys;

/// Bytes read at once.
const PIECE: usize = 64 * 1_024;
/// Longest time without looking whether to stop.
const PAUSE: Duration = Duration::from_millis(10);
/// Ticks for which due times are kept.
const TICKS: usize = 100_000;
/// Largest latency told apart, in µs, and the digits kept.
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// What the reading thread and the writing one share.
#[derive(Debug)]
pub(super) struct State {
    base: Instant,
    /// When each tick's updates were due, in ns after `base`.
    due: Vec<AtomicU64>,
    /// The last update of each key in each session, 0 before the first.
    last: Vec<AtomicU32>,
    /// The table's id and the last update's, in each session.
    received: Vec<AtomicU64>,
    /// Requests for a lesson.
    asked: Vec<AtomicU32>,
    reader_cpu_ns: AtomicU64,
    forget: AtomicBool,
    stop: AtomicBool,
    pub(super) stopped: AtomicBool,
}

/// All sockets with what is known of them.
#[derive(Debug)]
pub(super) struct Receivers {
    sessions: Vec<Session>,
    state: Arc<State>,
    /// In µs.
    latency: Histogram<u64>,
    received: u64,
}

#[derive(Debug)]
struct Session {
    socket: TcpStream,
    input: Vec<u8>,
    table_id: u32,
    last_id: u32,
}

impl State {
    pub(super) fn note_due(&self, tick: u64, due: Instant) {
        self.due[tick as usize].store((due - self.base).as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn reader_cpu(&self) -> Duration {
        Duration::from_nanos(self.reader_cpu_ns.load(Ordering::Relaxed))
    }

    /// Begins to count afresh; nothing may be under way.
    pub(super) fn forget(&self) {
        self.forget.store(true, Ordering::Relaxed);
        while self.forget.load(Ordering::Relaxed) && !self.stopped.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether every session has the last update of every key, after `sent` updates.
    pub(super) fn is_complete(&self, sent: u64) -> bool {
        self.first_missing(sent).is_none()
    }

    /// A session and the sequence number of an update it should have but has not.
    fn first_missing(&self, sent: u64) -> Option<(usize, u64)> {
        let lasts = sent.saturating_sub(KEYS) + 1..=sent;
        lasts.flat_map(|sequence| (0..SESSIONS).map(move |session| (session, sequence))).find(
            |&(session, sequence)| {
                let key = key(sequence);
                let last = self.last[session * KEYS as usize + key as usize].load(Ordering::Relaxed);
                sender(key) != session && u64::from(last) != sequence
            },
        )
    }
}

impl upkeep::Heard for State {
    fn received(&self, session: usize) -> (u32, u32) {
        let both = self.received[session].load(Ordering::Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    fn asked(&self, session: usize) -> u32 {
        self.asked[session].load(Ordering::Relaxed)
    }
}

impl Receivers {
    /// For sockets with what was read from them already.
    pub(super) fn new(sockets: Vec<TcpStream>, rests: Vec<Vec<u8>>) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let small = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        let state = State {
            base: Instant::now(),
            due: zeros(TICKS),
            last: small(SESSIONS * KEYS as usize),
            received: zeros(SESSIONS),
            asked: small(SESSIONS),
            reader_cpu_ns: AtomicU64::new(0),
            forget: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        let session = |(socket, input)| Session { socket, input, table_id: 0, last_id: 0 };
        let sessions = sockets.into_iter().zip(rests).map(session).collect();
        Self { sessions, state: Arc::new(state), latency: histogram(), received: 0 }
    }

    /// What is shared with the writing thread.
    pub(super) fn state(&self) -> Arc<State> {
        self.state.clone()
    }

    /// Reads until it is told to stop.
    ///
    /// # Errors
    ///
    /// When a session ends, or an update is not what was sent.
    pub(super) fn run(&mut self) -> Result<()> {
        let outcome = self.read_all();
        self.state.stopped.store(true, Ordering::Relaxed);
        outcome
    }

    fn read_all(&mut self) -> Result<()> {
        let time = Timespec::try_from(PAUSE)?;
        let mut ready = Vec::with_capacity(SESSIONS);
        for session in 0..self.sessions.len() {
            self.understand(session)?;
        }
        while !self.state.stop.load(Ordering::Relaxed) {
            let mut sockets: Vec<PollFd<'_>> =
                self.sessions.iter().map(|session| PollFd::new(&session.socket, PollFlags::IN)).collect();
            poll(&mut sockets, Some(&time)).context("cannot wait for sessions")?;
            ready.clear();
            ready.extend((0..sockets.len()).filter(|&at| !sockets[at].revents().is_empty()));
            for &session in &ready {
                self.read(session)?;
            }
            if self.state.forget.load(Ordering::Relaxed) {
                (self.latency, self.received) = (histogram(), 0);
                self.state.forget.store(false, Ordering::Relaxed);
            }
            self.state.reader_cpu_ns.store(thread_cpu().as_nanos() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<()> {
        let session = &mut self.sessions[at];
        let filled = session.input.len();
        session.input.resize(filled + PIECE, 0);
        let outcome = session.socket.read(&mut session.input[filled..]);
        session.input.truncate(filled + outcome.as_ref().map_or(0, |&count| count));
        match outcome {
            Ok(0) => bail!("stickd closed session {at}"),
            Ok(_) => self.understand(at),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(error) => Err(error).with_context(|| format!("session {at} broke")),
        }
    }

    fn understand(&mut self, at: usize) -> Result<()> {
        let now = (Instant::now() - self.state.base).as_nanos() as u64;
        let session = &mut self.sessions[at];
        let mut taken = 0;
        while let Some((frame, size)) = decode_frame(&session.input[taken..], 0, PIECE)? {
            match (frame.class, frame.kind) {
                (class::STICK_TABLE, kind::DEFINE) => {
                    session.table_id = DefineHead::decode(&mut frame.reader())?.id;
                }
                (class::STICK_TABLE, kind) => {
                    if let Some(form) = UpdateForm::from_kind(kind) {
                        let (id, sequence) = update(form, &mut frame.reader(), session.last_id)?;
                        session.last_id = id;
                        let due =
                            self.state.due[((sequence - 1) / PER_TICK) as usize].load(Ordering::Relaxed);
                        self.latency.saturating_record(now.saturating_sub(due) / 1_000);
                        self.received += 1;
                        let key = key(sequence);
                        ensure!(sender(key) != at, "session {at} was told its own update {sequence}");
                        let last = &self.state.last[at * KEYS as usize + key as usize];
                        let before = last.swap(sequence as u32, Ordering::Relaxed);
                        ensure!(u64::from(before) <= sequence, "update {sequence} came after {before}");
                    }
                }
                (class::CONTROL, control) if Control::from_kind(control) == Some(Control::ResyncRequest) => {
                    self.state.asked[at].fetch_add(1, Ordering::Relaxed);
                }
                (class::CONTROL, _) => {}
                (class, kind) => bail!("stickd complains in session {at}: class {class} type {kind}"),
            }
            taken += size;
        }
        session.input.drain(..taken);
        let both = u64::from(session.table_id) << 32 | u64::from(session.last_id);
        self.state.received[at].store(both, Ordering::Relaxed);
        Ok(())
    }

    /// Whether every session has the last update of every key.
    pub(super) fn verify(&self, sent: u64) -> Result<()> {
        match self.state.first_missing(sent) {
            Some((session, sequence)) => bail!("session {session} has not got update {sequence} of {sent}"),
            None => Ok(()),
        }
    }

    /// Latencies in µs, and how many updates were received by all.
    pub(super) fn latency(self) -> (Histogram<u64>, u64) {
        (self.latency, self.received)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("these bounds are possible")
}

/// The id and the sequence number of an update; an error when its values are not those that were sent.
fn update(form: UpdateForm, reader: &mut Reader<'_>, last_id: u32) -> Result<(u32, u64)> {
    let header = UpdateHeader::decode(form, reader)?;
    let address = reader.bytes(4, "key")?;
    let sequence = decode_unsigned(reader, "gpc0")?;
    let told = decode_unsigned(reader, "conn_cnt")?;
    let number = Keys::Ip.number(address);
    let right = sequence > 0 && told == check(sequence.into()) && number == Some(key(sequence.into()));
    ensure!(right, "update {sequence} with conn_cnt {told} of entry {number:?} was never sent");
    Ok((header.id.unwrap_or_else(|| last_id.wrapping_add(1)), sequence.into()))
}
