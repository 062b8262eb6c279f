//! Colours, where they are wanted.

use std::env;
use std::io::{self, IsTerminal};

/// Puts colours around text, or leaves it alone. Pad first: the codes count as characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// Colours on a terminal, unless the environment has `NO_COLOR`.
    pub(super) fn detect() -> Self {
        Self(io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// No colours.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(false)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    pub(super) fn command(self, text: &str) -> String {
        self.code("36", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.code("31", text)
    }

    /// `PASS` or `FAIL`.
    pub(super) fn verdict(self, pass: bool) -> String {
        if pass { self.code("1;32", "PASS") } else { self.code("1;31", "FAIL") }
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
