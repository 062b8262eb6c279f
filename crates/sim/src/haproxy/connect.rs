//! Connections, from the attempt or the hello to their end (peers-protocol §2).

use haproxy_peers::{
    Hello, HelloParser, HelloProgress, LastStatus, ProtocolVersion, Status, StatusParser, StatusProgress,
};
use stick_table::Millis;

use super::Haproxy;
use crate::{Link, Want};

/// Most bytes of a hello or a status line: `tune.bufsize`.
pub(super) const BUFFER: usize = 16_384;
/// A handshake without a word for this long is given up, in ms (§3).
const HANDSHAKE_MS: Millis = 5_000;
/// Numbers of connections that are made here.
const OWN_LINKS: u64 = 1 << 63;

pub(super) struct Connection {
    pub(super) state: State,
    /// Bytes to send, made already.
    pub(super) out: Vec<u8>,
    /// When something passed last.
    pub(super) active: Millis,
}

pub(super) enum State {
    /// Wanted, for a peer.
    Dialing(usize),
    /// The hello is sent.
    AwaitingStatus(usize, StatusParser),
    /// Called by somebody; with the bytes that came so far.
    AwaitingHello(HelloParser, usize),
    /// A session of a peer; with the start of a message.
    Established(usize, Vec<u8>),
    /// To be closed when everything is sent.
    Closing,
}

impl Haproxy {
    /// Connects to a peer. The next attempt is at least `pause` later.
    pub(super) fn connect(&mut self, now: Millis, place: usize, pause: Millis) {
        let link = Link(OWN_LINKS | self.next_link);
        self.next_link += 1;
        let peer = &mut self.peers[place];
        (peer.link, peer.status, peer.reconnect) = (Some(link), LastStatus::Connecting, Some(now + pause));
        self.wants.push_back(Want::Connect { link, peer: peer.name.clone() });
        self.connections
            .insert(link, Connection { state: State::Dialing(place), out: Vec::new(), active: now });
    }

    /// The connection is there: says hello, in one piece.
    pub(super) fn say_hello(&mut self, now: Millis, link: Link) {
        let Some(connection) = self.connections.get_mut(&link) else {
            self.wants.push_back(Want::Close(link));
            return;
        };
        let State::Dialing(place) = connection.state else { return };
        let peer = &mut self.peers[place];
        let old = peer.downgraded || !self.config.quirks.speaks_2_1;
        let hello = Hello {
            version: if old { ProtocolVersion::V2_0 } else { ProtocolVersion::V2_1 },
            target: peer.name.clone(),
            sender: self.config.name.clone(),
            pid: self.config.pid,
            relative_pid: 1,
        };
        hello.encode(&mut connection.out).unwrap();
        peer.status = LastStatus::Handshake;
        connection.active = now;
        connection.state = State::AwaitingStatus(place, StatusParser::new(BUFFER));
    }

    /// Bytes arrived.
    pub(super) fn take_bytes(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.active = now;
        match &mut connection.state {
            State::AwaitingStatus(place, parser) => {
                let (place, progress) = (*place, parser.feed(bytes));
                match progress {
                    StatusProgress::Incomplete => {}
                    StatusProgress::Complete(status, taken) => {
                        self.take_status(now, link, place, status, &bytes[taken..]);
                    }
                    StatusProgress::TooLong => self.close_session(now, place),
                }
            }
            State::AwaitingHello(parser, held) => {
                let is_whole = *held == 0;
                *held += bytes.len();
                // Line 2 is judged below, after the version.
                match parser.feed(bytes, |_| true) {
                    HelloProgress::Incomplete => {}
                    HelloProgress::Complete(hello, taken) => {
                        self.greet(now, link, &hello, is_whole, &bytes[taken..]);
                    }
                    HelloProgress::Refused(error) => self.refuse(link, error.status()),
                }
            }
            State::Established(place, input) => {
                let place = *place;
                let mut input = std::mem::take(input);
                input.extend_from_slice(bytes);
                let result = self.take_messages(now, place, &mut input);
                if let Err(error) = result {
                    self.release(now, place);
                    if let Some(connection) = self.connections.get_mut(&link) {
                        error.encode(&mut connection.out);
                        connection.state = State::Closing;
                    }
                } else if let Some(connection) = self.connections.get_mut(&link)
                    && let State::Established(_, rest) = &mut connection.state
                {
                    *rest = input;
                }
            }
            State::Dialing(_) | State::Closing => {}
        }
    }

    /// Every status but 200 is final (§2.3).
    fn take_status(&mut self, now: Millis, link: Link, place: usize, status: Status, rest: &[u8]) {
        let peer = &mut self.peers[place];
        peer.status = LastStatus::Answered(status);
        if status != Status::Accepted {
            peer.downgraded |= status == Status::VersionMismatch;
            self.close_session(now, place);
            return;
        }
        self.establish(now, link, place, false);
        self.take_bytes(now, link, rest);
    }

    /// Judges a hello (§2.2); `is_whole` when it came in one piece.
    fn greet(&mut self, now: Millis, link: Link, hello: &Hello, is_whole: bool, rest: &[u8]) {
        if hello.version != ProtocolVersion::V2_0 && !self.config.quirks.speaks_2_1 {
            return self.refuse(link, Some(Status::VersionMismatch));
        }
        if hello.target != self.config.name {
            return self.refuse(link, Some(Status::NameMismatch));
        }
        let Some(place) = self.peers.iter().position(|peer| peer.name == hello.sender) else {
            return self.refuse(link, Some(Status::UnknownPeer));
        };
        let is_collision = self.peers[place].link.is_some();
        if is_collision {
            if self.peers[place].is_local {
                return self.refuse(link, Some(Status::TryLater));
            }
            // The new one wins, and this side waits a random time before it calls by itself (§2.5).
            self.collisions += 1;
            self.close_session(now, place);
            self.peers[place].reconnect = Some(now + self.pause());
        }
        if is_whole {
            self.peers[place].downgraded = hello.version == ProtocolVersion::V2_0;
        }
        self.peers[place].link = Some(link);
        if let Some(connection) = self.connections.get_mut(&link) {
            Status::Accepted.encode(&mut connection.out);
        }
        self.establish(now, link, place, true);
        if let Some(session) = &mut self.peers[place].session {
            session.alive = !(is_collision && self.config.quirks.forgets_life_at_collision);
        }
        self.take_bytes(now, link, rest);
    }

    fn establish(&mut self, now: Millis, link: Link, place: usize, accepted: bool) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.state = State::Established(place, Vec::new());
        }
        let peer = &mut self.peers[place];
        peer.establish(now, accepted, &self.tables, &self.config.quirks);
        match (peer.is_local, accepted) {
            (true, true) => self.predecessor_came(place),
            (true, false) => peer.teach(&self.tables, &self.config.quirks),
            (false, _) => {}
        }
    }

    /// Answers with a status, if there is one, and closes.
    fn refuse(&mut self, link: Link, status: Option<Status>) {
        if let Some(connection) = self.connections.get_mut(&link) {
            if let Some(status) = status {
                status.encode(&mut connection.out);
            }
            connection.state = State::Closing;
        }
    }

    /// 50 to 2049 ms (§3).
    pub(super) fn pause(&mut self) -> Millis {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        50 + self.random % 2_000
    }

    /// A peer has no connection any more. What it acknowledged stays known.
    pub(super) fn release(&mut self, now: Millis, place: usize) -> Option<Link> {
        self.lesson_lost(now, place);
        self.peers[place].session = None;
        self.peers[place].link.take()
    }

    /// Closes a peer's connection, whatever its state.
    pub(super) fn close_session(&mut self, now: Millis, place: usize) {
        if let Some(link) = self.release(now, place) {
            self.connections.remove(&link);
            self.wants.push_back(Want::Close(link));
        }
    }

    /// Closes the connections of those who have not said who they are.
    pub(super) fn drop_callers(&mut self) {
        let is_caller =
            |connection: &Connection| matches!(connection.state, State::AwaitingHello(..) | State::Closing);
        let callers: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_caller(connection))
            .map(|(link, _)| *link)
            .collect();
        for link in callers {
            self.connections.remove(&link);
            self.wants.push_back(Want::Close(link));
        }
    }

    /// Closes everything.
    pub(super) fn drop_all(&mut self) {
        for peer in &mut self.peers {
            (peer.session, peer.link) = (None, None);
        }
        while let Some((link, _)) = self.connections.pop_first() {
            self.wants.push_back(Want::Close(link));
        }
    }

    /// The other end is gone.
    pub(super) fn connection_ended(&mut self, now: Millis, link: Link) {
        let Some(connection) = self.connections.remove(&link) else { return };
        if let State::Dialing(place) | State::AwaitingStatus(place, _) | State::Established(place, _) =
            connection.state
        {
            self.release(now, place);
        }
    }

    /// When a connection is given up if nothing passes (§3).
    pub(super) fn patience(&self, connection: &Connection) -> Option<Millis> {
        let quirks = &self.config.quirks;
        let patience = match &connection.state {
            State::Dialing(_) => Some(quirks.connect_timeout_ms),
            State::AwaitingStatus(..) | State::AwaitingHello(..) => Some(HANDSHAKE_MS),
            State::Established(..) => quirks.idle_close_ms,
            State::Closing => None,
        };
        patience.map(|patience| connection.active + patience)
    }

    /// Gives up connections on which nothing passes.
    pub(super) fn sync_connections(&mut self, now: Millis) {
        let is_over = |connection: &Connection| self.patience(connection).is_some_and(|at| at <= now);
        let over: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| is_over(connection))
            .map(|(link, _)| *link)
            .collect();
        for link in over {
            self.connection_ended(now, link);
            self.wants.push_back(Want::Close(link));
        }
    }
}
