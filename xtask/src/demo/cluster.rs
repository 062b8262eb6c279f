//! The processes of the demonstration: two HAProxys of different releases, stickd between them.

use super::board;
use super::paint::Paint;
use super::snapshot::{Snapshot, TABLE, View};
use super::stage::Watched;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use stickd_testkit::haproxy::Config;
use stickd_testkit::ports::free_address;
use stickd_testkit::{Cli, HaproxyProcess, Release, Source, StickdProcess, stickd};

/// The table's line, the same at every member. Long enough for nothing to expire while we watch.
const ARGUMENTS: &str = "type ip size 10k expire 2m store http_req_cnt,http_req_rate(10s),gpc0";

/// Three peers of one section. Dropping it kills the processes and removes their directories.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) lb1: HaproxyProcess,
    pub(super) lb2: HaproxyProcess,
    pub(super) stickd: StickdProcess,
    stickd_config: String,
    addresses: [(&'static str, SocketAddr); 3],
}

impl Cluster {
    /// Starts stickd and both HAProxys on free ports of the loopback.
    pub(super) fn start(stickd: &Path) -> Self {
        let addresses = ["lb1", "lb2", "stickd"].map(|name| (name, free_address()));
        let stickd_config = stickd_config(&addresses);
        Self {
            stickd: StickdProcess::start(stickd, Some(&stickd_config), &[]),
            lb1: HaproxyProcess::start(&Release::of(Source::DebianBookworm), config("lb1", &addresses)),
            lb2: HaproxyProcess::start(&Release::newest(), config("lb2", &addresses)),
            stickd_config,
            addresses,
        }
    }

    /// The peers section, which every member has.
    pub(super) fn section(&self) -> String {
        section(&self.addresses)
    }

    /// What stands above each member's part of the live table.
    fn titles(&self) -> Vec<String> {
        vec![title("lb1", &self.lb1), title("lb2", &self.lb2), format!("stickd, pid {}", self.stickd.pid())]
    }

    /// Starts another stickd that takes over, and returns the one before, which teaches it and ends.
    pub(super) fn hand_over(&mut self) -> anyhow::Result<stickd_testkit::Daemon> {
        Ok(self.stickd.replace(Some(&self.stickd_config), &[])?)
    }

    /// Ends every process as a power cut does.
    pub(super) fn kill_all(&self) {
        self.lb1.kill9();
        self.lb2.kill9();
        self.stickd.daemon().kill9();
    }

    /// Starts stickd where it was killed.
    pub(super) fn start_stickd_again(&mut self) {
        self.stickd.restart(Some(&self.stickd_config), &[]);
    }

    /// Runtime sockets by member.
    pub(super) fn sockets(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("lb1", self.lb1.directory().join("haproxy.sock")),
            ("lb2", self.lb2.directory().join("haproxy.sock")),
            ("stickd", self.stickd.directory().join(stickd::SOCKET)),
        ]
    }

    /// Ends every process by SIGTERM.
    pub(super) fn stop(&self) {
        self.lb1.stop();
        self.lb2.stop();
        self.stickd.stop();
    }
}

impl Watched for Cluster {
    type Snapshot = Snapshot;

    /// Asks every member what it holds.
    fn snapshot(&self) -> Snapshot {
        let members = [("lb1", self.lb1.cli()), ("lb2", self.lb2.cli()), ("stickd", self.stickd.cli())];
        Snapshot(members.iter().map(|(name, cli): &(_, Cli)| View::take(name, cli)).collect())
    }

    fn lines(&self, snapshot: &Snapshot, paint: Paint) -> Vec<String> {
        board::lines(snapshot, &self.titles(), paint)
    }
}

/// What stands above a HAProxy's part of a live table.
pub(super) fn title(name: &str, process: &HaproxyProcess) -> String {
    let version = process.release().version().split(['-', '+']).next().unwrap_or_default();
    format!("{name}: HAProxy {version}")
}

fn section(addresses: &[(&str, SocketAddr)]) -> String {
    let peers = addresses.iter().map(|(name, address)| format!("\n  peer {name} {address}"));
    format!("peers p{}", peers.collect::<String>())
}

/// HAProxy counts a request of `/shop` for its client, and one of `/login` in gpc0 too.
fn config(name: &str, addresses: &[(&str, SocketAddr)]) -> Config {
    let client = "req.hdr_ip(x-key)";
    let config = Config::new(name)
        .http(free_address(), free_address())
        .table(TABLE, ARGUMENTS)
        .track("shop", client, TABLE)
        .track("login", client, TABLE)
        .rule("login", "sc-inc-gpc0(0)");
    addresses.iter().fold(config, |config, &(name, address)| config.peer(name, address))
}

fn stickd_config(addresses: &[(&str, SocketAddr)]) -> String {
    format!(
        "global\n  localpeer stickd\n  state state every 100ms\n  log stderr format plain info\n  stats socket unix@{} level admin\n{}\n\
         backend {TABLE}\n  stick-table {ARGUMENTS} peers p\n",
        stickd::SOCKET,
        section(addresses)
    )
}
