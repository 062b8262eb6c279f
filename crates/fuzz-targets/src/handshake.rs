//! Targets of what precedes the messages.

use haproxy_peers::{Hello, HelloError, HelloParser, HelloProgress, Status, StatusParser, StatusProgress};

use crate::cuts::cuts;

/// A parser's outcome, with how many bytes of the stream belong to it.
#[derive(Debug, PartialEq)]
enum Outcome<T> {
    Incomplete,
    Complete(T, usize),
    Refused(Option<HelloError>),
}

/// Hellos: the same outcome in any splitting, a refusal is repeated and has a status, what is accepted comes back after it
/// was written anew.
pub fn hello(data: &[u8]) {
    for (limit, any_name) in [(16_384, false), (16_384, true), (40, true)] {
        let [whole, others @ ..] = cuts(data).map(|pieces| parse_hello(&pieces, limit, any_name));
        for other in others {
            assert_eq!(whole, other, "another outcome in another splitting, limit {limit}");
        }
        match whole {
            Outcome::Complete(hello, taken) => {
                assert!(taken <= data.len() && taken <= limit && data[taken - 1] == b'\n');
                check_round_trip(&hello);
            }
            Outcome::Refused(Some(error)) => {
                assert!(!error.to_string().is_empty());
                let silent = matches!(error, HelloError::TooLong(_));
                assert_eq!(error.status().is_none(), silent, "{error}");
            }
            Outcome::Incomplete => assert!(data.len() < limit),
            Outcome::Refused(None) => {}
        }
    }
}

fn parse_hello(pieces: &[&[u8]], limit: usize, any_name: bool) -> Outcome<Hello> {
    let is_local = |name: &str| any_name || name == "A" || name == "haB";
    let mut parser = HelloParser::new(limit);
    let mut before = 0;
    for piece in pieces {
        match parser.feed(piece, is_local) {
            HelloProgress::Incomplete => before += piece.len(),
            HelloProgress::Complete(hello, taken) => return Outcome::Complete(hello, before + taken),
            HelloProgress::Refused(error) => {
                let again = parser.feed(b"HAProxyS 2.1\nA\nB 1 1\n", is_local);
                assert_eq!(again, HelloProgress::Refused(error.clone()), "a refusal is not repeated");
                return Outcome::Refused(Some(error));
            }
        }
    }
    Outcome::Incomplete
}

fn check_round_trip(hello: &Hello) {
    let mut text = Vec::new();
    if let Err(error) = hello.encode(&mut text) {
        // Read all the same: the name of nobody, or one that holds a CR.
        let is_wrong = |name: &str| name.is_empty() || name.contains('\r');
        assert!(text.is_empty() && (is_wrong(&hello.target) || is_wrong(&hello.sender)), "{error}");
        return;
    }
    let mut parser = HelloParser::new(usize::MAX);
    for _ in 0..2 {
        // The second time shows that the parser is as new.
        let progress = parser.feed(&text, |name| name == hello.target);
        assert_eq!(progress, HelloProgress::Complete(hello.clone(), text.len()));
    }
}

/// Status lines: the same outcome in any splitting, what is read comes back after it was written anew.
pub fn status(data: &[u8]) {
    for limit in [64, 6] {
        let [whole, others @ ..] = cuts(data).map(|pieces| parse_status(&pieces, limit));
        for other in others {
            assert_eq!(whole, other, "another outcome in another splitting, limit {limit}");
        }
        if let Outcome::Complete(status, taken) = whole {
            assert!(taken <= limit && data[taken - 1] == b'\n');
            assert_eq!(status.code(), code(&data[..taken - 1]));
            assert_eq!(Status::from_code(status.code()), status);
            assert!(status.to_string().contains(&status.code().to_string()));
            let mut line = Vec::new();
            status.encode(&mut line);
            assert_eq!(StatusParser::new(64).feed(&line), StatusProgress::Complete(status, line.len()));
        }
    }
}

fn parse_status(pieces: &[&[u8]], limit: usize) -> Outcome<Status> {
    let mut parser = StatusParser::new(limit);
    let mut before = 0;
    for piece in pieces {
        match parser.feed(piece) {
            StatusProgress::Incomplete => before += piece.len(),
            StatusProgress::Complete(status, taken) => return Outcome::Complete(status, before + taken),
            StatusProgress::TooLong => return Outcome::Refused(None),
        }
    }
    Outcome::Incomplete
}

/// The number that a status line begins with, 0 without one, the highest there is when it is over 32 bits.
fn code(line: &[u8]) -> u32 {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"+").unwrap_or(line);
    let digits: String =
        line.iter().take_while(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect();
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u32::MAX) }
}
