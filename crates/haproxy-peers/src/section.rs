//! One peers section: who is a member, who connects when, who teaches whom.

mod driver;
pub use driver::{
    Action, ConfiguredPeer, EndReason, Greeting, PeerId, SectionConfig, SectionError, SessionId,
};

mod collision;

mod peer;
pub use peer::{PeerCounters, PeerKind};

mod lesson;
mod nodes;
pub use nodes::{HubState, LastHeard};

mod resync;
pub use resync::ResyncState;

mod predecessor;

mod process;

mod side_by_side;

mod stop;
pub use stop::StopProgress;

mod members;

mod view;
pub use view::{PeerView, SectionView};

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stick_table::Millis;
use stick_table::defect::Defect;

use self::lesson::LessonEnd;
pub(crate) use self::peer::RECONNECT_MS;
use self::peer::{Beside, BesideKind, LESSON_ATTEMPTS, Link, Peer};
use self::resync::Resync;
use self::stop::Stop;
use crate::{
    Hello, LastStatus, ProtocolVersion, Relays, Role, Session, SessionError, SessionEvent, SessionSetup,
    Status, TableSet,
};

/// How a session comes about.
struct Arrival {
    version: ProtocolVersion,
    role: Role,
    /// The peer's process id, by its hello. The answer to a hello of this side names none.
    pid: Option<u32>,
}

/// A peers section, without I/O. The driver reports what happens on connections and carries out
/// [`poll_action`](Self::poll_action) after every call; it calls [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
pub struct Section {
    config: SectionConfig,
    peers: Vec<Peer>,
    resync: Resync,
    up_to_date: Arc<AtomicBool>,
    started: Millis,
    /// When it is looked next for nodes of which something was refused.
    asks_again_at: Millis,
    relays: Relays,
    stop: Option<Stop>,
    actions: VecDeque<Action>,
    next_session: u64,
    next_peer: u64,
    random: u64,
}

impl Section {
    /// A section that starts at `now`.
    ///
    /// ```
    /// use haproxy_peers::{Limits, Section, SectionConfig, SectionError, TableSet};
    ///
    /// let config = SectionConfig {
    ///     name: "p".into(),
    ///     local_name: "me".into(),
    ///     peers: vec![("lb1".to_owned(), 0).into(), ("me".to_owned(), 0).into()],
    ///     max_dynamic_peers: 0,
    ///     discovers: false,
    ///     forget_ms: 0,
    ///     relay: false,
    ///     tables: TableSet::new("p", [], None, None, 0).unwrap().into(),
    ///     limits: Limits::default(),
    ///     expects_predecessor: false,
    ///     pid: 1,
    ///     seed: 1,
    /// };
    /// assert_eq!(Section::new(config, 0).err(), Some(SectionError::Itself("me".into())));
    /// ```
    ///
    /// # Errors
    /// When a name is none, a peer is there twice or has the name of this side, or there are more than
    /// [`Origins::MAX`](stick_table::Origins::MAX) peers in all sections of the process.
    pub fn new(mut config: SectionConfig, now: Millis) -> Result<Self, SectionError> {
        driver::check(&config)?;
        let origins = Arc::clone(config.tables.origins());
        let mut peers = vec![Peer::local(PeerId(0), config.local_name.clone(), now)];
        for configured in std::mem::take(&mut config.peers) {
            let lease = origins.take().ok_or(SectionError::TooManyPeers)?;
            peers.push(Peer::configured(PeerId(peers.len() as u64), configured, lease, now));
        }
        config.tables.levels().begin(own_number(&config.local_name, config.seed));
        let mut section = Self {
            resync: Resync::new(config.expects_predecessor, now),
            random: config.seed | 1,
            next_peer: peers.len() as u64,
            relays: Relays::new(config.relay),
            config,
            peers,
            up_to_date: Arc::new(AtomicBool::new(false)),
            started: now,
            asks_again_at: now,
            stop: None,
            actions: VecDeque::new(),
            next_session: 1,
        };
        section.handle_timeout(now);
        Ok(section)
    }

    /// The section's tables.
    pub fn tables(&self) -> &Arc<TableSet> {
        &self.config.tables
    }

    /// The section's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether line 2 of a hello names this side; else the answer is 503.
    pub fn is_local_name(&self, name: &str) -> bool {
        name == self.config.local_name
    }

    /// The next thing to do; take all after every call of another method.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Millis> {
        if let Some(stop) = &self.stop {
            return self.stop_timeout(stop);
        }
        let may_ask = self.resync.may_ask(self.config.tables.is_hub());
        let is_to_teach = |peer: &&Peer| {
            let session = peer.established().filter(|_| may_ask && peer.lessons_wanted > 0);
            session.is_some_and(|session| !self.resync.has_asked(session))
        };
        let asks = self.peers.iter().filter(is_to_teach).map(|peer| peer.lesson_at).min();
        let connects = self.peers.iter().filter_map(|peer| peer.connect_at).min();
        let probes =
            self.peers.iter().filter(|peer| peer.beside.is_none()).filter_map(|peer| peer.probe_at).min();
        // In the local phase nobody else is asked, so its end is what counts.
        let asks = asks.filter(|_| !matches!(self.resync.state, ResyncState::FromLocal { .. }));
        let forgets = self.peers.iter().filter_map(|peer| peer.forget_at).min();
        let settles = self.peers.iter().filter_map(Peer::settled_at).min();
        let all = [asks, connects, probes, forgets, settles, self.nodes_timeout(), self.resync.timeout()];
        all.into_iter().flatten().min()
    }

    /// Looks at the clock.
    pub fn handle_timeout(&mut self, now: Millis) {
        if self.stop.is_some() {
            self.tick_stop(now);
            return;
        }
        self.forget(now);
        for place in 0..self.peers.len() {
            let peer = &mut self.peers[place];
            if peer.link == Link::Idle && peer.connect_at.is_some_and(|at| now >= at) {
                peer.connect_at = None;
                self.connect(place, now);
            } else if peer.beside.is_none() && peer.probe_at.is_some_and(|at| now >= at) {
                peer.probe_at = None;
                self.probe(place);
            }
        }
        self.settle_taught_elsewhere(now);
        self.tick_nodes(now);
        self.tick_resync(now);
    }

    fn new_session(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        id
    }

    fn hello(&self, place: usize, version: ProtocolVersion) -> Hello {
        Hello {
            version,
            target: self.peers[place].name.clone(),
            sender: self.config.local_name.clone(),
            pid: self.config.pid,
            relative_pid: 1,
        }
    }

    fn connect(&mut self, place: usize, now: Millis) {
        let version = self.peers[place].version_to_announce(now);
        let session = self.new_session();
        let hello = self.hello(place, version);
        let peer = &mut self.peers[place];
        peer.link = Link::Connecting(session, version);
        peer.hello_sent_at = None;
        peer.last_status = LastStatus::Connecting;
        peer.counters.attempts += 1;
        let (id, name) = (peer.id, peer.name.clone());
        self.actions.push_back(Action::Connect { peer: id, name, session, hello });
    }

    /// Tries version 2.1 beside an established session at 2.0.
    fn probe(&mut self, place: usize) {
        if self.peers[place].established().is_none() || !self.peers[place].is_called {
            return;
        }
        let session = self.new_session();
        let hello = self.hello(place, ProtocolVersion::V2_1);
        let peer = &mut self.peers[place];
        let version = hello.version;
        peer.beside = Some(Beside { session, version, kind: BesideKind::Probe });
        peer.counters.attempts += 1;
        let (id, name) = (peer.id, peer.name.clone());
        self.actions.push_back(Action::Connect { peer: id, name, session, hello });
    }

    /// The connection of an attempt is there. Returns whether the hello is to be sent: not when the attempt was given up.
    pub fn connected(&mut self, now: Millis, session: SessionId) -> bool {
        for peer in &mut self.peers {
            if matches!(peer.link, Link::Connecting(id, _) if id == session) {
                peer.last_status = LastStatus::Handshake;
                peer.hello_sent_at = Some(now);
                return true;
            }
            if peer.beside.is_some_and(|beside| beside.session == session) {
                return true;
            }
        }
        false
    }

    /// The status of an attempt came; the session when the peer accepted. Else close the connection.
    pub fn handle_status(&mut self, now: Millis, session: SessionId, status: Status) -> Option<Box<Session>> {
        let place = self.place_of_attempt(session)?;
        let peer = &mut self.peers[place];
        let beside = peer.take_beside(session);
        let announced = match (beside, peer.link) {
            (Some(beside), _) => beside.version,
            (None, Link::Connecting(_, version)) => version,
            _ => return None,
        };
        if status == Status::Accepted {
            match beside.map(|beside| beside.kind) {
                Some(BesideKind::Probe) => {
                    self.close_link(place, now, "a session of a higher version replaces it");
                }
                Some(BesideKind::Crossing) => {
                    self.close_link(place, now, "the peer took this side's connection instead");
                }
                None => {}
            }
            let is_local = self.peers[place].kind == PeerKind::Local;
            let role = if is_local { Role::Successor } else { Role::Remote };
            let established =
                self.establish(place, session, Arrival { version: announced, role, pid: None }, now);
            self.peers[place].answered_at = Some(now);
            return Some(established);
        }
        if let Some(beside) = beside {
            if beside.kind == BesideKind::Probe {
                self.peers[place].note_probe_refused(status, now);
            }
            return None;
        }
        if status == Status::TryLater && self.peers[place].kind == PeerKind::Local {
            self.successor_is_busy(now);
        }
        let pause = self.peers[place].note_refusal(status, announced, now);
        self.peers[place].last_reason = Some(format!("refused with {status}"));
        self.retry(place, now, pause);
        None
    }

    /// An attempt failed before a status came. Returns whether the peer is without a session now, so that somebody should know.
    pub fn connect_failed(&mut self, now: Millis, session: SessionId, reason: String) -> bool {
        let Some(place) = self.place_of_attempt(session) else { return false };
        let peer = &mut self.peers[place];
        if let Some(beside) = peer.take_beside(session) {
            match beside.kind {
                BesideKind::Probe => peer.probe_at = Some(now + RECONNECT_MS),
                // The peer keeps the connection that it opened.
                BesideKind::Crossing => {}
            }
            return false;
        }
        if !matches!(peer.link, Link::Connecting(..)) {
            return false;
        }
        peer.last_reason = Some(reason);
        self.retry(place, now, RECONNECT_MS);
        true
    }

    fn place_of_attempt(&self, session: SessionId) -> Option<usize> {
        let is_beside = |peer: &Peer| peer.beside.is_some_and(|beside| beside.session == session);
        self.peers.iter().position(|peer| is_beside(peer) || peer.session() == Some(session))
    }

    /// Plans the next attempt after `pause` ms and a random moment.
    fn retry(&mut self, place: usize, now: Millis, pause: u64) {
        let pause = if pause == 0 { self.random_pause() } else { pause };
        let peer = &mut self.peers[place];
        if let Some(crossing) = peer.beside.take_if(|beside| beside.kind == BesideKind::Crossing) {
            // The peer closed the session because it takes the attempt, whose answer is on its way.
            peer.link = Link::Connecting(crossing.session, crossing.version);
            return;
        }
        peer.link = Link::Idle;
        if peer.kind == PeerKind::Local {
            self.retry_successor(now);
        } else if peer.is_passing() {
            peer.forget_at = Some(now + self.config.forget_ms);
        } else if peer.is_called && self.stop.is_none() {
            peer.connect_at = Some(now + pause);
        }
    }

    /// 50 to 2049 ms: breaks the tie when both sides connect at once (peers-protocol §2.5).
    fn random_pause(&mut self) -> u64 {
        // xorshift64: any spread does.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        50 + self.random % 2_000
    }

    /// Answers a hello of a remote peer. `may_join` says whether the sender's address is one that may join under a name
    /// that is not configured.
    ///
    /// The section's own name is refused with 504: from the network it is another node's, as when a machine was cloned. The
    /// process before this one is greeted by [`greet_predecessor`](Self::greet_predecessor).
    pub fn greet(&mut self, now: Millis, hello: &Hello, may_join: bool) -> Greeting {
        if self.stop.is_some() {
            return Greeting::Drop("this process is stopping");
        }
        if self.is_local_name(&hello.sender) {
            return if Defect::StrangerIsPredecessor.is_on() {
                self.greet_predecessor(now, hello)
            } else {
                Greeting::Refuse(Status::UnknownPeer)
            };
        }
        let Some(place) = self.find_or_join(&hello.sender, may_join, now) else {
            return Greeting::Refuse(Status::UnknownPeer);
        };
        let replaces = self.peers[place].established().is_some();
        let former = self.peers[place].beside.take();
        if let Some(refusal) = self.collide(place, now) {
            self.peers[place].beside = former;
            return refusal;
        }
        if let Some(Beside { session, .. }) = former {
            self.actions.push_back(Action::Close { session, reason: "the peer opened a new session" });
        }
        let arrival = Arrival { version: hello.version, role: Role::Remote, pid: process::named_pid(hello) };
        match self.welcome(place, arrival, now) {
            Greeting::Welcome { id, peer, session, kind, .. } => {
                Greeting::Welcome { id, peer, session, kind, replaces }
            }
            other => other,
        }
    }

    fn welcome(&mut self, place: usize, arrival: Arrival, now: Millis) -> Greeting {
        let replaces = false;
        let id = self.new_session();
        let session = self.establish(place, id, arrival, now);
        let Peer { id: peer, kind, .. } = self.peers[place];
        Greeting::Welcome { id, peer, session, kind, replaces }
    }

    /// Closes what a peer's link has; the session's end is reported later and finds nothing to change.
    fn close_link(&mut self, place: usize, now: Millis, reason: &'static str) {
        let Some(session) = self.peers[place].session() else { return };
        self.peers[place].link = Link::Idle;
        self.node_left(place, now);
        self.actions.push_back(Action::Close { session, reason });
        self.teacher_left(session, now);
    }

    fn establish(
        &mut self,
        place: usize,
        id: SessionId,
        Arrival { version, role, pid }: Arrival,
        now: Millis,
    ) -> Box<Session> {
        let is_hub = self.config.tables.is_hub();
        let lacks = is_hub && self.config.tables.left_outs().has(self.peers[place].origin);
        if self.feeds_a_hub(place) && lacks {
            // What it told before was left out; this process may define it in a way that can be taken.
            self.ask_again(place, now);
        }
        let peer = &mut self.peers[place];
        peer.note_session_of_node(lacks);
        peer.note_established(id, version, now);
        if role == Role::Remote {
            self.note_process(place, pid, now);
        }
        let peer = &mut self.peers[place];
        let awaits_values = is_hub && peer.level.is_below() && peer.lessons_wanted == LESSON_ATTEMPTS;
        peer.awaits_values = Arc::new(AtomicBool::new(awaits_values));
        let up_to_date = match role {
            Role::Successor => Arc::new(AtomicBool::new(self.knows_what_others_know())),
            _ => Arc::clone(&self.up_to_date),
        };
        let peer = &self.peers[place];
        self.relays.note_name(peer.origin, &peer.name);
        let setup = SessionSetup {
            tables: Arc::clone(&self.config.tables),
            version,
            role,
            origin: peer.origin,
            shard: peer.shard,
            level: peer.level,
            up_to_date,
            limits: self.config.limits,
            resume: peer.resume.clone(),
            relays: self.relays.clone(),
            awaits_values: Arc::clone(&peer.awaits_values),
        };
        match role {
            Role::Predecessor => self.predecessor_teaches(id),
            Role::Successor => self.successor_accepted(id),
            Role::Remote => self.tick_resync(now),
        }
        let session = Box::new(Session::new(setup, now));
        self.apply_taught_elsewhere(place, now);
        session
    }

    /// Something happened in a session.
    pub fn handle_event(&mut self, now: Millis, session: SessionId, event: &SessionEvent) {
        let Some(place) = self.peers.iter().position(|peer| peer.established() == Some(session)) else {
            return;
        };
        match event {
            SessionEvent::LessonLearned { complete } => {
                let end = if *complete { LessonEnd::Finished } else { LessonEnd::Partial };
                self.lesson_ended(place, session, end, now);
            }
            SessionEvent::LessonAbandoned => {
                self.lesson_ended(place, session, LessonEnd::Abandoned, now);
            }
            SessionEvent::LessonNeeded => {
                let at = self.peers[place].lesson_at.max(now);
                self.ask_again(place, at);
                self.tick_resync(now);
            }
            // Most likely another process than the one before: it may define its tables otherwise, and may have counted. What it has
            // counted it would lose to a lesson that does not have it, and HAProxy pushes nothing to its teacher before that ends.
            SessionEvent::LessonRequested if self.feeds_a_hub(place) => {
                self.node_asked(place, now);
                self.ask_at_once(place, now);
                self.tick_resync(now);
            }
            SessionEvent::LessonRequested if self.is_equal(place) => {
                self.note_young_process(place, now);
                self.wait_for_its_lesson(place, now);
            }
            SessionEvent::IdsStartOver if self.is_equal(place) => {
                self.note_young_process(place, now);
            }
            SessionEvent::LessonTaught if self.feeds_a_hub(place) => self.node_taught(place, now),
            SessionEvent::TaughtElsewhere(taught) => self.note_taught_elsewhere(taught, now),
            SessionEvent::LessonLacks { .. } => self.resync.lacks = true,
            SessionEvent::LessonTaught if self.peers[place].kind == PeerKind::Local => {
                self.successor_taught(session);
            }
            SessionEvent::LessonTaught | SessionEvent::LessonUnconfirmed => {
                self.its_lesson_ended(place, now);
            }
            SessionEvent::TableIgnored { .. }
            | SessionEvent::TableDiffers { .. }
            | SessionEvent::TableLoses { .. }
            | SessionEvent::LeftOut { .. } => {
                self.peers[place].last_reason = Some(event.to_string());
            }
            _ => {}
        }
        self.tick_stop(now);
    }

    /// An established session ended.
    pub fn session_ended(&mut self, now: Millis, id: SessionId, peer: PeerId, reason: &EndReason) {
        // A member that is gone may have been asked for a lesson, or waited for at a stop, all the same.
        let Some(place) = self.peers.iter().position(|member| member.id == peer) else {
            self.teacher_left(id, now);
            self.session_left(id, now);
            return;
        };
        let peer = &mut self.peers[place];
        match reason {
            EndReason::Error(SessionError::Malformed(_)) => peer.counters.protocol_errors += 1,
            EndReason::Error(SessionError::Silent(_)) => peer.counters.silences += 1,
            _ => {}
        }
        let is_bad = matches!(reason, EndReason::Error(SessionError::Malformed(_) | SessionError::Levels(_)));
        let pause = peer.note_end(is_bad);
        self.teacher_left(id, now);
        self.session_left(id, now);
        let peer = &mut self.peers[place];
        if peer.established() != Some(id) {
            return;
        }
        peer.last_reason = Some(match reason {
            EndReason::Error(error) => error.to_string(),
            EndReason::Connection(text) => text.clone(),
            EndReason::Closed(text) => (*text).to_owned(),
        });
        self.node_left(place, now);
        if matches!(reason, EndReason::Error(SessionError::Levels(_))) {
            // What it told has this hub's own values in it.
            self.peers[place].counts_until = Some(now);
        }
        self.tick_nodes(now);
        self.retry(place, now, pause);
        self.tick_resync(now);
    }

    /// Whether this side considers itself up to date.
    pub fn is_up_to_date(&self) -> bool {
        self.resync.state == ResyncState::Finished
    }
}

/// A number that no other hub of the cluster has, neither by its name nor by its seed.
fn own_number(name: &str, seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, seed).hash(&mut hasher);
    hasher.finish()
}
