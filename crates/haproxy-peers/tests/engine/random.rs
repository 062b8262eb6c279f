//! Random lives: nodes against the truth, and sessions against noise.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use haproxy_peers::{
    Control, HelloParser, HelloProgress, Limits, PeerLevel, ProtocolVersion, Relays, Resume, Role, Session,
    SessionSetup, StatusParser, StatusProgress, TableSet,
};
use proptest::prelude::*;
use stick_table::{KeyType, Origin, Table};

use crate::support::{Setup, World, control, counters, gpc0, learn, set, table};

/// Keys of each writer.
const KEYS: u32 = 6;
/// A live update of an entry that was touched within this time is untimed, so it may live this much longer, in ms.
const FRESH_MS: u32 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    /// A node changes a key of its own.
    Set {
        node: usize,
        key: u32,
    },
    /// A node learns something from a peer outside, with a lifetime.
    Learn {
        node: usize,
        key: u32,
        left: u32,
    },
    Run(u64),
    Cut,
    /// Connections are refused from now on, or no more.
    Refuse(bool),
    /// A node dies and its next process starts, empty.
    Restart(usize),
}

fn steps(nodes: usize) -> impl Strategy<Value = Vec<Step>> {
    let node = 0..nodes;
    let step = prop_oneof![
        8 => (node.clone(), 0..KEYS).prop_map(|(node, key)| Step::Set { node, key }),
        3 => (node.clone(), 0..KEYS, 20_000..60_000u32)
            .prop_map(|(node, key, left)| Step::Learn { node, key, left }),
        8 => (0..2_000u64).prop_map(Step::Run),
        3 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => node.prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the last writer of a key wrote: value, and when the entry ends.
type Truth = std::collections::BTreeMap<u32, (u32, u64)>;

fn setup(nodes: usize, number: usize) -> Setup {
    let names = ["a", "b", "c"];
    let others = (0..nodes).filter(|&other| other != number);
    others.fold(Setup::new(names[number]), |setup, other| setup.peer(names[other])).table(counters("t"))
}

/// Nodes in the world by name: a restart adds one.
struct Cluster {
    world: World,
    /// Where each node is in the world.
    at: Vec<usize>,
    truth: Truth,
    value: u32,
    restarts: bool,
}

impl Cluster {
    fn new(nodes: usize, seed: u64, delay: u64) -> Self {
        let mut world = World::new(seed);
        world.delay = delay;
        let at = (0..nodes)
            .map(|number| {
                world.run(20);
                world.add(setup(nodes, number))
            })
            .collect();
        Self { world, at, truth: Truth::new(), value: 0, restarts: false }
    }

    fn step(&mut self, step: &Step) {
        let world = &mut self.world;
        self.value += 1;
        match *step {
            Step::Set { node, key } => {
                let key = node as u32 * 100 + key;
                set(world, self.at[node], key, self.value);
                self.truth.insert(key, (self.value, world.now + 60_000));
            }
            Step::Learn { node, key, left } => {
                // Only lessons carry what was learned, so it is learned once and not by everybody.
                let key = 1_000 + node as u32 * 100 + key;
                if !self.truth.contains_key(&key) {
                    learn(world, self.at[node], key, self.value, left);
                    self.truth.insert(key, (self.value, world.now + u64::from(left)));
                }
            }
            Step::Run(ms) => world.run(ms),
            Step::Cut => world.cut(),
            Step::Refuse(refusing) => world.refusing = refusing,
            Step::Restart(node) if self.restarts => {
                // Everybody else knows its own changes by then. What it learned is for whoever changed it to tell.
                self.settle();
                self.truth.retain(|key, _| *key < 1_000 || (*key % 1_000 / 100) as usize != node);
                self.world.kill(self.at[node]);
                self.world.run(20);
                let nodes = self.at.len();
                self.at[node] = self.world.add(setup(nodes, node));
                self.settle();
            }
            Step::Restart(_) => {}
        }
    }

    fn settle(&mut self) {
        self.world.refusing = false;
        self.world.run(15_000);
    }

    fn check(&self, with_learned: bool) -> Result<(), TestCaseError> {
        let now = self.world.now;
        for (&key, &(value, until)) in &self.truth {
            let owner = (key % 1_000 / 100) as usize;
            for (number, &node) in self.at.iter().enumerate() {
                if key >= 1_000 && number != owner && !with_learned {
                    continue;
                }
                let left = until.saturating_sub(now) as u32;
                let found = gpc0(&self.world, node, key);
                match found {
                    Some((there, lives)) => {
                        prop_assert_eq!(there, value, "key {} of node {}", key, number);
                        let most = left + FRESH_MS + 4 * self.world.delay as u32;
                        prop_assert!(
                            lives <= most,
                            "key {key} of node {number}: {lives} ms, in truth {left} ms"
                        );
                    }
                    None => {
                        prop_assert!(left == 0, "key {} of node {}: gone, in truth {} ms", key, number, left);
                    }
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_nodes_hold_what_the_last_writer_wrote(steps in steps(2), seed: u64, delay in 1..30u64) {
        let mut cluster = Cluster::new(2, seed, delay);
        for step in &steps {
            cluster.step(step);
        }
        cluster.settle();
        cluster.check(false)?;
    }

    #[test]
    fn three_nodes_that_restart_hold_what_the_last_writer_wrote(steps in steps(3), seed: u64, delay in 1..30u64) {
        let mut cluster = Cluster::new(3, seed, delay);
        cluster.restarts = true;
        for step in &steps {
            cluster.step(step);
        }
        cluster.settle();
        cluster.check(false)?;
    }

    #[test]
    fn noise_does_no_harm(
        noise in proptest::collection::vec(any::<u8>(), 0..4_000),
        cuts in proptest::collection::vec(1..600usize, 1..20),
    ) {
        feed(&mut session(), &noise, &cuts);
        // Noise behind headers that lead into the decoders.
        let mut session = session();
        for (number, piece) in noise.chunks(40).enumerate() {
            let kind = [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86][number % 7];
            let message = crate::support::with_payload(10, kind, piece);
            if session.handle_input(1, &message).is_err() {
                break;
            }
        }
    }

    #[test]
    fn mutated_captures_do_no_harm(
        which in 0..1_000usize,
        at in any::<prop::sample::Index>(),
        change in any::<[u8; 3]>(),
        cuts in proptest::collection::vec(1..600usize, 1..20),
    ) {
        let streams = captured_streams();
        let mut stream = streams[which % streams.len()].clone();
        if !stream.is_empty() {
            let at = at.index(stream.len());
            match change[0] % 3 {
                0 => stream[at] = change[1],
                1 => stream.insert(at, change[1]),
                _ => { stream.remove(at); }
            }
            stream.truncate(stream.len() - usize::from(change[2]) % stream.len().max(1));
        }
        feed(&mut session(), &stream, &cuts);
    }
}

/// Every captured stream goes through a session unharmed.
#[test]
fn captured_streams_are_taken_whole() {
    for stream in captured_streams() {
        let mut session = session();
        session.handle_input(1, &stream).unwrap();
        assert_eq!(session.counters().bytes_received, stream.len() as u64);
    }
}

/// After a lesson both nodes of a pair hold what each learned from outside.
#[test]
fn what_was_learned_before_the_lesson_is_taught() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(2, seed, 3);
        for node in 0..2 {
            for key in 0..KEYS {
                cluster.step(&Step::Learn { node, key, left: 30_000 + key });
            }
        }
        cluster.settle();
        cluster.check(true).unwrap();
    }
}

fn session() -> Session {
    let tables = [
        counters("t"),
        table("t1", KeyType::Ip, 60_000, &["gpc0", "conn_rate(10s)", "gpt(3)"]),
        table("s", KeyType::DEFAULT_STRING, 60_000, &["server_key", "gpc_rate(2,10s)"]),
    ];
    let tables = tables.map(|definition| (Arc::new(Table::new(definition, 1).unwrap()), None));
    let dynamic =
        haproxy_peers::DynamicTables { size: 50, max_tables: 8, max_bytes: 1 << 20, max_server_key: 40 };
    let setup = SessionSetup {
        tables: TableSet::new("p", tables, None, Some(dynamic), 1).unwrap().into(),
        version: ProtocolVersion::V2_1,
        role: Role::Remote,
        origin: Origin::peer(1).unwrap(),
        shard: 0,
        level: PeerLevel::Below,
        up_to_date: Arc::default(),
        limits: Limits::default(),
        resume: Resume::default(),
        relays: Relays::default(),
        awaits_values: Arc::default(),
    };
    let mut session = Session::new(setup, 0);
    session.request_lesson();
    session
}

/// Hands bytes over in pieces and takes all output, which stays bounded.
fn feed(session: &mut Session, bytes: &[u8], cuts: &[usize]) {
    let mut cuts = cuts.iter().cycle();
    let (mut rest, mut now) = (bytes, 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        rest = after;
        now += 1;
        let result = session.handle_input(now, piece);
        let mut out = Vec::new();
        session.poll_transmit(now, 4_096, &mut out);
        assert!(out.len() < 4_096 + 65_536, "{} bytes", out.len());
        let _ = session.view();
        if result.is_err() {
            assert!(out.ends_with(&[1, 0]) || out.ends_with(&[1, 1]));
            assert_eq!(session.handle_input(now, &control(Control::Heartbeat)), result);
            return;
        }
    }
}

/// The messages of each captured stream, without its handshake.
fn captured_streams() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    let streams = paths.iter().map(|path| {
        let bytes = fs::read(path).unwrap();
        let taken = if bytes.starts_with(b"HAProxyS") {
            match HelloParser::new(16_384).feed(&bytes, |_| true) {
                HelloProgress::Complete(_, taken) => taken,
                other => panic!("{other:?}"),
            }
        } else {
            match StatusParser::new(16_384).feed(&bytes) {
                StatusProgress::Complete(_, taken) => taken,
                other => panic!("{other:?}"),
            }
        };
        bytes[taken..].to_vec()
    });
    streams.collect()
}
