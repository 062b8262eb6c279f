//! Open files: how many the daemon may need, and how many it may have.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::dns::QUESTIONS_AT_ONCE;

/// Files apart from sockets: the runtime's own, logs, certificates while they are read, directories of Unix sockets.
const APART: u64 = 64;
/// Those of them that there must be.
const LEAST_APART: u64 = 24;

/// Most connections of HTTP clients, over all listeners.
pub(crate) const MAX_HTTP_CONNECTIONS: usize = 256;

/// Files for everything but the connections that peers open.
pub(crate) fn apart_from_peers(config: &Config) -> u64 {
    let global = &config.global;
    // A connection that waits for a place is accepted on each socket.
    let runtime = global.stats_max_connections as usize + 2 * global.stats_sockets.len();
    let sections = config.sections.iter().filter(|section| !section.disabled);
    let http =
        if global.http.binds.is_empty() { 0 } else { MAX_HTTP_CONNECTIONS + 2 * global.http.binds.len() };
    // Beside a session there may be an attempt at a higher version.
    let peers = sections.map(|section| {
        let asking = section.templates.len() * QUESTIONS_AT_ONCE;
        let called = 2 * (section.remotes.len() + 1) + section.discovered_peers() as usize;
        section.local.listeners.len() + called + asking
    });
    APART + (runtime + http + peers.sum::<usize>()) as u64
}

/// Raises the limit of open files as far as a process needs that works at all.
///
/// # Errors
/// When that is not allowed.
pub fn check_limit(config: &Config) -> anyhow::Result<()> {
    let least = least(config);
    let limit = raise_limit(least);
    if limit < least {
        bail!(
            "the limit of open files is {limit}, and this configuration needs {least} at least: raise it (LimitNOFILE= of the \
             unit, ulimit -n)"
        );
    }
    Ok(())
}

/// Fewest files with which a process works: its own, and one for each socket and each configured peer.
fn least(config: &Config) -> u64 {
    let sections = config.sections.iter().filter(|section| !section.disabled);
    let sockets = sections.map(|section| section.local.listeners.len() + section.configured_peers() as usize);
    let global = &config.global;
    LEAST_APART + (global.stats_sockets.len() + global.http.binds.len() + sockets.sum::<usize>()) as u64
}

/// Raises the limit of open files as far as it is needed and allowed; returns the limit in force.
pub(crate) fn raise_limit(needed: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(needed, |maximum| needed.min(maximum));
    if let Some(limit) = current
        && limit < wanted
    {
        // It is allowed up to the maximum; if not, less has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    limit()
}

/// The limit of open files.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
