//! What takes part in the tests: models, and nodes of the project's own engine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use haproxy_peers::{
    Action, EndReason, Greeting, Hello, HelloParser, HelloProgress, Limits, PeerId, Section, SectionConfig,
    Session, SessionId, Status, StatusParser, StatusProgress, TableSet,
};
use stick_table::{
    DataType, FrequencyCounter, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value,
};
use stickd_sim::{Haproxy, HaproxyConfig, HaproxyTable, Link, Process, Quirks, Reading, Want, Write};

const BUFFER: usize = 16_384;

/// One or the other kind.
pub(crate) enum Node {
    Model(Box<Haproxy>),
    Stickd(Box<Stickd>),
}

/// The configuration of a model in a section with these peers, and one table `t`.
pub(crate) fn config(name: &str, peers: &[&str], quirks: Quirks) -> HaproxyConfig {
    HaproxyConfig {
        name: name.into(),
        peers: peers.iter().map(|&peer| peer.into()).collect(),
        tables: vec![HaproxyTable::new("t")],
        quirks,
        confirms: true,
        pid: 1,
        has_predecessor: false,
        seed: 1 + u64::from(name.as_bytes()[0]),
    }
}

impl Node {
    pub(crate) fn model(config: HaproxyConfig, now: Millis) -> Self {
        Self::Model(Box::new(Haproxy::new(config, now)))
    }

    pub(crate) fn stickd(
        name: &str,
        peers: &[&str],
        tables: &[HaproxyTable],
        predecessor: bool,
        now: Millis,
    ) -> Self {
        Self::Stickd(Box::new(Stickd::new(name, peers, tables, predecessor, now)))
    }

    pub(crate) fn as_model(&self) -> &Haproxy {
        match self {
            Self::Model(model) => model,
            Self::Stickd(_) => panic!("not a model"),
        }
    }

    pub(crate) fn as_model_mut(&mut self) -> &mut Haproxy {
        match self {
            Self::Model(model) => model,
            Self::Stickd(_) => panic!("not a model"),
        }
    }

    fn it(&self) -> &dyn Process {
        match self {
            Self::Model(model) => &**model,
            Self::Stickd(stickd) => &**stickd,
        }
    }

    fn it_mut(&mut self) -> &mut dyn Process {
        match self {
            Self::Model(model) => &mut **model,
            Self::Stickd(stickd) => &mut **stickd,
        }
    }
}

impl Process for Node {
    fn want(&mut self) -> Option<Want> {
        self.it_mut().want()
    }
    fn timeout(&self) -> Option<Millis> {
        self.it().timeout()
    }
    fn handle_timeout(&mut self, now: Millis) {
        self.it_mut().handle_timeout(now);
    }
    fn connected(&mut self, now: Millis, link: Link) {
        self.it_mut().connected(now, link);
    }
    fn accepted(&mut self, now: Millis, link: Link) {
        self.it_mut().accepted(now, link);
    }
    fn receive(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        self.it_mut().receive(now, link, bytes);
    }
    fn transmit(&mut self, now: Millis, link: Link, room: usize, out: &mut Vec<u8>) {
        self.it_mut().transmit(now, link, room, out);
    }
    fn closed(&mut self, now: Millis, link: Link) {
        self.it_mut().closed(now, link);
    }
    fn write(&mut self, now: Millis, write: Write) -> bool {
        self.it_mut().write(now, write)
    }
    fn read(&self, now: Millis, table: usize, key: u32) -> Option<Reading> {
        self.it().read(now, table, key)
    }
    fn keys(&self, now: Millis, table: usize) -> Vec<u32> {
        self.it().keys(now, table)
    }
    fn memory(&self) -> usize {
        self.it().memory()
    }
    fn memory_bound(&self) -> usize {
        self.it().memory_bound()
    }
}

enum End {
    Dialing(SessionId, Vec<u8>),
    Status(SessionId, PeerId, StatusParser),
    Hello(HelloParser),
    Live(SessionId, PeerId, Box<Session>),
    /// What is left to send before it closes.
    Closing,
}

/// A section with its connections, driven in the smallest way.
pub(crate) struct Stickd {
    section: Section,
    tables: Arc<TableSet>,
    periods: Vec<u32>,
    ends: BTreeMap<Link, (End, Vec<u8>)>,
    wants: VecDeque<Want>,
    next_link: u64,
    dialed: BTreeMap<Link, PeerId>,
}

impl Stickd {
    fn new(name: &str, peers: &[&str], tables: &[HaproxyTable], predecessor: bool, now: Millis) -> Self {
        let definition = |table: &HaproxyTable| {
            let rate = format!("http_req_rate({})", table.rate_period_ms);
            TableDefinition::new(table.name.as_str(), KeyType::Integer, u32::try_from(table.size).unwrap())
                .with_expire(table.expire_ms)
                .with_column("gpc0".parse().unwrap())
                .and_then(|table| table.with_column(rate.parse().unwrap()))
                .unwrap()
        };
        let shared: Vec<_> = tables
            .iter()
            .map(|table| (Arc::new(Table::new(definition(table), 5).unwrap()), None::<Arc<Table>>))
            .collect();
        let set = Arc::new(TableSet::new("p", shared, None, None, 3).unwrap());
        let config = SectionConfig {
            name: "p".into(),
            local_name: name.into(),
            peers: peers.iter().map(|&peer| (peer.to_owned(), 0).into()).collect(),
            max_dynamic_peers: 0,
            discovers: false,
            forget_ms: 3_600_000,
            relay: false,
            tables: Arc::clone(&set),
            limits: Limits::default(),
            expects_predecessor: predecessor,
            pid: 7,
            seed: 13 + u64::from(name.as_bytes()[0]),
        };
        let mut stickd = Self {
            section: Section::new(config, now).unwrap(),
            tables: set,
            periods: tables.iter().map(|table| table.rate_period_ms).collect(),
            ends: BTreeMap::new(),
            wants: VecDeque::new(),
            next_link: 1 << 63,
            dialed: BTreeMap::new(),
        };
        stickd.carry_out(now);
        stickd
    }

    pub(crate) fn is_up_to_date(&self) -> bool {
        self.section.is_up_to_date()
    }

    fn carry_out(&mut self, now: Millis) {
        while let Some(action) = self.section.poll_action() {
            match action {
                Action::Connect { peer, name, session, hello } => {
                    let mut bytes = Vec::new();
                    hello.encode(&mut bytes).unwrap();
                    self.next_link += 1;
                    let link = Link(self.next_link);
                    self.dialed.insert(link, peer);
                    self.ends.insert(link, (End::Dialing(session, bytes), Vec::new()));
                    self.wants.push_back(Want::Connect { link, peer: name });
                }
                Action::Close { session, reason } => {
                    if let Some(link) = self.link_of(session) {
                        self.end(now, link, &EndReason::Closed(reason));
                        self.wants.push_back(Want::Close(link));
                    }
                }
                Action::Forgotten { .. } => {}
                Action::RequestLesson { session } => {
                    if let Some(link) = self.link_of(session)
                        && let Some((End::Live(_, _, session), _)) = self.ends.get_mut(&link)
                    {
                        session.request_lesson();
                    }
                }
            }
        }
    }

    fn link_of(&self, wanted: SessionId) -> Option<Link> {
        let is_it = |end: &End| match end {
            End::Dialing(id, _) | End::Status(id, ..) | End::Live(id, ..) => *id == wanted,
            End::Hello(_) | End::Closing => false,
        };
        self.ends.iter().find(|(_, (end, _))| is_it(end)).map(|(link, _)| *link)
    }

    fn end(&mut self, now: Millis, link: Link, reason: &EndReason) {
        match self.ends.remove(&link) {
            Some((End::Dialing(id, _) | End::Status(id, ..), _)) => {
                self.section.connect_failed(now, id, format!("{reason:?}"));
            }
            Some((End::Live(id, peer, session), _)) => {
                drop(session);
                self.section.session_ended(now, id, peer, reason);
            }
            _ => {}
        }
    }

    fn take_hello(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        let Some((End::Hello(parser), out)) = self.ends.get_mut(&link) else { return };
        let section = &mut self.section;
        let (next, status, taken) = match parser.feed(bytes, |name| section.is_local_name(name)) {
            HelloProgress::Incomplete => return,
            HelloProgress::Refused(error) => (End::Closing, error.status(), 0),
            HelloProgress::Complete(hello, taken) => match greet(section, now, &hello) {
                Greeting::Welcome { id, peer, session, .. } => {
                    (End::Live(id, peer, session), Some(Status::Accepted), taken)
                }
                Greeting::Refuse(status) => (End::Closing, Some(status), 0),
                Greeting::Drop(_) => (End::Closing, None, 0),
            },
        };
        if let Some(status) = status {
            status.encode(out);
        }
        let is_live = matches!(next, End::Live(..));
        let out = std::mem::take(out);
        self.ends.insert(link, (next, out));
        // What was replaced goes before anything is received.
        self.carry_out(now);
        if is_live {
            self.take_bytes(now, link, &bytes[taken..]);
        }
    }

    fn take_bytes(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        match self.ends.get_mut(&link) {
            Some((End::Hello(_), _)) => self.take_hello(now, link, bytes),
            Some((End::Status(id, peer, parser), _)) => {
                let (id, peer) = (*id, *peer);
                let StatusProgress::Complete(status, taken) = parser.feed(bytes) else { return };
                if let Some(session) = self.section.handle_status(now, id, status) {
                    self.ends.insert(link, (End::Live(id, peer, session), Vec::new()));
                    self.take_bytes(now, link, &bytes[taken..]);
                } else {
                    self.ends.remove(&link);
                    self.wants.push_back(Want::Close(link));
                }
            }
            Some((End::Live(id, _, session), _)) => {
                let result = session.handle_input(now, bytes);
                while let Some(event) = session.poll_event() {
                    self.section.handle_event(now, *id, &event);
                }
                if let Err(error) = result {
                    self.end(now, link, &EndReason::Error(error));
                    self.wants.push_back(Want::Close(link));
                }
            }
            _ => {}
        }
    }
}

impl Process for Stickd {
    fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    fn timeout(&self) -> Option<Millis> {
        let sessions = self.ends.values().filter_map(|(end, _)| match end {
            End::Live(_, _, session) => Some(session.poll_timeout()),
            _ => None,
        });
        sessions.chain(self.section.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Millis) {
        if self.section.poll_timeout().is_some_and(|at| at <= now) {
            self.section.handle_timeout(now);
        }
        let links: Vec<_> = self.ends.keys().copied().collect();
        for link in links {
            if let Some((End::Live(_, _, session), _)) = self.ends.get_mut(&link)
                && session.poll_timeout() <= now
                && let Err(error) = session.handle_timeout(now)
            {
                self.end(now, link, &EndReason::Error(error));
                self.wants.push_back(Want::Close(link));
            }
        }
        self.carry_out(now);
    }

    fn connected(&mut self, now: Millis, link: Link) {
        if let Some((End::Dialing(id, hello), _)) = self.ends.get_mut(&link) {
            let (id, hello) = (*id, std::mem::take(hello));
            self.section.connected(now, id);
            self.ends.insert(link, (End::Status(id, self.dialed[&link], StatusParser::new(BUFFER)), hello));
        }
    }

    fn accepted(&mut self, _: Millis, link: Link) {
        self.ends.insert(link, (End::Hello(HelloParser::new(BUFFER)), Vec::new()));
    }

    fn receive(&mut self, now: Millis, link: Link, bytes: &[u8]) {
        self.take_bytes(now, link, bytes);
        self.carry_out(now);
    }

    fn transmit(&mut self, now: Millis, link: Link, room: usize, out: &mut Vec<u8>) {
        let Some((end, held)) = self.ends.get_mut(&link) else { return };
        if held.is_empty()
            && let End::Live(_, _, session) = end
        {
            session.poll_transmit(now, room, held);
        }
        out.extend(held.drain(..held.len().min(room)));
        if held.is_empty() && matches!(end, End::Closing) {
            self.ends.remove(&link);
            self.wants.push_back(Want::Close(link));
        }
    }

    fn closed(&mut self, now: Millis, link: Link) {
        self.end(now, link, &EndReason::Connection("closed".into()));
        self.carry_out(now);
    }

    fn write(&mut self, now: Millis, write: Write) -> bool {
        let table = self.tables.get(write.table).unwrap();
        let result =
            table.table().update(&write.key.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(write.gpc0));
                entry.count(DataType::HttpReqRate, 0, write.requests);
            });
        result.is_ok()
    }

    fn read(&self, now: Millis, table: usize, key: u32) -> Option<Reading> {
        let period = self.periods[table];
        self.tables
            .get(table)?
            .table()
            .get(&key.to_be_bytes(), now, |entry| {
                let gpc0 = match entry.value(DataType::Gpc0, 0) {
                    Some(Value::Unsigned(value)) => value,
                    other => panic!("{other:?}"),
                };
                let rate = match entry.value(DataType::HttpReqRate, 0) {
                    Some(Value::Frequency(counter)) => FrequencyCounter::read(&counter, period, now as u32),
                    other => panic!("{other:?}"),
                };
                Reading { gpc0, rate, remaining_ms: entry.remaining() }
            })
            .unwrap()
    }

    fn keys(&self, now: Millis, table: usize) -> Vec<u32> {
        (0..10_000).filter(|key| self.read(now, table, *key).is_some()).collect()
    }

    fn memory(&self) -> usize {
        self.ends.values().map(|(_, held)| held.len()).sum()
    }

    fn memory_bound(&self) -> usize {
        self.ends.len() * 2 * BUFFER
    }
}

/// Answers a hello. In this world a node's own name is said by the process before it, as the world lets nobody else do so.
fn greet(section: &mut Section, now: Millis, hello: &Hello) -> Greeting {
    match section.is_local_name(&hello.sender) {
        true => section.greet_predecessor(now, hello),
        false => section.greet(now, hello, false),
    }
}
