//! Scripts made for HAProxy's runtime socket, unchanged: socat and two public Python clients.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::{Cli, StickdProcess, cache, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// A stickd with a table, a socket of each level, and one on TCP.
struct Node {
    stickd: StickdProcess,
    tcp: SocketAddr,
}

impl Node {
    fn start() -> Self {
        let tcp = ports::free_address();
        let more = format!(
            "global\n  stats socket unix@operator.sock level operator\n  stats socket unix@user.sock level user\n  \
             stats socket {tcp} level admin\n"
        );
        let text = more
            + &config(ports::free_address(), &[("A", ports::free_address())])
            + &table("t_ip", "type ip size 1k expire 1h store gpc0,conn_rate(10s)")
            + &table("t_str", "type string len 64 size 2k expire 30m store server_id");
        let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        stickd.cli().quiet("set table t_ip key 192.0.2.1 data.gpc0 7");
        stickd.cli().quiet("set table t_ip key 192.0.2.2 data.gpc0 8");
        Self { stickd, tcp }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.stickd.directory().join(name)
    }

    /// `echo '<commands>' | socat - UNIX-CONNECT:<socket>`.
    fn socat(&self, commands: &str) -> String {
        let address = format!("UNIX-CONNECT:{}", self.socket(SOCKET).display());
        socat(&address, commands)
    }

    /// Runs a Python script with the socket's path as its argument.
    fn python(&self, script: &str) -> String {
        let mut command = Command::new(cache::python_program("python"));
        output(command.args(["-c", script]).arg(self.socket(SOCKET)), "")
    }
}

fn socat(address: &str, commands: &str) -> String {
    output(Command::new("socat").args(["-t", "10", "-", address]), &format!("{commands}\n"))
}

/// Runs a program and returns its standard output.
#[track_caller]
fn output(command: &mut Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

#[test]
fn socat_runs_one_command() {
    let node = Node::start();
    let table = node.socat("show table t_ip");
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "# table: t_ip, type: ip, size:1024, used:2");
    assert!(lines[1].contains(": key=192.0.2.1 use=0 exp="), "{table}");
    assert!(lines[1].ends_with(" gpc0=7 conn_rate(10000)=0"), "{table}");
    assert!(table.ends_with("\n\n"), "an empty line ends an answer: {table:?}");
    let filtered = node.socat("show table t_ip data.gpc0 gt 7");
    assert!(filtered.contains("key=192.0.2.2 ") && !filtered.contains("key=192.0.2.1 "), "{filtered}");
    assert!(node.socat("show table t_none").contains("No such table"));
    assert!(node.socat("no such command").contains("Unknown command"));
}

#[test]
fn socat_runs_several_commands_of_a_line() {
    let node = Node::start();
    let answers = node
        .socat("set table t_ip key 192.0.2.3 data.gpc0 9; clear table t_ip key 192.0.2.1;show table t_ip");
    assert!(answers.contains("used:2"), "{answers}");
    assert!(answers.contains("key=192.0.2.3 ") && !answers.contains("key=192.0.2.1 "), "{answers}");
    let answers = node.socat("show info; show table");
    assert!(answers.contains(&format!("Pid: {}\n", node.stickd.pid())), "{answers}");
    assert!(answers.contains("# table: t_str, type: string, size:2048, used:0"), "{answers}");
}

#[test]
fn socat_talks_at_the_prompt() {
    let node = Node::start();
    let answers = node
        .socat("prompt\nshow table t_ip\nset table t_ip key 192.0.2.4 data.gpc0 1\nshow table t_ip\nquit");
    assert!(answers.matches("\n> ").count() >= 3, "{answers}");
    assert!(answers.contains("used:2") && answers.contains("used:3"), "{answers}");
}

#[test]
fn socat_reaches_the_socket_on_tcp() {
    let node = Node::start();
    let info = socat(&format!("TCP:{}", node.tcp), "show info");
    assert!(info.contains(&format!("Pid: {}\n", node.stickd.pid())), "{info}");
    assert_eq!(Cli::tcp(node.tcp).table("t_ip").values(), node.stickd.table("t_ip").values());
}

/// A client that closes its sending side at once gets its answer all the same, as `socat` and `nc -N` rely on.
#[test]
fn a_half_closed_connection_is_answered() {
    let node = Node::start();
    let mut stream = std::os::unix::net::UnixStream::connect(node.socket(SOCKET)).unwrap();
    stream.write_all(b"show table t_ip\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("used:2"), "{answer}");
}

#[test]
fn levels_limit_what_a_socket_may() {
    let node = Node::start();
    let (operator, user) = (Cli::unix(node.socket("operator.sock")), Cli::unix(node.socket("user.sock")));
    for side in [&operator, &user] {
        assert_eq!(side.info("Pid"), Some(node.stickd.pid().to_string()));
    }
    let before = node.stickd.table("t_ip").values().len();
    for command in ["set table t_ip key 192.0.2.9 data.gpc0 1", "clear table t_ip"] {
        let answer = user.run(command);
        assert!(answer.contains("Permission denied"), "{command}: {answer}");
    }
    assert_eq!(node.stickd.table("t_ip").values().len(), before);
    // Nobody gets more than the socket gives.
    assert!(user.run("show cli level").contains("user"));
    assert!(operator.run("show cli level").contains("operator"));
    assert!(node.stickd.cli().run("show cli level").contains("admin"));
}

/// haproxyadmin talks to nothing that does not name itself HAProxy in `show info`, and stickd does not claim to be one;
/// past that check everything it asks is answered.
#[test]
fn haproxyadmin_is_answered() {
    let node = Node::start();
    let script = "\
import sys
from haproxyadmin import haproxy
haproxy.connected_socket = lambda path, timeout: True
h = haproxy.HAProxy(socket_file=sys.argv[1])
print(h.processids)
print(h.command('show table t_ip'))
print(h.command('show info'))
print(h.uptimesec, h.nodename)
";
    let text = node.python(script);
    assert!(text.starts_with(&format!("['{}']", node.stickd.pid())), "{text}");
    for part in ["gpc0=7", "gpc0=8", "Uptime_sec: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn haproxy_cli_is_answered() {
    let node = Node::start();
    let mut command = Command::new(cache::python_program("haproxy-cli"));
    let text = output(command.args(["--command", "info", "--socket"]).arg(node.socket(SOCKET)), "");
    assert!(text.contains(&format!("Pid: {}", node.stickd.pid())), "{text}");
}
