//! The lines of a `global` section.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::address::{Address, Family};
use super::arguments::{Arguments, Report, Word, number, size, suggest};
use super::diagnostic::Diagnostic;
use super::http::HttpDraft;
use super::model::{DynamicPeers, Global, MaxConnections, PeersSection};
use super::shared::SharedDraft;
use super::syntax::words::{self, Place};
use super::variables::Variables;
use super::{http, keywords, log, peers, socket, state};

/// Smallest and largest `tune.bufsize`, in bytes: each session may take as much memory (peers-protocol §14.2).
const BUFSIZE: std::ops::RangeInclusive<u32> = 1024..=16 << 20;

/// Shortest and longest bound of a `server_key`, in bytes: entries may have one each.
const SERVER_KEY: std::ops::RangeInclusive<u32> = 16..=16_384;

/// Most connections that can be asked for: each takes an open file.
const MAX_CONNECTIONS: u32 = 1 << 20;

/// What `global` sections say, with what only the parser needs.
#[derive(Debug, Default)]
pub(super) struct GlobalDraft {
    pub(super) global: Global,
    /// The argument of `localpeer` and its place.
    pub(super) local_peer: Option<Word>,
    pub(super) bases: Bases,
    /// A `dynamic-peers` line, with its keyword.
    dynamic_peers: Option<(Word, DynamicPeers)>,
    /// The argument of `source`.
    source: Option<Word>,
    /// The `bind` lines.
    pub(super) shared: Vec<SharedDraft>,
    /// The `http bind` lines.
    pub(super) http: Vec<HttpDraft>,
    pub(super) variables: Variables,
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
            text if !keywords::is_known(Place::Global, text) => {
                if !words::report_line(Place::Global, &arguments, false, report) {
                    unknown(keyword, report);
                }
            }
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
                let number = value.and_then(|value| {
                    if is_too_many(value, report) {
                        return Some(MAX_CONNECTIONS);
                    }
                    number(value, 1, MAX_CONNECTIONS, "a number of connections", report)
                });
                if let (Some(value), Some(number)) = (value, number) {
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
            "source" => self.source(arguments, report),
            "dynamic-peers" => {
                if let Some((first, _)) = &self.dynamic_peers {
                    report.push(
                        Diagnostic::error(keyword.span, "\"dynamic-peers\" is given twice in global")
                            .label("second line")
                            .related(first.span, "first line"),
                    );
                    return;
                }
                self.dynamic_peers = Some((keyword.clone(), peers::dynamic_peers(arguments, report)));
            }
            "bind" => self.shared.extend(SharedDraft::parse(arguments, report)),
            "http" => http::parse(arguments, &mut self.http, &mut self.global.http.hosts, report),
            "state" => state::parse(arguments, &mut self.global.state, report),
            "ca-base" => base(arguments, &mut self.bases.ca, report),
            "crt-base" => base(arguments, &mut self.bases.crt, report),
            "setenv" | "presetenv" => self.set_variable(arguments, is_set, report),
            "unsetenv" | "resetenv" => self.variables.line(arguments, report),
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

    fn source(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        const EXAMPLE: &str = "source 10.0.0.1";
        let Some(word) = arguments.only_value("an address of this machine", EXAMPLE, report) else { return };
        if let Some(first) = &self.source {
            report.push(
                Diagnostic::error(word.span, "\"source\" is given twice")
                    .label("second address")
                    .related(first.span, "first address"),
            );
            return;
        }
        let Some(source) = source_address(&word.text) else {
            let error = Diagnostic::error(word.span, format!("\"{}\" is no source address", word.text));
            let help = "write an IP address of this machine, such as 10.0.0.1 or [2001:db8::1], and `:PORT` behind it if need be";
            report.push(error.label("not an IP address with or without a port").help(help));
            return;
        };
        self.source = Some(word.clone());
        self.global.source = Some(source);
    }

    /// Reports peers that cannot be reached from the address of `source`.
    pub(super) fn check_source(&self, sections: &[PeersSection], report: &mut Report) {
        let (Some(word), Some(source)) = (&self.source, self.global.source) else { return };
        let enabled = sections.iter().filter(|section| !section.disabled);
        for peer in enabled.flat_map(|section| &section.remotes) {
            let is_v4 = match &peer.address {
                Some(Address::Ip(address)) => address.is_ipv4(),
                Some(Address::Host { family: Some(family), .. }) => *family == Family::V4,
                _ => continue,
            };
            if is_v4 != source.is_ipv4() {
                let title = format!("the peer \"{}\" cannot be reached from the source address", peer.name);
                report.push(
                    Diagnostic::error(peer.span, title)
                        .label(if is_v4 { "has an IPv4 address" } else { "has an IPv6 address" })
                        .related(word.span, "connections to all peers come from here"),
                );
            }
        }
    }

    /// The `dynamic-peers` line, which is for aggregations sections: without any it gets a warning.
    pub(super) fn dynamic_peers(&self, alone: bool, report: &mut Report) -> Option<&DynamicPeers> {
        let (keyword, dynamic) = self.dynamic_peers.as_ref()?;
        if alone {
            report.push(
                Diagnostic::warning(keyword.span, "\"dynamic-peers\" in global is for aggregations sections")
                    .label("there is none")
                    .help("a peers section has its own line: move this one there"),
            );
        }
        Some(dynamic)
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
            self.variables.set(&name.text, &value.text);
        }
    }
}

/// Whether `maxconn` is over what can be had, as in HAProxy's files, where it counts clients; that is a warning.
fn is_too_many(value: &Word, report: &mut Report) -> bool {
    let digits = value.text.bytes().all(|byte| byte.is_ascii_digit());
    let too_many = digits && value.text.parse().is_ok_and(|number: u64| number > MAX_CONNECTIONS.into());
    if too_many {
        let warning = Diagnostic::warning(value.span, format!("maxconn {} is out of range", value.text));
        let help = "HAProxy counts clients there, stickd the connections of peers: remove the line";
        report.push(warning.label(format!("taken as {MAX_CONNECTIONS}, the most there can be")).help(help));
    }
    too_many
}

/// An IP address with or without a port: `10.0.0.1`, `10.0.0.1:4000`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4000`.
fn source_address(text: &str) -> Option<SocketAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = bracketed {
        return address.parse::<Ipv6Addr>().ok().map(|ip| SocketAddr::new(ip.into(), 0));
    }
    let alone = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    alone.or_else(|| text.parse().ok())
}

fn base(arguments: Arguments<'_>, base: &mut Option<PathBuf>, report: &mut Report) {
    if let Some(directory) = arguments.only_value("a directory", "crt-base /etc/ssl/private", report) {
        *base = Some(Path::new(&directory.text).to_owned());
    }
}

/// A keyword that stands elsewhere, or a misspelt one.
fn unknown(keyword: &Word, report: &mut Report) {
    let error = Diagnostic::error(keyword.span, format!("unknown keyword \"{}\" in global", keyword.text));
    report.push(match words::elsewhere(&keyword.text) {
        Some(known) => error.label("HAProxy's, in other sections").help(known.reason),
        None if report.suggests() => {
            suggest(error.label("not known in global"), &keyword.text, keywords::names(Place::Global))
        }
        None => error.label("not known in global"),
    });
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
        let set = |name| draft.variables.get(name, |_| None);
        assert_eq!(["A", "SET", "D"].map(set), [Some("b".to_owned()), None, Some("e".to_owned())]);
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
            ("maxconn 0", "\"0\" is out of range"),
            ("maxconn x", "\"x\" is not a number of connections"),
            ("maxconn 2000000", "maxconn 2000000 is out of range"),
            ("tune.ssl.default-dh-param 2048", "\"tune.ssl.default-dh-param\" has no effect in stickd"),
            ("daemon", "\"daemon\" has no effect in stickd"),
            ("deamon", "unknown keyword \"deamon\" in global"),
            ("timeout connect 5s", "unknown keyword \"timeout\" in global"),
            ("setenv A", "\"A\" needs a value"),
        ] {
            assert_eq!(titles(&read(&[line]).1), [title], "{line}");
        }
        assert_eq!(titles(&read(&["localpeer a", "localpeer b"]).1), ["\"localpeer\" is given twice"]);
    }
}
