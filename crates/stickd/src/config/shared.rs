//! `bind` in `global`: one listener for several sections. The names in a peer's hello say which of them the peer means.

use super::arguments::{Arguments, Report, Word, listed};
use super::cluster::Context;
use super::diagnostic::Diagnostic;
use super::model::{PeersSection, SharedListener};
use super::socket::address;
use super::transport::{Parameters, Role};

const EXAMPLE: &str = "bind 0.0.0.0:10000 use_aggrs data,more";

/// A `bind` line of `global`.
#[derive(Debug)]
pub(super) struct SharedDraft {
    keyword: Word,
    address: Word,
    parameters: Parameters,
    /// The names after `use_aggrs`; all sections without them.
    sections: Option<Vec<Word>>,
}

impl SharedDraft {
    /// Reads `bind ADDRESS [ssl …] [use_aggrs all|NAME[,NAME]…]`.
    pub(super) fn parse(mut arguments: Arguments<'_>, report: &mut Report) -> Option<Self> {
        let keyword = arguments.keyword();
        let address = arguments.value(keyword, "an address", EXAMPLE, report)?.clone();
        let mut words = vec![keyword.clone()];
        let mut sections = None;
        while let Some(word) = arguments.next() {
            if word.text != "use_aggrs" {
                words.push(word.clone());
                continue;
            }
            let list = arguments.value(word, "all, or names of sections", EXAMPLE, report)?;
            if !arguments.end(EXAMPLE, report) {
                return None;
            }
            sections = (list.text != "all").then(|| names(list));
        }
        let parameters = Parameters::parse(Arguments::new(&words)?, Role::Bind, report);
        Some(Self { keyword: keyword.clone(), address, parameters, sections })
    }
}

/// The names of a list, each with its place.
fn names(list: &Word) -> Vec<Word> {
    let mut start = 0;
    let names = list.text.split(',').map(|name| {
        let bytes = start..start + name.len();
        start = bytes.end + 1;
        Word { text: name.to_owned(), span: list.part(bytes) }
    });
    names.collect()
}

/// Builds the listeners. A section that is served gives up its own listener at the same address.
pub(super) fn build(
    drafts: &[SharedDraft],
    sections: &mut [PeersSection],
    context: &Context<'_>,
    report: &mut Report,
) -> Vec<SharedListener> {
    let mut listeners = Vec::new();
    for draft in drafts {
        let Some(address) = address(&draft.address, report) else { continue };
        let span = draft.address.span;
        let tls = draft.parameters.bind_tls(span, context.bases, report);
        let families = draft.parameters.listening_families(&address, None, report);
        let served = served(draft, sections, report);
        if served.is_empty() {
            let warning = Diagnostic::warning(draft.keyword.span, "\"bind\" in global serves no section");
            report.push(warning.label("no aggregations section takes part").help("remove the line"));
            continue;
        }
        for section in sections.iter_mut().filter(|section| served.contains(&section.name)) {
            section.local.listeners.retain(|own| !own.address.overlaps(own.families, &address, families));
        }
        let bind = super::model::Bind { address, families, tls, span };
        listeners.push(SharedListener { bind, sections: served });
    }
    for listener in &listeners {
        check_names(listener, sections, report);
    }
    listeners
}

/// The sections of a line, in the order of their declaration.
fn served(draft: &SharedDraft, sections: &[PeersSection], report: &mut Report) -> Vec<String> {
    let hubs = || sections.iter().filter(|section| section.hub.is_some() && !section.disabled);
    let Some(names) = &draft.sections else { return hubs().map(|section| section.name.clone()).collect() };
    for name in names {
        if !sections.iter().any(|section| section.hub.is_some() && section.name == name.text) {
            let error =
                Diagnostic::error(name.span, format!("there is no aggregations section \"{}\"", name.text));
            let known: Vec<_> = hubs().map(|section| section.name.as_str()).collect();
            report.push(error.label("not declared").help(format!("declared are {}", listed(&known))));
        }
    }
    let is_named = |section: &&PeersSection| names.iter().any(|name| name.text == section.name);
    hubs().filter(is_named).map(|section| section.name.clone()).collect()
}

/// A connection must belong to one section by the two names that its hello has.
fn check_names(listener: &SharedListener, sections: &[PeersSection], report: &mut Report) {
    let served: Vec<_> =
        sections.iter().filter(|section| listener.sections.contains(&section.name)).collect();
    for (number, section) in served.iter().enumerate() {
        let same_node = |first: &&&PeersSection| first.local.name == section.local.name;
        for first in served[..number].iter().filter(same_node) {
            let twice = section.remotes.iter().find_map(|peer| {
                first.remotes.iter().find(|other| other.name == peer.name).map(|other| (peer, other))
            });
            if let Some((peer, other)) = twice {
                let title = format!(
                    "the peer \"{}\" could mean the section \"{}\" or \"{}\" of one listener",
                    peer.name, first.name, section.name
                );
                report.push(
                    Diagnostic::error(peer.span, title)
                        .label("a hello says the names of both nodes, not of the section")
                        .related(other.span, "the same names here")
                        .help("give this node another name in one of them (`peer NAME ADDRESS local`), or give each a port of its own"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Options};

    fn read(global: &str, sections: &str) -> Result<Config, Vec<String>> {
        let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
        let text = format!("global\n{global}\n{sections}");
        Config::parse_text("t", &text, &options)
            .map_err(|found| found.iter().map(|item| item.title().to_owned()).collect())
    }

    fn hub(name: &str, local: &str, peer: &str) -> String {
        format!("aggregations {name}\n from any to .agg\n peer {local} local\n peer {peer} 192.0.2.9:1\n")
    }

    #[test]
    fn sections_share_a_listener() {
        let sections = hub("a", "me", "lb1") + &hub("b", "me 127.0.0.1:5", "lb2");
        let config =
            read("bind 127.0.0.1:4 use_aggrs all\n bind 127.0.0.1:5 use_aggrs b", &sections).unwrap();
        assert!(config.warnings.is_empty(), "{}", config.warnings);
        let shared: Vec<_> = config
            .global
            .shared
            .iter()
            .map(|one| (one.bind.address.to_string(), one.sections.join(",")))
            .collect();
        assert_eq!(shared, [("127.0.0.1:4".into(), "a,b".into()), ("127.0.0.1:5".into(), "b".into())]);
        assert!(config.sections.iter().all(|section| section.local.listeners.is_empty()));
        // At another address a section has its own listener as well.
        let config = read("bind 127.0.0.1:4", &hub("a", "me 127.0.0.1:6", "lb1")).unwrap();
        assert_eq!(config.sections[0].local.listeners.len(), 1);
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let twins = hub("a", "me", "lb1") + &hub("b", "me", "lb1");
        let others = hub("a", "me", "lb1") + &hub("b", "other", "lb1");
        assert!(read("bind :4", &others).is_ok());
        for (global, sections, title) in [
            ("bind :4", &twins, "the peer \"lb1\" could mean the section \"a\" or \"b\" of one listener"),
            ("bind :4 use_aggrs a,c", &others, "there is no aggregations section \"c\""),
            ("bind :4 use_aggrs", &others, "\"use_aggrs\" needs all, or names of sections"),
            ("bind", &others, "\"bind\" needs an address"),
            ("bind :4 ssl", &others, "a listener with \"ssl\" needs a certificate"),
            ("bind :4 weight 1", &others, "unknown parameter \"weight\""),
            (
                "bind :4\n bind :4",
                &others,
                "the listener of global listens where the listener of global listens as well",
            ),
        ] {
            let titles = read(global, sections).unwrap_err();
            assert!(titles.iter().any(|found| found == title), "{global}: {titles:?}");
        }
        let titles = read("", &hub("a", "me", "lb1")).unwrap_err();
        assert_eq!(titles, ["the peer \"me\" has no address"]);
    }
}
