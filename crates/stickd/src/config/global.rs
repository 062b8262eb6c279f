//! The lines of a `global` section.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Report, Word, number, size, suggest};
use super::diagnostic::{Diagnostic, closest};
use super::model::{Global, MaxConnections};
use super::{log, socket};

/// Smallest and largest `tune.bufsize`, in bytes: each session may take as much memory (peers-protocol §14.2).
const BUFSIZE: std::ops::RangeInclusive<u32> = 1024..=16 << 20;

/// Shortest and longest bound of a `server_key`, in bytes: entries may have one each.
const SERVER_KEY: std::ops::RangeInclusive<u32> = 16..=16_384;

/// Most connections that can be asked for: each takes an open file.
const MAX_CONNECTIONS: u32 = 1 << 20;

/// What a `global` section may say.
pub(super) const KEYWORDS: [&str; 13] = [
    "localpeer",
    "node",
    "description",
    "stats",
    "log",
    "maxconn",
    "tune.peers.max-server-key",
    "tune.peers.max-updates-at-once",
    "tune.bufsize",
    "ca-base",
    "crt-base",
    "setenv",
    "presetenv",
];

/// What `global` sections say, with what only the parser needs.
#[derive(Debug, Default)]
pub(super) struct GlobalDraft {
    pub(super) global: Global,
    /// The argument of `localpeer` and its place.
    pub(super) local_peer: Option<Word>,
    pub(super) bases: Bases,
    /// Variables set by `setenv` and `presetenv`.
    pub(super) variables: BTreeMap<String, String>,
}

/// Directories that relative paths of certificates start from.
#[derive(Clone, Debug, Default)]
pub(super) struct Bases {
    pub(super) ca: Option<PathBuf>,
    pub(super) crt: Option<PathBuf>,
}

impl GlobalDraft {
    /// Reads one line; `is_set` says whether the variable that it names has a value already, if it is `presetenv`.
    pub(super) fn line(&mut self, arguments: Arguments<'_>, is_set: bool, report: &mut Report) {
        let keyword = arguments.keyword();
        match keyword.text.as_str() {
            "localpeer" => self.local_peer(arguments, report),
            "node" => {
                if let Some(name) = arguments.only_value("a name", "node stickd-1", report) {
                    self.global.node = Some(name.text.clone());
                }
            }
            "description" => {
                let mut words = arguments.clone();
                if words.value(keyword, "a text", "description stick tables of shop 1", report).is_some() {
                    let words: Vec<_> = arguments.map(|word| word.text.as_str()).collect();
                    self.global.description = Some(words.join(" "));
                }
            }
            "stats" => socket::parse(arguments, &mut self.global, report),
            "log" => self.global.logs.extend(log::parse(arguments, report)),
            "tune.peers.max-updates-at-once" => {
                let value = arguments.only_value("a number", "tune.peers.max-updates-at-once 200", report);
                if let Some(updates) = value.and_then(|value| size(value, 1, 1 << 30, report)) {
                    self.global.max_updates_at_once = updates;
                }
            }
            "tune.bufsize" => {
                let value = arguments.only_value("a number of bytes", "tune.bufsize 16384", report);
                let (min, max) = BUFSIZE.into_inner();
                if let Some(bytes) = value.and_then(|value| size(value, min, max, report)) {
                    self.global.bufsize = bytes;
                }
            }
            "maxconn" => {
                let value = arguments.only_value("a number of connections", "maxconn 2000", report);
                if let Some(value) = value
                    && let Some(number) = number(value, 1, MAX_CONNECTIONS, "a number of connections", report)
                {
                    self.global.max_connections = Some(MaxConnections { number, span: value.span });
                }
            }
            "tune.peers.max-server-key" => {
                let value =
                    arguments.only_value("a number of bytes", "tune.peers.max-server-key 256", report);
                let (min, max) = SERVER_KEY.into_inner();
                if let Some(bytes) = value.and_then(|value| size(value, min, max, report)) {
                    self.global.max_server_key = bytes;
                }
            }
            "ca-base" => base(arguments, &mut self.bases.ca, report),
            "crt-base" => base(arguments, &mut self.bases.crt, report),
            "setenv" | "presetenv" => self.set_variable(arguments, is_set, report),
            _ => unknown(keyword, report),
        }
    }

    fn local_peer(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let Some(name) = arguments.only_value("a name", "localpeer stickd-1", report) else { return };
        if let Some(first) = &self.local_peer {
            report.push(
                Diagnostic::error(name.span, "\"localpeer\" is given twice")
                    .label("second name")
                    .related(first.span, "first name"),
            );
            return;
        }
        if super::arguments::check_name(name, "a peer", report) {
            self.local_peer = Some(name.clone());
            self.global.local_peer = Some(name.text.clone());
        }
    }

    fn set_variable(&mut self, mut arguments: Arguments<'_>, is_set: bool, report: &mut Report) {
        let keyword = arguments.keyword();
        let Some(name) = arguments.value(keyword, "a name and a value", "setenv NAME value", report) else {
            return;
        };
        let Some(value) = arguments.value(name, "a value", "setenv NAME value", report) else { return };
        if !arguments.end("setenv NAME value", report) {
            return;
        }
        if keyword.text == "setenv" || !is_set {
            self.variables.insert(name.text.clone(), value.text.clone());
        }
    }
}

fn base(arguments: Arguments<'_>, base: &mut Option<PathBuf>, report: &mut Report) {
    if let Some(directory) = arguments.only_value("a directory", "crt-base /etc/ssl/private", report) {
        *base = Some(Path::new(&directory.text).to_owned());
    }
}

/// An unknown keyword: one of HAProxy's, which gets a reason, or a misspelt one.
fn unknown(keyword: &Word, report: &mut Report) {
    let error = Diagnostic::error(keyword.span, format!("unknown keyword \"{}\" in global", keyword.text));
    report.push(match haproxys(&keyword.text) {
        // A near miss of an own keyword is more likely than one of HAProxy's families.
        Some(reason) if closest(&keyword.text, KEYWORDS).is_none() => {
            error.label("HAProxy's, not stickd's").help(format!("{reason}; remove the line"))
        }
        _ => suggest(error.label("not known in global"), &keyword.text, &KEYWORDS),
    });
}

/// Why stickd has no such keyword, for those of HAProxy.
fn haproxys(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "daemon" | "master-worker" | "expose-experimental-directives" | "mworker-max-reloads" => {
            "stickd stays in the foreground, where the service manager supervises it"
        }
        "user" | "group" | "uid" | "gid" | "chroot" | "setcap" | "set-dumpable" | "ulimit-n" | "rlimit" => {
            "stickd does not change its own rights and limits: the service manager does (User=, Group=, LimitNOFILE=)"
        }
        "pidfile" => "stickd writes its process id where `-p FILE` says",
        "maxconnrate" | "maxsessrate" | "maxsslconn" | "maxsslrate" | "maxpipes" | "maxzlibmem"
        | "maxcomprate" | "maxcompcpuusage" | "fd-hard-limit" => {
            "stickd accepts peers, not clients: their number is bounded by the sections"
        }
        "nbthread" | "nbproc" | "cpu-map" | "cpu-policy" | "cpu-set" | "thread-groups" | "thread-group"
        | "numa-cpu-mapping" => "stickd chooses its threads itself",
        "hard-stop-after" | "grace" | "close-spread-time" => "stickd does not close clients' connections",
        "log-tag" | "log-send-hostname" => "stickd's log lines have no syslog header",
        "external-check"
        | "insecure-fork-wanted"
        | "insecure-setuid-wanted"
        | "spread-checks"
        | "server-state-base"
        | "server-state-file"
        | "max-spread-checks" => "stickd does not check servers",
        "unsetenv" | "resetenv" => "stickd starts no programs, and unset variables are empty",
        "zero-warning" | "quiet" | "busy-polling" | "noepoll" | "nosplice" | "noreuseport"
        | "nogetaddrinfo" | "strict-limits" | "localport" | "unix-bind" | "wurfl-data-file" => {
            "it concerns HAProxy's own machinery"
        }
        _ if keyword.starts_with("ssl-") || keyword == "issuers-chain-path" => {
            "stickd speaks TLS 1.2 and 1.3 with safe ciphers: set ssl-min-ver on the \"bind\" or \"server\" line"
        }
        _ if keyword.starts_with("tune.") => "it tunes parts of HAProxy that stickd does not have",
        _ if [
            "lua-",
            "httpclient.",
            "deviceatlas-",
            "51degrees-",
            "wurfl-",
            "h1-",
            "h2-",
            "profiling.",
            "anonkey",
        ]
        .iter()
        .any(|family| keyword.starts_with(family)) =>
        {
            "stickd handles no HTTP requests of clients"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(lines: &[&str]) -> (GlobalDraft, Report) {
        let (mut global, mut report) = (GlobalDraft::default(), Report::default());
        for line in lines {
            let words = words(line);
            let is_set = words.get(1).is_some_and(|name| name.text == "SET");
            global.line(Arguments::new(&words).unwrap(), is_set, &mut report);
        }
        (global, report)
    }

    #[test]
    fn every_keyword_is_read() {
        let (draft, report) = read(&[
            "localpeer a",
            "node n",
            "description my own  node",
            "log stderr",
            "log stdout format json",
            "stats socket /s",
            "tune.peers.max-updates-at-once 50",
            "tune.bufsize 32k",
            "tune.peers.max-server-key 1k",
            "maxconn 500",
            "ca-base /ca",
            "crt-base /crt",
            "setenv A b",
            "presetenv SET c",
            "presetenv D e",
        ]);
        assert_eq!(titles(&report), [""; 0]);
        let global = draft.global;
        assert_eq!(global.local_peer.as_deref(), Some("a"));
        assert_eq!(global.node.as_deref(), Some("n"));
        assert_eq!(global.description.as_deref(), Some("my own node"));
        assert_eq!((global.logs.len(), global.stats_sockets.len()), (2, 1));
        assert_eq!((global.max_updates_at_once, global.bufsize), (50, 32768));
        assert_eq!(global.max_server_key, 1024);
        assert_eq!(global.max_connections.map(|connections| connections.number), Some(500));
        assert_eq!(draft.bases.crt, Some("/crt".into()));
        let variables: Vec<_> =
            draft.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(variables, ["A=b", "D=e"]);
    }

    #[test]
    fn defaults_are_haproxys() {
        let global = Global::default();
        assert_eq!((global.max_updates_at_once, global.bufsize, global.stats_timeout), (200, 16384, 10_000));
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, title) in [
            ("localpeer", "\"localpeer\" needs a name"),
            ("localpeer a b", "unexpected \"b\" on the line of \"localpeer\""),
            ("localpeer a/b", "\"a/b\" is no name for a peer"),
            ("tune.peers.max-updates-at-once 0", "\"0\" is out of range"),
            ("tune.bufsize 100", "\"100\" is out of range"),
            ("tune.peers.max-server-key 1m", "\"1m\" is out of range"),
            ("maxconn 0", "\"0\" is not a number of connections"),
            ("tune.ssl.default-dh-param 2048", "unknown keyword \"tune.ssl.default-dh-param\" in global"),
            ("daemon", "unknown keyword \"daemon\" in global"),
            ("setenv A", "\"A\" needs a value"),
        ] {
            assert_eq!(titles(&read(&[line]).1), [title], "{line}");
        }
        assert_eq!(titles(&read(&["localpeer a", "localpeer b"]).1), ["\"localpeer\" is given twice"]);
    }
}
