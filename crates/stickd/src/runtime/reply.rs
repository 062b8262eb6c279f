//! What a command answers: a text, a text in chunks, or work to be done beside the connection's task.

use std::fmt::{self, Write as _};

use haproxy_peers::one_line;

use super::severity::Severity;

/// Chunks are sent when they have about this many bytes.
pub(crate) const CHUNK_BYTES: usize = 32 << 10;

/// An answer, without the empty line that ends it.
pub(crate) enum Reply {
    /// The whole answer.
    Text(String),
    /// The whole answer, which tells about the command itself; see [`SeverityOutput`](crate::config::SeverityOutput).
    Message(Severity, String),
    /// A long answer, made while it is sent.
    Chunks(Box<dyn Chunks>),
    /// Work that may take long enough to hold up others; gives the answer. It is run on a thread of its own.
    Work(Box<dyn FnOnce() -> String + Send>),
    /// Nothing: the connection is closed at once.
    Close,
}

/// A long answer, rendered piece by piece so that its size does not matter.
pub(crate) trait Chunks: Send {
    /// Appends the next chunk, about [`CHUNK_BYTES`] or one item if that is longer, possibly nothing; `false` when there
    /// is nothing after it. Each call is bounded work: the caller sends what it got, and lets others run in between.
    fn next_chunk(&mut self, out: &mut String) -> bool;
}

impl Reply {
    /// An empty answer: success.
    pub(crate) fn done() -> Self {
        Self::Text(String::new())
    }

    /// One line that says why the command is not carried out.
    pub(crate) fn line(text: impl fmt::Display) -> Self {
        Self::Message(Severity::Error, format!("{text}\n"))
    }

    /// One line that the command asked for.
    pub(crate) fn info(text: impl fmt::Display) -> Self {
        Self::Message(Severity::Info, format!("{text}\n"))
    }
}

/// A text that may hold words of strangers, between quotes on one line.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('"', "\\\""))
}

/// A name that strangers chose, as a field of a line: between quotes if it could look like further fields.
pub(crate) fn field(name: &str) -> String {
    if name.contains([' ', '"']) { quoted(name) } else { one_line(name).into_owned() }
}

/// Appends formatted text; writing to a string cannot fail.
pub(crate) fn put(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("strings take any text");
}
