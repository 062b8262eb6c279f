//! A small world without sockets: nodes with a section each, scripted peers that are plain bytes, and pipes between them.

mod link;
mod node;
mod script;
mod table;

pub(crate) use node::{FORGET_MS, Node, Setup};
pub(crate) use script::{Script, control, update, with_payload};
pub(crate) use table::{counters, gpc0, key, learn, set, table};

use haproxy_peers::{
    Action, EndReason, Greeting, HelloParser, HelloProgress, PeerId, Session, SessionError, SessionId,
    StatusParser, StatusProgress,
};
use stick_table::Millis;

use self::link::{End, Link, Way};

const BUFFER: usize = 16_384;
/// More rounds at one moment than this mean that somebody asks to be called again and again.
const MAX_ROUNDS: usize = 20_000;

/// Numbers that look random: xorshift64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Where a connection is in [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId(usize);

/// Everything there is, and its time.
pub(crate) struct World {
    pub(crate) now: Millis,
    pub(crate) nodes: Vec<Node>,
    links: Vec<Link>,
    random: Random,
    /// Time each byte takes, in ms.
    pub(crate) delay: Millis,
    /// Whether received bytes are handed over in random pieces.
    pub(crate) split: bool,
    /// Largest `limit` given to `poll_transmit`.
    pub(crate) chunk: usize,
    /// Names at which scripted peers accept.
    pub(crate) scripted: Vec<&'static str>,
    /// Whether connections are refused.
    pub(crate) refusing: bool,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: 1_000_000,
            nodes: Vec::new(),
            links: Vec::new(),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            delay: 1,
            split: true,
            chunk: BUFFER,
            scripted: Vec::new(),
            refusing: false,
        }
    }

    /// Adds a node, which starts now; returns its number.
    pub(crate) fn add(&mut self, setup: Setup) -> usize {
        // Clocks differ: only relative times may pass.
        let skew = self.nodes.len() as u64 * 777_777_777;
        self.nodes.push(setup.start(skew, self.now));
        self.nodes.len() - 1
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, ms: Millis) {
        let until = self.now + ms;
        let (mut rounds, mut at) = (0, self.now);
        loop {
            self.settle();
            let Some(next) = self.next_time().filter(|&next| next <= until) else { break };
            rounds = if next > at { 0 } else { rounds + 1 };
            assert!(rounds < MAX_ROUNDS, "somebody asks to be called at {at} for ever");
            at = at.max(next);
            self.now = at;
            self.fire();
        }
        self.now = until;
    }

    /// Lets time pass until something holds; whether it did within `ms`.
    pub(crate) fn run_until(&mut self, ms: Millis, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..ms / 10 {
            if holds(self) {
                return true;
            }
            self.run(10);
        }
        holds(self)
    }

    /// The established sessions of a node.
    pub(crate) fn sessions(&self, node: usize) -> impl Iterator<Item = &Session> {
        self.links.iter().flat_map(|link| &link.ends).filter_map(move |end| match end {
            End::Live { node: at, session, .. } if *at == node => Some(&**session),
            _ => None,
        })
    }

    /// Breaks all connections at once; bytes on the way are lost.
    pub(crate) fn cut(&mut self) {
        for at in 0..self.links.len() {
            for side in 0..2 {
                self.links[at].queues[side].clear();
                self.end(at, side, EndReason::Connection("cut".into()));
            }
            self.links[at].queues.iter_mut().for_each(std::collections::VecDeque::clear);
        }
        self.settle();
    }

    /// A node's process ends without a word.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].running = false;
        for at in 0..self.links.len() {
            for side in 0..2 {
                if self.links[at].ends[side].node() == Some(node) {
                    self.links[at].ends[side] = End::Gone;
                    self.links[at].send(side, None, self.now + self.delay);
                }
            }
        }
    }

    fn next_time(&self) -> Option<Millis> {
        let nodes = self.nodes.iter().filter(|node| node.running).filter_map(Node::next_time);
        let links = self.links.iter().flat_map(|link| link.times(&self.nodes));
        nodes.chain(links).min()
    }

    /// Calls those whose time has come.
    fn fire(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.running) {
            let now = node.clock(self.now);
            if node.section.poll_timeout().is_some_and(|at| at <= now) {
                node.section.handle_timeout(now);
            }
        }
        for at in 0..self.links.len() {
            for side in 0..2 {
                let End::Live { node, session, .. } = &mut self.links[at].ends[side] else { continue };
                let node = *node;
                let now = self.nodes[node].clock(self.now);
                if session.poll_timeout() > now {
                    continue;
                }
                let looked = session.handle_timeout(now);
                self.nodes[node].events.extend(std::iter::from_fn(|| session.poll_event()));
                if let Err(error) = looked {
                    self.end(at, side, EndReason::Error(error));
                }
            }
        }
    }

    /// Does what can be done now.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut busy = self.carry_out();
            for at in 0..self.links.len() {
                for side in 0..2 {
                    busy |= self.transmit(at, side);
                    busy |= self.deliver(at, side);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn carry_out(&mut self) -> bool {
        let mut busy = false;
        for number in 0..self.nodes.len() {
            while let Some(action) = self.nodes[number].section.poll_action() {
                busy = true;
                match action {
                    Action::Connect { peer, name, session, hello } => {
                        let mut bytes = Vec::new();
                        hello.encode(&mut bytes).unwrap();
                        self.connect(number, peer, &name, session, bytes);
                    }
                    Action::Close { session, reason } => {
                        if let Some((at, side)) = self.find(number, session) {
                            self.end(at, side, EndReason::Closed(reason));
                        }
                    }
                    Action::Forgotten { name, .. } => self.nodes[number].forgotten.push(name),
                    Action::RequestLesson { session } => {
                        self.nodes[number].requests += 1;
                        if let Some((at, side)) = self.find(number, session)
                            && let End::Live { session, .. } = &mut self.links[at].ends[side]
                        {
                            session.request_lesson();
                        }
                    }
                }
            }
        }
        busy
    }

    fn find(&self, number: usize, session: SessionId) -> Option<(usize, usize)> {
        let is_it = |end: &End| match end {
            End::Dialing { node, id, .. } | End::Live { node, id, .. } => *node == number && *id == session,
            _ => false,
        };
        let mut ends = self
            .links
            .iter()
            .enumerate()
            .flat_map(|(at, link)| [(at, 0, &link.ends[0]), (at, 1, &link.ends[1])]);
        ends.find(|(_, _, end)| is_it(end)).map(|(at, side, _)| (at, side))
    }

    fn connect(&mut self, node: usize, peer: PeerId, name: &str, id: SessionId, hello: Vec<u8>) {
        self.nodes[node].hellos.push(String::from_utf8(hello.clone()).unwrap());
        let is_successor = self.nodes[node].name == name;
        // A process teaches the one that was started after it, whether that listens any more or not.
        let target = self.nodes.iter().enumerate().position(|(number, other)| {
            let listens = if is_successor { number > node } else { number != node && other.listens };
            listens && other.running && other.name == name
        });
        let way = if self.nodes[node].name == name { Way::Predecessor } else { Way::Network };
        let far = match target {
            _ if self.refusing => None,
            Some(node) => Some(End::Greeting { node, parser: HelloParser::new(BUFFER), way }),
            None => self.scripted.contains(&name).then(End::scripted),
        };
        let Some(far) = far else {
            let now = self.nodes[node].clock(self.now);
            self.nodes[node].section.connect_failed(now, id, "connection refused".into());
            return;
        };
        let near = End::Dialing { node, id, peer, parser: StatusParser::new(BUFFER) };
        let mut link = Link::new(near, far);
        link.send(0, Some(hello), self.now + self.delay);
        self.links.push(link);
        let now = self.nodes[node].clock(self.now);
        self.nodes[node].section.connected(now, id);
    }

    fn transmit(&mut self, at: usize, side: usize) -> bool {
        let End::Live { node, session, .. } = &mut self.links[at].ends[side] else { return false };
        let mut bytes = Vec::new();
        let more = session.poll_transmit(self.nodes[*node].clock(self.now), self.chunk, &mut bytes);
        if bytes.is_empty() {
            return more;
        }
        self.links[at].send(side, Some(bytes), self.now + self.delay);
        true
    }

    fn deliver(&mut self, at: usize, side: usize) -> bool {
        let Some(sent) = self.links[at].take_due(side, self.now) else { return false };
        let Some(bytes) = sent else {
            self.end(at, side, EndReason::Connection("the peer closed the connection".into()));
            return true;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let size = if self.split { 1 + self.random.below(rest.len()) } else { rest.len() };
            self.hand_over(at, side, &rest[..size]);
            rest = &rest[size..];
        }
        true
    }

    fn hand_over(&mut self, at: usize, side: usize, bytes: &[u8]) {
        match &mut self.links[at].ends[side] {
            End::Scripted { received, .. } => received.extend_from_slice(bytes),
            End::Gone => {}
            End::Live { node, id, session, .. } => {
                let (node, id, now) = (*node, *id, self.nodes[*node].clock(self.now));
                let result = session.handle_input(now, bytes);
                let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
                for event in events {
                    self.nodes[node].section.handle_event(now, id, &event);
                    self.nodes[node].events.push(event);
                }
                if let Err(error) = result {
                    self.fail(at, side, error);
                }
            }
            End::Dialing { .. } => self.take_status(at, side, bytes),
            End::Greeting { .. } => self.take_hello(at, side, bytes),
        }
    }

    fn take_status(&mut self, at: usize, side: usize, bytes: &[u8]) {
        let End::Dialing { node, id, peer, parser } = &mut self.links[at].ends[side] else { return };
        let StatusProgress::Complete(status, taken) = parser.feed(bytes) else { return };
        let (node, id, peer) = (*node, *id, *peer);
        let now = self.nodes[node].clock(self.now);
        let Some(session) = self.nodes[node].section.handle_status(now, id, status) else {
            self.links[at].ends[side] = End::Gone;
            self.links[at].send(side, None, self.now + self.delay);
            return;
        };
        self.links[at].ends[side] = End::Live { node, id, peer, session };
        self.hand_over(at, side, &bytes[taken..]);
    }

    fn take_hello(&mut self, at: usize, side: usize, bytes: &[u8]) {
        let End::Greeting { node, parser, way } = &mut self.links[at].ends[side] else { return };
        let (node, way) = (*node, *way);
        let section = &mut self.nodes[node].section;
        let (status, taken) = match parser.feed(bytes, |name| section.is_local_name(name)) {
            HelloProgress::Incomplete => return,
            HelloProgress::Refused(error) => (error.status(), 0),
            HelloProgress::Complete(hello, taken) => {
                let now = self.nodes[node].clock(self.now);
                let may_join = self.nodes[node].may_join;
                let section = &mut self.nodes[node].section;
                let greeting = match way {
                    Way::Network => section.greet(now, &hello, may_join),
                    Way::Predecessor => section.greet_predecessor(now, &hello),
                };
                match greeting {
                    Greeting::Welcome { id, peer, session, .. } => {
                        self.links[at].ends[side] = End::Live { node, id, peer, session };
                        (Some(haproxy_peers::Status::Accepted), taken)
                    }
                    Greeting::Refuse(status) => (Some(status), taken),
                    Greeting::Drop(_) => (None, taken),
                }
            }
        };
        if let Some(status) = status {
            let mut line = Vec::new();
            status.encode(&mut line);
            self.links[at].send(side, Some(line), self.now + self.delay);
        }
        if matches!(self.links[at].ends[side], End::Live { .. }) {
            self.hand_over(at, side, &bytes[taken..]);
        } else {
            self.links[at].ends[side] = End::Gone;
            self.links[at].send(side, None, self.now + self.delay);
        }
    }

    /// A session found an error: sends its last words and ends it.
    fn fail(&mut self, at: usize, side: usize, error: SessionError) {
        self.transmit(at, side);
        self.end(at, side, EndReason::Error(error));
    }

    /// Ends one end of a connection; the other learns of it later.
    fn end(&mut self, at: usize, side: usize, reason: EndReason) {
        let end = std::mem::replace(&mut self.links[at].ends[side], End::Gone);
        match end {
            End::Gone => return,
            End::Scripted { received, .. } => {
                self.links[at].ends[side] = End::Scripted { received, closed: true };
                return;
            }
            End::Greeting { .. } => {}
            End::Dialing { node, id, .. } => {
                let now = self.nodes[node].clock(self.now);
                self.nodes[node].section.connect_failed(now, id, format!("{reason:?}"));
            }
            End::Live { node, id, peer, session } => {
                drop(session);
                let now = self.nodes[node].clock(self.now);
                self.nodes[node].section.session_ended(now, id, peer, &reason);
                self.nodes[node].ended.push(reason);
            }
        }
        self.links[at].send(side, None, self.now + self.delay);
    }
}
