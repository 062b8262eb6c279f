//! The processes: three HAProxys of different releases and two stickds, a full mesh.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{
    Cli, Config, Daemon, HaproxyProcess, Release, Signal, Source, StickdProcess, TableDump, dump, ports,
};

use crate::kind::Kind;
use crate::links::Links;

/// Members of the section.
pub(crate) const MEMBERS: usize = 5;
/// The first of them are HAProxys, the others stickds.
pub(crate) const HAPROXYS: usize = 3;
/// Their names.
pub(crate) const NAMES: [&str; MEMBERS] = ["ha1", "ha2", "ha3", "st1", "st2"];

/// Whether a member is a HAProxy.
pub(crate) fn is_haproxy(member: usize) -> bool {
    member < HAPROXYS
}

/// A member's process.
#[derive(Debug)]
pub(crate) enum Process {
    /// A HAProxy.
    Haproxy(HaproxyProcess),
    /// A stickd with its configuration.
    Stickd(StickdProcess, String),
}

/// All processes. Dropping it kills them and removes their directories.
#[derive(Debug)]
pub(crate) struct Cluster {
    members: Vec<Process>,
}

/// A table of a member at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Just before it was asked for.
    pub(crate) before: Instant,
    /// When the answer was there.
    pub(crate) after: Instant,
    /// What it has.
    pub(crate) table: TableDump,
}

impl Cluster {
    /// Starts all of them, joined by `links`; `seed` chooses which of the releases at hand stays out.
    pub(crate) fn start(stickd: &Path, seed: u64, own: &[SocketAddr], links: &Links) -> Result<Self> {
        let absent = seed as usize % Source::ALL.len();
        let sources = Source::ALL.iter().enumerate().filter(|(place, _)| *place != absent);
        let mut members = Vec::new();
        for (member, (_, source)) in sources.enumerate() {
            let config = haproxy_config(member, own, links);
            members.push(Process::Haproxy(HaproxyProcess::start(&Release::of(*source), config)));
        }
        for (member, name) in NAMES.iter().enumerate().skip(HAPROXYS) {
            let config = stickd_config(member, own, links);
            let process = StickdProcess::try_start(stickd, Some(&config), &[])
                .with_context(|| format!("cannot start {name}"))?;
            members.push(Process::Stickd(process, config));
        }
        Ok(Self { members })
    }

    /// A member's name with what it is, e.g. `ha1 (HAProxy 2.6.12)`.
    pub(crate) fn title(&self, member: usize) -> String {
        let what = match &self.members[member] {
            Process::Haproxy(process) => {
                let version = process.release().version().split(['-', '+']).next().unwrap_or_default();
                format!("HAProxy {version}")
            }
            Process::Stickd(..) => "stickd".to_owned(),
        };
        format!("{} ({what})", NAMES[member])
    }

    /// Where a HAProxy serves HTTP; `None` of a stickd.
    pub(crate) fn http_address(&self, member: usize) -> Option<SocketAddr> {
        match &self.members[member] {
            Process::Haproxy(process) => Some(process.http_address()),
            Process::Stickd(..) => None,
        }
    }

    /// A member's runtime socket, whose path stays the same over restarts.
    pub(crate) fn cli(&self, member: usize) -> Cli {
        match &self.members[member] {
            Process::Haproxy(process) => process.cli(),
            Process::Stickd(process, _) => process.cli(),
        }
    }

    /// A member's present process.
    pub(crate) fn daemon(&self, member: usize) -> &Daemon {
        match &self.members[member] {
            Process::Haproxy(process) => process.daemon(),
            Process::Stickd(process, _) => process.daemon(),
        }
    }

    /// Where a member keeps its configurations and logs, of its former processes too.
    pub(crate) fn directory(&self, member: usize) -> PathBuf {
        match &self.members[member] {
            Process::Haproxy(process) => process.directory().to_owned(),
            Process::Stickd(process, _) => process.directory().to_owned(),
        }
    }

    /// Starts the next process of a member with `-sf`, and returns the one before.
    pub(crate) fn replace(&mut self, member: usize) -> Result<Daemon> {
        match &mut self.members[member] {
            Process::Haproxy(process) => Ok(process.reload_same()),
            Process::Stickd(process, config) => process
                .replace(Some(&*config), &[])
                .with_context(|| format!("{}: the next process", NAMES[member])),
        }
    }

    /// Starts a member that was killed, with nothing in its tables.
    pub(crate) fn start_again(&mut self, member: usize) {
        match &mut self.members[member] {
            Process::Haproxy(process) => process.restart(),
            Process::Stickd(process, config) => process.restart(Some(&*config), &[]),
        }
    }

    /// Stops a member in the middle of what it does, or lets it go on.
    pub(crate) fn freeze(&self, member: usize, frozen: bool) {
        self.daemon(member).signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    /// What a member has in a table.
    pub(crate) fn table(&self, member: usize, kind: Kind) -> Result<Seen> {
        let command = format!("show table {}", kind.name());
        let before = Instant::now();
        let what = || format!("`{command}` of {}", NAMES[member]);
        let answer = self.cli(member).try_run(&command).with_context(what)?;
        let after = Instant::now();
        let table = dump::parse(&answer).with_context(what)?.pop();
        let Some(table) = table else { bail!("{}: no table in {answer:?}", what()) };
        Ok(Seen { before, after, table })
    }

    /// Whether a member counts itself as up to date and is being taught by nobody.
    pub(crate) fn is_up_to_date(&self, member: usize) -> bool {
        let flags = || {
            let answer = self.cli(member).try_run("show peers p").ok()?;
            let (_, rest) = answer.split_once("flags=0x")?;
            let digits = rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()?;
            u64::from_str_radix(digits, 16).ok()
        };
        // Both phases over, nobody assigned (stick-tables §8).
        flags().is_some_and(|flags| flags & 7 == 3)
    }
}

fn haproxy_config(member: usize, own: &[SocketAddr], links: &Links) -> Config {
    let mut config = Config::new(NAMES[member]).http(ports::free_address(), ports::free_address());
    for (other, name) in NAMES.iter().enumerate() {
        config = config.peer(name, links.address(member, other).unwrap_or(own[other]));
    }
    for kind in Kind::ALL {
        config = config.table(kind.name(), &kind.arguments());
        config = match kind {
            Kind::Stick => config.stick(kind.name(), kind.expression(), kind.name()),
            _ => config.track(kind.name(), kind.expression(), kind.name()),
        };
        config = kind.actions().iter().fold(config, |config, action| config.rule(kind.name(), action));
    }
    config
}

fn stickd_config(member: usize, own: &[SocketAddr], links: &Links) -> String {
    let mut text = format!(
        "global\n  localpeer {name}\n  log stderr format plain info\n  stats socket unix@{SOCKET} level admin\n\
         peers p\n  bind {}\n  server {name}\n",
        own[member],
        name = NAMES[member],
    );
    for (other, name) in NAMES.iter().enumerate() {
        if let Some(address) = links.address(member, other) {
            text += &format!("  server {name} {address}\n");
        }
    }
    for kind in Kind::ALL {
        text += &stickd_testkit::stickd::table(kind.name(), &kind.arguments());
    }
    text
}
