//! The answer to a hello.

use std::fmt;

/// A status line's number (peers-protocol §2.2, §2.3).
///
/// To a HAProxy every status but [`Accepted`](Self::Accepted) is final: it does not connect again until it restarts or
/// is called. For a passing reason, close the connection without a status instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// 200: the session is established.
    Accepted,
    /// 300: the local peer has a session already.
    TryLater,
    /// 501: not the peers protocol, or a malformed hello.
    ProtocolError,
    /// 502: the protocol version is not known.
    VersionMismatch,
    /// 503: the receiver does not have the name it was called by.
    NameMismatch,
    /// 504: the sender is not a peer of the section.
    UnknownPeer,
    /// Any other number; 0 when the line does not start with one.
    Other(u32),
}

impl Status {
    /// The decimal number on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::Accepted => 200,
            Self::TryLater => 300,
            Self::ProtocolError => 501,
            Self::VersionMismatch => 502,
            Self::NameMismatch => 503,
            Self::UnknownPeer => 504,
            Self::Other(code) => code,
        }
    }

    /// The status of a number.
    pub const fn from_code(code: u32) -> Self {
        match code {
            200 => Self::Accepted,
            300 => Self::TryLater,
            501 => Self::ProtocolError,
            502 => Self::VersionMismatch,
            503 => Self::NameMismatch,
            504 => Self::UnknownPeer,
            other => Self::Other(other),
        }
    }

    /// Appends the status line, e.g. `200\n`.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code().to_string().as_bytes());
        out.push(b'\n');
    }

    /// Reads a line without its LF as HAProxy does: blanks, then digits; what follows them does not matter.
    fn parse(line: &[u8]) -> Self {
        let digits = line.trim_ascii_start();
        let digits = digits.strip_prefix(b"+").unwrap_or(digits);
        let code = digits
            .iter()
            .map_while(|&byte| char::from(byte).to_digit(10))
            .fold(0u32, |code, digit| code.saturating_mul(10).saturating_add(digit));
        Self::from_code(code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Accepted => "accepted",
            Self::TryLater => "try again later",
            Self::ProtocolError => "protocol error",
            Self::VersionMismatch => "the protocol version is not supported",
            Self::NameMismatch => "the peer has another name than the one it was called by",
            Self::UnknownPeer => "the peer does not know this one by its name",
            Self::Other(code) => return write!(f, "unknown status {code}"),
        };
        write!(f, "{} ({words})", self.code())
    }
}

/// What `show peers` tells about the last attempt to reach a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastStatus {
    /// No attempt yet.
    #[default]
    None,
    /// The connection is being opened.
    Connecting,
    /// The hello is sent, its answer has not come.
    Handshake,
    /// The answer that came.
    Answered(Status),
}

impl LastStatus {
    /// HAProxy's word in `last_status=` (peers-protocol §2.3).
    pub const fn word(self) -> &'static str {
        match self {
            Self::None | Self::Answered(Status::Other(_)) => "NONE",
            Self::Connecting => "CONN",
            Self::Handshake => "HSHK",
            Self::Answered(Status::Accepted) => "ESTA",
            Self::Answered(Status::TryLater) => "RETR",
            Self::Answered(Status::ProtocolError) => "PROT",
            Self::Answered(Status::VersionMismatch) => "VERS",
            Self::Answered(Status::NameMismatch) => "NAME",
            Self::Answered(Status::UnknownPeer) => "UNKN",
        }
    }
}

/// What a [`StatusParser`] has made of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusProgress {
    /// The line is not complete: feed more.
    Incomplete,
    /// The status, and how many bytes of the last input belong to its line; messages follow.
    Complete(Status, usize),
    /// The line has reached the limit without an end: close the connection.
    TooLong,
}

/// Reads the status line on the connecting side; holds at most `limit` bytes.
#[derive(Clone, Debug)]
pub struct StatusParser {
    line: Vec<u8>,
    limit: usize,
}

impl StatusParser {
    /// A parser for lines of at most `limit` bytes, LF included.
    pub const fn new(limit: usize) -> Self {
        Self { line: Vec::new(), limit }
    }

    /// Takes the next bytes of the stream. After [`StatusProgress::Complete`] the parser is as new.
    pub fn feed(&mut self, input: &[u8]) -> StatusProgress {
        let end = input.iter().position(|&byte| byte == b'\n');
        let part = &input[..end.unwrap_or(input.len())];
        if self.line.len() + part.len() >= self.limit {
            return StatusProgress::TooLong;
        }
        self.line.extend_from_slice(part);
        match end {
            None => StatusProgress::Incomplete,
            Some(end) => {
                let status = Status::parse(&self.line);
                self.line.clear();
                StatusProgress::Complete(status, end + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> StatusProgress {
        StatusParser::new(64).feed(input)
    }

    #[test]
    fn statuses_are_written_and_read() {
        for (status, bytes, word) in [
            (Status::Accepted, &b"200\n"[..], "ESTA"),
            (Status::TryLater, b"300\n", "RETR"),
            (Status::ProtocolError, b"501\n", "PROT"),
            (Status::VersionMismatch, b"502\n", "VERS"),
            (Status::NameMismatch, b"503\n", "NAME"),
            (Status::UnknownPeer, b"504\n", "UNKN"),
            (Status::Other(505), b"505\n", "NONE"),
        ] {
            let mut out = Vec::new();
            status.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(parse(bytes), StatusProgress::Complete(status, 4));
            assert_eq!(LastStatus::Answered(status).word(), word);
        }
        assert_eq!(LastStatus::default().word(), "NONE");
        assert_eq!(LastStatus::Connecting.word(), "CONN");
        assert_eq!(LastStatus::Handshake.word(), "HSHK");
    }

    #[test]
    fn text_after_the_number_is_ignored() {
        for (line, status) in [
            ("200\r\n", Status::Accepted),
            (" 200 welcome\n", Status::Accepted),
            ("502try 2.0\n", Status::VersionMismatch),
            ("\n", Status::Other(0)),
            ("hello\n", Status::Other(0)),
            ("-200\n", Status::Other(0)),
            ("99999999999999\n", Status::Other(u32::MAX)),
        ] {
            assert_eq!(parse(line.as_bytes()), StatusProgress::Complete(status, line.len()), "{line:?}");
        }
    }

    #[test]
    fn a_line_may_come_byte_by_byte_and_with_messages_behind() {
        let mut parser = StatusParser::new(4);
        for byte in *b"200" {
            assert_eq!(parser.feed(&[byte]), StatusProgress::Incomplete);
        }
        assert_eq!(parser.feed(&[b'\n', 0, 0]), StatusProgress::Complete(Status::Accepted, 1));
        assert_eq!(parser.feed(b"2000"), StatusProgress::TooLong);
    }

    #[test]
    fn statuses_say_what_they_mean() {
        for (code, text) in [
            (200, "200 (accepted)"),
            (300, "300 (try again later)"),
            (501, "501 (protocol error)"),
            (502, "502 (the protocol version is not supported)"),
            (503, "503 (the peer has another name than the one it was called by)"),
            (504, "504 (the peer does not know this one by its name)"),
            (777, "unknown status 777"),
        ] {
            assert_eq!(Status::from_code(code).to_string(), text);
        }
    }
}
