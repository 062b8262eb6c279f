//! stickd as a process of the simulated world: one section with its connections, as the daemon drives it.

mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use haproxy_peers::{
    Action, ConfiguredPeer, Control, Definition, EndReason, Greeting, Hello, HelloProgress, Limits, Padding,
    ProtocolVersion, Section, SectionConfig, SessionId, Status, StatusProgress, TableSet, UpdateHeader,
    encode_unsigned,
};
use stick_table::{DataType, Lifetime, Millis, Origin, Table, Value};

use self::connection::{Connection, State};
use crate::{Link, Process, Reading, Want, Write};

/// Links that this side wants have this bit.
const OWN: u64 = 1 << 63;
/// Entries that are over are swept this often, in ms.
const SWEEP_MS: u64 = 1_000;
/// A hub looks at its sums this often, in ms.
const REFRESH_MS: u64 = 100;
/// Keys looked at in one go: more than there are.
const KEYS_AT_ONCE: usize = 10_000;

/// What a node is made from.
pub struct NodeSetup {
    /// Its own name.
    pub name: String,
    /// The other members.
    pub peers: Vec<ConfiguredPeer>,
    /// Its tables.
    pub tables: TableSet,
    /// Bounds of its sessions.
    pub limits: Limits,
    /// Bytes made to be sent at once.
    pub chunk: usize,
    /// Whether it speaks 2.0 only.
    pub old: bool,
    /// Whether a process before it hands over.
    pub expects_predecessor: bool,
    /// Its process id.
    pub pid: u32,
    /// Seed of its pauses.
    pub seed: u64,
}

/// One section of a stickd process.
pub struct Node {
    section: Section,
    tables: Arc<TableSet>,
    connections: BTreeMap<Link, Connection>,
    wants: VecDeque<Want>,
    next_link: u64,
    chunk: usize,
    buffer_size: usize,
    old: bool,
    sweep_at: Millis,
    /// Of a hub, when it looks at its sums next.
    refresh_at: Option<Millis>,
}

impl Node {
    /// A node that starts at `now`.
    pub fn new(setup: NodeSetup, now: Millis) -> Self {
        let tables = Arc::new(setup.tables);
        let config = SectionConfig {
            name: "p".into(),
            local_name: setup.name,
            peers: setup.peers,
            max_dynamic_peers: 0,
            discovers: false,
            forget_ms: 3_600_000,
            relay: false,
            tables: Arc::clone(&tables),
            limits: setup.limits,
            expects_predecessor: setup.expects_predecessor,
            pid: setup.pid,
            seed: setup.seed,
        };
        let mut node = Self {
            section: Section::new(config, now).unwrap(),
            refresh_at: tables.is_hub().then_some(now + REFRESH_MS),
            tables,
            connections: BTreeMap::new(),
            wants: VecDeque::new(),
            next_link: OWN,
            chunk: setup.chunk,
            buffer_size: setup.limits.buffer_size,
            old: setup.old,
            sweep_at: now + SWEEP_MS,
        };
        node.act(now);
        node
    }

    fn table(&self, place: usize) -> Option<Arc<Table>> {
        Some(Arc::clone(self.tables.get(place)?.table()))
    }

    /// Does what the section wants done.
    fn act(&mut self, now: Millis) {
        while let Some(action) = self.section.poll_action() {
            match action {
                Action::Connect { session, hello, .. } if self.old && hello.version.has_timed_updates() => {
                    // A node that speaks 2.0 only does not ask for more: as if it had been refused.
                    self.section.handle_status(now, session, Status::VersionMismatch);
                }
                Action::Connect { peer, name, session, hello } => {
                    let link = Link(self.next_link);
                    self.next_link += 1;
                    let connection = Connection::dial((session, peer), &hello, now);
                    self.connections.insert(link, connection);
                    self.wants.push_back(Want::Connect { link, peer: name });
                }
                Action::Close { session, reason } => self.close_session(now, session, reason),
                Action::Forgotten { .. } => {}
                Action::RequestLesson { session } => {
                    let mut live = self.connections.values_mut().filter_map(Connection::live);
                    if let Some((.., session)) = live.find(|(id, ..)| *id == session) {
                        session.request_lesson();
                    }
                }
            }
        }
    }

    fn close_session(&mut self, now: Millis, session: SessionId, reason: &'static str) {
        let found = self.connections.iter().find(|(_, connection)| connection.session_id() == Some(session));
        if let Some(link) = found.map(|(link, _)| *link) {
            self.end(now, link, &EndReason::Closed(reason));
            self.wants.push_back(Want::Close(link));
        }
    }

    /// Forgets a connection and tells the section.
    fn end(&mut self, now: Millis, link: Link, reason: &EndReason) {
        let Some(connection) = self.connections.remove(&link) else { return };
        match connection.state {
            State::Dialing { id, .. } => {
                self.section.connect_failed(now, id, "no answer".into());
            }
            State::Live { id, peer, session } => {
                drop(session);
                self.section.session_ended(now, id, peer, reason);
            }
            State::Greeting { .. } | State::Leaving => {}
        }
        self.act(now);
    }

    /// Ends a connection after what is to be sent.
    fn leave(&mut self, link: Link) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.state = State::Leaving;
        }
    }

    fn take_hello(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let State::Greeting { parser, .. } = &mut connection.state else { return };
        let section = &mut self.section;
        let (status, taken) = match parser.feed(bytes, |name| section.is_local_name(name)) {
            HelloProgress::Incomplete => return,
            HelloProgress::Refused(error) => (error.status(), bytes.len()),
            HelloProgress::Complete(hello, _) if self.old && hello.version.has_timed_updates() => {
                (Some(Status::VersionMismatch), bytes.len())
            }
            HelloProgress::Complete(hello, taken) => match greet(section, now, &hello) {
                Greeting::Welcome { id, peer, session, .. } => {
                    connection.state = State::Live { id, peer, session };
                    (Some(Status::Accepted), taken)
                }
                Greeting::Refuse(status) => (Some(status), taken),
                Greeting::Drop(_) => (None, taken),
            },
        };
        if let Some(status) = status {
            status.encode(&mut connection.output);
        }
        if !matches!(connection.state, State::Live { .. }) {
            self.leave(link);
        }
        self.act(now);
        self.receive(now, link, &bytes[taken..]);
    }

    fn take_status(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let State::Dialing { id, peer, parser, .. } = &mut connection.state else { return };
        let (id, peer) = (*id, *peer);
        match parser.feed(bytes) {
            StatusProgress::Incomplete => {}
            StatusProgress::TooLong => {
                self.end(now, link, &EndReason::Connection("no status".into()));
                self.wants.push_back(Want::Close(link));
            }
            StatusProgress::Complete(status, taken) => {
                match self.section.handle_status(now, id, status) {
                    Some(session) => connection.state = State::Live { id, peer, session },
                    None => {
                        self.connections.remove(&link);
                        self.wants.push_back(Want::Close(link));
                    }
                }
                self.act(now);
                self.receive(now, link, &bytes[taken..]);
            }
        }
    }

    fn take_input(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        let live = self.connections.get_mut(&link).and_then(Connection::live);
        let Some((id, _, session)) = live else { return };
        let result = session.handle_input(now, bytes);
        let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
        for event in events {
            self.section.handle_event(now, id, &event);
            self.act(now);
        }
        let Err(error) = result else { return };
        // Its last words, then the end.
        let Some(connection) = self.connections.get_mut(&link) else { return };
        let State::Live { id, peer, mut session } = std::mem::replace(&mut connection.state, State::Leaving)
        else {
            return;
        };
        session.poll_transmit(now, self.chunk, &mut connection.output);
        drop(session);
        self.section.session_ended(now, id, peer, &EndReason::Error(error));
        self.act(now);
    }
}

impl Process for Node {
    fn has_refused(&self) -> bool {
        self.tables.aggregates().iter().any(|aggregate| aggregate.refused_updates() > 0)
    }

    fn is_whole(&self) -> bool {
        self.tables.aggregates().iter().all(|aggregate| aggregate.is_whole())
    }

    fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    fn timeout(&self) -> Option<Millis> {
        let connections = self.connections.values().filter_map(Connection::timeout).min();
        [connections, self.section.poll_timeout(), Some(self.sweep_at), self.refresh_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle_timeout(&mut self, now: Millis) {
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_MS;
            for shared in self.tables.all() {
                shared.table().sweep(shared.table().rows() + 1, now);
            }
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = Some(now + REFRESH_MS);
            while self.tables.follow_definitions(now, KEYS_AT_ONCE) {}
            for aggregate in self.tables.aggregates() {
                aggregate.refresh(now, KEYS_AT_ONCE);
            }
            self.tables.note_whole(self.section.hub_state(true).is_whole());
        }
        if self.section.poll_timeout().is_some_and(|at| at <= now) {
            self.section.handle_timeout(now);
            self.act(now);
        }
        let due: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.timeout().is_some_and(|at| at <= now))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            let Some(connection) = self.connections.get_mut(&link) else { continue };
            if let Some(reason) = connection.handle_timeout(now) {
                self.end(now, link, &reason);
                self.wants.push_back(Want::Close(link));
            }
        }
    }

    fn connected(&mut self, now: Millis, link: Link) {
        if let Some(id) = self.connections.get(&link).and_then(Connection::session_id) {
            self.section.connected(now, id);
        }
    }

    fn accepted(&mut self, now: Millis, link: Link) {
        self.connections.insert(link, Connection::accept(self.buffer_size, now));
    }

    fn receive(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.connections.get(&link).map(|connection| &connection.state) {
            Some(State::Greeting { .. }) => self.take_hello(now, link, bytes),
            Some(State::Dialing { .. }) => self.take_status(now, link, bytes),
            Some(State::Live { .. }) => self.take_input(now, link, bytes),
            Some(State::Leaving) | None => {}
        }
    }

    fn transmit(&mut self, now: Millis, link: Link, room: usize, out: &mut Vec<u8>) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.transmit(now, self.chunk, room, out);
        if connection.has_left() {
            self.connections.remove(&link);
            self.wants.push_back(Want::Close(link));
        }
    }

    fn closed(&mut self, now: Millis, link: Link) {
        self.end(now, link, &EndReason::Connection("closed".into()));
    }

    fn write(&mut self, now: Millis, write: Write) -> bool {
        let Some(table) = self.table(write.table) else { return false };
        let changed =
            table.update(&write.key.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(write.gpc0));
                if write.requests > 0 {
                    entry.count(DataType::HttpReqRate, 0, write.requests);
                }
            });
        changed.is_ok()
    }

    fn read(&self, now: Millis, table: usize, key: u32) -> Option<Reading> {
        let table = self.table(table)?;
        let period = table.definition().column(DataType::HttpReqRate)?.period();
        table
            .get(&key.to_be_bytes(), now, |entry| {
                let gpc0 = match entry.value(DataType::Gpc0, 0) {
                    Some(Value::Unsigned(value)) => value,
                    _ => 0,
                };
                let rate = match entry.value(DataType::HttpReqRate, 0) {
                    Some(Value::Frequency(counter)) => counter.read(period, now as u32),
                    _ => 0,
                };
                Reading { gpc0, rate, remaining_ms: entry.remaining() }
            })
            .unwrap()
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        Some(self.tables.by_network_name(name.as_bytes())?.id() as usize - 1)
    }

    fn is_complete(&self) -> Option<bool> {
        self.tables.is_hub().then(|| self.section.hub_state(true).is_complete())
    }

    fn missing(&self) -> String {
        let state = self.section.hub_state(true);
        let all = state.left_out.iter().map(|it| {
            let table = it.table.as_deref().unwrap_or("all");
            format!("{:?} {table}: {}", it.node, it.reason)
        });
        format!("{} of {} nodes; {}", state.nodes, state.expected, all.collect::<Vec<_>>().join("; "))
    }

    fn keys(&self, now: Millis, table: usize) -> Vec<u32> {
        let mut keys = Vec::new();
        if let Some(table) = self.table(table) {
            let mut walk = stick_table::Walk::default();
            while table.walk(&mut walk, usize::MAX, now, |entry| {
                keys.extend(entry.key().first_chunk().map(|bytes| u32::from_be_bytes(*bytes)));
            }) {}
        }
        keys.sort_unstable();
        keys
    }

    fn memory(&self) -> usize {
        self.connections.values().map(Connection::memory).sum()
    }

    fn memory_bound(&self) -> usize {
        self.connections.values().map(|connection| connection.memory_bound(self.chunk)).sum()
    }

    fn predecessor_is_there(&mut self, now: Millis) {
        self.section.predecessor_is_there(now);
    }

    fn visit_by_stranger(&mut self, now: Millis, write: Write) {
        let Some(table) = self.table(write.table) else { return };
        let name = self.section.view(now).peers[0].name.clone();
        let version = ProtocolVersion::V2_1;
        let hello = Hello { version, target: name.clone(), sender: name, pid: 1, relative_pid: 1 };
        if let Greeting::Welcome { id, peer, mut session, .. } = self.section.greet(now, &hello, true) {
            let mut bytes = Vec::new();
            Control::ResyncFinished.encode(&mut bytes);
            Definition::from_table(1, table.definition()).unwrap().encode(Padding::None, &mut bytes).unwrap();
            let mut frame = UpdateHeader { id: Some(1), lifetime_ms: Some(60_000) }.begin(&mut bytes);
            frame.payload().extend_from_slice(&write.key.to_be_bytes());
            encode_unsigned(write.gpc0, frame.payload());
            // The rate: its age, and both of its numbers.
            frame.payload().extend_from_slice(&[0, 0, 0]);
            frame.finish(Padding::None);
            // Whatever comes of it is looked at by the invariants.
            let _ = session.handle_input(now, &bytes);
            while let Some(event) = session.poll_event() {
                self.section.handle_event(now, id, &event);
            }
            self.section.session_ended(now, id, peer, &EndReason::Connection("closed".into()));
        }
        self.act(now);
    }

    fn stop(&mut self, now: Millis) {
        self.section.stop(now);
        self.act(now);
    }

    fn no_successor(&mut self, now: Millis) {
        self.section.no_successor();
        self.act(now);
    }

    fn has_stopped(&self) -> bool {
        use haproxy_peers::StopProgress::Teaching;
        self.section.stop_progress().is_some_and(|progress| progress != Teaching)
    }
}

/// Answers a hello. In this world a node's own name is said by the process before it, as the world lets nobody else do so.
fn greet(section: &mut Section, now: Millis, hello: &Hello) -> Greeting {
    match section.is_local_name(&hello.sender) {
        true => section.greet_predecessor(now, hello),
        false => section.greet(now, hello, false),
    }
}
