//! A running stickd, reached by its runtime socket.

use super::{Outcome, RowName, Target};
use crate::dumps::{EXPIRED, Field, Head, Put, Row, WITHOUT};
use crate::tools::socket::{Address, Connection, push_word};

/// Bytes of commands that are sent together: below HAProxy's and stickd's default of 16 KiB for a line.
const LINE: usize = 12 << 10;
/// Values of one command, which has at most 64 words.
const VALUES: usize = 26;

/// What restores an entry is a command of stickd's own.
const NOT_STICKD: &str = "Unknown command";

pub(super) struct Running {
    connection: Connection,
    /// Commands that wait to be sent, parted by semicolons.
    commands: Vec<u8>,
    waiting: Vec<Waiting>,
}

/// A row whose commands were not answered yet.
struct Waiting {
    line: u64,
    name: RowName,
    commands: usize,
}

impl Running {
    pub(super) fn connect(address: &Address) -> anyhow::Result<Self> {
        let mut connection = address.connect()?;
        connection.keep_open()?;
        connection.send(b"restore table")?;
        let answer = connection.answers(1)?.concat();
        if answer.starts_with(NOT_STICKD) {
            anyhow::bail!("{address} is no stickd: only a stickd restores entries, and teaches its HAProxys");
        }
        if answer.starts_with("Permission denied") {
            anyhow::bail!("{address} restores nothing: the socket needs \"level operator\" at least");
        }
        Ok(Self { connection, commands: Vec::new(), waiting: Vec::new() })
    }

    /// Sends what waits, and notes the answers.
    fn flush(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.connection.send(&self.commands)?;
        self.commands.clear();
        let count = self.waiting.iter().map(|row| row.commands).sum();
        let mut answers = self.connection.answers(count)?.into_iter();
        for Waiting { line, name, commands } in self.waiting.drain(..) {
            let mut put = Put::Whole;
            for answer in answers.by_ref().take(commands) {
                put = match (put, answer.strip_prefix(WITHOUT)) {
                    (Put::Refused(reason), _) => Put::Refused(reason),
                    (Put::Without(mut names), Some(more)) => {
                        names.extend(more.split(", ").map(str::to_owned));
                        Put::Without(names)
                    }
                    (_, Some(names)) => Put::Without(names.split(", ").map(str::to_owned).collect()),
                    (put, None) if answer.is_empty() => put,
                    (_, None) if answer == EXPIRED => Put::Expired,
                    (_, None) => Put::Refused(answer),
                };
            }
            outcome.note(line, &name, put);
        }
        Ok(())
    }
}

impl Target for Running {
    fn table(&mut self, _: &Head) {}

    fn put(&mut self, line: u64, row: &Row, age: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
        let (mut text, mut commands) = (Vec::new(), 0);
        let mut values = row.values.chunks(VALUES);
        loop {
            let some = values.next();
            if some.is_none() && commands > 0 {
                break;
            }
            command(&mut text, row, age, some.unwrap_or_default());
            commands += 1;
        }
        let name = RowName::of(row);
        if text.len() > LINE {
            let reason = format!("{} bytes of commands are too many for a runtime socket", text.len());
            outcome.note(line, &name, Put::Refused(reason));
            return Ok(());
        }
        if self.commands.len() + text.len() > LINE {
            self.flush(outcome)?;
        }
        if !self.commands.is_empty() {
            self.commands.push(b';');
        }
        self.commands.extend_from_slice(&text);
        self.waiting.push(Waiting { line, name, commands });
        Ok(())
    }

    fn finish(mut self: Box<Self>, outcome: &mut Outcome) -> anyhow::Result<()> {
        self.flush(outcome)
    }
}

/// Appends a command behind a semicolon.
fn command(text: &mut Vec<u8>, row: &Row, age: u64, values: &[(String, Field)]) {
    if !text.is_empty() {
        text.push(b';');
    }
    text.extend_from_slice(b"restore table");
    push_word(text, row.table.as_bytes());
    push_word(text, b"key");
    push_word(text, &row.key);
    for (name, number) in [("exp", row.exp), ("age", Some(age).filter(|&age| age > 0))] {
        if let Some(number) = number {
            push_word(text, name.as_bytes());
            push_word(text, number.to_string().as_bytes());
        }
    }
    for (name, field) in values {
        let value = match field {
            Field::Number(number) => number.to_string(),
            Field::Text(text) => text.clone().unwrap_or_else(|| "-".to_owned()),
        };
        push_word(text, format!("data.{name}").as_bytes());
        push_word(text, value.as_bytes());
    }
}
