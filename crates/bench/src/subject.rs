//! What is measured: a HAProxy or stickd, started afresh for each round.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use haproxy_peers::Control;
use stickd_testkit::wait::SOON;
use stickd_testkit::{Cli, Config, Daemon, Release, StickdProcess, haproxy, ports, stickd};

use crate::learn::attempt;
use crate::link::{Link, Received};
use crate::refuser;
use crate::usage::Watched;

/// The peers that the driver can be.
pub(crate) const DRIVERS: [&str; 4] = ["driver", "second", "verifier", "probe"];

/// How long a session must last to count as established for good.
const SETTLED: Duration = Duration::from_millis(300);
/// How often to connect for that.
const ATTEMPTS: usize = 5;

/// Name of the subject in the peers section, the same for all.
const NAME: &str = "stickd";

/// A program that can be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) kind: Kind,
    /// As `-v` or `--version` prints it.
    pub(crate) version: String,
    program: PathBuf,
    /// `nbthread`; stickd takes as many threads as there are cores.
    threads: u32,
}

/// What a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Stickd,
}

/// What a subject is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Names with arguments.
    pub(crate) tables: Vec<(String, String)>,
    /// Peers besides [`DRIVERS`].
    pub(crate) peers: Vec<String>,
    /// Further lines of stickd's peers section.
    pub(crate) section_lines: Vec<String>,
}

/// A running subject. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Subject {
    process: Process,
    address: SocketAddr,
    pub(crate) usage: Watched,
}

#[derive(Debug)]
enum Process {
    Haproxy(Node),
    Stickd(StickdProcess),
}

/// A running HAProxy of any configuration. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) cli: Cli,
    pub(crate) usage: Watched,
    _daemon: Daemon,
    // Last: the directory goes when the process is gone.
    _dir: tempfile::TempDir,
}

impl Candidate {
    /// A HAProxy that the set-up made ready.
    pub(crate) fn of_release(release: &Release) -> Self {
        Self::haproxy(release.version().to_owned(), release.program())
    }

    /// Any other HAProxy.
    pub(crate) fn haproxy_at(program: &Path) -> Result<Self> {
        let printed = printed(program, "-v")?;
        let version = haproxy::version_in(&printed)
            .with_context(|| format!("`{} -v` printed no version: {printed}", program.display()))?;
        Ok(Self::haproxy(version.to_owned(), program.canonicalize()?))
    }

    fn haproxy(version: String, program: PathBuf) -> Self {
        Self { kind: Kind::Haproxy, version, program, threads: 1 }
    }

    /// The stickd to be measured.
    pub(crate) fn stickd_at(program: &Path) -> Result<Self> {
        let printed = printed(program, "--version")?;
        let version = printed.strip_prefix("stickd ").unwrap_or(&printed).trim().to_owned();
        let program = program.canonicalize()?;
        Ok(Self { kind: Kind::Stickd, version, program, threads: 0 })
    }

    /// The same HAProxy with more threads.
    pub(crate) fn with_threads(&self, threads: u32) -> Self {
        Self { threads, ..self.clone() }
    }

    /// Short name in tables.
    pub(crate) fn label(&self) -> String {
        let number = self.version.split(['-', '+', ' ']).next().unwrap_or(&self.version);
        match (self.kind, self.threads) {
            (Kind::Stickd, _) => "stickd".to_owned(),
            (Kind::Haproxy, 1) => format!("HAProxy {number}"),
            (Kind::Haproxy, threads) => format!("HAProxy {number}, nbthread {threads}"),
        }
    }

    /// How often a round may be begun: HAProxy now and then ends a session (see [`Broken`](crate::link::Broken)), stickd
    /// must not.
    pub(crate) fn attempts(&self) -> usize {
        match self.kind {
            Kind::Haproxy => 3,
            Kind::Stickd => 1,
        }
    }

    /// Whether it takes this configuration; for what only some versions have.
    pub(crate) fn accepts(&self, setup: &Setup) -> Result<bool> {
        let file = tempfile::NamedTempFile::with_suffix(".cfg")?;
        fs::write(file.path(), Self::stickd_config(ports::free_address(), setup)?)?;
        let checked = Command::new(&self.program).args(["check", "-f"]).arg(file.path()).output()?;
        Ok(checked.status.success())
    }

    /// Starts it.
    pub(crate) fn start(&self, setup: &Setup) -> Result<Subject> {
        let address = ports::free_address();
        let (process, pid) = match self.kind {
            Kind::Haproxy => self.start_haproxy(address, setup)?,
            Kind::Stickd => {
                let process = self.start_stickd(&Self::stickd_config(address, setup)?)?;
                let pid = process.pid();
                (Process::Stickd(process), pid)
            }
        };
        Ok(Subject { process, address, usage: Watched(pid) })
    }

    fn start_haproxy(&self, address: SocketAddr, setup: &Setup) -> Result<(Process, u32)> {
        let mut config = Config::new(NAME).threads(self.threads).peer(NAME, address);
        for (peer, address) in peers(setup)? {
            config = config.peer(peer, address);
        }
        for (name, arguments) in &setup.tables {
            config = config.table(name, arguments);
        }
        let node = self.start_node(&config)?;
        let pid = node.usage.0;
        Ok((Process::Haproxy(node), pid))
    }

    /// Starts this HAProxy with a configuration of its own.
    pub(crate) fn start_node(&self, config: &Config) -> Result<Node> {
        let dir = tempfile::Builder::new().prefix("stickd-bench-").tempdir()?;
        let (file, socket) = (dir.path().join("haproxy.cfg"), dir.path().join("haproxy.sock"));
        let text = config.text(&socket.display().to_string());
        fs::write(&file, &text)?;
        let mut command = Command::new(&self.program);
        command.args(["-db", "-L", config.name(), "-f"]).arg(&file).current_dir(dir.path());
        let cli = Cli::unix(socket);
        let daemon = Daemon::spawn(self.label(), &mut command, dir.path().join("haproxy.log"))?
            .wait_ready(&cli, SOON)
            .map_err(|ended| anyhow::anyhow!("{} {ended}\nits configuration:\n{text}", self.label()))?;
        let usage = Watched(daemon.pid());
        Ok(Node { cli, usage, _daemon: daemon, _dir: dir })
    }

    /// Starts this stickd with a configuration of its own.
    pub(crate) fn start_stickd(&self, config: &str) -> Result<StickdProcess> {
        StickdProcess::try_start(&self.program, Some(config), &[])
            .map_err(|ended| anyhow::anyhow!("stickd {ended}\nits configuration:\n{config}"))
    }

    fn stickd_config(address: SocketAddr, setup: &Setup) -> Result<String> {
        let mut config = stickd::config(address, &peers(setup)?);
        for line in &setup.section_lines {
            config.push_str(&format!("  {line}\n"));
        }
        for (name, arguments) in &setup.tables {
            config.push_str(&stickd::table(name, arguments));
        }
        Ok(config)
    }
}

/// The peers the driver can be, with where the subject looks for them.
fn peers(setup: &Setup) -> Result<Vec<(&str, SocketAddr)>> {
    let address = refuser::address()?;
    Ok(DRIVERS
        .into_iter()
        .chain(setup.peers.iter().map(String::as_str))
        .map(|name| (name, address))
        .collect())
}

fn printed(program: &Path, option: &str) -> Result<String> {
    let name = program.display();
    let output = Command::new(program).arg(option).output().with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "`{name} {option}` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Subject {
    /// Opens a session as peer `own`; see [`Link::connect`].
    pub(crate) fn connect(&self, own: &str, empty_lesson: Option<&[u8]>) -> Result<Link> {
        Link::connect(self.address, NAME, own, empty_lesson)
    }

    /// [`Self::connect`], once more when the subject ends the session within a moment. Its request for a lesson has come
    /// then, if it has one.
    pub(crate) fn connect_settled(&self, own: &str, empty_lesson: Option<&[u8]>) -> Result<Link> {
        attempt(ATTEMPTS, || {
            let mut link = self.connect(own, empty_lesson)?;
            link.listen(SETTLED)?;
            Ok(link)
        })
    }

    /// Everything it holds, told to the peer `verifier`; `room` bytes will do for it.
    pub(crate) fn lesson(&self, empty_lesson: &[u8], room: usize) -> Result<Received> {
        attempt(ATTEMPTS, || {
            let mut link = self.connect_settled("verifier", Some(empty_lesson))?;
            link.make_ready(room)?;
            let received = link.learn()?;
            link.say(Control::ResyncConfirm)?;
            Ok(received)
        })
    }

    /// Where it listens for peers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its runtime socket.
    pub(crate) fn cli(&self) -> Cli {
        match &self.process {
            Process::Haproxy(node) => node.cli.clone(),
            Process::Stickd(process) => process.cli(),
        }
    }

    /// How many entries it says a table holds.
    pub(crate) fn used(&self, table: &str) -> Result<u64> {
        let answer = self.cli().try_run("show table")?;
        let line = answer.lines().find(|line| line.starts_with(&format!("# table: {table},")));
        let used = line.and_then(|line| line.split_once("used:")?.1.trim().parse().ok());
        used.with_context(|| format!("`show table` does not say what {table} holds: {answer}"))
    }
}
