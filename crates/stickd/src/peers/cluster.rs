//! One peers section with its connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haproxy_peers::{
    Action, ConfiguredPeer, Limits, PeerLevel, Section, SectionConfig, SectionView, Session, SessionEvent,
    SessionId, TableSet,
};
use parking_lot::Mutex;
use stick_table::Millis;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::connection::{Connection, Direction};
use super::inbound::Served;
use super::journal::{Journal, Note};
use super::members::Members;
use super::namesakes::Namesakes;
use super::places::Places;
use super::target::Target;
use super::totals::Totals;
use super::waiting::WaitingRoom;
use super::{discovery, exchange, hub, inbound, outbound};
use crate::clock::Clock;
use crate::config::{self, PeersSection, RemotePeer};
use crate::handover::Successor;
use crate::log;
use crate::metrics::counter::Counter;
use crate::net::{Listener, Stream};
use crate::supervise::Supervisor;
use crate::tls::{Acceptor, Loaded};

/// What a cluster is made from.
pub struct ClusterSetup {
    /// The section as configured.
    pub config: PeersSection,
    /// Its tables.
    pub tables: Arc<TableSet>,
    /// Bounds of each session.
    pub limits: Limits,
    /// Bounds of connections, shared by all sections.
    pub places: Arc<Places>,
    /// Where connections to peers come from, see [`Global::source`](crate::config::Global::source).
    pub source: Option<SocketAddr>,
    /// What TLS parameters name.
    pub tls: Loaded,
    /// Whether a process before this one is expected to teach.
    pub expects_predecessor: bool,
    /// Starts its tasks.
    pub supervisor: Supervisor,
    /// A random number.
    pub seed: u64,
}

/// A peers section at work.
pub struct Cluster {
    config: PeersSection,
    tables: Arc<TableSet>,
    section: Mutex<Section>,
    pub(super) connections: Mutex<HashMap<SessionId, Arc<Connection>>>,
    /// Of configured peers.
    targets: HashMap<String, Target>,
    /// Where those are that DNS lists.
    pub(super) members: Members,
    clock: Clock,
    limits: Limits,
    /// Counts changes of tables that are to be pushed; sessions look for something to push when it moves.
    changes: watch::Sender<u64>,
    /// Pauses of the machine so far.
    pauses: AtomicU64,
    /// The section's timers may have moved.
    wake: Notify,
    listening: watch::Sender<bool>,
    pub(super) namesakes: Namesakes,
    /// Its log.
    pub(super) journal: Journal,
    places: Arc<Places>,
    waiting: Arc<WaitingRoom>,
    /// The process that takes over, in a soft stop.
    pub(super) successor: Mutex<Option<Arc<Successor>>>,
    totals: Arc<Totals>,
    /// How often a table made from a definition could not grow, as far as that was logged.
    pub(super) table_shortages: AtomicU64,
    pub(super) supervisor: Supervisor,
}

impl Cluster {
    /// A cluster that is not yet connected to anything; [`start`](Self::start) it.
    ///
    /// # Errors
    /// When a TLS file cannot be loaded, or a name is none.
    pub fn new(setup: ClusterSetup, clock: Clock) -> anyhow::Result<Self> {
        let ClusterSetup { config, tables, limits, places, .. } = setup;
        let ClusterSetup { source, tls, expects_predecessor, supervisor, seed, .. } = setup;
        let targets = Target::of_configured(&config.remotes, source, &tls)?;
        let totals = Arc::new(Totals::default());
        let journal = Journal::new(&config, clock, Arc::clone(&totals));
        let section = Section::new(
            SectionConfig {
                name: config.name.clone(),
                local_name: config.local.name.clone(),
                peers: config.remotes.iter().map(configured).collect(),
                max_dynamic_peers: config.dynamic_peers.as_ref().map_or(0, |dynamic| dynamic.max as usize),
                discovers: !config.templates.is_empty(),
                forget_ms: config.membership.forget.into(),
                relay: config.relay,
                tables: Arc::clone(&tables),
                limits,
                expects_predecessor,
                pid: std::process::id(),
                seed,
            },
            clock.now(),
        )?;
        let members = Members::new(&config.templates, source, &tls)?;
        Ok(Self {
            config,
            tables,
            section: Mutex::new(section),
            connections: Mutex::default(),
            targets,
            members,
            clock,
            limits,
            changes: watch::Sender::new(0),
            pauses: AtomicU64::new(0),
            wake: Notify::new(),
            listening: watch::Sender::new(false),
            namesakes: Namesakes::default(),
            journal,
            places,
            waiting: Arc::default(),
            successor: Mutex::default(),
            totals,
            table_shortages: AtomicU64::new(0),
            supervisor,
        })
    }

    /// Starts to accept on the listeners (each with its TLS) and to connect.
    pub fn start(self: &Arc<Self>, listeners: Vec<(Listener, Option<Acceptor>)>) {
        let of_this = |what: &str| format!("{what} of {}", self.name());
        Self::serve(vec![Arc::clone(self)], listeners);
        for template in 0..self.config.templates.len() {
            let discover = discovery::discover(Arc::clone(self), template, self.listening.subscribe());
            self.supervisor.service(of_this("names"), discover);
        }
        let cluster = Arc::clone(self);
        self.supervisor.service(of_this("timers"), async move { cluster.keep_time().await });
        if self.tables.is_hub() {
            // Of a hub the only table that is configured.
            let status = self.tables.get(0).filter(|_| !self.config.tables.is_empty());
            let keep = hub::keep(Arc::clone(self), status.map(|shared| Arc::clone(shared.table())));
            self.supervisor.service(of_this("sums"), keep);
        }
    }

    /// Starts to accept on listeners for several sections. The first of these closes them.
    pub fn serve(clusters: Vec<Arc<Self>>, listeners: Vec<(Listener, Option<Acceptor>)>) {
        let Some(served) = Served::new(clusters) else { return };
        let host = served.host();
        for (listener, acceptor) in listeners {
            let accept = inbound::accept(served.clone(), listener, acceptor, host.listening.subscribe());
            host.supervisor.service(format!("listener of {}", host.name()), accept);
        }
    }

    /// Calls the section when it is time.
    async fn keep_time(self: Arc<Self>) {
        loop {
            self.act(Section::handle_timeout);
            let next = self.section.lock().poll_timeout();
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(self.clock.instant(at).into()) => {}
                    () = self.wake.notified() => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Lets the section handle something, does what it wants done, and looks at its timers again.
    pub(super) fn with_section<R>(self: &Arc<Self>, handle: impl FnOnce(&mut Section, Millis) -> R) -> R {
        let result = self.act(handle);
        self.wake.notify_one();
        result
    }

    /// Lets the section handle something and does what it wants done.
    ///
    /// The section's lock is held to the end, so that actions are carried out in order; inside it only the map of
    /// connections and single sessions are locked. What is to be logged waits until it is free.
    fn act<R>(self: &Arc<Self>, handle: impl FnOnce(&mut Section, Millis) -> R) -> R {
        let mut notes = Vec::new();
        let result = {
            let _quiet = log::Quiet::begin();
            let mut section = self.section.lock();
            let result = handle(&mut section, self.clock.now());
            while let Some(action) = section.poll_action() {
                notes.extend(self.perform(action));
            }
            result
        };
        notes.iter().for_each(|note| self.journal.write(note));
        result
    }

    pub(super) fn register(&self, connection: &Arc<Connection>) {
        self.totals.count(Counter::Connections);
        self.connections.lock().insert(connection.id, Arc::clone(connection));
    }

    fn perform(self: &Arc<Self>, action: Action) -> Option<Note> {
        match action {
            Action::Connect { peer, name, session, hello } if self.is_local_name(&name) => {
                let connection = Arc::new(Connection::new(session, peer, name, Direction::Outbound, false));
                self.register(&connection);
                self.call_successor(connection, hello);
            }
            Action::Connect { peer, name, session, hello } => {
                let target = self.targets.get(&name).cloned().or_else(|| self.members.target(&name))?;
                let tls = target.connector.is_some();
                let connection = Arc::new(Connection::new(session, peer, name, Direction::Outbound, tls));
                self.register(&connection);
                let attempt = outbound::connect(Arc::clone(self), connection, target, hello);
                self.supervisor.job("outbound connection", attempt);
            }
            Action::Close { session, reason } => {
                if let Some(connection) = self.connections.lock().get(&session) {
                    connection.close(reason);
                }
            }
            Action::Forgotten { name, kind } => {
                self.namesakes.forget(&name);
                let note = self.journal.note_forgotten(&name, kind);
                self.forgotten(&name);
                return note;
            }
            Action::RequestLesson { session } => {
                let connection = self.connection(session)?;
                connection.request_lesson();
                return self.journal.note_request(&connection.name);
            }
        }
        None
    }

    /// An attempt is connected. Whether its hello is to be sent: not when it was given up meanwhile.
    pub(super) fn may_say_hello(&self, connection: &Connection) -> bool {
        self.section.lock().connected(self.clock.now(), connection.id)
    }

    /// An attempt failed; `refused` when nobody listens there. Returns whether the peer is without a session now.
    pub(super) fn attempt_failed(
        self: &Arc<Self>,
        connection: &Connection,
        reason: String,
        refused: bool,
    ) -> bool {
        self.connections.lock().remove(&connection.id);
        self.with_section(|section, now| {
            let is_away = section.connect_failed(now, connection.id, reason);
            if refused && connection.name == self.config.local.name {
                section.no_successor();
            }
            is_away
        })
    }

    /// Whether there is a session with a peer.
    pub(super) fn has_session(&self, peer: &str) -> bool {
        let is_its =
            |connection: &Arc<Connection>| connection.name == peer && connection.established().is_some();
        self.connections.lock().values().any(is_its)
    }

    /// Runs an established session to its end.
    pub(super) async fn run(
        self: &Arc<Self>,
        connection: Arc<Connection>,
        session: Arc<Mutex<Session>>,
        stream: Box<dyn Stream>,
        received: &[u8],
    ) {
        self.journal.reached(&connection.name);
        let reason = exchange::exchange(self, &connection, &session, stream, received).await;
        self.connections.lock().remove(&connection.id);
        self.totals.add_session(&session.lock(), &reason);
        self.journal.session_ended(&connection, &reason);
        drop(session);
        self.with_section(|section, now| section.session_ended(now, connection.id, connection.peer, &reason));
    }

    /// Tells the section of something that happened in a session, and the log.
    pub(super) fn handle_event(self: &Arc<Self>, connection: &Connection, event: &SessionEvent) {
        self.journal.event(connection, event);
        self.totals.note_event(event);
        self.with_section(|section, now| section.handle_event(now, connection.id, event));
        if *event == SessionEvent::LessonTaught {
            // Hubs beside this one are told at once.
            self.relay(self.tables.take_news());
        }
    }

    /// Closes the listeners, and waits until they are closed: a successor's are at the same addresses.
    pub(super) async fn close_listeners(&self) {
        self.listening.send_replace(true);
        self.listening.closed().await;
    }

    /// Wakes the sessions: a table was changed by this process.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Lets the section and all sessions look at their timers again: the clock went on while the machine was suspended.
    pub(crate) fn look_at_clock(&self) {
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        self.changed();
    }

    /// Pauses of the machine so far: timers that were set before one are late.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// Wakes the sessions if one of them has news for the others.
    pub(super) fn relay(&self, news: bool) {
        if news {
            self.changed();
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn buffer_size(&self) -> usize {
        self.limits.buffer_size
    }

    /// Name of the section.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn is_local_name(&self, name: &str) -> bool {
        name == self.config.local.name
    }

    /// Whether a peer has a line.
    pub(super) fn is_member(&self, name: &str) -> bool {
        self.config.remotes.iter().any(|remote| remote.name == name)
    }

    /// Whether a peer of this address may join under a name that is not configured.
    pub(super) fn may_join(&self, address: Option<IpAddr>) -> bool {
        let Some(dynamic) = &self.config.dynamic_peers else { return false };
        // A Unix socket is of this machine, and guarded by its permissions.
        address.is_none_or(|address| dynamic.accepts(address))
    }

    /// Places of connections, over all sections.
    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    pub(super) fn waiting_room(&self) -> &Arc<WaitingRoom> {
        &self.waiting
    }

    /// Connections that have not said their hello.
    pub fn handshakes(&self) -> usize {
        self.waiting.len()
    }

    /// Counts over all sessions that have ended.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The section as configured.
    pub fn config(&self) -> &PeersSection {
        &self.config
    }

    /// Looks at the section.
    pub(super) fn with_view<R>(&self, look: impl FnOnce(&Section) -> R) -> R {
        look(&self.section.lock())
    }

    /// Changes the section where that has no actions to carry out.
    pub(super) fn with_view_mut<R>(&self, change: impl FnOnce(&mut Section) -> R) -> R {
        change(&mut self.section.lock())
    }

    /// The section at this moment.
    pub fn view(&self) -> SectionView {
        self.section.lock().view(self.clock.now())
    }

    /// The connections at this moment.
    pub fn connections(&self) -> HashMap<SessionId, Arc<Connection>> {
        self.connections.lock().clone()
    }

    /// One of them.
    pub(super) fn connection(&self, id: SessionId) -> Option<Arc<Connection>> {
        self.connections.lock().get(&id).cloned()
    }

    /// The section's tables.
    pub fn tables(&self) -> &Arc<TableSet> {
        &self.tables
    }
}

fn configured(remote: &RemotePeer) -> ConfiguredPeer {
    let is_called = remote.address.is_some();
    let level = match remote.level {
        config::PeerLevel::Balancer => PeerLevel::Below,
        config::PeerLevel::Down => PeerLevel::Lower,
        config::PeerLevel::Up { .. } => PeerLevel::Above,
        config::PeerLevel::Beside => PeerLevel::Beside,
    };
    ConfiguredPeer { name: remote.name.clone(), shard: remote.shard, level, is_called }
}
