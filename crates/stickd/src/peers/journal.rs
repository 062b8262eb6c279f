//! The log of a section: which lines are due. [`lines`] words those of the daemon, and
//! [`SessionEvent`](haproxy_peers::SessionEvent) those of a session.
//!
//! A peer may cause any number of events. Each line takes from a quota, lines about strangers are written once a minute, and
//! a line says how many were left out before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;

use super::totals::Totals;
use crate::clock::Clock;
use crate::config::{Address, PeersSection};
use crate::log;
use crate::metrics::counter::Counter;

mod left_out;
pub(super) use left_out::LeftOutLog;

mod lines;
pub(super) use lines::{Limit, Note, Stranger};

mod quota;
mod remedies;
use quota::LogQuota;

mod refusals;
use refusals::Refusals;

/// Bytes of names of peers at one address, about.
const MAX_NAMES: usize = 100;

/// Writes the lines of one section.
pub(super) struct Journal {
    section: String,
    local_peer: String,
    /// The peers that are configured at each IP address.
    at_address: HashMap<IpAddr, String>,
    clock: Clock,
    quota: LogQuota,
    refusals: Refusals,
    /// Why the last attempt to reach each peer failed; nothing after a session.
    failures: Mutex<HashMap<String, String>>,
    totals: Arc<Totals>,
}

impl Journal {
    /// The journal of a section; each name of its configuration has a quota of its own.
    pub(super) fn new(config: &PeersSection, clock: Clock, totals: Arc<Totals>) -> Self {
        let named = config.remotes.iter().map(|remote| &remote.name).chain([&config.local.name]);
        let named = named.chain(config.templates.iter().map(|template| &template.domain));
        Self {
            section: config.name.clone(),
            local_peer: config.local.name.clone(),
            at_address: names_by_address(config),
            clock,
            quota: LogQuota::new(named, clock.now()),
            refusals: Refusals::default(),
            failures: Mutex::default(),
            totals,
        }
    }

    /// The names of the peers that are configured at an address, to stand in a line about a connection that told none.
    fn names_at(&self, address: Option<IpAddr>) -> Option<&str> {
        self.at_address.get(&address?).map(String::as_str)
    }

    /// Gives a discovered member a quota of its own, unless it has one.
    pub(super) fn add_peer(&self, name: &str) {
        self.quota.add(name, self.clock.now());
    }

    /// Takes the quota of a discovered member back.
    pub(super) fn remove_peer(&self, name: &str) {
        self.quota.remove(name);
    }

    /// A session with the peer was established: the next failure to reach it is news.
    pub(super) fn reached(&self, peer: &str) {
        self.failures.lock().remove(peer);
    }

    /// Whether a line of this level about a peer, or a name that is asked for, may be written, and how many were left out
    /// before it, if any. A line that no `log` line of the configuration takes costs nothing.
    fn due(&self, peer: &str, level: Level) -> Option<Option<u64>> {
        if !log::takes(level) {
            return None;
        }
        let left_out = self.quota.take(peer, level, self.clock.now());
        if left_out.is_none() {
            self.totals.count(Counter::LogLinesLeftOut);
        }
        left_out.map(|lines| (lines > 0).then_some(lines))
    }

    /// The same for a warning about a stranger: not if one from this address with this name was logged a moment ago, or if
    /// strangers have caused many lines.
    fn refusal_due(&self, address: Option<IpAddr>, name: &str) -> Option<Option<u64>> {
        self.is_first_of_minute(address, name).then(|| self.due("", Level::WARN)).flatten()
    }

    /// Whether no warning about this was written within the last minute.
    fn is_first_of_minute(&self, address: Option<IpAddr>, what: &str) -> bool {
        log::takes(Level::WARN) && self.refusals.is_due(address, what, self.clock.now())
    }

    /// Whether an attempt to reach a peer failed for another reason than the one before. It never is while this process
    /// looks for the next one, which need not be there.
    fn is_news(&self, peer: &str, reason: &str) -> bool {
        if peer == self.local_peer {
            return false;
        }
        let before = self.failures.lock().insert(peer.to_owned(), reason.to_owned());
        before.as_deref() != Some(reason)
    }
}

fn names_by_address(config: &PeersSection) -> HashMap<IpAddr, String> {
    let mut names: HashMap<IpAddr, String> = HashMap::new();
    for remote in &config.remotes {
        if let Some(Address::Ip(address)) = &remote.address {
            let there = names.entry(address.ip().to_canonical()).or_default();
            let separator = if there.is_empty() { "" } else { ", " };
            // Of many peers behind one address no one is meant.
            if there.len() < MAX_NAMES {
                there.extend([separator, &remote.name]);
            }
        }
    }
    names
}
