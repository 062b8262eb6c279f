//! A TCP relay between two processes that records what they say and breaks their connections on demand.

use crate::wait;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the relay looks at what it was told meanwhile.
const TICK: Duration = Duration::from_millis(5);

/// A direction through the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the side that opened the connection.
    ToTarget,
    /// From the side that accepted it.
    FromTarget,
}

/// Bytes that were passed on together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Time since the connection was accepted.
    pub at: Duration,
    /// What was passed on.
    pub bytes: Vec<u8>,
}

/// A connection, open or closed.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What the opening side said.
    pub to_target: Vec<Chunk>,
    /// What the accepting side said.
    pub from_target: Vec<Chunk>,
    /// Whether the connection has ended.
    pub closed: bool,
}

impl Recording {
    /// All bytes of one direction.
    pub fn bytes(&self, direction: Direction) -> Vec<u8> {
        let chunks = match direction {
            Direction::ToTarget => &self.to_target,
            Direction::FromTarget => &self.from_target,
        };
        chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
    }
}

/// Listens on an address of the loopback and passes every connection on to a target. Dropping it closes them all.
#[derive(Debug)]
pub struct TcpRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    records: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refusing: bool,
    ended: bool,
    listening: bool,
    stalled: [bool; 2],
    /// Raised by every cut: connections of an older number end.
    cuts: u64,
    recordings: Vec<Recording>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TcpRelay {
    /// Listens on `address` (see [`ports::free_address`](crate::ports::free_address)) for connections to `target`, which
    /// need not listen yet.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub fn start(address: SocketAddr, target: SocketAddr) -> Self {
        Self::listen(address, target, true)
    }

    /// [`Self::start`] for a long run: connections are counted, but what they say is not kept.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub fn start_unrecorded(address: SocketAddr, target: SocketAddr) -> Self {
        Self::listen(address, target, false)
    }

    fn listen(address: SocketAddr, target: SocketAddr, records: bool) -> Self {
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        let state = State { listening: true, ..State::default() };
        let shared = Arc::new(Shared { target, records, state: Mutex::new(state) });
        let accepting = shared.clone();
        thread::spawn(move || accept(&accepting, address, listener));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection so far, oldest first.
    pub fn recordings(&self) -> Vec<Recording> {
        self.shared.state().recordings.clone()
    }

    /// Number of connections so far that reached the target.
    pub fn connections(&self) -> usize {
        self.shared.state().recordings.len()
    }

    /// Closes every open connection on both sides, and waits until that is done. New ones are accepted.
    ///
    /// # Panics
    ///
    /// When a connection does not end.
    pub fn cut(&self) {
        let open = {
            let mut state = self.shared.state();
            state.cuts += 1;
            // Those who connect again at once are not waited for.
            state.recordings.len()
        };
        wait::until(wait::SOON, "the relay to cut its connections", || {
            self.shared.state().recordings[..open].iter().all(|recording| recording.closed).then_some(())
        });
    }

    /// Stops listening, so that new connections are refused, until [`Self::resume`]. Open ones go on.
    ///
    /// # Panics
    ///
    /// When the listener does not close.
    pub fn refuse(&self) {
        self.shared.state().refusing = true;
        wait::until(wait::SOON, "the relay to stop listening", || {
            (!self.shared.state().listening).then_some(())
        });
    }

    /// Undoes [`Self::refuse`] and [`Self::stall`].
    ///
    /// # Panics
    ///
    /// When the address was taken by another meanwhile.
    pub fn resume(&self) {
        {
            let mut state = self.shared.state();
            state.refusing = false;
            state.stalled = [false; 2];
        }
        wait::until(wait::SOON, "the relay to listen again", || self.shared.state().listening.then_some(()));
    }

    /// Stops reading in one direction until [`Self::resume`]: the sender's buffers fill up, its connection stays.
    pub fn stall(&self, direction: Direction) {
        self.shared.state().stalled[direction as usize] = true;
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.cuts += 1;
    }
}

fn accept(shared: &Arc<Shared>, address: SocketAddr, listener: TcpListener) {
    let mut listener = Some(listener);
    loop {
        let (refusing, ended) = {
            let state = shared.state();
            (state.refusing, state.ended)
        };
        if ended {
            return;
        }
        if refusing {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        shared.state().listening = listener.is_some();
        let accepted = listener.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).ok()?;
            listener.accept().ok()
        });
        match accepted {
            Some((stream, _)) => connect(shared, stream),
            None => thread::sleep(TICK),
        }
    }
}

/// Joins an accepted connection with one to the target; if that is not there, the accepted one is closed.
fn connect(shared: &Arc<Shared>, opener: TcpStream) {
    let Ok(target) = TcpStream::connect(shared.target) else { return };
    let (number, cuts) = {
        let mut state = shared.state();
        state.recordings.push(Recording::default());
        (state.recordings.len() - 1, state.cuts)
    };
    let shared = shared.clone();
    thread::spawn(move || {
        let started = Instant::now();
        let pump = |direction| {
            let (from, to) = match direction {
                Direction::ToTarget => (&opener, &target),
                Direction::FromTarget => (&target, &opener),
            };
            let pump = Pump { shared: &shared, number, cuts, direction, started };
            // Either error ends the connection, which is what the other side gets to see.
            let _ = pump.run(from, to);
        };
        thread::scope(|scope| {
            scope.spawn(|| pump(Direction::ToTarget));
            pump(Direction::FromTarget);
        });
        let _ = opener.shutdown(Shutdown::Both);
        let _ = target.shutdown(Shutdown::Both);
        drop((opener, target));
        shared.state().recordings[number].closed = true;
    });
}

struct Pump<'a> {
    shared: &'a Shared,
    number: usize,
    cuts: u64,
    direction: Direction,
    started: Instant,
}

impl Pump<'_> {
    /// Passes bytes on until the sender closes (then the receiver's side is closed for sending) or the relay cuts.
    fn run(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        from.set_nonblocking(false)?;
        from.set_read_timeout(Some(TICK))?;
        to.set_nodelay(true)?;
        let mut buffer = [0; 16 * 1024];
        let mut held = 0;
        loop {
            match self.permit(&buffer[..held]) {
                Permit::End => {
                    from.shutdown(Shutdown::Both)?;
                    return to.shutdown(Shutdown::Both);
                }
                Permit::Wait => {
                    thread::sleep(TICK);
                    continue;
                }
                Permit::Pass => {}
            }
            if let Err(error) = to.write_all(&buffer[..held]) {
                let _ = from.shutdown(Shutdown::Both);
                return Err(error);
            }
            held = match from.read(&mut buffer) {
                Ok(0) => return to.shutdown(Shutdown::Write),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    0
                }
                Err(error) => {
                    let _ = to.shutdown(Shutdown::Both);
                    return Err(error);
                }
            };
        }
    }

    /// Whether bytes may pass, and records them if so: a read that was under way when its direction was stalled is held
    /// back like any later one.
    fn permit(&self, bytes: &[u8]) -> Permit {
        let mut state = self.shared.state();
        if state.cuts != self.cuts {
            return Permit::End;
        }
        if state.stalled[self.direction as usize] {
            return Permit::Wait;
        }
        if self.shared.records && !bytes.is_empty() {
            let chunk = Chunk { at: self.started.elapsed(), bytes: bytes.to_vec() };
            let recording = &mut state.recordings[self.number];
            match self.direction {
                Direction::ToTarget => recording.to_target.push(chunk),
                Direction::FromTarget => recording.from_target.push(chunk),
            }
        }
        Permit::Pass
    }
}

enum Permit {
    Pass,
    Wait,
    End,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::ports;

    /// A target that sends back what it gets, in upper case.
    fn shouter() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut buffer = [0; 100];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..count].to_ascii_uppercase()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, word: &str) -> String {
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = vec![0; word.len()];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn passes_on_and_records_both_directions() {
        let relay = TcpRelay::start(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "hello"), "HELLO");
        assert_eq!(ask(&mut stream, "again"), "AGAIN");
        let recordings = relay.recordings();
        assert_eq!(recordings[0].bytes(Direction::ToTarget), b"helloagain");
        assert_eq!(recordings[0].bytes(Direction::FromTarget), b"HELLOAGAIN");
        assert!(recordings[0].to_target[1].at >= recordings[0].from_target[0].at);
        assert!(!recordings[0].closed);
        drop(stream);
        wait::until(wait::SOON, "the end", || relay.recordings()[0].closed.then_some(()));
    }

    #[test]
    fn keeps_nothing_when_it_does_not_record() {
        let relay = TcpRelay::start_unrecorded(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "hello"), "HELLO");
        assert_eq!(relay.connections(), 1);
        let recording = &relay.recordings()[0];
        assert!(recording.to_target.is_empty() && recording.from_target.is_empty());
    }

    #[test]
    fn a_cut_ends_connections_and_lets_new_ones_in() {
        let relay = TcpRelay::start(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "one"), "ONE");
        relay.cut();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0, "the connection must be closed");
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "two"), "TWO");
        assert_eq!(relay.connections(), 2);
    }

    #[test]
    fn a_cut_does_not_wait_for_those_who_connect_again_at_once() {
        let relay = TcpRelay::start(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "one"), "ONE");
        let (is_cut, began) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut connections = Vec::new();
                while !is_cut.load(Ordering::Relaxed) && began.elapsed() < 2 * wait::SOON {
                    connections.push(TcpStream::connect(relay.address()).unwrap());
                    thread::sleep(TICK);
                }
            });
            relay.cut();
            is_cut.store(true, Ordering::Relaxed);
        });
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0, "the connection must be closed");
    }

    #[test]
    fn refuses_until_resumed() {
        let relay = TcpRelay::start(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "one"), "ONE");
        relay.refuse();
        assert_eq!(TcpStream::connect(relay.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(ask(&mut stream, "still"), "STILL");
        relay.resume();
        assert_eq!(ask(&mut TcpStream::connect(relay.address()).unwrap(), "two"), "TWO");
    }

    #[test]
    fn a_stalled_direction_keeps_its_bytes() {
        let relay = TcpRelay::start(ports::free_address(), shouter());
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        assert_eq!(ask(&mut stream, "one"), "ONE");
        relay.stall(Direction::FromTarget);
        stream.write_all(b"two").unwrap();
        wait::until(wait::SOON, "the question to pass", || {
            (relay.recordings()[0].bytes(Direction::ToTarget) == b"onetwo").then_some(())
        });
        stream.set_read_timeout(Some(TICK * 10)).unwrap();
        assert!(stream.read(&mut [0; 10]).is_err(), "the answer must not pass");
        relay.resume();
        stream.set_read_timeout(Some(wait::SOON)).unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"TWO");
    }
}
