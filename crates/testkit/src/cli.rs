//! A client of the runtime socket (`stats socket`), HAProxy's and stickd's alike.

use crate::dump::{self, TableDump};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest silence of the other side before a command counts as failed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where a runtime socket is; each command opens its own connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cli(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Cli {
    /// A socket in the file system.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Address::Unix(path.into()))
    }

    /// A socket on TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self(Address::Tcp(address))
    }

    /// Sends one line and returns everything the other side says until it closes.
    ///
    /// # Errors
    ///
    /// When nobody listens, or nothing comes for 20 s.
    pub fn try_run(&self, command: &str) -> io::Result<String> {
        match &self.0 {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, command)
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, command)
            }
        }
    }

    /// [`Self::try_run`] for a test.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    #[track_caller]
    pub fn run(&self, command: &str) -> String {
        self.try_run(command).unwrap_or_else(|error| panic!("`{command}` on {self}: {error}"))
    }

    /// Sends a command that prints nothing on success, such as `set table`.
    ///
    /// # Panics
    ///
    /// When there is no answer or the answer has text.
    #[track_caller]
    pub fn quiet(&self, command: &str) {
        let answer = self.run(command);
        assert!(answer.trim().is_empty(), "`{command}` on {self} was answered: {}", answer.trim());
    }

    /// `show table <name>`, parsed.
    ///
    /// # Panics
    ///
    /// When there is no such table or the answer cannot be parsed.
    #[track_caller]
    pub fn table(&self, name: &str) -> TableDump {
        let answer = self.run(&format!("show table {name}"));
        dump::parse(&answer)
            .ok()
            .and_then(|mut tables| tables.pop())
            .unwrap_or_else(|| panic!("`show table {name}` on {self} was answered: {answer}"))
    }

    /// As [`table`](Self::table), or `None` when there is no such table: a hub makes its tables when a node defines them.
    pub fn find_table(&self, name: &str) -> Option<TableDump> {
        dump::parse(&self.run(&format!("show table {name}"))).ok()?.pop()
    }

    /// A field of `show info`, or `None` when nobody answers or the field is missing.
    pub fn info(&self, field: &str) -> Option<String> {
        let answer = self.try_run("show info").ok()?;
        answer.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(": ")?.trim().to_owned()))
    }
}

impl fmt::Display for Cli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Unix(path) => path.display().fmt(f),
            Address::Tcp(address) => address.fmt(f),
        }
    }
}

fn exchange(mut stream: impl Read + Write, command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::net::TcpListener;
    use std::thread;

    /// Answers one connection with `answer` and returns what was asked.
    fn serve(answer: &'static str) -> (Cli, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cli = Cli::tcp(listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            io::BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            line
        });
        (cli, server)
    }

    #[test]
    fn one_command_per_connection() {
        let (cli, server) = serve("Name: HAProxy\nPid: 17\n\n");
        assert_eq!(cli.info("Pid").as_deref(), Some("17"));
        assert_eq!(server.join().unwrap(), "show info\n");
    }

    #[test]
    #[should_panic(expected = "was answered: No such table")]
    fn an_error_text_is_not_quiet() {
        let (cli, _server) = serve("No such table\n\n");
        cli.quiet("set table nope key 1 data.gpc0 1");
    }
}
