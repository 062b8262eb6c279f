//! A HAProxy `A` and a stickd `hub` in one peers section.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, TableDump, ports, wait};

/// A deadline for what needs a connection: HAProxy's own wait between attempts is 5 s, and it may need several.
pub(crate) const CONNECTED: Duration = Duration::from_secs(30);

/// Longest line sent to a runtime socket, below HAProxy's 16384 bytes.
const LINE: usize = 12_000;

/// The entries of a table without what differs between processes: holders, remaining lifetimes, shard numbers, and
/// `conn_cur`, which no peer learns (peers-protocol §16).
pub(crate) type Values = BTreeMap<String, BTreeMap<String, String>>;

/// The two configurations, with the same tables.
pub(crate) struct Setup {
    haproxy: Config,
    /// Lines of stickd's peers section `p`.
    section: String,
    /// Whole sections after it.
    sections: String,
}

/// Both at work.
pub(crate) struct Pair {
    pub(crate) haproxy: HaproxyProcess,
    pub(crate) stickd: StickdProcess,
}

impl Setup {
    /// Both peers in the section `p`, without tables. HAProxy has HTTP.
    pub(crate) fn new() -> Self {
        let (a, hub) = (ports::free_address(), ports::free_address());
        Self::between([a, hub], [a, hub])
    }

    /// Like [`Self::new`] with other addresses for each side: where it finds A and where it finds hub.
    pub(crate) fn between(haproxy: [SocketAddr; 2], stickd: [SocketAddr; 2]) -> Self {
        let [a, hub] = haproxy;
        let config =
            Config::new("A").peer("A", a).peer("hub", hub).http(ports::free_address(), ports::free_address());
        let [a, hub] = stickd;
        let section = format!("  peer A {a}\n  peer hub {hub}\n");
        Self { haproxy: config, section, sections: String::new() }
    }

    /// Each is sent a shard of two only: A `shard_of_a`, hub `shard_of_hub`.
    pub(crate) fn sharded(shard_of_a: u8, shard_of_hub: u8) -> Self {
        let (a, hub) = (ports::free_address(), ports::free_address());
        let config = Config::new("A")
            .peers_line("shards 2")
            .peer("A", a)
            .peers_line(format!("peer hub {hub} shard {shard_of_hub}"));
        let section = format!("  shards 2\n  peer A {a} shard {shard_of_a}\n  peer hub {hub}\n");
        Self { haproxy: config, section, sections: String::new() }
    }

    /// A table in a backend on both sides: `arguments` as after `stick-table`.
    pub(crate) fn table(self, name: &str, arguments: &str) -> Self {
        self.tables(name, arguments, arguments)
    }

    /// A table in a backend with arguments of their own on each side.
    pub(crate) fn tables(mut self, name: &str, haproxy: &str, stickd: &str) -> Self {
        self.haproxy = self.haproxy.table(name, haproxy);
        self.stickd(&format!("backend {name}\n  stick-table {stickd} peers p\n"))
    }

    /// A table of the peers section `p` on both sides.
    pub(crate) fn section_table(mut self, name: &str, arguments: &str) -> Self {
        self.haproxy = self.haproxy.peers_line(format!("table {name} {arguments}"));
        self.section.push_str(&format!("  table {name} {arguments}\n"));
        self
    }

    /// Changes HAProxy's side.
    pub(crate) fn haproxy(mut self, change: impl FnOnce(Config) -> Config) -> Self {
        self.haproxy = change(self.haproxy);
        self
    }

    /// Adds sections to stickd's side.
    pub(crate) fn stickd(mut self, sections: &str) -> Self {
        self.sections.push_str(sections);
        self
    }

    /// Starts HAProxy alone; [`start_stickd`] for the other.
    pub(crate) fn start_haproxy(&self, release: &Release) -> HaproxyProcess {
        HaproxyProcess::start(release, self.haproxy.clone())
    }

    /// Starts stickd alone.
    pub(crate) fn start_stickd(&self) -> StickdProcess {
        let Self { section, sections, .. } = self;
        let config = format!(
            "global\n  localpeer hub\n  stats socket unix@stickd.sock level admin\npeers p\n{section}{sections}"
        );
        StickdProcess::start(env!("CARGO_BIN_EXE_stickd"), Some(&config), &[])
    }

    /// Starts both and waits until they are connected.
    pub(crate) fn start(&self, release: &Release) -> Pair {
        let pair = Pair { haproxy: self.start_haproxy(release), stickd: self.start_stickd() };
        wait::until_or(
            CONNECTED,
            "both to be connected",
            || pair.state(""),
            || pair.haproxy.cli().run("show peers p").contains("last_status=ESTA").then_some(()),
        );
        pair
    }
}

impl Pair {
    /// Waits until `table` is the same on both sides and `wanted` holds for it, and returns it as HAProxy shows it.
    #[track_caller]
    pub(crate) fn wait_same(&self, table: &str, wanted: impl Fn(&TableDump) -> bool) -> TableDump {
        let what = format!("table {table} of stickd and {} to be the same", self.haproxy.release());
        wait::until_or(
            CONNECTED,
            &what,
            || self.difference(table),
            || {
                let dump = self.haproxy.table(table);
                (wanted(&dump) && values(&dump) == values(&self.stickd.table(table))).then_some(dump)
            },
        )
    }

    /// The tables and sessions as both sides show them, for a message.
    pub(crate) fn state(&self, table: &str) -> String {
        let ask = |cli: Cli| {
            let table =
                if table.is_empty() { String::new() } else { cli.run(&format!("show table {table}")) };
            table + &cli.run("show peers")
        };
        let (haproxy, stickd) = (ask(self.haproxy.cli()), ask(self.stickd.cli()));
        format!("HAProxy:\n{haproxy}stickd:\n{stickd}{}", self.stickd.daemon().log())
    }

    /// The entries that differ, for a message.
    fn difference(&self, table: &str) -> String {
        let (haproxy, stickd) = (values(&self.haproxy.table(table)), values(&self.stickd.table(table)));
        let mut text = format!("{} entries on HAProxy, {} on stickd\n", haproxy.len(), stickd.len());
        for (key, fields) in haproxy.iter().filter(|(key, fields)| stickd.get(*key) != Some(fields)) {
            text.push_str(&format!("HAProxy {key:?}: {fields:?}\n stickd {key:?}: {:?}\n", stickd.get(key)));
        }
        for key in stickd.keys().filter(|key| !haproxy.contains_key(*key)) {
            text.push_str(&format!(" stickd {key:?} is not on HAProxy\n"));
        }
        text + &self.stickd.cli().run("show peers") + &self.stickd.daemon().log()
    }
}

/// See [`Values`].
pub(crate) fn values(dump: &TableDump) -> Values {
    let own = |text: &&str| (*text).to_owned();
    let fields = |fields: &BTreeMap<&str, &str>| {
        fields
            .iter()
            .filter(|(name, _)| **name != "conn_cur")
            .map(|(name, value)| (own(name), own(value)))
            .collect()
    };
    dump.values().iter().map(|(key, entry)| (own(key), fields(entry))).collect()
}

/// Runs commands that print nothing, many on a connection.
#[track_caller]
pub(crate) fn quiet(cli: &Cli, commands: &[String]) {
    let mut line = String::new();
    for command in commands {
        if line.len() + command.len() >= LINE {
            cli.quiet(&std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(';');
        }
        line.push_str(command);
    }
    cli.quiet(&line);
}

/// A key as a word of the runtime socket.
pub(crate) fn word(key: &str) -> String {
    key.chars()
        .flat_map(|letter| matches!(letter, ' ' | '\\' | ';').then_some('\\').into_iter().chain([letter]))
        .collect()
}
