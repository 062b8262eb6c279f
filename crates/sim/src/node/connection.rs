//! One connection of a node, with the daemon's bounds and time-outs.

use haproxy_peers::{EndReason, Hello, HelloParser, PeerId, Session, SessionId, StatusParser};
use stick_table::Millis;

/// Longest wait for a hello, or for its answer, in ms.
const HANDSHAKE_MS: u64 = 5_000;
/// Longest status line, in bytes.
const MAX_STATUS: usize = 1_024;
/// After so many bytes nothing is made to be sent for so long, in ms.
const MUCH: usize = 1_024;
const PAUSE_MS: u64 = 1;
/// While the peer takes no bytes the clock is looked at this often, in ms.
const STALLED_MS: u64 = 1_000;
/// Passes in which bytes are made without a look at anything else.
const MAX_PASSES: usize = 256;
/// Entries of one hold may follow when the chunk is full: 128 of a table of the world, padded.
const MAX_OVERSHOOT: usize = 128 * 256 + 1_024;

pub(super) enum State {
    /// The hello goes out, the status is awaited.
    Dialing { id: SessionId, peer: PeerId, parser: StatusParser, until: Millis },
    /// The hello is awaited.
    Greeting { parser: HelloParser, until: Millis },
    /// A session.
    Live { id: SessionId, peer: PeerId, session: Box<Session> },
    /// Closed when the last bytes are sent.
    Leaving,
}

pub(super) struct Connection {
    pub(super) state: State,
    pub(super) output: Vec<u8>,
    written: usize,
    quiet_until: Millis,
    /// When the clock is looked at while nothing can be sent.
    look_at: Millis,
}

impl Connection {
    fn new(state: State) -> Self {
        Self { state, output: Vec::new(), written: 0, quiet_until: 0, look_at: 0 }
    }

    pub(super) fn dial((id, peer): (SessionId, PeerId), hello: &Hello, now: Millis) -> Self {
        let parser = StatusParser::new(MAX_STATUS);
        let mut connection = Self::new(State::Dialing { id, peer, parser, until: now + HANDSHAKE_MS });
        hello.encode(&mut connection.output).unwrap();
        connection
    }

    pub(super) fn accept(buffer_size: usize, now: Millis) -> Self {
        let parser = HelloParser::new(buffer_size);
        Self::new(State::Greeting { parser, until: now + HANDSHAKE_MS })
    }

    pub(super) fn session_id(&self) -> Option<SessionId> {
        match &self.state {
            State::Dialing { id, .. } | State::Live { id, .. } => Some(*id),
            State::Greeting { .. } | State::Leaving => None,
        }
    }

    pub(super) fn live(&mut self) -> Option<(SessionId, PeerId, &mut Session)> {
        match &mut self.state {
            State::Live { id, peer, session } => Some((*id, *peer, session)),
            _ => None,
        }
    }

    fn is_taken(&self) -> bool {
        self.written == self.output.len()
    }

    pub(super) fn timeout(&self) -> Option<Millis> {
        match &self.state {
            State::Dialing { until, .. } | State::Greeting { until, .. } => Some(*until),
            State::Live { session, .. } if self.is_taken() => {
                let at = session.poll_timeout();
                Some(if self.quiet_until > 0 { at.min(self.quiet_until) } else { at })
            }
            State::Live { session, .. } => Some(session.poll_timeout().max(self.look_at)),
            State::Leaving => None,
        }
    }

    /// Looks at the clock; why the connection ends, if it does.
    pub(super) fn handle_timeout(&mut self, now: Millis) -> Option<EndReason> {
        if now >= self.quiet_until {
            self.quiet_until = 0;
        }
        let taken = self.is_taken();
        match &mut self.state {
            State::Dialing { .. } | State::Greeting { .. } => Some(EndReason::Connection("silent".into())),
            State::Live { session, .. } => {
                if !taken {
                    // A heartbeat that is due has to wait for the peer.
                    self.look_at = now + STALLED_MS;
                }
                session.handle_timeout(now).err().map(EndReason::Error)
            }
            State::Leaving => None,
        }
    }

    /// Appends at most `room` bytes; makes more to be sent only when all before are taken.
    pub(super) fn transmit(&mut self, now: Millis, chunk: usize, room: usize, out: &mut Vec<u8>) {
        let start = out.len();
        for _ in 0..MAX_PASSES {
            let left = room - (out.len() - start);
            let end = self.output.len().min(self.written + left);
            out.extend_from_slice(&self.output[self.written..end]);
            self.written = end;
            if !self.is_taken() || left == 0 || now < self.quiet_until {
                return;
            }
            self.output.clear();
            self.written = 0;
            let State::Live { session, .. } = &mut self.state else { return };
            let more = session.poll_transmit(now, chunk, &mut self.output);
            if self.output.len() >= MUCH && !more {
                self.quiet_until = now + PAUSE_MS;
            } else if self.output.is_empty() && !more {
                return;
            }
            if now < self.quiet_until {
                // What was made still goes out.
                let left = room - (out.len() - start);
                self.written = self.output.len().min(left);
                out.extend_from_slice(&self.output[..self.written]);
                return;
            }
        }
    }

    /// Whether it has nothing more to send and is to be closed.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.state, State::Leaving) && self.is_taken()
    }

    pub(super) fn memory(&self) -> usize {
        let session = match &self.state {
            State::Live { session, .. } => session.memory(),
            _ => 0,
        };
        self.output.len() + session
    }

    /// What of it is within the bounds of its parts.
    pub(super) fn memory_bound(&self, chunk: usize) -> usize {
        let session = match &self.state {
            State::Live { session, .. } => session.memory_within_bounds(),
            _ => 0,
        };
        self.output.len().min(chunk + MAX_OVERSHOOT) + session
    }
}
