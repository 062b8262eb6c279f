//! Requests to HAProxys over connections that stay.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stickd_testkit::Config;

use super::address;

/// Path of requests that are counted, and what they are answered.
const COUNT: &str = "count";
const ANSWER: &str = "counted";
/// Requests on the way on one connection while as many as possible are sent.
const WINDOW: usize = 32;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks for answers.
const PAUSE: Duration = Duration::from_micros(200);

/// Connections to one HAProxy, which take turns.
#[derive(Debug)]
pub(super) struct Client {
    connections: Vec<Connection>,
    next: usize,
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    waiting: usize,
}

/// Rules that count requests in a table by the address in a header.
pub(super) fn counting(config: Config, table: &str) -> Config {
    let answer = format!("return status 200 content-type text/plain string {ANSWER}");
    config.track(COUNT, "req.hdr_ip(x-key)", table).rule(COUNT, &answer)
}

/// A request that is counted for a key.
pub(super) fn request(key: u64) -> Vec<u8> {
    format!("GET /{COUNT} HTTP/1.1\r\nHost: bench\r\nx-key: {}\r\n\r\n", address(key)).into_bytes()
}

impl Client {
    /// Connects so many times.
    pub(super) fn connect(to: SocketAddr, connections: usize) -> Result<Self> {
        let connect = |_| -> Result<Connection> {
            let socket = TcpStream::connect(to).with_context(|| format!("no HAProxy at {to}"))?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            Ok(Connection { socket, input: Vec::new(), waiting: 0 })
        };
        Ok(Self { connections: (0..connections).map(connect).collect::<Result<_>>()?, next: 0 })
    }

    /// Sends a request on the next connection.
    pub(super) fn send(&mut self, key: u64) -> Result<()> {
        let connections = self.connections.len();
        let connection = &mut self.connections[self.next];
        self.next = (self.next + 1) % connections;
        connection.send(&request(key))
    }

    /// Takes the answers that are there; returns how many requests wait for theirs.
    pub(super) fn drain(&mut self) -> Result<usize> {
        let mut waiting = 0;
        for connection in &mut self.connections {
            connection.drain()?;
            waiting += connection.waiting;
        }
        Ok(waiting)
    }

    /// Waits for all answers, or until so few are missing.
    pub(super) fn wait(&mut self, most: usize, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.drain()? > most {
            ensure!(Instant::now() < deadline, "requests are not answered");
            meanwhile()?;
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Counts one for each of these keys, as quickly as the HAProxy answers.
    pub(super) fn count_all(
        &mut self,
        keys: impl Iterator<Item = u64>,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let most = WINDOW * self.connections.len() / 2;
        for (number, key) in keys.enumerate() {
            if number % most == 0 {
                self.wait(most, &mut meanwhile)?;
            }
            self.send(key)?;
        }
        self.wait(0, meanwhile)
    }
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        // Requests are small and few are on the way: the socket has room.
        self.socket.write_all(bytes).context("a HAProxy takes no request")?;
        self.waiting += 1;
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        let mut piece = [0; 16 * 1_024];
        while self.waiting > 0 {
            match self.socket.read(&mut piece) {
                Ok(0) => bail!("a HAProxy closed a connection with {} requests", self.waiting),
                Ok(count) => {
                    self.input.extend_from_slice(&piece[..count]);
                    self.understand()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a connection to a HAProxy broke"),
            }
        }
        Ok(())
    }

    fn understand(&mut self) -> Result<()> {
        let mut taken = 0;
        while let Some(end) = self.input[taken..].windows(4).position(|it| it == b"\r\n\r\n") {
            let answer = &self.input[taken..];
            let text = || String::from_utf8_lossy(answer).into_owned();
            ensure!(answer.starts_with(b"HTTP/1.1 200 "), "not counted: {}", text());
            let size = end + 4 + ANSWER.len();
            if answer.len() < size {
                break;
            }
            ensure!(answer[end + 4..size] == *ANSWER.as_bytes(), "not counted: {}", text());
            taken += size;
            self.waiting = self.waiting.checked_sub(1).context("an answer to no request")?;
        }
        self.input.drain(..taken);
        Ok(())
    }
}
