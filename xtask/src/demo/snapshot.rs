//! What all members hold at one moment.

use super::session::Session;
use std::collections::BTreeMap;
use std::time::Instant;
use stickd_testkit::{Cli, EntryDump, dump};

/// The table of the demonstration.
pub(super) const TABLE: &str = "clients";

/// One look at one member.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) name: &'static str,
    /// When it was asked.
    pub(super) at: Instant,
    /// Its entries by key; `None` when it does not answer.
    pub(super) entries: Option<BTreeMap<String, EntryDump>>,
    pub(super) sessions: Vec<Session>,
}

/// One look at every member, always in the same order.
#[derive(Clone, Debug)]
pub(super) struct Snapshot(pub(super) Vec<View>);

impl View {
    /// Asks a member.
    pub(super) fn take(name: &'static str, cli: &Cli) -> Self {
        let answer = cli.try_run(&format!("show table {TABLE}")).ok();
        let at = Instant::now();
        let entries = answer
            .and_then(|text| dump::parse(&text).ok())
            .and_then(|mut tables| tables.pop())
            .map(|table| table.entries);
        let sessions = cli.try_run("show peers").map(|text| Session::parse(&text)).unwrap_or_default();
        Self { name, at, entries, sessions }
    }

    /// How many entries it has.
    pub(super) fn count(&self) -> usize {
        self.entries.as_ref().map_or(0, BTreeMap::len)
    }

    /// The requests counted for a key.
    pub(super) fn requests(&self, key: &str) -> Option<u64> {
        self.entries.as_ref()?.get(key).map(|entry| entry.number("http_req_cnt"))
    }

    /// Whether it has sessions with `peers` others, all established.
    pub(super) fn connected_to(&self, peers: usize) -> bool {
        self.sessions.iter().filter(|session| session.established()).count() == peers
    }
}

impl Snapshot {
    /// The look at a member.
    ///
    /// # Panics
    ///
    /// When there is no such member.
    pub(super) fn of(&self, name: &str) -> &View {
        self.0.iter().find(|view| view.name == name).unwrap_or_else(|| panic!("no member {name}"))
    }

    /// Every key anybody has.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self
            .0
            .iter()
            .filter_map(|view| view.entries.as_ref())
            .flat_map(BTreeMap::keys)
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
