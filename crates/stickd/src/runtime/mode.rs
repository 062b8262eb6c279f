//! How a connection is used: one line, several, or with a prompt (`prompt`).

use std::time::Duration;

use super::reply::{Reply, put};
use super::severity::Severity;
use crate::config::SeverityOutput;

/// The mode of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Whether the connection stays open after a line.
    pub(crate) interactive: bool,
    prompt: bool,
    timed: bool,
    /// What stands before messages.
    pub(crate) severity: SeverityOutput,
}

const USAGE: &str = "\
Usage: prompt [help | n | i | p | timed]*
Chooses how this connection is used:
  help    show this text
  n       one line of commands, then close; no prompt
  i       any number of lines, no prompt
  p       any number of lines, with a prompt
  timed   show the uptime in the prompt, or stop doing so
Without an option: from n or i to p, from p to n.
";

impl Mode {
    /// The mode that a connection begins with.
    pub(crate) fn with_severity(severity: SeverityOutput) -> Self {
        Self { severity, ..Self::default() }
    }

    /// Runs `prompt` with its options.
    pub(crate) fn change(&mut self, options: &[Vec<u8>]) -> Reply {
        let mut next = *self;
        if options.is_empty() {
            let prompt = !self.prompt;
            next = Self { interactive: prompt, prompt, ..next };
        }
        for option in options {
            (next.interactive, next.prompt) = match &option[..] {
                b"n" => (false, false),
                b"i" => (true, false),
                b"p" => (true, true),
                b"timed" => {
                    next.timed = !next.timed;
                    (true, true)
                }
                _ => return Reply::Message(Severity::Info, USAGE.to_owned()),
            };
        }
        *self = next;
        Reply::done()
    }

    /// Appends the prompt, if there is one.
    pub(crate) fn put_prompt(self, out: &mut String, uptime: impl FnOnce() -> Duration) {
        if self.prompt && self.timed {
            let seconds = uptime().as_secs();
            let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
            put(out, format_args!("[{days}:{hours:02}:{:02}:{:02}]", seconds / 60 % 60, seconds % 60));
        }
        if self.prompt {
            out.push_str("> ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(options: &[&str]) -> (Mode, String) {
        let mut mode = Mode::default();
        let options: Vec<_> = options.iter().map(|option| option.as_bytes().to_vec()).collect();
        let (Reply::Text(text) | Reply::Message(_, text)) = mode.change(&options) else {
            panic!("a text is expected")
        };
        (mode, text)
    }

    fn prompt(mode: Mode) -> String {
        let mut out = String::new();
        mode.put_prompt(&mut out, || Duration::from_secs(90_061));
        out
    }

    #[test]
    fn prompt_toggles_and_takes_options() {
        for (options, interactive, expected) in [
            (&[][..], true, "> "),
            (&["p"], true, "> "),
            (&["i"], true, ""),
            (&["n"], false, ""),
            (&["i", "n", "p"], true, "> "),
            (&["timed"], true, "[1:01:01:01]> "),
        ] {
            let (mode, text) = after(options);
            assert_eq!((mode.interactive, prompt(mode).as_str(), text.as_str()), (interactive, expected, ""));
        }
        let (mut mode, _) = after(&["p"]);
        mode.change(&[]);
        assert_eq!(mode, Mode::default());
    }

    #[test]
    fn unknown_options_show_the_usage_and_change_nothing() {
        for option in ["help", "x"] {
            let (mode, text) = after(&["p", option]);
            assert_eq!(mode, Mode::default());
            assert!(text.starts_with("Usage: prompt [help | n | i | p | timed]*\n"));
        }
    }
}
