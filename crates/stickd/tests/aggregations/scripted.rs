//! A node that says what a test wants, and keeps its session alive.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use haproxy_peers::{
    Control, DEFAULT_MAX_PAYLOAD, Definition, Padding, UpdateHeader, class, decode_frame, encode_key,
    encode_unsigned,
};
use stick_table::{KeyType, TableDefinition};
use stickd_testkit::wait::SOON;

/// A connected node. Dropping it ends the session.
pub(crate) struct Scripted {
    stream: TcpStream,
    /// Whether it answers a request for a lesson.
    teaches: Arc<AtomicBool>,
    /// What a lesson has.
    lesson: Arc<Mutex<Vec<u8>>>,
    stopped: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Connects to a hub of the name `hub`, and answers when it is asked for a lesson.
    pub(crate) fn join(hub: SocketAddr, name: &str) -> Self {
        let node = Self::join_silent(hub, name);
        node.teach(true);
        node
    }

    /// As a HAProxy 1.6, whose version of the protocol is 2.0.
    pub(crate) fn join_old(hub: SocketAddr, name: &str) -> Self {
        let node = Self::join_as(hub, name, "2.0");
        node.teach(true);
        node
    }

    /// As [`join`](Self::join), and does not answer.
    pub(crate) fn join_silent(hub: SocketAddr, name: &str) -> Self {
        Self::join_as(hub, name, "2.1")
    }

    fn join_as(hub: SocketAddr, name: &str, version: &str) -> Self {
        let mut stream = TcpStream::connect(hub).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(format!("HAProxyS {version}\nhub\n{name} 1 1\n").as_bytes()).unwrap();
        let mut status = [0; 4];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"200\n");
        let [teaches, stopped] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let lesson = Arc::new(Mutex::new(Vec::new()));
        let (mut copy, reads) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let (its_lesson, its_teaches, its_stopped) =
            (Arc::clone(&lesson), Arc::clone(&teaches), Arc::clone(&stopped));
        let reader = thread::spawn(move || {
            listen(reads, &mut copy, (&its_lesson, &its_teaches, &its_stopped));
        });
        Self { stream, teaches, lesson, stopped, reader: Some(reader) }
    }

    /// Whether it answers when it is asked for a lesson.
    pub(crate) fn teach(&self, teaches: bool) {
        self.teaches.store(teaches, Ordering::Relaxed);
    }

    /// Says something now, and again in each lesson.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.lesson.lock().unwrap().extend_from_slice(bytes);
        self.stream.write_all(bytes).unwrap();
    }

    /// Says something now only.
    pub(crate) fn say_once(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Answers what has to be answered, and sends heartbeats.
fn listen(
    mut from: TcpStream,
    to: &mut TcpStream,
    (lesson, teaches, stopped): (&Mutex<Vec<u8>>, &AtomicBool, &AtomicBool),
) {
    from.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut received, mut part) = (Vec::new(), vec![0; 64 * 1024]);
    let (mut silent, mut is_asked) = (0, false);
    let say = |to: &mut TcpStream, control: Control| {
        let mut bytes = Vec::new();
        control.encode(&mut bytes);
        let _ = to.write_all(&bytes);
    };
    while !stopped.load(Ordering::Relaxed) {
        match from.read(&mut part) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                silent += 1;
                if silent % 10 == 0 {
                    say(to, Control::Heartbeat);
                }
            }
            Err(_) => break,
        }
        let mut taken = 0;
        while let Ok(Some((frame, size))) = decode_frame(&received[taken..], 0, DEFAULT_MAX_PAYLOAD) {
            taken += size;
            if frame.class != class::CONTROL {
                continue;
            }
            match Control::from_kind(frame.kind) {
                Some(Control::ResyncRequest) => is_asked = true,
                Some(Control::ResyncFinished | Control::ResyncPartial) => say(to, Control::ResyncConfirm),
                _ => {}
            }
        }
        received.drain(..taken);
        if is_asked && teaches.load(Ordering::Relaxed) {
            is_asked = false;
            let bytes = lesson.lock().unwrap().clone();
            let _ = to.write_all(&bytes);
            say(to, Control::ResyncFinished);
        }
    }
}

/// A definition under an id, in the form of HAProxy 1.6 and 1.7 unless it has a tail.
pub(crate) fn defined(id: u32, table: &TableDefinition, has_tail: bool) -> Vec<u8> {
    let mut definition = Definition::from_table(id, table).unwrap();
    definition.tail = definition.tail.filter(|_| has_tail);
    let mut bytes = Vec::new();
    // Some are told that no hub can use.
    definition.encode_unchecked(Padding::None, &mut bytes);
    bytes
}

/// A table of strings that expires in an hour.
pub(crate) fn table(name: &str, max_len: u32, columns: &[&str]) -> TableDefinition {
    let empty = TableDefinition::new(name, KeyType::String { max_len }, 1).with_expire(Some(3_600_000));
    columns.iter().fold(empty, |table, column| table.with_column(column.parse().unwrap()).unwrap())
}

/// An update of the current table that sets counters.
pub(crate) fn update(id: u32, key: &str, values: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(id), lifetime_ms: None }.begin(&mut bytes);
    encode_key(KeyType::String { max_len: 255 }, key.as_bytes(), frame.payload());
    values.iter().for_each(|value| encode_unsigned(*value, frame.payload()));
    frame.finish(Padding::None);
    bytes
}
