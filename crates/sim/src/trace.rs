//! What happened in a run: a hash of all of it, and lines to read when they are wanted.

use std::fmt;

use stick_table::Millis;

/// FNV-1a, 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The events of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace, with lines or without.
    pub(crate) fn new(with_lines: bool) -> Self {
        Self { hash: OFFSET, lines: with_lines.then(Vec::new) }
    }

    /// Notes bytes that moved, without a line.
    pub(crate) fn hash(&mut self, now: Millis, bytes: &[u8]) {
        for byte in now.to_le_bytes().iter().chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// Notes an event, in words if those are wanted.
    pub(crate) fn note(&mut self, now: Millis, code: u64, words: impl FnOnce() -> String) {
        self.hash(now, &code.to_le_bytes());
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now:>7} ms  {}", words()));
        }
    }

    /// A number that is the same for the same events.
    pub(crate) fn digest(&self) -> u64 {
        self.hash
    }

    /// The lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// When it was seen, in ms.
    pub at: Millis,
    /// What, with numbers.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.invariant, self.at, self.what)
    }
}
