//! Two honest peers: what one tells live has to reach the other one, soon.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use haproxy_peers::{
    Control, Decoder, Definition, Message, Padding, UpdateHeader, encode_key, encode_unsigned,
};
use stick_table::{KeyType, TableDefinition};
use stickd_testkit::wait;

use crate::attack::join;
use crate::node::Node;

/// Time between two updates.
const PACE: Duration = Duration::from_millis(4);
/// An update that takes so long is lost.
const LOST: Duration = Duration::from_secs(20);
/// Updates that are looked at, at least, in each phase.
const ENOUGH: usize = 100;
/// A p99 under attack that is good without looking at the quiet one; and how many times the quiet one it may be beyond that.
const GOOD: Duration = Duration::from_secs(1);
const RATIO: u32 = 40;

/// The table `t` of [`Node`].
pub(crate) fn definition() -> TableDefinition {
    ["gpc0", "server_key"]
        .iter()
        .fold(TableDefinition::new("t", KeyType::Integer, 1).with_expire(Some(3_600_000)), |table, column| {
            table.with_column(column.parse().unwrap()).unwrap()
        })
}

/// An update of that table.
pub(crate) fn update(key: u32, value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(key), lifetime_ms: None }.begin(&mut bytes);
    encode_key(KeyType::Integer, &key.to_be_bytes(), frame.payload());
    encode_unsigned(value, frame.payload());
    frame.payload().push(0);
    frame.finish(Padding::None);
    bytes
}

/// How long updates took.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }
}

/// Sends updates as `honest1` and receives them as `honest2` until it is dropped.
pub(crate) struct Honest {
    all: Arc<Mutex<Vec<Duration>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    quiet: Duration,
}

impl Honest {
    /// Joins, and looks how long updates take while all is quiet.
    pub(crate) fn start(node: &Node) -> Self {
        let (all, stop) = (Arc::default(), Arc::<AtomicBool>::default());
        let pair = Pair::join(node);
        let (shared, stopped) = (Arc::clone(&all), Arc::clone(&stop));
        let thread = Some(thread::spawn(move || pair.run(&shared, &stopped)));
        let mut honest = Self { all, stop, thread, quiet: Duration::ZERO };
        honest.quiet = honest.during(|| ()).1.p99();
        honest
    }

    /// How long updates took while something was done, and at least so long that there are enough of them.
    #[track_caller]
    pub(crate) fn during<R>(&self, attack: impl FnOnce() -> R) -> (R, Latencies) {
        let count = || self.all.lock().unwrap().len();
        let before = count();
        let result = attack();
        wait::until(LOST, "updates of honest peers", || {
            let alive = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
            assert!(alive, "an honest peer lost an update or its session");
            (count() >= before + ENOUGH).then_some(())
        });
        let mut latencies = self.all.lock().unwrap()[before..].to_vec();
        latencies.sort_unstable();
        (result, Latencies(latencies))
    }

    /// Attacks, and asserts that updates of honest peers do not take much longer than while all is quiet.
    #[track_caller]
    pub(crate) fn unharmed_by<R>(&self, node: &Node, what: &str, attack: impl FnOnce() -> R) -> R {
        let before = node.memory();
        let (result, latencies) = self.during(attack);
        let (quiet, attacked) = (self.quiet, latencies.p99());
        let count = latencies.0.len();
        eprintln!(
            "{what}: p99 {quiet:.1?} quiet, {attacked:.1?} attacked ({count} updates), memory {before} KiB before, {} KiB after",
            node.memory()
        );
        let bound = GOOD.max(quiet * RATIO);
        assert!(attacked <= bound, "{what}: p99 {attacked:?} under attack, {quiet:?} without");
        result
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "an honest peer failed");
        }
    }
}

struct Pair {
    teller: TcpStream,
    hearer: TcpStream,
    decoder: Decoder,
    received: Vec<u8>,
}

impl Pair {
    fn join(node: &Node) -> Self {
        let (mut teller, hearer) = (join(node.bind, "honest1"), join(node.bind, "honest2"));
        let mut bytes = Vec::new();
        Definition::from_table(1, &definition()).unwrap().encode(Padding::None, &mut bytes).unwrap();
        teller.write_all(&bytes).unwrap();
        Self { teller, hearer, decoder: Decoder::new(), received: Vec::new() }
    }

    fn run(mut self, all: &Mutex<Vec<Duration>>, stop: &AtomicBool) {
        let mut heartbeat = Vec::new();
        Control::Heartbeat.encode(&mut heartbeat);
        // Keys of their own: attackers use small ones.
        let mut key = 0x8000_0000_u32;
        while !stop.load(Ordering::Relaxed) {
            key = 0x8000_0000 | ((key + 1) % 1_000);
            let started = Instant::now();
            self.teller.write_all(&update(key, started.elapsed().subsec_nanos())).unwrap();
            self.hearer.write_all(&heartbeat).unwrap();
            self.hear(key);
            all.lock().unwrap().push(started.elapsed());
            // What the teller is told is of no interest, but has to go somewhere.
            self.teller.set_nonblocking(true).unwrap();
            while matches!(self.teller.read(&mut [0; 4096]), Ok(1..)) {}
            self.teller.set_nonblocking(false).unwrap();
            thread::sleep(PACE);
        }
    }

    /// Reads until the update of a key came.
    fn hear(&mut self, wanted: u32) {
        let deadline = Instant::now() + LOST;
        let mut part = vec![0; 64 * 1024];
        loop {
            let (mut taken, mut heard) = (0, false);
            while let Some((message, size)) = self.decoder.decode(&self.received[taken..]).unwrap() {
                taken += size;
                if let Message::Update(update) = message {
                    heard |= update.update.key == wanted.to_be_bytes();
                }
            }
            self.received.drain(..taken);
            if heard {
                return;
            }
            assert!(Instant::now() < deadline, "the update of {wanted:x} is lost");
            match self.hearer.read(&mut part) {
                Ok(0) => panic!("the session of an honest peer was closed"),
                Ok(count) => self.received.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the session of an honest peer: {error}"),
            }
        }
    }
}
