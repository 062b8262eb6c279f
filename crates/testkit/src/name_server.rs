//! A name server for tests: it says what it is told to say, over UDP and TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ports;
use crate::wait::{self, SOON};

/// How long a thread waits before it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);
/// Longest answer over UDP without the extension for longer ones, and with it.
const SHORT: usize = 512;
const LONG: usize = 1232;

/// A record of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address of a host.
    Address(IpAddr),
    /// A service, at a port of a host.
    Service {
        /// Where it listens.
        port: u16,
        /// The name of its host.
        target: String,
    },
    /// Another name of the same host.
    Alias(String),
}

/// How questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// By the records.
    #[default]
    Well,
    /// "Server failure".
    Failing,
    /// Not at all.
    Silent,
    /// For every name there is none.
    Ignorant,
    /// Not at all, when asked for addresses.
    SilentOfAddresses,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<BTreeMap<String, Vec<Record>>>,
    mood: Mutex<Mood>,
    questions: AtomicUsize,
    asked: Mutex<BTreeSet<String>>,
    over_tcp: AtomicUsize,
    stop: AtomicBool,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// A server that knows of nothing.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn start() -> Self {
        // The port is this test's for TCP; whoever has it for UDP came by chance.
        let (address, udp) = (0..100)
            .find_map(|_| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
                Some((address, UdpSocket::bind(address).ok()?))
            })
            .expect("a free port");
        let tcp = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared::default());
        udp.set_read_timeout(Some(TICK)).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let of = [Arc::clone(&shared), Arc::clone(&shared)];
        let [for_udp, for_tcp] = of;
        let threads = vec![
            thread::spawn(move || serve_udp(&udp, &for_udp)),
            thread::spawn(move || serve_tcp(&tcp, &for_tcp)),
        ];
        Self { address, shared, threads }
    }

    /// What is said of a name from now on.
    ///
    /// # Panics
    ///
    /// When a thread of the server panicked.
    pub fn set(&self, name: &str, records: impl IntoIterator<Item = Record>) {
        let records = records.into_iter().collect();
        self.shared.records.lock().unwrap().insert(name.to_owned(), records);
    }

    /// How questions are answered from now on.
    ///
    /// # Panics
    ///
    /// When a thread of the server panicked.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Waits until so many more questions came: what was asked before is answered then.
    ///
    /// # Panics
    ///
    /// When they do not come.
    #[track_caller]
    pub fn wait_questions(&self, count: usize) {
        let start = self.shared.questions.load(Ordering::Relaxed);
        wait::until(SOON, "questions to the name server", || {
            (self.shared.questions.load(Ordering::Relaxed) >= start + count).then_some(())
        });
    }

    /// Whether this name was asked for.
    ///
    /// # Panics
    ///
    /// When a thread of the server panicked.
    pub fn was_asked(&self, name: &str) -> bool {
        self.shared.asked.lock().unwrap().contains(name)
    }

    /// Questions that came over TCP.
    pub fn over_tcp(&self) -> usize {
        self.shared.over_tcp.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut question = [0; 1500];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
        let question = &question[..length];
        let Some(mut answer) = shared.answer(question) else { continue };
        let extended = question.ends_with(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        if answer.len() > if extended { LONG } else { SHORT } {
            answer.truncate(SHORT);
            answer[2] |= 2;
        }
        let _ = socket.send_to(&answer, from);
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let _ = answer_tcp(stream, shared);
            }
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn answer_tcp(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question)?;
    shared.over_tcp.fetch_add(1, Ordering::Relaxed);
    let Some(answer) = shared.answer(&question) else { return Ok(()) };
    stream.write_all(&(answer.len() as u16).to_be_bytes())?;
    stream.write_all(&answer)
}

impl Shared {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name(question, 12)?;
        let kind = *question.get(end + 1)?;
        let mood = *self.mood.lock().unwrap();
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.asked.lock().unwrap().insert(name.clone());
        let code = match mood {
            Mood::Silent => return None,
            Mood::SilentOfAddresses if kind != 33 => return None,
            Mood::Well | Mood::SilentOfAddresses => 0,
            Mood::Failing => 2,
            Mood::Ignorant => 3,
        };
        let records = self.records.lock().unwrap().get(&name).cloned().unwrap_or_default();
        let fits = |record: &&Record| match record {
            Record::Address(ip) => kind == if ip.is_ipv4() { 1 } else { 28 },
            Record::Service { .. } => kind == 33,
            Record::Alias(_) => true,
        };
        let records: Vec<_> = records.iter().filter(fits).filter(|_| code == 0).collect();
        let [high, low] = (records.len() as u16).to_be_bytes();
        let mut answer = [&question[..2], &[0x81, 0x80 | code, 0, 1, high, low, 0, 0, 0, 0]].concat();
        answer.extend_from_slice(&question[12..end + 4]);
        for record in records {
            let (kind, data) = match record {
                Record::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
                Record::Address(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
                Record::Service { port, target } => {
                    (33, [&[0, 0, 0, 0], &port.to_be_bytes()[..], &labels(target)].concat())
                }
                Record::Alias(target) => (5, labels(target)),
            };
            // May not be kept at all: when it is asked for again does not depend on that.
            let lifetime = [0; 4];
            answer.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1]);
            answer.extend_from_slice(&lifetime);
            answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
            answer.extend_from_slice(&data);
        }
        Some(answer)
    }
}

/// The name at an offset, and where it ends.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8(message.get(at..at + length)?.to_vec()).ok()?);
        at += length;
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}
