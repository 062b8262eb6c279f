//! The reading side of scripted nodes: takes in the sums they are told.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use haproxy_peers::{
    Control, DefineHead, Switch, UpdateForm, UpdateHeader, class, decode_frame, decode_unsigned, kind,
};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::link::Link;
use crate::upkeep;
use crate::usage::thread_cpu;
use crate::workload::Keys;

use super::schedule::Schedule;

/// Bytes read at once.
const PIECE: usize = 64 * 1_024;
/// Longest time without looking whether to stop.
const PAUSE: Duration = Duration::from_millis(10);
/// Latencies are told apart up to the first number, in µs, by the digits of the second.
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// What the reading thread and the writing one share.
#[derive(Debug)]
pub(super) struct Heard {
    keys: u64,
    /// The last sum of each key in each session.
    sums: Vec<AtomicU32>,
    /// The id of the result and of its last update, in each session.
    received: Vec<AtomicU64>,
    /// Requests for a lesson.
    asked: Vec<AtomicU32>,
    /// Sums that all sessions were told.
    told: AtomicU64,
    cpu_ns: AtomicU64,
    /// Whether the reading thread shall read nothing, and whether it obeys.
    pause: AtomicBool,
    paused: AtomicBool,
    stop: AtomicBool,
    stopped: AtomicBool,
    /// Sessions that go on: the first ones.
    kept: AtomicUsize,
    /// From when sums were due to when they were read, in µs.
    latency: Mutex<Histogram<u64>>,
}

/// All sessions with what is known of them.
#[derive(Debug)]
pub(super) struct Listener {
    sessions: Vec<Ear>,
    /// The name on the wire of the table to listen for.
    table: &'static str,
    heard: Arc<Heard>,
    schedule: Arc<Schedule>,
}

#[derive(Debug)]
struct Ear {
    socket: TcpStream,
    input: Vec<u8>,
    /// The id of the table listened for, that of the current one, and the last update of the first.
    wanted: Option<u32>,
    current: Option<u32>,
    last_id: u32,
}

impl Heard {
    fn new(sessions: usize, keys: u64) -> Result<Self> {
        let small = |count: usize| (0..count).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        Ok(Self {
            keys,
            sums: small(sessions * keys as usize),
            received: (0..sessions).map(|_| AtomicU64::new(0)).collect(),
            asked: small(sessions),
            told: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            pause: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            kept: AtomicUsize::new(sessions),
            latency: Mutex::new(empty()?),
        })
    }

    /// Sums that all sessions were told so far.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// CPU time of the reading thread so far.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// Whether the reading thread has ended, by itself or as it was told.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Ends the reading thread.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The latencies since this was asked last.
    pub(super) fn take_latency(&self) -> Result<Histogram<u64>> {
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut *latency, empty()?))
    }

    /// Closes all sessions but the first ones.
    pub(super) fn keep(&self, sessions: usize) {
        self.kept.store(sessions, Ordering::Relaxed);
    }

    /// Makes the reading thread read nothing, or read again; returns when it does.
    pub(super) fn set_paused(&self, pause: bool) {
        self.pause.store(pause, Ordering::Relaxed);
        while self.paused.load(Ordering::Relaxed) != pause && !self.has_stopped() {
            thread::sleep(PAUSE);
        }
    }

    /// The first key whose last sum in one of these sessions is not the one expected.
    pub(super) fn first_wrong(&self, sessions: &[usize], expected: &[u32]) -> Option<Wrong> {
        let both = sessions.iter().flat_map(|&session| (0..self.keys).map(move |key| (session, key)));
        both.map(|(session, key)| {
            let sum = self.sums[session * self.keys as usize + key as usize].load(Ordering::Relaxed);
            Wrong { session, key, sum, expected: expected[key as usize] }
        })
        .find(|it| it.sum != it.expected)
    }
}

impl upkeep::Heard for Heard {
    fn received(&self, session: usize) -> (u32, u32) {
        let both = self.received[session].load(Ordering::Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    fn asked(&self, session: usize) -> u32 {
        self.asked[session].load(Ordering::Relaxed)
    }
}

fn empty() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LONGEST_US, DIGITS).context("these bounds are possible")
}

/// A sum that is not what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) session: usize,
    pub(super) key: u64,
    pub(super) sum: u32,
    pub(super) expected: u32,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { session, key, sum, expected } = self;
        write!(f, "session {session} was told {sum} of key {key}, and {expected} were counted")
    }
}

impl Listener {
    /// For sessions that are established, with what was read from them already, and the socket of each for writing.
    pub(super) fn new(
        links: Vec<Link>,
        table: &'static str,
        schedule: Arc<Schedule>,
    ) -> Result<(Self, Vec<TcpStream>)> {
        let heard = Arc::new(Heard::new(links.len(), schedule.keys())?);
        let mut writers = Vec::with_capacity(links.len());
        let mut sessions = Vec::with_capacity(links.len());
        for link in links {
            let (socket, input) = link.into_parts();
            writers.push(socket.try_clone()?);
            sessions.push(Ear { socket, input, wanted: None, current: None, last_id: 0 });
        }
        Ok((Self { sessions, table, heard, schedule }, writers))
    }

    /// What is shared with the writing thread.
    pub(super) fn heard(&self) -> Arc<Heard> {
        self.heard.clone()
    }

    /// Reads until it is told to stop.
    ///
    /// # Errors
    ///
    /// When a session ends, or a sum falls.
    pub(super) fn run(mut self) -> Result<()> {
        let outcome = self.read_all();
        self.heard.stopped.store(true, Ordering::Relaxed);
        outcome
    }

    fn read_all(&mut self) -> Result<()> {
        let time = Timespec::try_from(PAUSE)?;
        let mut ready = Vec::with_capacity(self.sessions.len());
        (0..self.sessions.len()).try_for_each(|session| self.understand(session))?;
        while !self.heard.stop.load(Ordering::Relaxed) {
            let pause = self.heard.pause.load(Ordering::Relaxed);
            self.heard.paused.store(pause, Ordering::Relaxed);
            if pause {
                thread::sleep(PAUSE);
                continue;
            }
            self.sessions.truncate(self.heard.kept.load(Ordering::Relaxed));
            let mut sockets: Vec<PollFd<'_>> =
                self.sessions.iter().map(|session| PollFd::new(&session.socket, PollFlags::IN)).collect();
            poll(&mut sockets, Some(&time)).context("cannot wait for sessions")?;
            ready.clear();
            ready.extend((0..sockets.len()).filter(|&at| !sockets[at].revents().is_empty()));
            ready.iter().try_for_each(|&session| self.read(session))?;
            self.heard.cpu_ns.store(thread_cpu().as_nanos() as u64, Ordering::Relaxed);
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
            Ok(0) => bail!("session {at} was closed"),
            Ok(_) => self.understand(at),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(error) => Err(error).with_context(|| format!("session {at} broke")),
        }
    }

    fn understand(&mut self, at: usize) -> Result<()> {
        let now = Instant::now();
        let mut latencies = self.heard.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let session = &mut self.sessions[at];
        let (mut taken, mut told) = (0, 0);
        while let Some((frame, size)) = decode_frame(&session.input[taken..], 0, PIECE)? {
            let reader = &mut frame.reader();
            match (frame.class, frame.kind) {
                (class::STICK_TABLE, kind::DEFINE) => {
                    let head = DefineHead::decode(reader)?;
                    session.current = Some(head.id);
                    if head.name == self.table.as_bytes() {
                        session.wanted = Some(head.id);
                    }
                }
                (class::STICK_TABLE, kind::SWITCH) => {
                    session.current = Some(Switch::decode(reader)?.table_id);
                }
                (class::STICK_TABLE, kind) => {
                    if let Some(form) = UpdateForm::from_kind(kind)
                        && session.current.is_some()
                        && session.current == session.wanted
                    {
                        let header = UpdateHeader::decode(form, reader)?;
                        session.last_id = header.id.unwrap_or_else(|| session.last_id.wrapping_add(1));
                        let number = Keys::Ip.number(reader.bytes(4, "key")?);
                        let key = number.filter(|&key| key < self.heard.keys).context("a sum of no key")?;
                        let sum = decode_unsigned(reader, "http_req_cnt")?;
                        let last = &self.heard.sums[at * self.heard.keys as usize + key as usize];
                        let before = last.swap(sum, Ordering::Relaxed);
                        ensure!(before <= sum, "session {at}: {sum} of key {key} came after {before}");
                        told += 1;
                        // A repetition of a sum is not its arrival.
                        if sum > before
                            && let Some(latency) = self.schedule.latency(key, sum, now)
                        {
                            latencies.saturating_record(latency.as_micros() as u64);
                        }
                    }
                }
                (class::CONTROL, control) if Control::from_kind(control) == Some(Control::ResyncRequest) => {
                    self.heard.asked[at].fetch_add(1, Ordering::Relaxed);
                }
                (class::CONTROL, _) => {}
                (class, kind) => bail!("complaint in session {at}: class {class} type {kind}"),
            }
            taken += size;
        }
        session.input.drain(..taken);
        self.heard.told.fetch_add(told, Ordering::Relaxed);
        let both = u64::from(session.wanted.unwrap_or(0)) << 32 | u64::from(session.last_id);
        self.heard.received[at].store(both, Ordering::Relaxed);
        Ok(())
    }
}
