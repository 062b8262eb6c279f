//! The driver's end of a peers session, as plain as can be: one socket, one thread, buffers given from outside.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use haproxy_peers::{Ack, Control, Hello, ProtocolVersion, class, decode_frame, kind};
use haproxy_peers::{Status, StatusParser, StatusProgress};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a subject may take for anything it is asked, per step that makes progress.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long to try to connect: a subject may just be replacing a session of its own.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Most bytes given to the socket or taken from it at once.
const PIECE: usize = 256 * 1_024;
/// Room for input between two looks at it.
const INBOX: usize = 1_024 * 1_024;
/// Largest payload accepted.
const MAX_PAYLOAD: usize = 65_536;

/// The subject ended the session. HAProxy 2.6 does that now and then to a session that comes while an attempt of its own to
/// connect to the same peer is failing; a peer connects again then.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the subject closed the session")
    }
}

impl std::error::Error for Broken {}

/// Whether an error comes from a session that the subject ended.
pub(crate) fn is_broken(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<Broken>)
}

/// What the subject has said so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// Requests for a lesson.
    pub(crate) requests: u64,
    /// Lessons ended as finished or partial.
    pub(crate) lessons: u64,
    /// Confirmations.
    pub(crate) confirms: u64,
    /// The last acknowledgement.
    pub(crate) acked: Option<u32>,
    /// Updates, counted only.
    pub(crate) updates: u64,
}

/// When bytes of a stream passed: the position after each piece with its time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passage(pub(crate) Vec<(usize, Instant)>);

/// An established session.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Bytes of the inbox that are filled, and those that were understood.
    filled: usize,
    parsed: usize,
    /// Whether what was understood stays in the inbox.
    keep: bool,
    heard: Heard,
    /// What to answer a request for a lesson with: an empty lesson, if anything.
    lesson: Option<Vec<u8>>,
}

/// A lesson as it was received.
#[derive(Debug)]
pub(crate) struct Received {
    /// Everything that came since the request.
    pub(crate) bytes: Vec<u8>,
    /// When.
    pub(crate) passage: Passage,
    /// From sending the request to receiving the end.
    pub(crate) asked: Instant,
    pub(crate) finished: Instant,
}

impl Link {
    /// Connects as peer `own` to the peer `target` at `address`. A request for a lesson is answered with
    /// `empty_lesson`, the definition of a table, or left to the caller when there is none.
    pub(crate) fn connect(
        address: SocketAddr,
        target: &str,
        own: &str,
        empty_lesson: Option<&[u8]>,
    ) -> Result<Self> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        loop {
            match Self::try_connect(address, target, own, empty_lesson) {
                Ok(link) => return Ok(link),
                Err(error) if Instant::now() > deadline => {
                    return Err(
                        error.context(format!("cannot connect to {target} at {address} as peer {own}"))
                    );
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn try_connect(
        address: SocketAddr,
        target: &str,
        own: &str,
        empty_lesson: Option<&[u8]>,
    ) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        let (target, sender) = (target.to_owned(), own.to_owned());
        let hello = Hello {
            version: ProtocolVersion::V2_1,
            target,
            sender,
            pid: std::process::id(),
            relative_pid: 1,
        };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes)?;
        stream.write_all(&bytes)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (mut parser, mut byte) = (StatusParser::new(100), [0]);
        let status = loop {
            stream.read_exact(&mut byte).context("closed without a status")?;
            match parser.feed(&byte) {
                StatusProgress::Incomplete => {}
                StatusProgress::Complete(status, _) => break status,
                StatusProgress::TooLong => bail!("no status line"),
            }
        };
        ensure!(status == Status::Accepted, "refused with status {}", status.code());
        stream.set_nonblocking(true)?;
        let lesson = empty_lesson.map(|definition| {
            let mut lesson = definition.to_vec();
            Control::ResyncFinished.encode(&mut lesson);
            lesson
        });
        let inbox = vec![0; INBOX];
        Ok(Self { stream, inbox, filled: 0, parsed: 0, keep: false, heard: Heard::default(), lesson })
    }

    /// The socket, which does not block, and what was read from it and not understood yet.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        let rest = self.inbox[self.parsed..self.filled].to_vec();
        (self.stream, rest)
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard
    }

    /// Sends a control message.
    pub(crate) fn say(&mut self, control: Control) -> Result<()> {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        self.send(&bytes)?;
        Ok(())
    }

    /// Writes everything, taking in what the subject says meanwhile so that it is never held up; returns when which byte
    /// was taken by the socket.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<Passage> {
        let mut passage = Passage(Vec::with_capacity(bytes.len() / PIECE + 64));
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..bytes.len().min(sent + PIECE)]) {
                Ok(count) => {
                    sent += count;
                    passage.0.push((sent, Instant::now()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.poll(PollFlags::IN | PollFlags::OUT, PATIENCE)?;
                    ensure!(!ready.is_empty(), "the subject took no byte for {PATIENCE:?}");
                    if ready.contains(PollFlags::IN) {
                        self.take()?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => bail!(Broken),
            }
        }
        Ok(passage)
    }

    /// Takes in what comes until `enough`.
    pub(crate) fn wait(&mut self, what: &str, enough: impl Fn(&Heard) -> bool) -> Result<()> {
        self.understand()?;
        while !enough(&self.heard) {
            ensure!(!self.poll(PollFlags::IN, PATIENCE)?.is_empty(), "waited {PATIENCE:?} for {what}");
            self.take().with_context(|| format!("while waiting for {what}"))?;
        }
        Ok(())
    }

    /// Takes in what comes within `time`.
    pub(crate) fn listen(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.poll(PollFlags::IN, left)?.is_empty() {
                return Ok(());
            }
            self.take()?;
        }
    }

    /// Makes room for a lesson of `room` bytes.
    pub(crate) fn make_ready(&mut self, room: usize) -> Result<()> {
        ensure!(self.parsed == self.filled, "half a message before a lesson");
        (self.filled, self.parsed, self.keep) = (0, 0, true);
        // Written to once now, so that no page is missing when the clock runs.
        self.inbox = vec![1; room + INBOX];
        Ok(())
    }

    /// Asks for a lesson and takes it into the room made ([`Self::make_ready`]), which grows when it is not enough. The caller
    /// says when it confirms the lesson ([`Control::ResyncConfirm`]).
    pub(crate) fn learn(&mut self) -> Result<Received> {
        let lessons = self.heard.lessons;
        let mut passage = Passage(Vec::with_capacity(65_536));
        let asked = Instant::now();
        self.say(Control::ResyncRequest)?;
        while self.heard.lessons == lessons {
            ensure!(!self.poll(PollFlags::IN, PATIENCE)?.is_empty(), "waited {PATIENCE:?} in a lesson");
            self.take().context("in a lesson")?;
            passage.0.push((self.parsed, Instant::now()));
        }
        let finished = Instant::now();
        let mut bytes = std::mem::replace(&mut self.inbox, vec![0; INBOX]);
        self.inbox[..self.filled - self.parsed].copy_from_slice(&bytes[self.parsed..self.filled]);
        bytes.truncate(self.parsed);
        (self.filled, self.parsed, self.keep) = (self.filled - self.parsed, 0, false);
        Ok(Received { bytes, passage, asked, finished })
    }

    /// Waits until there is something to [`Self::take`]; `false` after `time`.
    pub(crate) fn ready(&self, time: Duration) -> Result<bool> {
        Ok(!self.poll(PollFlags::IN, time)?.is_empty())
    }

    /// Waits for readiness; nothing is ready after `time`.
    fn poll(&self, interest: PollFlags, time: Duration) -> Result<PollFlags> {
        let time = Timespec::try_from(time).context("too long a wait")?;
        let mut sockets = [PollFd::new(&self.stream, interest)];
        match poll(&mut sockets, Some(&time)) {
            Ok(_) => Ok(sockets[0].revents()),
            Err(error) if error == rustix::io::Errno::INTR => Ok(PollFlags::empty()),
            Err(error) => Err(error).context("cannot wait for the subject"),
        }
    }

    /// Takes what the socket has, at most a piece.
    pub(crate) fn take(&mut self) -> Result<()> {
        if self.inbox.len() - self.filled < PIECE {
            self.make_room();
        }
        let end = self.inbox.len().min(self.filled + PIECE);
        match self.stream.read(&mut self.inbox[self.filled..end]) {
            Ok(0) => bail!(Broken),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => bail!(Broken),
        }
        self.understand()
    }

    fn make_room(&mut self) {
        if self.keep {
            self.inbox.resize(self.inbox.len() * 2, 0);
        } else {
            self.inbox.copy_within(self.parsed..self.filled, 0);
            self.filled -= self.parsed;
            self.parsed = 0;
        }
    }

    fn understand(&mut self) -> Result<()> {
        let requests = self.heard.requests;
        while let Some((frame, size)) = decode_frame(&self.inbox[self.parsed..self.filled], 0, MAX_PAYLOAD)? {
            match (frame.class, frame.kind) {
                (class::STICK_TABLE, kind::ACK) => {
                    self.heard.acked = Some(Ack::decode(&mut frame.reader())?.update_id);
                }
                (class::STICK_TABLE, kind::DEFINE) => {}
                (class::STICK_TABLE, _) => self.heard.updates += 1,
                (class::CONTROL, control) => match Control::from_kind(control) {
                    Some(Control::ResyncRequest) => self.heard.requests += 1,
                    Some(Control::ResyncFinished | Control::ResyncPartial) => {
                        self.heard.lessons += 1;
                        if self.keep {
                            // What follows is not part of the lesson.
                            self.parsed += size;
                            break;
                        }
                    }
                    Some(Control::ResyncConfirm) => self.heard.confirms += 1,
                    Some(Control::Heartbeat | Control::Relay) | None => {}
                },
                (class, kind) => bail!("the subject complains: class {class} type {kind}"),
            }
            self.parsed += size;
        }
        if self.heard.requests > requests
            && let Some(lesson) = self.lesson.clone()
        {
            self.send(&lesson)?;
        }
        Ok(())
    }
}
