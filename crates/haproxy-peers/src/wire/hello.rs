//! What the connecting side says first.
//!
//! ```text
//! HAProxyS 2.1\n
//! <name of the peer being contacted>\n
//! <name of this peer> <pid> <relative pid>\n
//! ```

use std::mem;

use thiserror::Error;

use crate::{DEFAULT_MAX_PAYLOAD, EncodeError, ProtocolVersion, Status, shown};

/// The word that opens line 1, with its blank.
const PROTOCOL_WORD: &[u8] = b"HAProxyS ";
/// How a TLS connection begins: a handshake record of version 3.
const TLS_START: &[u8] = &[0x16, 0x03];

/// The three lines of a hello (peers-protocol §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version announced.
    pub version: ProtocolVersion,
    /// Name of the peer being contacted. Holds no LF.
    pub target: String,
    /// Name of the peer that connects. Holds neither LF nor blank.
    pub sender: String,
    /// Its process id; every receiver ignores it. 0 when the line has no such number.
    pub pid: u32,
    /// 1 since HAProxy 2.5, before that the number of the process from 1 on. 0 when the line has no such number.
    pub relative_pid: u32,
}

impl Hello {
    /// Appends the hello. Send it in one write: a HAProxy that gets it in parts does not note the version
    /// (peers-protocol §18.9).
    ///
    /// ```
    /// use haproxy_peers::{Hello, ProtocolVersion};
    ///
    /// let target = "hub\nlb2 1 1".to_owned();
    /// let hello = Hello { version: ProtocolVersion::V2_1, target, sender: "lb1".into(), pid: 1, relative_pid: 1 };
    /// let error = hello.encode(&mut Vec::new()).unwrap_err();
    /// assert_eq!(error.to_string(), "the name of the target holds '\\n', which ends it");
    /// ```
    ///
    /// # Errors
    /// When a name is empty or holds what would end it (a line end; a blank in that of the sender), or the hello does not fit
    /// the buffer that receivers have by default, [`DEFAULT_MAX_PAYLOAD`]. Nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Self { version, target, sender, pid, relative_pid } = self;
        for (end, name, ends) in
            [("target", target, &['\n', '\r'][..]), ("sender", sender, &['\n', '\r', ' '])]
        {
            if name.is_empty() {
                return Err(EncodeError::NoName(end));
            }
            if let Some(letter) = name.chars().find(|letter| ends.contains(letter)) {
                return Err(EncodeError::NameLetter { end, letter });
            }
        }
        let text = format!("HAProxyS {version}\n{target}\n{sender} {pid} {relative_pid}\n");
        let (length, limit) = (text.len(), DEFAULT_MAX_PAYLOAD);
        if length >= limit {
            return Err(EncodeError::HelloTooLong { length, limit });
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Why a hello is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// Line 1 does not start with the protocol's word.
    #[error("the first line does not start with \"HAProxyS \"")]
    NotPeers,
    /// The connection begins as one of TLS.
    #[error("the peer speaks TLS to a listener without TLS")]
    Tls,
    /// Line 1 goes on with something that is no known version; holds what.
    #[error("the protocol version \"{0}\" is not supported")]
    Version(String),
    /// Line 2 is not a name of this side; holds the name.
    #[error("the hello is for a peer named \"{0}\"")]
    Target(String),
    /// Line 3 has no blank.
    #[error("the third line has no process id after the peer's name")]
    NoPid,
    /// The sender's name is not UTF-8, so it is not that of any configured peer.
    #[error("the sender's name is not text")]
    SenderNotText,
    /// The hello reached the limit without an end.
    #[error("the hello is over the limit of {0} bytes (tune.bufsize)")]
    TooLong(usize),
}

impl HelloError {
    /// The status to answer; `None` when the connection is to be closed without one (peers-protocol §2.2).
    pub const fn status(&self) -> Option<Status> {
        match self {
            Self::NotPeers | Self::Tls | Self::NoPid => Some(Status::ProtocolError),
            Self::Version(_) => Some(Status::VersionMismatch),
            Self::Target(_) => Some(Status::NameMismatch),
            Self::SenderNotText => Some(Status::UnknownPeer),
            Self::TooLong(_) => None,
        }
    }
}

/// What a [`HelloParser`] has made of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloProgress {
    /// Lines are missing: feed more. When the stream ends here, close without a status.
    Incomplete,
    /// The hello, and how many bytes of the last input belong to it; messages may follow. Whether the sender is a
    /// configured peer (else 504) and has a session already is for the caller to check.
    Complete(Hello, usize),
    /// Answer with [`HelloError::status`] and close.
    Refused(HelloError),
}

/// Reads a hello on the accepting side; holds at most `limit` bytes.
///
/// TLS is refused at its second byte. Lines are judged as they become complete, in HAProxy's order: the version before line 2 has come, the target before
/// line 3 has come (peers-protocol §2.2). A CR before the LF is dropped.
///
/// ```
/// use haproxy_peers::{HelloParser, HelloProgress};
///
/// let mut parser = HelloParser::new(16_384);
/// assert_eq!(parser.feed(b"HAProxyS 2.1\nhub\n", |name| name == "hub"), HelloProgress::Incomplete);
/// let HelloProgress::Complete(hello, consumed) = parser.feed(b"lb1 4242 1\n\0\0", |name| name == "hub") else { panic!() };
/// assert_eq!((hello.sender.as_str(), consumed), ("lb1", 11));
/// ```
#[derive(Clone, Debug)]
pub struct HelloParser {
    limit: usize,
    /// Bytes of the lines that are complete.
    taken: usize,
    /// The incomplete line.
    line: Vec<u8>,
    stage: Stage,
    refused: Option<HelloError>,
}

#[derive(Clone, Debug)]
enum Stage {
    Version,
    Target(ProtocolVersion),
    Sender(ProtocolVersion, String),
}

impl HelloParser {
    /// A parser for hellos of at most `limit` bytes in total; use `tune.bufsize`, which is also what senders keep to.
    pub const fn new(limit: usize) -> Self {
        Self { limit, taken: 0, line: Vec::new(), stage: Stage::Version, refused: None }
    }

    /// Takes the next bytes of the stream; `is_local_name` says whether line 2 names this side.
    ///
    /// After [`HelloProgress::Complete`] the parser is as new; after a refusal it repeats the refusal.
    pub fn feed(&mut self, input: &[u8], mut is_local_name: impl FnMut(&str) -> bool) -> HelloProgress {
        if let Some(error) = &self.refused {
            return HelloProgress::Refused(error.clone());
        }
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let end = rest.iter().position(|&byte| byte == b'\n');
            let part = &rest[..end.unwrap_or(rest.len())];
            // The hello of TLS need not have a line feed.
            if self.taken == 0 && self.line.iter().chain(part).take(TLS_START.len()).eq(TLS_START) {
                return self.refuse(HelloError::Tls);
            }
            if self.taken + self.line.len() + part.len() >= self.limit {
                return self.refuse(HelloError::TooLong(self.limit));
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return HelloProgress::Incomplete };
            consumed += end + 1;
            let line = mem::take(&mut self.line);
            self.taken += line.len() + 1;
            match self.take_line(line.strip_suffix(b"\r").unwrap_or(&line), &mut is_local_name) {
                Ok(None) => {}
                Ok(Some(hello)) => {
                    *self = Self::new(self.limit);
                    return HelloProgress::Complete(hello, consumed);
                }
                Err(error) => return self.refuse(error),
            }
        }
    }

    fn refuse(&mut self, error: HelloError) -> HelloProgress {
        self.line = Vec::new();
        self.refused = Some(error.clone());
        HelloProgress::Refused(error)
    }

    fn take_line(
        &mut self,
        line: &[u8],
        is_local_name: &mut impl FnMut(&str) -> bool,
    ) -> Result<Option<Hello>, HelloError> {
        match mem::replace(&mut self.stage, Stage::Version) {
            Stage::Version => self.stage = Stage::Target(parse_version(line)?),
            Stage::Target(version) => {
                let target = str::from_utf8(line).ok().filter(|name| is_local_name(name));
                let target = target.ok_or_else(|| HelloError::Target(shown(line)))?;
                self.stage = Stage::Sender(version, target.to_owned());
            }
            Stage::Sender(version, target) => return parse_sender(line, version, target).map(Some),
        }
        Ok(None)
    }
}

fn parse_version(line: &[u8]) -> Result<ProtocolVersion, HelloError> {
    let version = line.strip_prefix(PROTOCOL_WORD).ok_or(HelloError::NotPeers)?;
    ProtocolVersion::parse(version)
        .filter(|version| version.is_supported())
        .ok_or_else(|| HelloError::Version(shown(version)))
}

fn parse_sender(line: &[u8], version: ProtocolVersion, target: String) -> Result<Hello, HelloError> {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    let (Some(sender), Some(numbers)) = (words.next(), words.next()) else { return Err(HelloError::NoPid) };
    let sender = str::from_utf8(sender).map_err(|_| HelloError::SenderNotText)?.to_owned();
    // The numbers are information only: whatever stands there is accepted.
    let mut numbers = numbers.split(|&byte| byte == b' ').map(parse_number);
    let pid = numbers.next().unwrap_or(0);
    let relative_pid = numbers.next().unwrap_or(0);
    Ok(Hello { version, target, sender, pid, relative_pid })
}

fn parse_number(word: &[u8]) -> u32 {
    str::from_utf8(word).ok().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 100;

    fn feed(input: &[u8]) -> HelloProgress {
        HelloParser::new(LIMIT).feed(input, |name| name == "haB")
    }

    fn refused(input: &[u8]) -> (HelloError, Option<u32>) {
        match feed(input) {
            HelloProgress::Refused(error) => {
                let status = error.status().map(Status::code);
                (error, status)
            }
            other => panic!("{input:?}: {other:?}"),
        }
    }

    fn example() -> Hello {
        Hello {
            version: ProtocolVersion::V2_1,
            target: "haB".into(),
            sender: "haA".into(),
            pid: 4242,
            relative_pid: 1,
        }
    }

    /// peers-protocol §20.
    const EXAMPLE: &[u8] = b"\x48\x41\x50\x72\x6f\x78\x79\x53\x20\x32\x2e\x31\x0a\x68\x61\x42\x0a\
        \x68\x61\x41\x20\x34\x32\x34\x32\x20\x31\x0a";

    #[test]
    fn a_hello_that_would_be_misread_is_not_written() {
        let fault = |target: &str, sender: &str| {
            let mut out = Vec::new();
            let hello = Hello { target: target.into(), sender: sender.into(), ..example() };
            let error = hello.encode(&mut out).unwrap_err();
            assert!(out.is_empty());
            error.to_string()
        };
        assert_eq!(fault("", "a"), "the hello names nobody at its target end");
        assert_eq!(fault("a", ""), "the hello names nobody at its sender end");
        for (target, sender, message) in [
            ("a\nb 1 1", "c", "the name of the target holds '\\n', which ends it"),
            ("a\r", "c", "the name of the target holds '\\r', which ends it"),
            ("a", "b\n", "the name of the sender holds '\\n', which ends it"),
            ("a", "b c", "the name of the sender holds ' ', which ends it"),
        ] {
            assert_eq!(fault(target, sender), message);
        }
        let rest = "HAProxyS 2.1\n\na 4242 1\n".len();
        let longest = "a".repeat(DEFAULT_MAX_PAYLOAD - 1 - rest);
        let hello = |target: String| Hello { target, sender: "a".into(), ..example() };
        let mut out = Vec::new();
        assert_eq!(hello(longest.clone()).encode(&mut out), Ok(()));
        let mut parser = HelloParser::new(DEFAULT_MAX_PAYLOAD);
        let progress = parser.feed(&out, |name| name == longest);
        assert!(matches!(progress, HelloProgress::Complete(..)), "the longest one is taken");
        let message = "the hello has 16384 bytes, receivers take less than 16384 (tune.bufsize)";
        assert_eq!(fault(&(longest + "a"), "a"), message);
    }

    #[test]
    fn the_documented_example() {
        let mut out = Vec::new();
        example().encode(&mut out).unwrap();
        assert_eq!(out, EXAMPLE);
        assert_eq!(feed(&out), HelloProgress::Complete(example(), EXAMPLE.len()));
    }

    /// peers-protocol §18.9: the hello may come split in any way.
    #[test]
    fn a_hello_may_come_byte_by_byte() {
        let mut parser = HelloParser::new(LIMIT);
        let (last, first) = EXAMPLE.split_last().unwrap();
        for byte in first {
            assert_eq!(parser.feed(&[*byte], |name| name == "haB"), HelloProgress::Incomplete);
        }
        assert_eq!(parser.feed(&[*last, 0, 0], |_| true), HelloProgress::Complete(example(), 1));
    }

    #[test]
    fn what_is_tolerated() {
        for input in [
            &b"HAProxyS 2.1\r\nhaB\r\nhaA 4242 1\r\n"[..],
            b"HAProxyS 02.01\nhaB\nhaA 4242 1\n",
            b"HAProxyS 2.1\nhaB\nhaA 4242 1 more words\n",
        ] {
            assert_eq!(feed(input), HelloProgress::Complete(example(), input.len()));
        }
        for (line, pid, relative_pid) in
            [("haA ", 0, 0), ("haA x", 0, 0), ("haA 7", 7, 0), ("haA 99999999999 2", 0, 2)]
        {
            let input = format!("HAProxyS 2.0\nhaB\n{line}\n");
            let hello = Hello { version: ProtocolVersion::V2_0, pid, relative_pid, ..example() };
            assert_eq!(feed(input.as_bytes()), HelloProgress::Complete(hello, input.len()));
        }
    }

    #[test]
    fn each_line_is_judged_as_soon_as_it_is_there() {
        for line in ["GET / HTTP/1.1", "HAProxys 2.1", "HAProxyS2.1", "HAProxyS\t2.1", " HAProxyS 2.1", ""] {
            assert_eq!(refused(format!("{line}\n").as_bytes()), (HelloError::NotPeers, Some(501)), "{line}");
        }
        for start in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"\x16\x03",
            b"\x16\x03\n",
            &[&b"\x16\x03"[..], &[0; LIMIT]].concat(),
        ] {
            assert_eq!(refused(start), (HelloError::Tls, Some(501)));
        }
        assert_eq!(feed(b"\x16"), HelloProgress::Incomplete);
        assert_eq!(refused(b"\x16\n"), (HelloError::NotPeers, Some(501)));
        for version in ["2.2", "3.0", "1.0", "2", "2.", "x", "", " 2.1", "2.1 ", "2.1\r", "4294967298.1"] {
            let error = HelloError::Version(shown(version.as_bytes()));
            assert_eq!(refused(format!("HAProxyS {version}\r\n").as_bytes()), (error, Some(502)));
        }
        for target in ["hab", "haB ", " haB", "haB x", ""] {
            let error = HelloError::Target(target.to_owned());
            assert_eq!(refused(format!("HAProxyS 2.1\n{target}\n").as_bytes()), (error, Some(503)));
        }
        assert_eq!(refused(b"HAProxyS 2.1\n\xff\n").1, Some(503));
        for line in ["haA", "", "haA\t1"] {
            let input = format!("HAProxyS 2.1\nhaB\n{line}\n");
            assert_eq!(refused(input.as_bytes()), (HelloError::NoPid, Some(501)));
        }
        assert_eq!(refused(b"HAProxyS 2.1\nhaB\n\xff 1 1\n"), (HelloError::SenderNotText, Some(504)));
    }

    #[test]
    fn an_overlong_hello_gets_no_status() {
        assert_eq!(refused(&[b'x'; LIMIT]), (HelloError::TooLong(LIMIT), None));
        assert_eq!(feed(&[b'x'; LIMIT - 1]), HelloProgress::Incomplete);
        let mut hello = b"HAProxyS 2.1\nhaB\nhaA 1 ".to_vec();
        hello.resize(LIMIT - 1, b'1');
        hello.push(b'\n');
        assert!(matches!(feed(&hello), HelloProgress::Complete(_, LIMIT)));
        hello.insert(LIMIT - 1, b'1');
        assert_eq!(refused(&hello), (HelloError::TooLong(LIMIT), None));
    }

    #[test]
    fn a_refusal_is_repeated() {
        let mut parser = HelloParser::new(LIMIT);
        let first = parser.feed(b"nonsense\n", |_| true);
        assert_eq!(first, HelloProgress::Refused(HelloError::NotPeers));
        assert_eq!(parser.feed(EXAMPLE, |_| true), first);
    }

    proptest! {
        #[test]
        fn hellos_come_back_however_they_are_cut(
            target in "[^\n\r]{1,20}", sender in "[^\n\r ]{1,20}", pid: u32, relative_pid: u32, minor in 0u32..2,
            cuts in prop::collection::vec(0usize..120, 0..4),
        ) {
            let version = ProtocolVersion { major: 2, minor };
            let hello = Hello { version, target: target.clone(), sender, pid, relative_pid };
            let mut bytes = Vec::new();
            hello.encode(&mut bytes).unwrap();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len() - 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = HelloParser::new(500);
            for pair in cuts.windows(2) {
                let part = &bytes[pair[0]..pair[1]];
                match parser.feed(part, |name| name == target) {
                    HelloProgress::Incomplete => prop_assert!(pair[1] < bytes.len()),
                    progress => prop_assert_eq!(progress, HelloProgress::Complete(hello.clone(), part.len())),
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..5), limit in 0usize..60, prefix: bool) {
            let mut parser = HelloParser::new(limit);
            if prefix {
                parser.feed(b"HAProxyS 2.1\n", |_| true);
            }
            for part in parts {
                parser.feed(&part, |_| true);
                prop_assert!(parser.line.len() <= limit);
            }
        }
    }
}
