//! Which command is meant, and who runs it.

use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::one_line;
use stick_table::units::parse_time_ms;

use crate::config::Level;

use super::mode::Mode;
use super::reply::{Reply, put};
use super::severity::Severity;
use super::words::words;
use super::{
    Context, clear_table, help, level, restore_table, set_table, show_aggregations, show_contributions,
    show_info, show_peers, show_state, show_table, show_top,
};

/// What a connection is allowed and set to.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) level: Level,
    pub(crate) mode: Mode,
    /// How long the connection may be idle.
    pub(crate) timeout: Duration,
    /// What `show cli sockets` shows: address and level of each socket.
    pub(crate) sockets: Arc<[(String, Level)]>,
}

impl Session {
    /// Runs one command. An empty one does nothing. A message comes as a text with its severity, if the connection wants it.
    pub(crate) fn run(&mut self, context: &Arc<dyn Context>, command: &[u8]) -> Reply {
        match self.answer(context, command) {
            Reply::Message(severity, text) => Reply::Text(self.mode.severity.mark(severity, text)),
            other => other,
        }
    }

    fn answer(&mut self, context: &Arc<dyn Context>, command: &[u8]) -> Reply {
        let words = match words(command) {
            Ok(words) => words,
            Err(error) => return Reply::line(error),
        };
        let mut texts = [""; 3];
        for (text, word) in texts.iter_mut().zip(&words) {
            *text = std::str::from_utf8(word).unwrap_or("?");
        }
        match texts {
            ["", ..] if words.len() < 2 => Reply::done(),
            ["show", "table", _] => show_table::run(context, self.level, &words[2..]),
            ["set", "table", _] => set_table::run(context, self.level, &words[2..]),
            ["restore", "table", _] => restore_table::run(context, self.level, &words[2..]),
            ["clear", "table", _] => clear_table::run(context, self.level, &words[2..]),
            ["show", "top", _] => show_top::run(context, self.level, &words[2..]),
            ["show", "peers", _] => show_peers::run(context, &words[2..]),
            ["show", "aggregations", _] => show_aggregations::run(context, &words[2..]),
            ["show", "contributions", _] => show_contributions::run(context, self.level, &words[2..]),
            ["show", "state", _] => show_state::run(context.store().as_ref()),
            ["show", "info", _] => show_info::run(&context.process(), &words[2..]),
            ["show", "version", _] => Reply::info(context.process().version),
            ["show", "cli", "level"] => Reply::info(level::word(self.level)),
            ["show", "cli", "sockets"] => self.show_sockets(),
            ["set", "timeout", _] => self.set_timeout(&words[2..]),
            ["set", "severity-output", _] => self.mode.severity.set(&words[2..]),
            ["operator", ..] => level::lower(&mut self.level, Level::Operator),
            ["user", ..] => level::lower(&mut self.level, Level::User),
            ["prompt", ..] => self.mode.change(&words[1..]),
            ["help", ..] => Reply::Message(Severity::Info, help::help(&words[1..])),
            ["echo", ..] => Reply::info(one_line(&String::from_utf8_lossy(&words[1..].join(&b' ')))),
            ["quit", ..] => Reply::Close,
            _ => Reply::Message(Severity::Info, help::unknown(&words)),
        }
    }

    fn show_sockets(&self) -> Reply {
        let mut out = "# socket lvl processes\n".to_owned();
        for (address, level) in &*self.sockets {
            put(&mut out, format_args!("{address} {} all\n", level::word(*level)));
        }
        Reply::Text(out)
    }

    /// Runs `set timeout cli <delay>`; the delay is in seconds unless it has a unit.
    fn set_timeout(&mut self, arguments: &[Vec<u8>]) -> Reply {
        match arguments {
            [target, ..] if target != b"cli" => Reply::line("'set timeout' only supports 'cli'."),
            [] => Reply::line("'set timeout' only supports 'cli'."),
            [_] => Reply::line("Expects an integer value."),
            [_, delay, ..] => {
                let delay = String::from_utf8_lossy(delay);
                let seconds = delay.bytes().all(|byte| byte.is_ascii_digit());
                let ms = if seconds { parse_time_ms(&format!("{delay}s")) } else { parse_time_ms(&delay) };
                match ms {
                    Ok(ms) if ms > 0 => {
                        self.timeout = Duration::from_millis(ms.into());
                        Reply::done()
                    }
                    _ => Reply::line("Invalid timeout value."),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_found_and_levels_shown() {
        let node = Node::sample();
        for (level, command, answer) in [
            (Level::Admin, "", "\n"),
            (Level::Admin, " \t ", "\n"),
            (Level::Admin, "  show   version  # more", "0.1.0-test\n\n"),
            (Level::Admin, "show cli level", "admin\n\n"),
            (Level::Operator, "show cli level\r", "operator\n\n"),
            (Level::User, "show cli level", "user\n\n"),
            (Level::User, "operator", "Permission denied\n\n"),
            (Level::User, "user", "\n"),
            (Level::User, "echo a  b", "a b\n\n"),
            (Level::User, "quit", ""),
            (
                Level::User,
                "show cli sockets",
                "# socket lvl processes\nunix@/run/s admin all\n127.0.0.1:9 user all\n\n",
            ),
            (Level::User, "set timeout cli 30", "\n"),
            (Level::User, "set timeout cli 500ms", "\n"),
            (Level::User, "set timeout cli", "Expects an integer value.\n\n"),
            (Level::User, "set timeout", "'set timeout' only supports 'cli'.\n\n"),
            (Level::User, "set timeout x 1", "'set timeout' only supports 'cli'.\n\n"),
            (Level::User, "set timeout cli x", "Invalid timeout value.\n\n"),
            (Level::User, "set timeout cli 0", "Invalid timeout value.\n\n"),
        ] {
            assert_eq!(node.run_as(level, command), answer, "{command}");
        }
        for argument in ["", " x", " NONE"] {
            let answer = node.run(&format!("set severity-output{argument}"));
            assert_eq!(answer, "one of 'none', 'number', 'string' is a required argument\n\n", "{argument}");
        }
        for command in ["show", "SHOW version", "show tab", "\\ ", "\u{e9}", "@1 show table", "show cli"] {
            assert!(node.run(command).starts_with("Unknown command: '"), "{command}");
        }
        assert_eq!(
            node.run(&"x ".repeat(65)),
            "Too many arguments. Commands must have at most 64 arguments.\n\n"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(command in proptest::collection::vec(any::<u8>(), 0..40)) {
            Node::sample().run_bytes(Level::Admin, &command);
        }

        #[test]
        fn no_words_panic(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("show"), Just("set"), Just("clear"), Just("table"), Just("peers"), Just("p/t1"), Just("p/n"),
                    Just("key"), Just("ptr"), Just("data.gpc0"), Just("data.gpc[1]"), Just("data.gpt[9"), Just("eq"),
                    Just("-1"), Just("0x100000000"), Just("10.0.0.1"), Just("prompt"), Just("\\"), Just("info"), Just("json"),
                ],
                0..12,
            ),
        ) {
            let answer = Node::sample().run(&words.join(" "));
            prop_assert!(answer.ends_with('\n'));
        }
    }
}
