//! One peers section with its connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haproxy_peers::{
    Action, ConfiguredPeer, DecodeErrorKind, EndReason, Limits, PeerKind, PeerLevel, Section, SectionConfig,
    SectionView, Session, SessionError, SessionEvent, SessionId, TableSet,
};
use parking_lot::Mutex;
use stick_table::Millis;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;
use tracing::{Level, info, warn};

use super::connection::{Connection, Direction};
use super::log_quota::LogQuota;
use super::members::Members;
use super::namesakes::Namesakes;
use super::places::Places;
use super::refusals::Refusals;
use super::waiting::WaitingRoom;
use super::{discovery, exchange, hub, inbound, outbound};
use crate::clock::Clock;
use crate::config::{self, Address, PeersSection, RemotePeer};
use crate::handover::Successor;
use crate::log;
use crate::net::{Listener, Stream};
use crate::supervise::Supervisor;
use crate::tls::{Acceptor, Connector};

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
    /// Whether a process before this one is expected to teach.
    pub expects_predecessor: bool,
    /// Starts its tasks.
    pub supervisor: Supervisor,
    /// A random number.
    pub seed: u64,
}

/// A line of the log that waits until the section's lock is free, with the lines left out before it.
enum Note {
    LessonRequested { peer: String, left_out: Option<u64> },
    Forgotten { peer: String, member: &'static str, left_out: Option<u64> },
}

/// Where to connect to for a peer.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    /// Further addresses of the same host, tried in this order after that one.
    pub(super) others: Vec<SocketAddr>,
    /// Where the connection comes from.
    pub(super) source: Option<SocketAddr>,
    pub(super) connector: Option<Arc<Connector>>,
    /// The name for TLS where none is configured.
    pub(super) host: String,
}

/// Counts over all sessions that have ended, and of connections that never became one.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections refused or dropped before a session.
    pub refused_connections: AtomicU64,
    /// Connections that were attempted or accepted.
    pub connections: AtomicU64,
    /// Updates received.
    pub updates_received: AtomicU64,
    /// Updates that found their table full.
    pub updates_refused: AtomicU64,
    /// Updates sent.
    pub updates_sent: AtomicU64,
    /// Lessons received to their end.
    pub lessons_learned: AtomicU64,
    /// Lessons given and confirmed.
    pub lessons_taught: AtomicU64,
    /// Sessions closed because of malformed messages.
    pub protocol_errors: AtomicU64,
    /// Connections closed before their hello because others needed the place.
    pub handshakes_dropped: AtomicU64,
    /// Connections closed because their hello did not come in time.
    pub handshakes_timed_out: AtomicU64,
    /// Connections closed at once because of `maxconn`.
    pub connections_over_limit: AtomicU64,
    /// Hellos of peers that might have joined if there had been a place.
    pub dynamic_peers_refused: AtomicU64,
    /// Messages over `tune.bufsize`.
    pub oversized_messages: AtomicU64,
    /// Strings of `server_key` that were too long to be kept.
    pub ignored_strings: AtomicU64,
    /// Sessions that one of several processes of the same name took from another.
    pub namesakes: AtomicU64,
    /// Lines of the log that were left out.
    pub lines_left_out: AtomicU64,
}

impl Totals {
    pub(super) fn refused(&self) {
        count(&self.refused_connections);
    }
}

/// Counts one.
pub(super) fn count(total: &AtomicU64) {
    total.fetch_add(1, Ordering::Relaxed);
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
    pub(super) refusals: Refusals,
    pub(super) namesakes: Namesakes,
    pub(super) log_quota: LogQuota,
    places: Arc<Places>,
    waiting: Arc<WaitingRoom>,
    /// Why the last attempt to reach each peer failed; nothing after a session.
    failures: Mutex<HashMap<String, String>>,
    /// The process that takes over, in a soft stop.
    pub(super) successor: Mutex<Option<Arc<Successor>>>,
    totals: Totals,
    pub(super) supervisor: Supervisor,
}

impl Cluster {
    /// A cluster that is not yet connected to anything; [`start`](Self::start) it.
    ///
    /// # Errors
    /// When a TLS file cannot be loaded.
    pub fn new(setup: ClusterSetup, clock: Clock) -> Result<Self, crate::tls::TlsError> {
        let ClusterSetup { config, tables, limits, places, source, expects_predecessor, supervisor, seed } =
            setup;
        let mut targets = HashMap::new();
        for remote in &config.remotes {
            if let Some(address) = &remote.address {
                let target = Target { source, ..target(address, remote.tls.as_ref())? };
                targets.insert(remote.name.clone(), target);
            }
        }
        let named = config.remotes.iter().map(|remote| &remote.name).chain([&config.local.name]);
        let named = named.chain(config.templates.iter().map(|template| &template.domain));
        let log_quota = LogQuota::new(named, clock.now());
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
        );
        let members = Members::new(&config.templates, source)?;
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
            refusals: Refusals::default(),
            namesakes: Namesakes::default(),
            log_quota,
            places,
            waiting: Arc::default(),
            failures: Mutex::default(),
            successor: Mutex::default(),
            totals: Totals::default(),
            supervisor,
        })
    }

    /// Starts to accept on the listeners (each with its TLS) and to connect.
    pub fn start(self: &Arc<Self>, listeners: Vec<(Listener, Option<Acceptor>)>) {
        let of_this = |what: &str| format!("{what} of {}", self.name());
        for (listener, acceptor) in listeners {
            let stopped = self.listening.subscribe();
            let accept = inbound::accept(Arc::clone(self), listener, acceptor, stopped);
            self.supervisor.service(of_this("listener"), accept);
        }
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
        notes.iter().for_each(|note| self.log_note(note));
        result
    }

    fn log_note(&self, note: &Note) {
        let section = self.name();
        match note {
            Note::LessonRequested { peer, left_out } => {
                info!(section, peer, left_out, "asking for a lesson");
            }
            Note::Forgotten { peer, member, left_out } => {
                info!(section, peer, member, left_out, "the member stayed away: forgotten");
            }
        }
    }

    pub(super) fn register(&self, connection: &Arc<Connection>) {
        self.totals.connections.fetch_add(1, Ordering::Relaxed);
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
                self.failures.lock().remove(&name);
                self.namesakes.forget(&name);
                let left_out = self.may_log(&name, Level::INFO);
                self.forgotten(&name);
                let member = member_word(kind);
                return left_out.map(|left_out| Note::Forgotten { peer: name, member, left_out });
            }
            Action::RequestLesson { session } => {
                let connection = self.connections.lock().get(&session).cloned()?;
                connection.request_lesson();
                let left_out = self.may_log(&connection.name, Level::INFO)?;
                return Some(Note::LessonRequested { peer: connection.name.clone(), left_out });
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

    /// Runs an established session to its end.
    pub(super) async fn run(
        self: &Arc<Self>,
        connection: Arc<Connection>,
        session: Arc<Mutex<Session>>,
        stream: Box<dyn Stream>,
        received: &[u8],
    ) {
        self.failures.lock().remove(&connection.name);
        let reason = exchange::exchange(self, &connection, &session, stream, received).await;
        self.connections.lock().remove(&connection.id);
        self.count(&session.lock(), &reason);
        self.log_end(&connection, &reason);
        drop(session);
        self.with_section(|section, now| section.session_ended(now, connection.id, connection.peer, &reason));
    }

    fn log_end(&self, connection: &Connection, reason: &EndReason) {
        let (section, peer) = (self.name(), connection.name.as_str());
        let level = if matches!(reason, EndReason::Error(_)) { Level::WARN } else { Level::INFO };
        let Some(left_out) = self.may_log(peer, level) else { return };
        match reason {
            EndReason::Error(error) => {
                let address = connection.established().map_or("", |established| &established.remote);
                warn!(section, peer, address, left_out, "session closed: {error}");
            }
            EndReason::Connection(reason) => info!(section, peer, left_out, "session ended: {reason}"),
            EndReason::Closed(reason) => info!(section, peer, left_out, "session closed: {reason}"),
        }
    }

    fn count(&self, session: &Session, reason: &EndReason) {
        let (received, sent) = (session.received(), session.sent());
        let add = |total: &AtomicU64, count| total.fetch_add(count, Ordering::Relaxed);
        add(&self.totals.updates_received, received.updates);
        add(&self.totals.updates_refused, received.refused_updates);
        add(&self.totals.updates_sent, sent.live_updates + sent.lesson_updates);
        add(&self.totals.ignored_strings, received.ignored_strings);
        if let EndReason::Error(SessionError::Malformed(error)) = reason {
            add(&self.totals.protocol_errors, 1);
            let is_oversized = matches!(error.kind, DecodeErrorKind::PayloadTooLarge { .. });
            add(&self.totals.oversized_messages, is_oversized.into());
        }
    }

    /// Tells the section of something that happened in a session, and the log.
    pub(super) fn handle_event(self: &Arc<Self>, connection: &Connection, event: &SessionEvent) {
        let (section, peer) = (self.name(), connection.name.as_str());
        let is_warning = matches!(
            event,
            SessionEvent::TableIgnored { .. }
                | SessionEvent::TableLoses { .. }
                | SessionEvent::PeerReportsError { .. }
                | SessionEvent::LessonAbandoned
                | SessionEvent::LessonUnconfirmed
        );
        // A hub logs what its sums leave out in one place, whoever noticed it.
        let is_logged = !matches!(event, SessionEvent::LeftOut { .. });
        let level = if is_warning { Level::WARN } else { Level::INFO };
        match is_logged.then(|| self.may_log(peer, level)).flatten() {
            None => {}
            Some(left_out) if is_warning => warn!(section, peer, left_out, "{event}"),
            Some(left_out) => info!(section, peer, left_out, "{event}"),
        }
        match event {
            SessionEvent::LessonLearned { .. } => self.totals.lessons_learned.fetch_add(1, Ordering::Relaxed),
            SessionEvent::LessonTaught => self.totals.lessons_taught.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        self.with_section(|section, now| section.handle_event(now, connection.id, event));
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
        count(&self.pauses);
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

    pub(super) fn buffer_size(&self) -> usize {
        self.limits.buffer_size
    }

    /// Name of the section.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn local_name(&self) -> &str {
        &self.config.local.name
    }

    pub(super) fn is_local_name(&self, name: &str) -> bool {
        name == self.config.local.name
    }

    /// Whether a peer of this address may join under a name that is not configured.
    pub(super) fn may_join(&self, address: Option<IpAddr>) -> bool {
        let Some(dynamic) = &self.config.dynamic_peers else { return false };
        // A Unix socket is of this machine, and guarded by its permissions.
        address.is_none_or(|address| dynamic.accepts(address))
    }

    /// Whether an attempt to reach a peer failed for another reason than the one before. It never is while this process
    /// looks for the next one, which need not be there.
    pub(super) fn is_news(&self, peer: &str, reason: &str) -> bool {
        if self.is_local_name(peer) {
            return false;
        }
        let before = self.failures.lock().insert(peer.to_owned(), reason.to_owned());
        before.as_deref() != Some(reason)
    }

    /// Whether a warning about a stranger is due, and how many lines were left out before it.
    pub(super) fn refusal_is_due(&self, address: Option<IpAddr>, name: &str) -> Option<Option<u64>> {
        let due = log::takes(Level::WARN) && self.refusals.is_due(address, name, self.clock.now());
        due.then(|| self.may_log("", Level::WARN)).flatten()
    }

    /// Whether a line of this level about a peer, or a name that is asked for, may be written, and how many were left out
    /// before it, if any. A line that no `log` line of the configuration takes costs nothing.
    pub(super) fn may_log(&self, peer: &str, level: Level) -> Option<Option<u64>> {
        if !log::takes(level) {
            return None;
        }
        let left_out = self.log_quota.take(peer, level, self.clock.now());
        if left_out.is_none() {
            count(&self.totals.lines_left_out);
        }
        left_out.map(|lines| (lines > 0).then_some(lines))
    }

    /// Says that a limit was reached, once a minute.
    pub(super) fn limit_reached(&self, limit: &str, consequence: &str) {
        if log::takes(Level::WARN) && self.refusals.is_due(None, limit, self.clock.now()) {
            warn!(section = self.name(), limit, "limit reached: {consequence}");
        }
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

    /// The section at this moment.
    pub fn view(&self) -> SectionView {
        self.section.lock().view(self.clock.now())
    }

    /// The connections at this moment.
    pub fn connections(&self) -> HashMap<SessionId, Arc<Connection>> {
        self.connections.lock().clone()
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
    };
    ConfiguredPeer { name: remote.name.clone(), shard: remote.shard, level, is_called }
}

fn target(address: &Address, tls: Option<&config::ServerTls>) -> Result<Target, crate::tls::TlsError> {
    let connector = tls.map(Connector::load).transpose()?.map(Arc::new);
    let host = match address {
        Address::Ip(address) => address.ip().to_string(),
        Address::Host { host, .. } => host.clone(),
        Address::Unix(_) => "localhost".to_owned(),
    };
    Ok(Target { address: address.clone(), others: Vec::new(), source: None, connector, host })
}

pub(super) fn member_word(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Local => "local",
        PeerKind::Static => "static",
        PeerKind::Dynamic => "dynamic",
        PeerKind::Discovered => "discovered",
    }
}
