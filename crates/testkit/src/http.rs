//! A small HTTP client and steady background traffic.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest wait for a connection or for more of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// E.g. 200.
    pub status: u16,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    /// As sent, i.e. with chunk sizes if the answer is chunked.
    pub body: Vec<u8>,
}

/// Asks for `path` with extra headers, on a connection of its own.
///
/// # Errors
///
/// When there is no answer within 10 s or it is not HTTP.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| {
        let text = String::from_utf8_lossy(&answer).into_owned();
        io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {text:?}"))
    })
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&answer[..end]).ok()?.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let version = first.next()?;
    let status = first.next()?.parse().ok()?;
    let headers = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().into())));
    version.starts_with("HTTP/1.").then_some(())?;
    Some(Response { status, headers: headers.collect::<Option<_>>()?, body: answer[end + 4..].to_vec() })
}

/// Requests sent at a steady rate by one thread until stopped.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    thread: Option<JoinHandle<()>>,
}

/// What came of the requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers by status.
    pub answered: BTreeMap<u16, u64>,
    /// Answers with status 200 by key.
    pub by_key: BTreeMap<String, u64>,
    /// Requests without an answer.
    pub failed: u64,
}

impl Counts {
    /// All requests.
    pub fn sent(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.failed
    }
}

impl Traffic {
    /// Asks `address` for `path` `rate` times a second, with the header `x-key` going round `keys`. When the answers take
    /// longer than the rate allows, requests are fewer, not faster later.
    ///
    /// # Panics
    ///
    /// When `rate` is 0 or there are no keys.
    pub fn start(address: SocketAddr, path: &str, keys: &[&str], rate: u32) -> Self {
        assert!(rate > 0 && !keys.is_empty(), "traffic needs a rate and a key");
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (path, keys) = (path.to_owned(), keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());
        let (stopped, counted) = (stop.clone(), counts.clone());
        let thread = thread::spawn(move || {
            for key in keys.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let next = Instant::now() + Duration::from_secs(1) / rate;
                let answer = get(address, &path, &[("x-key", key)]);
                let mut counts = counted.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(response) => {
                        *counts.answered.entry(response.status).or_default() += 1;
                        if response.status == 200 {
                            *counts.by_key.entry(key.clone()).or_default() += 1;
                        }
                    }
                    Err(_) => counts.failed += 1,
                }
                drop(counts);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, counts, thread: Some(thread) }
    }

    /// What came of the requests so far.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops after the request under way.
    pub fn stop(mut self) -> Counts {
        self.join();
        self.counts()
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread has nothing that panics; if it did, the counts tell what it had done.
            let _ = thread.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{self, SOON};
    use std::io::BufRead;
    use std::net::TcpListener;

    /// Answers every request with 200 and its `x-key` header, or with 503 when that is `bad`.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = io::BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let key = head.iter().find_map(|line| line.strip_prefix("x-key: ")).unwrap_or("none");
                let status = if key == "bad" { "503 Bad" } else { "200 OK" };
                write!(stream, "HTTP/1.1 {status}\r\nX-Path: {}\r\n\r\n{key}", head[0]).unwrap();
            }
        });
        address
    }

    #[test]
    fn sends_headers_and_reads_the_answer() {
        let response = get(echo(), "/ip", &[("x-key", "192.0.2.1")]).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.headers, [("x-path".to_owned(), "GET /ip HTTP/1.1".to_owned())]);
        assert_eq!(response.body, b"192.0.2.1");
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parse(b"HAProxyS 2.1\r\n\r\n"), None);
    }

    #[test]
    fn traffic_counts_its_answers() {
        let traffic = Traffic::start(echo(), "/", &["a", "b", "bad"], 1000);
        wait::until(SOON, "30 requests", || (traffic.counts().sent() >= 30).then_some(()));
        let counts = traffic.stop();
        assert!(counts.by_key["a"] >= 10 && counts.by_key["b"] >= 9, "{counts:?}");
        assert_eq!(counts.by_key.values().sum::<u64>(), counts.answered[&200]);
        assert_eq!(counts.failed, 0);
    }
}
