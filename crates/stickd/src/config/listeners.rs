//! Addresses at which two listeners would take the same connections.
//!
//! Listeners share their ports (`SO_REUSEPORT`), so that a new process can take over from an old one. Without this check, a
//! process that takes over would open both listeners, and each connection would reach one of them by chance.

use super::address::{Address, WildcardFamilies};
use super::arguments::Report;
use super::diagnostic::Diagnostic;
use super::model::{Bind, Global, PeersSection, StatsSocket};
use super::source::Span;

/// Whose a listener is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User<'c> {
    Runtime,
    Http,
    /// Several sections.
    Global,
    Section(&'c str),
}

/// A listener of the configuration.
struct Listening<'c> {
    user: User<'c>,
    address: &'c Address,
    families: WildcardFamilies,
    span: Span,
}

/// Reports listeners of sections and runtime sockets that overlap.
pub(super) fn check(global: &Global, sections: &[PeersSection], report: &mut Report) {
    let mut known: Vec<Listening<'_>> = Vec::new();
    for socket in &global.stats_sockets {
        let StatsSocket { address, families, span, .. } = socket;
        known.push(Listening { user: User::Runtime, address, families: *families, span: *span });
    }
    for StatsSocket { address, families, span, .. } in global.http.binds.iter().map(|bind| &bind.socket) {
        known.push(Listening { user: User::Http, address, families: *families, span: *span });
    }
    for Bind { address, families, span, .. } in global.shared.iter().map(|shared| &shared.bind) {
        known.push(Listening { user: User::Global, address, families: *families, span: *span });
    }
    for section in sections.iter().filter(|section| !section.disabled) {
        for bind in &section.local.listeners {
            let Bind { address, families, span, .. } = bind;
            let user = User::Section(&section.name);
            known.push(Listening { user, address, families: *families, span: *span });
        }
    }
    for (number, listener) in known.iter().enumerate() {
        // Two sections of one name were reported before.
        let overlaps = |first: &&Listening<'_>| {
            (!matches!(first.user, User::Section(_)) || first.user != listener.user)
                && first.address.overlaps(first.families, listener.address, listener.families)
        };
        if let Some(first) = known[..number].iter().find(overlaps) {
            report.push(fault(listener, first));
        }
    }
}

fn fault(listener: &Listening<'_>, first: &Listening<'_>) -> Diagnostic {
    let what = |one: &Listening<'_>| match one.user {
        User::Section(name) => format!("the section \"{name}\""),
        User::Global => "the listener of global".to_owned(),
        User::Runtime => "the runtime socket".to_owned(),
        User::Http => "the HTTP listener".to_owned(),
    };
    let title = format!("{} listens where {} listens as well", what(listener), what(first));
    let error = Diagnostic::error(listener.span, title)
        .label(format!("{} takes the same connections", listener.address))
        .related(first.span, format!("{} here", first.address));
    let is_v6 = |one: &Listening<'_>| matches!(one.address, Address::Ip(ip) if ip.is_ipv6());
    if is_v6(listener) == is_v6(first) {
        error.help("give one of them another port")
    } else {
        error.help("give one of them another port, or write `v6only` behind [::], which serves IPv4 too")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Options};

    fn faults(lines: &str) -> Vec<String> {
        let options = Options { local_peer: Some("n".to_owned()), ..Options::default() };
        match Config::parse_text("t", lines, &options) {
            Ok(_) => Vec::new(),
            Err(found) => found.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn listeners_that_overlap_are_refused() {
        for (lines, title) in [
            (
                "peers p\n peer n :1\npeers q\n peer n :1\n",
                "the section \"q\" listens where the section \"p\"",
            ),
            ("peers p\n peer n :1\npeers q\n peer n [::]:1\n", "the section \"q\" listens where the section"),
            (
                "global\n stats socket ipv4@127.0.0.1:1\npeers p\n peer n :1\n",
                "where the runtime socket listens",
            ),
            (
                "global\n stats socket 127.0.0.1:1\n stats socket [::]:1 v4v6\n",
                "where the runtime socket listens",
            ),
        ] {
            let found = faults(lines);
            assert!(found.iter().any(|line| line.contains(title)), "{lines}: {found:?}");
        }
        for lines in [
            "peers p\n peer n :1\npeers q\n default-bind v6only\n peer n [::]:1\n",
            "peers p\n peer n :1\npeers q\n disabled\n peer n :1\n",
            "peers p\n peer n 127.0.0.1:1\npeers q\n peer n 127.0.0.2:1\n",
        ] {
            assert_eq!(faults(lines), [""; 0], "{lines}");
        }
    }
}
