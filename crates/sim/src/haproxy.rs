//! A HAProxy as a peer, by what is known of the protocol and not by the code of this project.
//!
//! [`Haproxy`] is a second, simple implementation of docs/peers-protocol.md. Of the library it uses the codec, which is held to
//! streams of real HAProxys, and nothing else: no session, no section, no table. So where the two disagree, one of them is
//! wrong. Ids are assigned at once, not in batches as since 3.3; shards, `server_key`, `write-to` and the varint error of 1.6
//! are left out.

use std::collections::{BTreeMap, VecDeque};

use haproxy_peers::LastStatus;
use stick_table::Millis;

use crate::{Link, Process, Reading, Want, Write};

mod config;
mod connect;
mod peer;
mod rate;
mod receive;
mod release;
mod resync;
mod send;
mod table;

pub use config::{HaproxyConfig, HaproxyTable};
pub use release::{Quirks, Release};

use connect::{BUFFER, Connection, State};
use peer::Peer;
use resync::{Phase, Resync, Stopping};
use table::Table;

/// Pause between two attempts to connect, and length of a look for signs of life, in ms (peers-protocol §3).
const RECONNECT_MS: Millis = 5_000;
/// Most bytes held for a connection: what was made in a pass, with the message that went beyond it, and a message that is not
/// complete, or a hello.
const CONNECTION_BOUND: usize = 3 * BUFFER;

/// A HAProxy process with one `peers` section.
pub struct Haproxy {
    config: HaproxyConfig,
    tables: Vec<Table>,
    /// The remote peers, and the one of its own name.
    peers: Vec<Peer>,
    connections: BTreeMap<Link, Connection>,
    wants: VecDeque<Want>,
    resync: Resync,
    stopping: Option<Stopping>,
    next_link: u64,
    random: u64,
    collisions: u64,
    deaths: u64,
}

impl Haproxy {
    /// A process that starts at `now`.
    pub fn new(config: HaproxyConfig, now: Millis) -> Self {
        let tables = &config.tables;
        let remote = config.peers.iter().map(|name| Peer::new(name.clone(), false, tables));
        let peers = remote.chain([Peer::new(config.name.clone(), true, tables)]).collect();
        let mut process = Self {
            tables: config.tables.iter().cloned().map(Table::new).collect(),
            peers,
            connections: BTreeMap::new(),
            wants: VecDeque::new(),
            resync: Resync::new(),
            stopping: None,
            next_link: 1,
            // Never 0, where the generator stays.
            random: config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            collisions: 0,
            deaths: 0,
            config,
        };
        process.start_resync(now);
        process.sync(now);
        process
    }

    /// The soft stop: leaves the remote peers, and teaches the process that took over its address (peers-protocol §13.4).
    pub fn stop(&mut self, now: Millis) {
        self.start_stopping(now);
        self.sync(now);
    }

    /// Whether a soft stop is over, so that the process may end.
    pub fn is_over(&self) -> bool {
        self.stopping == Some(Stopping::Over)
    }

    /// Whether it considers itself up to date.
    pub fn is_up_to_date(&self) -> bool {
        self.resync.phase == Phase::Finished
    }

    /// What became of the last attempt to reach a peer; `None` for a peer it does not have.
    pub fn last_status(&self, peer: &str) -> Option<LastStatus> {
        self.peers.iter().find(|known| known.name == peer).map(|peer| peer.status)
    }

    /// Whether there is a session with a peer.
    pub fn is_established(&self, peer: &str) -> bool {
        self.peers.iter().any(|known| known.name == peer && known.session.is_some())
    }

    /// How often a peer connected that had a connection (`coll` of `show peers`).
    pub fn collisions(&self) -> u64 {
        self.collisions
    }

    /// How often a session was closed because nothing came (`no_hbt` of `show peers`).
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// What the section's task does whenever it wakes up.
    fn sync(&mut self, now: Millis) {
        for table in &mut self.tables {
            table.expire(now);
        }
        self.sync_connections(now);
        if self.is_stopping() {
            self.sync_stopping(now);
            return;
        }
        self.sync_resync(now);
        for place in 0..self.peers.len() {
            let peer = &self.peers[place];
            if peer.link.is_none() && peer.may_be_called() && peer.is_due(now) {
                self.connect(now, place, RECONNECT_MS);
            } else if peer.session.is_some() && !peer.is_local && self.config.quirks.sends_heartbeats {
                self.sync_life(now, place);
            }
        }
    }

    /// Heartbeats, and the death of those who say nothing (§3.1).
    fn sync_life(&mut self, now: Millis, place: usize) {
        let peer = &mut self.peers[place];
        let (lags, is_due) = (peer.lags(&self.tables, &self.config.quirks), peer.is_due(now));
        let Some(session) = &mut peer.session else { return };
        if lags {
            session.sends_heartbeat = false;
            session.postpone_heartbeat(now);
            if self.config.quirks.rearms_reconnect_while_pushing && is_due {
                peer.reconnect = Some(now + RECONNECT_MS);
            }
        } else if is_due && std::mem::take(&mut session.alive) {
            peer.reconnect = Some(now + RECONNECT_MS);
        } else if is_due {
            self.deaths += 1;
            self.close_session(now, place);
            self.peers[place].reconnect = Some(now + self.pause());
        } else if session.heartbeat_at <= now {
            session.sends_heartbeat = true;
            session.postpone_heartbeat(now);
        }
    }

    /// When the section's task has something to do for a peer.
    fn peer_timeout(&self, peer: &Peer) -> Option<Millis> {
        if self.is_stopping() {
            let Some(Stopping::Until(until)) = self.stopping else { return None };
            let retry = peer.reconnect.filter(|_| peer.link.is_none()).unwrap_or(until);
            return (peer.is_local && peer.session.is_none()).then_some(retry.min(until));
        }
        let Some(session) = &peer.session else {
            return (peer.link.is_none() && peer.may_be_called()).then(|| peer.reconnect.unwrap_or(0));
        };
        if peer.is_local || !self.config.quirks.sends_heartbeats {
            return None;
        }
        let looks = peer.reconnect.unwrap_or(0);
        let lags = peer.lags(&self.tables, &self.config.quirks);
        Some(if lags { session.heartbeat_at } else { session.heartbeat_at.min(looks) })
    }
}

impl Process for Haproxy {
    fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    fn timeout(&self) -> Option<Millis> {
        if !self.wants.is_empty() {
            return Some(0);
        }
        let tables = self.tables.iter().filter_map(Table::timeout);
        let peers = self.peers.iter().filter_map(|peer| self.peer_timeout(peer));
        let connections = self.connections.values().filter_map(|connection| self.patience(connection));
        let resync = self.resync.timeout().filter(|_| !self.is_stopping());
        tables.chain(peers).chain(connections).chain(resync).min()
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.sync(now);
    }

    fn connected(&mut self, now: Millis, link: Link) {
        self.say_hello(now, link);
    }

    fn accepted(&mut self, now: Millis, link: Link) {
        if self.is_stopping() {
            self.wants.push_back(Want::Close(link));
            return;
        }
        let state = State::AwaitingHello(haproxy_peers::HelloParser::new(BUFFER), 0);
        self.connections.insert(link, Connection { state, out: Vec::new(), active: now });
    }

    fn receive(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        self.take_bytes(now, link, bytes);
        self.sync(now);
    }

    fn transmit(&mut self, now: Millis, link: Link, room: usize, out: &mut Vec<u8>) {
        let end = out.len() + room;
        while let Some(mut made) = self.connections.get_mut(&link).map(|it| std::mem::take(&mut it.out)) {
            let Some(connection) = self.connections.get(&link) else { return };
            if made.is_empty()
                && let State::Established(place, _) = connection.state
                && out.len() < end
            {
                self.send_pass(now, place, &mut made);
            }
            let fits = made.len().min(end - out.len());
            out.extend(made.drain(..fits));
            let Some(connection) = self.connections.get_mut(&link) else { return };
            if fits > 0 {
                connection.active = now;
            }
            let is_sent = made.is_empty();
            connection.out = made;
            if is_sent && matches!(connection.state, State::Closing) {
                self.connections.remove(&link);
                self.wants.push_back(Want::Close(link));
                return;
            }
            if fits == 0 || !is_sent {
                return;
            }
        }
    }

    fn closed(&mut self, now: Millis, link: Link) {
        self.connection_ended(now, link);
        self.sync(now);
    }

    fn write(&mut self, now: Millis, write: Write) -> bool {
        let Some(table) = self.tables.get_mut(write.table) else { return false };
        table.expire(now);
        let has_room = table.write(now, write, &self.config.quirks);
        self.sync(now);
        has_room
    }

    fn read(&self, now: Millis, table: usize, key: u32) -> Option<Reading> {
        self.tables.get(table)?.read(now, key)
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.config.name == name)
    }

    fn keys(&self, now: Millis, table: usize) -> Vec<u32> {
        self.tables.get(table).map_or_else(Vec::new, |table| table.keys(now))
    }

    fn memory(&self) -> usize {
        let held = |connection: &Connection| {
            connection.out.len()
                + match &connection.state {
                    State::AwaitingHello(_, held) => *held,
                    State::Established(_, input) => input.len(),
                    State::Dialing(_) | State::AwaitingStatus(..) | State::Closing => 0,
                }
        };
        self.connections.values().map(held).sum()
    }

    fn memory_bound(&self) -> usize {
        self.connections.len() * CONNECTION_BOUND
    }

    fn stop(&mut self, now: Millis) {
        Self::stop(self, now);
    }

    fn has_stopped(&self) -> bool {
        self.is_over()
    }

    fn restarts_lifetimes(&self) -> bool {
        true
    }

    fn clamps_lifetimes(&self) -> bool {
        self.config.quirks.clamps_lifetimes
    }
}
