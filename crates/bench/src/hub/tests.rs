//! The parts of the hub's scenarios against processes of a few lines, which do right or leave something out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use haproxy_peers::{Definition, Padding};
use stick_table::{KeyType, TableDefinition};

use crate::link::Link;

use super::http::Client;
use super::listener::Listener;
use super::schedule::Schedule;
use super::writer::Writer;
use super::{WIRE_RESULT, cluster, update};

const SOON: Duration = Duration::from_secs(10);

/// Listens, and lets somebody else talk to the one who comes.
fn serve(talk: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || talk(listener.accept().unwrap().0));
    address
}

/// A hub of a few lines that accepts a session and says these bytes, then waits for its end.
fn hub(bytes: Vec<u8>) -> Link {
    let address = serve(move |mut socket| {
        let lines = BufReader::new(socket.try_clone().unwrap()).lines().take(3);
        assert_eq!(lines.count(), 3);
        socket.write_all(b"200\n").unwrap();
        socket.write_all(&bytes).unwrap();
        // The driver ends it.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    Link::connect(address, "hub", "node", None).unwrap()
}

fn define(id: u32, name: &str, out: &mut Vec<u8>) {
    let table = TableDefinition::new(name, KeyType::Ip, 1);
    let table = table.with_column("http_req_cnt".parse().unwrap()).unwrap();
    Definition::from_table(id, &table).unwrap().encode(Padding::None, out).unwrap();
}

/// Sums of four keys as a hub tells them, among those of another table; key 2 gets to `last`.
fn sums(last: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    define(1, "/t", &mut bytes);
    update(1, 2, 99, &mut bytes);
    define(2, WIRE_RESULT, &mut bytes);
    [(0, 5), (1, 6), (2, 7), (3, 8), (2, last)]
        .iter()
        .zip(1..)
        .for_each(|(&(key, sum), id)| update(id, key, sum, &mut bytes));
    bytes
}

/// What a session that was told these sums says to `expected`, and how many latencies there were.
fn settle(bytes: Vec<u8>, expected: &[u32]) -> (anyhow::Result<()>, u64, anyhow::Result<()>) {
    let schedule = Arc::new(Schedule::new(4, 4, 1));
    [5, 6, 7, 8].iter().zip(0..).for_each(|(&sum, key)| schedule.set_before(key, sum));
    (0..4).for_each(|number| schedule.note(number, Instant::now()));
    let (listener, sockets) = Listener::new(vec![hub(bytes)], WIRE_RESULT, schedule).unwrap();
    let heard = listener.heard();
    let mut writer = Writer::new(sockets, heard.clone());
    let reader = cluster::listen(listener);
    let settled = writer.settle(&[0], expected, Duration::from_secs(2));
    let latencies = heard.take_latency().unwrap().len();
    (settled, latencies, cluster::stop(reader, &heard))
}

#[test]
fn sums_told_are_compared_with_what_was_counted() {
    let (settled, latencies, read) = settle(sums(8), &[5, 6, 8, 8]);
    settled.unwrap();
    read.unwrap();
    assert_eq!(latencies, 1, "the others are of before");
}

#[test]
fn a_sum_that_is_wrong_is_named() {
    let (settled, _, read) = settle(sums(8), &[5, 6, 9, 8]);
    let fault = settled.unwrap_err().to_string();
    assert!(fault.contains("was told 8 of key 2, and 9 were counted"), "{fault}");
    read.unwrap();
}

#[test]
fn a_sum_that_falls_ends_the_measurement() {
    // Whatever the sums are at last.
    let (_, _, read) = settle(sums(6), &[5, 6, 6, 8]);
    let fault = read.unwrap_err().to_string();
    assert!(fault.contains("6 of key 2 came after 7"), "{fault}");
}

/// A web server that gives so many answers, whole or in two parts.
fn answers(text: &'static str, count: usize) -> Client {
    let address = serve(move |mut socket| {
        socket.set_nodelay(true).unwrap();
        let mut input = BufReader::new(socket.try_clone().unwrap());
        for _ in 0..count {
            let (mut line, mut rest) = (String::new(), text);
            while line != "\r\n" {
                line.clear();
                assert!(input.read_line(&mut line).unwrap() > 0, "a request ends");
            }
            for part in [30, usize::MAX] {
                let (now, later) = rest.split_at(part.min(rest.len()));
                socket.write_all(now.as_bytes()).unwrap();
                rest = later;
            }
        }
        let _ = input.read_to_end(&mut Vec::new());
    });
    Client::connect(address, 1).unwrap()
}

#[test]
fn requests_count_when_they_are_answered() {
    let mut client = answers("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncounted", 100);
    client.count_all(0..100, || Ok(())).unwrap();
    assert_eq!(client.drain().unwrap(), 0);
}

#[test]
fn a_request_that_is_refused_is_an_error() {
    let mut client = answers("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", 1);
    let started = Instant::now();
    let fault = client.count_all(0..1, || Ok(())).unwrap_err().to_string();
    assert!(fault.contains("not counted: HTTP/1.1 503") && started.elapsed() < SOON, "{fault}");
}

#[test]
fn a_sum_tells_which_number_it_has_last() {
    let schedule = Schedule::new(3, 9, 1);
    schedule.set_before(1, 10);
    let start = Instant::now();
    let at = |number: u64| start + Duration::from_millis(1 + number);
    (0..7).for_each(|number| schedule.note(number, at(number)));
    assert_eq!([0, 1, 3, 4].map(|number| schedule.sum_with(number)), [1, 11, 2, 12]);
    assert_eq!([0, 1, 2].map(|key| schedule.sum_after(key, 7)), [3, 12, 2]);
    // Number 4 is the second turn of key 1.
    assert_eq!(schedule.latency(1, 12, at(9)), Some(Duration::from_millis(5)));
    assert_eq!(schedule.latency(1, 10, at(9)), None, "a sum of before");
    assert_eq!(schedule.latency(1, 13, at(9)), None, "number 7 was not sent");
    assert_eq!(schedule.latency(3, 1, at(9)), None, "no such key");
    assert_eq!(schedule.latency(0, 9, at(9)), None, "no such number");
}
