//! The processes: two HAProxys of different releases that do not know each other, a hub between them.

use super::board;
use super::snapshot::Snapshot;
use crate::demo::cluster::title;
use crate::demo::paint::Paint;
use crate::demo::stage::Watched;
use std::net::SocketAddr;
use std::path::Path;
use stickd_testkit::haproxy::Config;
use stickd_testkit::ports::free_address;
use stickd_testkit::{HaproxyProcess, Release, Source, StickdProcess, stickd};

/// Requests of one client through all HAProxys together, while the sums are whole.
pub(super) const LIMIT: usize = 10;

/// Requests of one client through each HAProxy, while nobody knows the sums.
pub(super) const OWN_LIMIT: usize = 5;

/// Longest line of a configuration that is shown in one.
const WIDTH: usize = 88;

/// Where a HAProxy reads its client from.
const CLIENT: &str = "req.hdr_ip(x-key)";

/// The table of counts and that of their sums.
const ARGUMENTS: &str = "type ip size 10k expire 2m store http_req_cnt";

/// A hub and its nodes `lb1` and `lb2`. Dropping it kills the processes and removes their directories.
#[derive(Debug)]
pub(in crate::demo) struct Cluster {
    pub(super) hub: StickdProcess,
    pub(super) nodes: [HaproxyProcess; 2],
    section: String,
}

impl Cluster {
    /// Starts the hub and both HAProxys on free ports of the loopback.
    pub(in crate::demo) fn start(stickd: &Path) -> Self {
        let [hub, lb1, lb2] = [(); 3].map(|()| free_address());
        let section = format!(
            "aggregations data\n  peer hub {hub} local\n  peer lb1 {lb1}\n  peer lb2 {lb2}\n  \
             from any to .agg\n  status-table hub"
        );
        let global = format!(
            "global\n  localpeer hub\n  log stderr format plain info\n  stats socket unix@{} level admin\n",
            stickd::SOCKET
        );
        let process = StickdProcess::start(stickd, Some(&format!("{global}{section}\n")), &[]);
        let node = |release: &Release, name, own| HaproxyProcess::start(release, config(name, own, hub));
        Self {
            hub: process,
            nodes: [
                node(&Release::of(Source::DebianBookworm), "lb1", lb1),
                node(&Release::newest(), "lb2", lb2),
            ],
            section,
        }
    }

    /// The hub's section.
    pub(super) fn section(&self) -> &str {
        &self.section
    }

    /// The lines of lb1's configuration that count and limit, and its peers section, as they are but for line breaks.
    pub(super) fn rules(&self) -> String {
        let text = self.nodes[0].config().text("");
        let peers = text.lines().skip_while(|line| !line.starts_with("peers "));
        let peers = peers.enumerate().take_while(|(at, line)| *at == 0 || line.starts_with(' '));
        let rules = text.lines().filter(|line| line.contains("path_dir"));
        let broken =
            |line: &str| line.replace(" if {", " \\\n      if {").replace("} { req", "} \\\n         { req");
        let rules = rules.map(|line| if line.len() > WIDTH { broken(line) } else { line.to_owned() });
        let lines = peers.map(|(_, line)| line.to_owned()).chain(["frontend web".to_owned()]).chain(rules);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Ends every process that still runs by SIGTERM.
    pub(super) fn stop(&self) {
        self.nodes.iter().for_each(HaproxyProcess::stop);
        if self.hub.daemon().is_running() {
            self.hub.stop();
        }
    }
}

impl Watched for Cluster {
    type Snapshot = Snapshot;

    fn snapshot(&self) -> Snapshot {
        Snapshot::take(&[self.nodes[0].cli(), self.nodes[1].cli()], &self.hub.cli())
    }

    fn lines(&self, snapshot: &Snapshot, paint: Paint) -> Vec<String> {
        let titles = [
            title("lb1", &self.nodes[0]),
            title("lb2", &self.nodes[1]),
            format!("hub: stickd, pid {}", self.hub.pid()),
        ];
        board::lines(snapshot, &titles, paint)
    }
}

/// A client has [`LIMIT`] requests over all nodes while the hub says that its sums are whole, else [`OWN_LIMIT`] here.
/// A denied request is not counted.
fn config(name: &str, own: SocketAddr, hub: SocketAddr) -> Config {
    let whole = "{ str(complete),table_gpt0(p/hub) eq 1 }";
    Config::new(name)
        .http(free_address(), free_address())
        .peer(name, own)
        .peer("hub", hub)
        .peers_line(format!("table clients {ARGUMENTS}"))
        .peers_line(format!("table clients.agg {ARGUMENTS}"))
        .peers_line("table hub type string len 32 size 16 expire 3s store gpt0")
        .limit("shop", &format!("{whole} {{ {CLIENT},table_http_req_cnt(p/clients.agg) ge {LIMIT} }}"))
        .limit("shop", &format!("!{whole} {{ {CLIENT},table_http_req_cnt(p/clients) ge {OWN_LIMIT} }}"))
        .track("shop", CLIENT, "p/clients")
}
