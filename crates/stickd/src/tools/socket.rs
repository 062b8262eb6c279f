//! A client of a runtime socket, stickd's or HAProxy's.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longest silence of the other side.
const SILENCE: Duration = Duration::from_secs(30);

/// Where a runtime socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(String),
}

/// A connection.
pub(super) struct Connection {
    input: BufReader<Box<dyn Read>>,
    output: Box<dyn Write>,
    address: Address,
}

impl Address {
    /// Reads `PATH`, `unix@PATH`, `HOST:PORT`, or the latter with `ipv4@` or `ipv6@` before it.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let tcp = ["ipv4@", "ipv6@"].into_iter().find_map(|prefix| text.strip_prefix(prefix));
        if let Some(address) = tcp {
            return Ok(Self::Tcp(address.to_owned()));
        }
        let path = text.strip_prefix("unix@");
        let port = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        match (path, port) {
            (Some(path), _) => Ok(Self::Unix(path.into())),
            (None, Some(_)) if !Path::new(text).exists() => Ok(Self::Tcp(text.to_owned())),
            (None, _) if Path::new(text).exists() => Ok(Self::Unix(text.into())),
            (None, _) => bail!("{text}: there is no such directory or socket; write a path, or HOST:PORT"),
        }
    }

    /// Connects.
    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        let (input, output) = self.open().with_context(|| format!("cannot connect to {self}"))?;
        Ok(Connection { input: BufReader::with_capacity(64 << 10, input), output, address: self.clone() })
    }

    fn open(&self) -> io::Result<(Box<dyn Read>, Box<dyn Write>)> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                Ok((Box::new(stream.try_clone()?), Box::new(stream)))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream.try_clone()?), Box::new(stream)))
            }
        }
    }

    /// Sends one command and calls `visit` with each line of the answer, until the other side closes.
    pub(super) fn ask(
        &self,
        command: &[u8],
        mut visit: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        connection.send(command)?;
        let mut line = Vec::new();
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Ok(());
            }
            visit(&line)?;
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

impl Connection {
    /// Asks for a prompt, so that the connection stays open.
    pub(super) fn keep_open(&mut self) -> anyhow::Result<()> {
        self.send(b"prompt")?;
        self.answers(1).map(|_| ())
    }

    /// Sends a line.
    pub(super) fn send(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let address = self.address.clone();
        let mut send = || {
            self.output.write_all(line)?;
            self.output.write_all(b"\n")?;
            self.output.flush()
        };
        send().with_context(|| format!("cannot write to {address}"))
    }

    /// The answers to `count` commands of a line, and the prompt behind them.
    pub(super) fn answers(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut answers = Vec::with_capacity(count);
        let (mut answer, mut line) = (String::new(), Vec::new());
        while answers.len() < count {
            line.clear();
            if self.read_line(&mut line)? == 0 {
                bail!("{} closed the connection", self.address);
            }
            match line.trim_ascii_end() {
                b"" => answers.push(std::mem::take(&mut answer)),
                text => {
                    if !answer.is_empty() {
                        answer.push('\n');
                    }
                    answer.push_str(&String::from_utf8_lossy(text));
                }
            }
        }
        let mut prompt = [0; 2];
        self.input.read_exact(&mut prompt).with_context(|| format!("no prompt from {}", self.address))?;
        if prompt != *b"> " {
            bail!("{} answers in a form that is not known: a prompt was expected", self.address);
        }
        Ok(answers)
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> anyhow::Result<usize> {
        self.input.read_until(b'\n', line).with_context(|| format!("no answer from {}", self.address))
    }
}

/// A word of a command, its special characters escaped.
pub(super) fn push_word(command: &mut Vec<u8>, word: &[u8]) {
    command.push(b' ');
    for &byte in word {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\\' | b';') {
            command.push(b'\\');
        }
        command.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a:1");
        std::fs::write(&path, "").unwrap();
        let text = path.display().to_string();
        assert_eq!(Address::parse(&text).unwrap(), Address::Unix(path));
        for (text, address) in [
            ("127.0.0.1:99", Address::Tcp("127.0.0.1:99".to_owned())),
            ("ipv4@127.0.0.1:99", Address::Tcp("127.0.0.1:99".to_owned())),
            ("[::1]:99", Address::Tcp("[::1]:99".to_owned())),
            ("unix@/run/x", Address::Unix("/run/x".into())),
        ] {
            assert_eq!(Address::parse(text).unwrap(), address);
        }
        assert!(Address::parse("/no/such/socket").unwrap_err().to_string().contains("there is no such"));
    }

    #[test]
    fn words_are_escaped() {
        let mut command = b"key".to_vec();
        push_word(&mut command, b"a b;c\\d\n");
        assert_eq!(command, br"key a\ b\;c\\d\".iter().chain(b"\n").copied().collect::<Vec<_>>());
    }
}
