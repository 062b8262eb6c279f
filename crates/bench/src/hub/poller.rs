//! Asks a HAProxy again and again whether its ACL reads a sum yet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use stickd_testkit::Config;

use super::address;
use crate::usage::thread_cpu;

/// Longest wait for a sum, and for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request whose sum is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) key: u64,
    pub(super) sum: u32,
    pub(super) sent: Instant,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Polled {
    /// From a request to the answer that its sum is read, in µs.
    pub(super) latency: Histogram<u64>,
    /// What one question takes, in µs.
    pub(super) asking: Histogram<u64>,
    pub(super) cpu: Duration,
}

/// A frontend that answers 200 when the sum in a table is at least the one wanted, else 404.
pub(super) fn answering(config: Config, at: SocketAddr, table: &str) -> Config {
    config.line(format!(
        "frontend ask\n  bind {at}\n  http-request set-var(txn.want) req.hdr(x-want),add(0)\n  \
         http-request return status 200 content-type text/plain string yes \
         if {{ req.hdr_ip(x-key),table_http_req_cnt({table}),sub(txn.want) ge 0 }}\n  \
         http-request return status 404 content-type text/plain string not"
    ))
}

/// Takes samples until there are no more.
pub(super) fn run(to: SocketAddr, samples: &Receiver<Sample>) -> Result<Polled> {
    let empty = || Histogram::new_with_bounds(1, 60_000_000, 3).context("these bounds are possible");
    let (mut latency, mut asking) = (empty()?, empty()?);
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while let Ok(Sample { key, sum, sent }) = samples.recv() {
        let question =
            format!("GET / HTTP/1.1\r\nHost: bench\r\nx-key: {}\r\nx-want: {sum}\r\n\r\n", address(key));
        loop {
            let asked = Instant::now();
            socket.write_all(question.as_bytes()).context("a HAProxy takes no question")?;
            let yes = answer(&mut socket)?;
            let now = Instant::now();
            asking.saturating_record((now - asked).as_micros() as u64);
            if yes {
                latency.saturating_record((now - sent).as_micros() as u64);
                break;
            }
            ensure!(now - sent < PATIENCE, "no ACL read {sum} of key {key} within {PATIENCE:?}");
        }
    }
    Ok(Polled { latency, asking, cpu: thread_cpu() })
}

/// Whether the answer is yes.
fn answer(socket: &mut TcpStream) -> Result<bool> {
    let (mut input, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let count = socket.read(&mut piece).context("no answer to a question")?;
        ensure!(count > 0, "a HAProxy closed the connection of a question");
        input.extend_from_slice(&piece[..count]);
        let yes = input.starts_with(b"HTTP/1.1 200 ") && input.ends_with(b"\r\n\r\nyes");
        let no = input.starts_with(b"HTTP/1.1 404 ") && input.ends_with(b"\r\n\r\nnot");
        if yes || no {
            return Ok(yes);
        }
        ensure!(input.len() < piece.len(), "not an answer: {}", String::from_utf8_lossy(&input));
    }
}
