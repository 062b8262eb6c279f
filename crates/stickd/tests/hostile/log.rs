//! A log that nobody reads.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, ports};

use crate::attack::{ELSEWHERE, connect_from, hello};
use crate::node::Node;

/// Lines that strangers may cause at once are 100; all of them are more than fits the pipe.
const VISITORS: usize = 200;
/// A process that ends takes no longer, whoever reads its log.
const END: Duration = Duration::from_secs(5);

/// A stickd whose standard error is a pipe of 4 KiB.
struct Unread {
    child: Child,
    bind: SocketAddr,
    /// The reading end.
    log: Option<OwnedFd>,
    directory: tempfile::TempDir,
}

impl Unread {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bind = ports::free_address();
        let text = config(bind, &[("A", ports::free_address())]) + &table("t", "type ip size 1k store gpc0");
        std::fs::write(directory.path().join("stickd.cfg"), text).unwrap();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(fcntl_setpipe_size(&writer, 4096).unwrap(), 4096);
        let child = Command::new(env!("CARGO_BIN_EXE_stickd"))
            .args(["run", "-f", "stickd.cfg"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(writer))
            .spawn()
            .unwrap();
        let stickd = Self { child, bind, log: Some(reader), directory };
        wait::until(SOON, "show info", || stickd.cli().info("Pid"));
        stickd
    }

    fn cli(&self) -> Cli {
        Cli::unix(self.directory.path().join(SOCKET))
    }

    /// Strangers, each under another name, get their answers.
    fn visit(&self) {
        for number in 0..VISITORS {
            let mut stream = TcpStream::connect(self.bind).unwrap();
            stream.set_read_timeout(Some(END)).unwrap();
            assert_eq!(hello(&mut stream, &format!("stranger{number}")), "504\n", "visitor {number}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let mut stickd = Unread::start();
    stickd.visit();
    let asked = Instant::now();
    let refused = stickd.cli().info("Stickd_refused_connections");
    assert_eq!(refused, Some(VISITORS.to_string()));
    assert!(asked.elapsed() < END, "show info took {:?}", asked.elapsed());
    let asked = Instant::now();
    stickd.signal(Signal::TERM);
    let status = wait::until(SOON, "the end", || stickd.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < END, "the end took {:?}", asked.elapsed());
}

/// Once somebody reads, the lines that waited come, in order and whole.
#[test]
fn lines_wait_for_their_reader() {
    let mut stickd = Unread::start();
    stickd.visit();
    let mut reader = File::from(stickd.log.take().unwrap());
    let text = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    stickd.signal(Signal::TERM);
    wait::until(SOON, "the end", || stickd.child.try_wait().unwrap());
    let text = text.join().unwrap();
    let refused: Vec<_> = text.lines().filter(|line| line.contains("refused an unknown peer")).collect();
    assert!(refused.len() >= 100, "{text}");
    for (number, line) in refused.iter().take(100).enumerate() {
        assert!(line.contains(&format!("peer=\"stranger{number}\"")), "{line}");
    }
    assert!(text.ends_with("stopped\n"), "{text}");
}

/// Strangers cause lines without end, or an operator asks for the state again and again.
#[test]
fn lost_lines_are_counted_and_reported() {
    let mut stickd = Unread::start();
    wait::until(SOON, "lost lines", || {
        stickd.signal(Signal::HUP);
        let lost: u64 = stickd.cli().info("Stickd_log_lines_lost")?.parse().unwrap();
        (lost > 0).then_some(())
    });
    let number = |field| stickd.cli().info(field).unwrap().parse::<u64>().unwrap();
    assert!(number("Stickd_log_bytes") <= number("Stickd_log_bytes_limit"));
    let mut reader = File::from(stickd.log.take().unwrap());
    let (mut text, mut part) = (Vec::new(), vec![0; 4096]);
    let reported = b"the log lost lines";
    while !text.windows(reported.len()).any(|words| words == reported) {
        let count = reader.read(&mut part).unwrap();
        assert!(count > 0, "the process ended");
        text.extend_from_slice(&part[..count]);
    }
    assert!(text.len() > 500_000, "{} bytes", text.len());
}

/// With `log stderr err` a stranger's warnings are not written, so they use up nothing and none is left out.
#[test]
fn lines_below_the_level_cost_nothing() {
    let node = Node::start("  log stderr format raw err\n", "");
    for number in 0..VISITORS {
        let mut stream = connect_from(ELSEWHERE, node.bind);
        assert_eq!(hello(&mut stream, &format!("stranger{number}")), "504\n");
    }
    assert_eq!(node.info("Stickd_refused_connections"), VISITORS as u64);
    assert_eq!(node.info("Stickd_log_lines_left_out"), 0);
    assert_eq!(node.log(), "");
}
