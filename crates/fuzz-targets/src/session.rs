//! The target of sessions in any state.

mod peer;
mod script;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arbitrary::{Arbitrary, Unstructured};
use haproxy_peers::{
    DICTIONARY_SLOTS, Limits, ProtocolVersion, Relays, Resume, Role, Session, SessionError, SessionEvent,
    SessionSetup, TableSet,
};
use stick_table::{DataType, Lifetime, Millis, Origin, Value};

use self::peer::Peer;
use self::script::{Options, Step};
use crate::node::{self, START};

/// Entries that one call of `poll_transmit` may write beyond its limit.
const BEYOND_LIMIT: usize = 128;
/// Longest wait of one step, in ms: a script is to take less than the half of what ticks can tell apart.
const MOST_MS: u32 = 1_000_000;
/// Events that wait at most, but for the ends of lessons.
const MOST_EVENTS: usize = 256;

/// A session of any role, version and limits, with any interleaving of what the peer says (well formed or not, cut
/// anywhere), what changes here, the clock, and polls for output in small rooms. Whatever is sent decodes, makes sense to a
/// receiver, and keeps to its room; memory keeps to its bounds; timeouts come to rest; an error ends the session and
/// repeats.
pub fn session(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let Ok(options) = Options::arbitrary(&mut source) else { return };
    let mut life = Life::new(options);
    while let (false, Ok(step)) = (source.is_empty(), Step::arbitrary(&mut source)) {
        life.step(step, &mut source);
    }
    life.end();
}

/// A section's tables, the session with one peer, and that peer.
struct Life {
    options: Options,
    tables: Arc<TableSet>,
    up_to_date: Arc<AtomicBool>,
    resume: Resume,
    relays: Relays,
    session: Session,
    now: Millis,
    /// What the peer said and the session has not been given.
    pending: Vec<u8>,
    peer: Peer,
    failed: Option<SessionError>,
    /// Ends of lessons that the peer told, and lessons it confirmed, at most.
    ends: usize,
}

impl Life {
    fn new(options: Options) -> Self {
        let shards = options.shards.then_some(NonZeroU32::MIN.saturating_add(2));
        let tables = node::tables(node::SMALL, options.dynamic, shards);
        let up_to_date = Arc::new(AtomicBool::new(options.up_to_date));
        let (resume, relays) = (Resume::default(), Relays::new(options.relay));
        if options.other_relay {
            // A peer that is known as a relay from its last session.
            let setup = setup(&options, &tables, &up_to_date, &resume, &relays);
            let mut session = Session::new(SessionSetup { origin: Origin::peer(2).unwrap(), ..setup }, START);
            assert_eq!(session.handle_input(START, &[0, 0x72]), Ok(()));
        }
        let session = Session::new(setup(&options, &tables, &up_to_date, &resume, &relays), START);
        let peer = Peer::new(false);
        Self {
            options,
            tables,
            up_to_date,
            resume,
            relays,
            session,
            now: START,
            pending: Vec::new(),
            peer,
            failed: None,
            ends: 0,
        }
    }

    fn step(&mut self, step: Step, source: &mut Unstructured<'_>) {
        match step {
            Step::Raw(length) => {
                let length = usize::from(length).min(source.len());
                self.pending.extend_from_slice(source.bytes(length).unwrap_or_default());
            }
            Step::Say(said) => self.peer.say(said, &self.tables, &mut self.pending),
            Step::Give(length) => self.give(length.into()),
            Step::Wait(ms) => {
                self.now += u64::from(ms % MOST_MS);
                self.timeout();
            }
            Step::WaitForTimeout => {
                self.now = self.now.max(self.session.poll_timeout());
                self.timeout();
            }
            Step::Change { table, key, count, value, origin } => {
                self.change(table, key, count, value, origin);
            }
            Step::Remove { table, key } => {
                if let Some(shared) = self.tables.get(table.into()) {
                    let key = script::key(shared.definition().key_type, key);
                    shared.table().remove(&key, self.now).unwrap();
                }
            }
            Step::Sweep => {
                for shared in self.tables.all() {
                    shared.table().sweep(1_000, self.now);
                }
            }
            Step::Poll(room) => _ = self.poll(room.into()),
            Step::PollAll(room) => self.poll_all(room.into()),
            Step::RequestLesson => self.session.request_lesson(),
            Step::TakeEvents => self.take_events(),
            Step::Look => self.look(),
            Step::Reconnect => self.reconnect(),
        }
    }

    /// Gives the session the next bytes.
    fn give(&mut self, length: usize) {
        let length = length.min(self.pending.len());
        let input: Vec<u8> = self.pending.drain(..length).collect();
        // An end of a lesson, and its confirmation, takes two bytes.
        self.ends += input.len() / 2;
        match (self.session.handle_input(self.now, &input), self.failed) {
            (Ok(()), None) => {}
            (Err(error), None) => {
                self.failed = Some(error);
                assert!(!error.to_string().is_empty());
            }
            (result, Some(error)) => assert_eq!(result, Err(error), "an error is not repeated"),
        }
    }

    fn timeout(&mut self) {
        let result = self.session.handle_timeout(self.now);
        if let (Err(error), None) = (result, self.failed) {
            self.failed = Some(error);
        }
        if self.failed.is_none() {
            self.poll_all(4_096);
            assert!(self.session.poll_timeout() > self.now, "the clock is to be looked at again at once");
        }
    }

    /// Changes `count` entries, as this process or as another peer.
    fn change(&self, table: u8, key: u8, count: u8, value: u32, origin: u8) {
        let Some(shared) = self.tables.get(table.into()) else { return };
        let (origin, lifetime) = match origin % 4 {
            0 | 1 => (Origin::LOCAL, Lifetime::Restart),
            2 => (Origin::peer(2).unwrap(), Lifetime::Restart),
            _ => (Origin::peer(3).unwrap(), Lifetime::Exactly(value % 100_000)),
        };
        for number in 0..count {
            let key = script::key(shared.definition().key_type, key.wrapping_add(number));
            // A full table refuses, which is no fault.
            let _ = shared.table().update(&key, origin, lifetime, self.now, |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(value));
                entry.count(DataType::HttpReqRate, 0, 1);
                for element in 0..42 {
                    // Tables of fewer elements take the first ones.
                    entry.set(DataType::Gpc, element, &Value::Unsigned(value >> (element % 32)));
                }
                let server = Value::Dictionary(Some(format!("server{}", value % 200).into()));
                entry.set(DataType::ServerKey, 0, &server);
            });
        }
    }

    /// Polls for output once; whether there is more.
    fn poll(&mut self, room: usize) -> bool {
        let mut out = Vec::new();
        let more = self.session.poll_transmit(self.now, room, &mut out);
        if self.failed.is_some() {
            assert!(!more && out.len() <= 2, "a session that failed goes on");
        }
        let updates = self.peer.hear(&out, room, &self.tables);
        assert!(updates <= BEYOND_LIMIT, "{updates} entries beyond the room of {room} bytes");
        more
    }

    /// Polls until there is no more, which is after few calls: nothing changes meanwhile.
    fn poll_all(&mut self, room: usize) {
        let room = room.max(64);
        let entries: u32 = self.tables.all().iter().map(|shared| shared.table().len()).sum();
        let most = 200 + 4 * entries as usize + 2 * self.ends;
        for _ in 0..most {
            if !self.poll(room) {
                return;
            }
        }
        panic!("there is more to send after {most} calls");
    }

    fn take_events(&mut self) {
        let events: Vec<_> = std::iter::from_fn(|| self.session.poll_event()).collect();
        let ends = events
            .iter()
            .filter(|event| matches!(event, SessionEvent::LessonLearned { .. } | SessionEvent::LessonTaught));
        assert!(ends.count() <= self.ends && events.len() <= MOST_EVENTS + self.ends);
        assert!(events.iter().all(|event| !event.to_string().is_empty()));
    }

    /// Bounds that hold at any time.
    fn look(&mut self) {
        let view = self.session.view();
        assert!(
            view.sent_strings.len() <= DICTIONARY_SLOTS && view.received_strings.len() <= DICTIONARY_SLOTS
        );
        assert!(self.tables.len() <= 44 && view.tables.len() <= self.tables.len());
        for table in &view.tables {
            assert!(table.last_acked <= table.last_pushed);
        }
        let (counters, sent) = (self.session.counters(), self.session.sent());
        assert_eq!(counters.bytes_sent, self.peer.heard_bytes);
        assert_eq!(sent.live_updates + sent.lesson_updates, self.peer.heard_updates);
        self.session.take_news();
        assert!(!self.session.take_news());
        node::all_contents(&self.tables, self.now);
    }

    /// Ends the session; the peer comes back, and what it acknowledged is not sent once more.
    fn reconnect(&mut self) {
        self.pending.clear();
        let setup = setup(&self.options, &self.tables, &self.up_to_date, &self.resume, &self.relays);
        // As a section does it: the new session is there before the old one is gone.
        self.session = Session::new(setup, self.now);
        self.peer = Peer::new(true);
        (self.failed, self.ends) = (None, 0);
    }

    fn end(&mut self) {
        self.give(usize::MAX);
        self.take_events();
        self.poll_all(1_000);
        self.look();
        if let Some(error) = self.failed {
            let mut out = Vec::new();
            assert!(!self.session.poll_transmit(self.now, 1_000, &mut out) && out.is_empty());
            assert_eq!(self.session.handle_input(self.now, b"\0\x04"), Err(error));
        }
        self.check_convergence();
    }

    /// Without a lesson under way, a plain peer of a healthy session knows what this process changed last.
    fn check_convergence(&mut self) {
        let Options { relay, other_relay, shards, .. } = self.options;
        let plain = self.options.role() == Role::Remote && !relay && !other_relay && !shards;
        if self.failed.is_some() || !plain || self.session.view().teaching {
            return;
        }
        let mut known = BTreeMap::new();
        for shared in self.tables.all() {
            let name = shared.definition().network_name().to_owned();
            known.insert(name, node::contents(shared.table(), self.now));
        }
        for (table, entries) in known {
            for (key, (.., origin)) in entries {
                let is_local = origin == Origin::LOCAL.number();
                assert!(
                    !is_local || self.peer.knows(&table, &key) || self.peer.is_resumed,
                    "{key:?} of {table} was not sent"
                );
            }
        }
    }
}

fn setup(
    options: &Options,
    tables: &Arc<TableSet>,
    up_to_date: &Arc<AtomicBool>,
    resume: &Resume,
    relays: &Relays,
) -> SessionSetup {
    let version = if options.is_v2_0 { ProtocolVersion::V2_0 } else { ProtocolVersion::V2_1 };
    let buffer_size = if options.small_buffer { 300 } else { Limits::default().buffer_size };
    let max_updates_at_once = [1, 2, 50, 200][usize::from(options.updates % 4)];
    SessionSetup {
        shard: if options.shards { u32::from(options.shard % 4) } else { 0 },
        up_to_date: Arc::clone(up_to_date),
        limits: Limits { buffer_size, max_updates_at_once, ..Limits::default() },
        resume: resume.clone(),
        relays: relays.clone(),
        awaits_values: Arc::default(),
        ..node::setup(tables, version, options.role())
    }
}
