//! The target of sections: who is a member, who connects when, who teaches whom.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use haproxy_peers::{
    Action, EndReason, Greeting, Hello, Limits, PeerId, PeerKind, PeerView, ProtocolVersion, Section,
    SectionConfig, Session, SessionError, SessionEvent, SessionId, Status, StopProgress,
};
use stick_table::Millis;

use crate::node::{self, START};

/// Members that may come by themselves.
const MOST_DYNAMIC: usize = 2;
/// How long a member is remembered without a session, in ms.
const FORGET_MS: Millis = 90_000;
/// Names of hellos, and of members that are discovered.
const NAMES: [&str; 8] = ["me", "p1", "p2", "p3", "x", "y", "z", ""];
/// Longest wait of one step, in ms.
const MOST_MS: u32 = 200_000;

/// A section with any order of what its driver may report, also of connections that are over. It always comes to rest,
/// never uses a number twice, has at most one session with each peer, asks living sessions only, one at a time, closes
/// each connection once, keeps its members within bounds, and a stop ends.
pub fn section(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok(options) = Options::arbitrary(&mut source) else { return };
    let mut driver = Driver::new(options);
    while let (false, Ok(step)) = (source.is_empty(), Step::arbitrary(&mut source)) {
        driver.step(step);
    }
    driver.stop_and_end();
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Options {
    peers: u8,
    dynamic: bool,
    relay: bool,
    expects_predecessor: bool,
    sharded: bool,
    seed: u64,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Wait(u32),
    WaitForTimeout,
    Connected(u8),
    Status {
        connection: u8,
        code: u8,
    },
    ConnectFailed(u8),
    Greet {
        name: u8,
        version: bool,
        may_join: bool,
    },
    Event {
        connection: u8,
        event: u8,
    },
    /// A session hears a control message.
    Hear {
        connection: u8,
        control: u8,
    },
    SessionTimeout(u8),
    End {
        connection: u8,
        reason: u8,
    },
    Stop,
    NoSuccessor,
    Discover {
        name: u8,
        shard: u8,
    },
    Withdraw(u8),
}

/// A connection as the driver knows it.
struct Connection {
    id: SessionId,
    peer: PeerId,
    session: Option<Box<Session>>,
    /// Told to close it.
    closing: bool,
    over: bool,
}

struct Driver {
    section: Section,
    options: Options,
    now: Millis,
    connections: Vec<Connection>,
    /// Places of the connections.
    places: BTreeMap<SessionId, usize>,
    closed: BTreeSet<SessionId>,
    /// Members that were discovered and not withdrawn.
    listed: BTreeSet<&'static str>,
}

impl Driver {
    fn new(options: Options) -> Self {
        let shard = |number: u32| if options.sharded { number % 3 } else { 0 };
        let peers = (1..=u32::from(options.peers % 4)).map(|number| (format!("p{number}"), shard(number)));
        let config = SectionConfig {
            name: "p".into(),
            local_name: "me".into(),
            peers: peers.map(Into::into).collect(),
            max_dynamic_peers: if options.dynamic { MOST_DYNAMIC } else { 0 },
            discovers: true,
            forget_ms: FORGET_MS,
            relay: options.relay,
            tables: node::tables(node::SMALL, false, None),
            limits: Limits::default(),
            expects_predecessor: options.expects_predecessor,
            pid: 7,
            seed: options.seed,
        };
        let section = Section::new(config, START).unwrap();
        let (connections, places) = (Vec::new(), BTreeMap::new());
        let (closed, listed) = (BTreeSet::new(), BTreeSet::new());
        let mut driver = Self { section, options, now: START, connections, places, closed, listed };
        driver.settle();
        driver
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Wait(ms) => {
                self.now += u64::from(ms % MOST_MS);
                self.section.handle_timeout(self.now);
            }
            Step::WaitForTimeout => self.wait_for_timeout(),
            Step::Connected(number) => {
                if let Some(at) = self.at(number) {
                    self.section.connected(now, self.connections[at].id);
                }
            }
            Step::Status { connection, code } => self.status(connection, code),
            Step::ConnectFailed(number) => {
                if let Some(at) = self.at(number).filter(|&at| self.connections[at].session.is_none()) {
                    self.section.connect_failed(now, self.connections[at].id, "refused".into());
                    self.connections[at].over = true;
                }
            }
            Step::Greet { name, version, may_join } => self.greet(name, version, may_join),
            Step::Event { connection, event } => {
                if let Some(at) = self.at(connection) {
                    self.section.handle_event(now, self.connections[at].id, &self::event(event));
                }
            }
            Step::Hear { connection, control } => self.hear(connection, &[0, control % 5]),
            Step::SessionTimeout(connection) => self.session_timeout(connection),
            Step::End { connection, reason } => {
                if let Some(at) = self.at(connection) {
                    let silent = EndReason::Error(SessionError::Silent(5_000));
                    let reason = match reason % 3 {
                        0 => silent,
                        1 => EndReason::Connection("reset".into()),
                        _ => EndReason::Closed("told to"),
                    };
                    self.end(at, &reason);
                }
            }
            Step::Stop => self.section.stop(now),
            Step::NoSuccessor => self.section.no_successor(),
            Step::Discover { name, shard } => self.discover(NAMES[usize::from(name % 8)], shard % 3),
            Step::Withdraw(name) => {
                let name = NAMES[usize::from(name % 8)];
                self.section.withdraw(now, name);
                self.listed.remove(name);
            }
        }
        self.settle();
    }

    /// A connection, old ones included.
    fn at(&self, number: u8) -> Option<usize> {
        usize::from(number).checked_rem(self.connections.len())
    }

    fn status(&mut self, number: u8, code: u8) {
        let status = Status::from_code([200, 200, 200, 300, 501, 502, 503, 504][usize::from(code % 8)]);
        let Some(at) = self.at(number) else { return };
        let Connection { id, over, session, .. } = &self.connections[at];
        if *over || session.is_some() {
            return;
        }
        match self.section.handle_status(self.now, *id, status) {
            Some(session) => {
                assert_eq!(status, Status::Accepted);
                self.connections[at].session = Some(session);
            }
            None => self.connections[at].over = true,
        }
    }

    fn greet(&mut self, name: u8, version: bool, may_join: bool) {
        let hello = Hello {
            version: if version { ProtocolVersion::V2_1 } else { ProtocolVersion::V2_0 },
            target: "me".into(),
            sender: NAMES[usize::from(name % 8)].into(),
            pid: 1,
            relative_pid: 1,
        };
        // Half of those who say the section's own name are the process before it.
        let greeting = match hello.sender == "me" && may_join {
            true => self.section.greet_predecessor(self.now, &hello),
            false => self.section.greet(self.now, &hello, may_join),
        };
        match greeting {
            Greeting::Welcome { id, peer, session, .. } => {
                let known = self.section.view(self.now).peers.iter().any(|peer| peer.name == hello.sender);
                assert!(known, "{} is welcome and no member", hello.sender);
                self.add(id, peer, Some(session));
            }
            Greeting::Refuse(status) => {
                assert!(matches!(status, Status::UnknownPeer | Status::TryLater), "{status}");
            }
            Greeting::Drop(reason) => assert!(!reason.is_empty()),
        }
    }

    fn discover(&mut self, name: &'static str, shard: u8) {
        let kind = |section: &Section| {
            section.view(self.now).peers.iter().find(|peer| peer.name == name).map(|peer| peer.kind)
        };
        let before = kind(&self.section);
        let stopping = self.section.stop_progress().is_some();
        let discovered = self.section.discover(self.now, name, shard.into());
        let may_be =
            !stopping && !name.is_empty() && !matches!(before, Some(PeerKind::Local | PeerKind::Static));
        assert_eq!(discovered, may_be, "{name:?}");
        if discovered {
            assert_eq!(kind(&self.section), Some(PeerKind::Discovered));
            self.listed.insert(name);
        } else {
            assert_eq!(kind(&self.section), before);
        }
    }

    /// Connections of a member that is forgotten are over, or about to be.
    fn forgets(&self, name: &str) {
        let view = self.section.view(self.now);
        let back = view.peers.iter().find(|peer| peer.name == name);
        assert!(back.is_none_or(|peer| peer.kind == PeerKind::Dynamic), "{name} is forgotten and there");
    }

    fn hear(&mut self, number: u8, bytes: &[u8]) {
        let Some(at) = self.at(number) else { return };
        let Some(session) = &mut self.connections[at].session else { return };
        let _ = session.handle_input(self.now, bytes);
        self.report_events(at);
    }

    fn report_events(&mut self, at: usize) {
        let Connection { id, session: Some(session), .. } = &mut self.connections[at] else { return };
        let id = *id;
        let mut out = Vec::new();
        while session.poll_transmit(self.now, out.len() + 4_096, &mut out) {}
        while let Some(event) = session.poll_event() {
            self.section.handle_event(self.now, id, &event);
        }
    }

    fn session_timeout(&mut self, number: u8) {
        let Some(at) = self.at(number) else { return };
        let Some(session) = &mut self.connections[at].session else { return };
        if let Err(error) = session.handle_timeout(self.now) {
            self.end(at, &EndReason::Error(error));
        }
    }

    /// Reports the end of a connection.
    fn end(&mut self, at: usize, reason: &EndReason) {
        let connection = &mut self.connections[at];
        if connection.over {
            return;
        }
        connection.over = true;
        if connection.session.take().is_some() {
            self.section.session_ended(self.now, connection.id, connection.peer, reason);
        } else if !connection.closing {
            self.section.connect_failed(self.now, connection.id, "closed".into());
        }
    }

    /// The clock moves to where the section wants to be called; it must come to rest, after a call for each thing that is
    /// due at the same time.
    fn wait_for_timeout(&mut self) {
        let Some(at) = self.section.poll_timeout() else { return };
        self.now = self.now.max(at);
        for _ in 0..4 {
            self.section.handle_timeout(self.now);
            self.settle();
            if self.section.poll_timeout().is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("the clock is to be looked at again and again");
    }

    fn add(&mut self, id: SessionId, peer: PeerId, session: Option<Box<Session>>) {
        let connection = Connection { id, peer, session, closing: false, over: false };
        assert_eq!(self.places.insert(id, self.connections.len()), None, "{id:?} comes twice");
        self.connections.push(connection);
    }

    /// Carries out what the section wants, and looks at it.
    fn settle(&mut self) {
        let mut lessons = 0;
        for _ in 0..100 {
            let Some(action) = self.section.poll_action() else {
                assert!(lessons <= 1, "two lessons are asked for at once");
                return self.check();
            };
            match action {
                Action::Connect { peer, name, session, hello } => {
                    let is_hello =
                        hello.target == name && hello.sender == "me" && hello.version.is_supported();
                    assert!(is_hello, "{hello:?} to {name}");
                    self.add(session, peer, None);
                }
                Action::Close { session, reason } => {
                    assert!(self.closed.insert(session), "{session:?} is closed twice: {reason}");
                    let at = *self.places.get(&session).expect("what is closed was opened");
                    self.connections[at].closing = true;
                }
                Action::Forgotten { name, kind } => {
                    assert!(!self.listed.contains(&*name), "{name} is listed and forgotten");
                    assert!(matches!(kind, PeerKind::Dynamic | PeerKind::Discovered), "{kind:?}");
                    self.forgets(&name);
                }
                Action::RequestLesson { session } => {
                    lessons += 1;
                    let at = *self.places.get(&session).expect("a lesson is asked on a known connection");
                    let connection = &mut self.connections[at];
                    assert!(!connection.closing && !connection.over, "a lesson is asked on what is closed");
                    // The session may be on its way to us, as the return value of the call that made the action.
                    if let Some(session) = &mut connection.session {
                        session.request_lesson();
                    }
                }
            }
        }
        panic!("actions do not end");
    }

    fn check(&self) {
        let view = self.section.view(self.now);
        let dynamic = view.peers.iter().filter(|peer| peer.kind == PeerKind::Dynamic).count();
        assert!(
            dynamic <= if self.options.dynamic { MOST_DYNAMIC } else { 0 },
            "{dynamic} came by themselves"
        );
        let discovered = |peer: &&PeerView| peer.kind == PeerKind::Discovered;
        let most =
            1 + usize::from(self.options.peers % 4) + dynamic + view.peers.iter().filter(discovered).count();
        assert_eq!(view.peers.len(), most);
        for peer in view.peers.iter().filter(discovered) {
            assert_eq!(peer.withdrawn, !self.listed.contains(&*peer.name), "{}", peer.name);
            assert!(!peer.withdrawn || peer.connect_at.is_none(), "{} is called", peer.name);
        }
        for peer in &view.peers {
            let passing = peer.withdrawn || peer.kind == PeerKind::Dynamic;
            let stopping = view.stop.is_some();
            assert!(
                peer.forget_at.is_none() || passing && peer.session.is_none(),
                "{} is to be forgotten",
                peer.name
            );
            assert!(
                peer.forget_at.is_some() || !passing || peer.session.is_some() || stopping,
                "{} stays",
                peer.name
            );
        }
        let names: BTreeSet<_> = view.peers.iter().map(|peer| &peer.name).collect();
        let sessions: BTreeSet<_> = view.peers.iter().filter_map(|peer| peer.session).collect();
        let count = view.peers.iter().filter(|peer| peer.session.is_some()).count();
        assert_eq!((names.len(), sessions.len()), (view.peers.len(), count), "two of one name or number");
        assert!(view.peers.iter().filter(|peer| peer.assigned).count() <= 1);
        for peer in &view.peers {
            let Some(session) = peer.session else { continue };
            let connection = &self.connections[self.places[&session]];
            // The successor's session is the last one and stays until its end is reported.
            let taught = view.stop == Some(StopProgress::Taught) && peer.kind == PeerKind::Local;
            assert!(taught || !connection.closing, "{} has what is to be closed", peer.name);
            assert!(!connection.over, "{} has what is over", peer.name);
            assert!(
                !peer.established || connection.session.is_some(),
                "{} has a session nobody has",
                peer.name
            );
        }
        assert_eq!(self.section.is_up_to_date(), view.flags & 3 == 3);
    }

    /// Stops the section when that was not done, and lets time pass: without a lesson under way the stop ends.
    fn stop_and_end(&mut self) {
        self.section.stop(self.now);
        self.settle();
        for at in 0..self.connections.len() {
            self.end(at, &EndReason::Closed("the end"));
            self.settle();
        }
        for _ in 0..100 {
            if self.section.stop_progress() != Some(StopProgress::Teaching) {
                return;
            }
            self.wait_for_timeout();
            for at in 0..self.connections.len() {
                self.end(at, &EndReason::Closed("the end"));
                self.settle();
            }
        }
        panic!("the stop does not end");
    }
}

fn event(number: u8) -> SessionEvent {
    let table = || "t".to_owned();
    match number % 10 {
        0 => SessionEvent::LessonRequested,
        1 => SessionEvent::LessonLearned { complete: true },
        2 => SessionEvent::LessonLearned { complete: false },
        3 => SessionEvent::LessonAbandoned,
        4 => SessionEvent::LessonTaught,
        5 => SessionEvent::TableCreated { table: table() },
        6 => SessionEvent::TableIgnored { table: table(), reason: "no".into() },
        7 => SessionEvent::IdsStartOver,
        8 => SessionEvent::TableDiffers { table: table(), differences: "all".into() },
        _ => SessionEvent::PeerReportsError { size_limit: false },
    }
}
