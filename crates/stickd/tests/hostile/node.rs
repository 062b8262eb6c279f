//! The daemon under attack.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stickd_testkit::stickd::{SOCKET, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// A stickd that relays between the peers `honest1` and `honest2`, and knows `evil`. Nobody listens where it calls them.
pub(crate) struct Node {
    pub(crate) stickd: StickdProcess,
    pub(crate) bind: SocketAddr,
}

impl Node {
    /// With more lines of `global` and of the peers section.
    pub(crate) fn start(global: &str, section: &str) -> Self {
        let (bind, nobody) = (ports::free_address(), ports::free_address());
        let peers: String =
            ["honest1", "honest2", "evil"].map(|name| format!("  server {name} {nobody}\n")).concat();
        let text = format!(
            "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n{global}\n\
             peers p\n  bind {bind}\n  server stickd\n  relay\n{peers}{section}\n"
        );
        let text = text + &table("t", "type integer size 200k expire 1h store gpc0,server_key");
        Self { stickd: StickdProcess::start(STICKD, Some(&text), &[]), bind }
    }

    /// A number of `show info`, which has to be answered at once, attack or not.
    #[track_caller]
    pub(crate) fn info(&self, field: &str) -> u64 {
        let started = Instant::now();
        let value = self.stickd.cli().info(field).unwrap_or_else(|| panic!("no {field} in show info"));
        assert!(started.elapsed() < Duration::from_secs(5), "show info took {:?}", started.elapsed());
        value.parse().unwrap_or_else(|_| panic!("{field}: {value}"))
    }

    /// Waits until a number of `show info` is as wanted.
    #[track_caller]
    pub(crate) fn wait_info(&self, field: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let state = || format!("{}\n{}", self.stickd.cli().run("show info"), self.log());
        wait::until_or(SOON, field, state, || Some(self.info(field)).filter(|&value| wanted(value)))
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.stickd.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.stickd.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        // User and system time in ticks of 10 ms.
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(10 * ticks)
    }

    pub(crate) fn log(&self) -> String {
        self.stickd.daemon().log()
    }

    /// Waits for a line of the log with a text: it must come, and once. A closed connection is seen before its line.
    #[track_caller]
    pub(crate) fn logged_once(&self, text: &str) {
        wait::until_or(SOON, "a line of the log", || self.log(), || (self.logged(text) > 0).then_some(()));
        assert_eq!(self.logged(text), 1, "{text}: {}", self.log());
    }

    /// Lines of the log with a text, so far.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }
}
