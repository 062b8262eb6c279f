//! Takes texts line by line, gives each line to its section, and puts the sections together at the end.

use std::env;

use super::aggregations::AggregationsDraft;
use super::arguments::{Arguments, Report, Word, check_name, suggest};
use super::cluster::{self, Context};
use super::diagnostic::{Diagnostic, Diagnostics, closest};
use super::global::GlobalDraft;
use super::lexer::{self, Rules};
use super::model::{Global, MaxConnections, PeersSection};
use super::peers::PeersDraft;
use super::proxy::ProxyDraft;
use super::source::{Source, Sources, Span};
use super::{Config, Environment, Options, aggregations, aggregator, global, listeners, peers, references};

const SECTIONS: [&str; 6] = ["global", "peers", "aggregations", "backend", "frontend", "listen"];

/// Sections of HAProxy's that say nothing about peers and tables.
const HAPROXYS_SECTIONS: [&str; 14] = [
    "defaults",
    "userlist",
    "resolvers",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "log-profile",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
];

/// The section the next line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    /// None has begun.
    None,
    Global,
    /// The last of the peers sections.
    Peers,
    /// The last of the aggregations sections.
    Aggregations,
    /// The last of the proxies.
    Proxy,
    /// One that was refused as a whole: its lines are passed over.
    Refused,
}

struct Parser<'o> {
    options: &'o Options,
    current: Current,
    global: GlobalDraft,
    sections: Vec<PeersDraft>,
    hubs: Vec<AggregationsDraft>,
    proxies: Vec<ProxyDraft>,
    report: Report,
}

/// Reads every text of `sources`; `report` has what was found while loading them.
pub(super) fn parse(sources: Sources, report: Report, options: &Options) -> Result<Config, Diagnostics> {
    let mut parser = Parser {
        options,
        current: Current::None,
        global: GlobalDraft::default(),
        sections: Vec::new(),
        hubs: Vec::new(),
        proxies: Vec::new(),
        report,
    };
    for (number, source) in sources.iter().enumerate() {
        parser.current = Current::None;
        parser.source(number as u32, source);
    }
    parser.finish(sources)
}

impl Parser<'_> {
    fn source(&mut self, number: u32, source: &Source) {
        let text = source.text();
        // A byte order mark is no word.
        let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        for line in text[start..].split_inclusive('\n') {
            let line_start = start;
            start += line.len();
            if let Some(words) =
                self.words(line.trim_end_matches('\n'), number, line_start, source.is_lossy())
            {
                self.line(&words);
            }
        }
    }

    /// The words of a line; `None` after a fault, which is reported.
    fn words(&mut self, line: &str, number: u32, start: usize, lossy: bool) -> Option<Vec<Word>> {
        let place = |span: std::ops::Range<usize>| Span::new(number, start + span.start, start + span.end);
        let split = lexer::split(line, Rules::CONFIGURATION, &|name| self.variable(name));
        let split = match split {
            Ok(split) => split,
            Err(error) => {
                let fault = Diagnostic::error(place(error.span), error.kind.to_string());
                self.report.push(fault.label("here").help(error.kind.help()));
                // The lines of a section whose name is unknown belong to no other one.
                if line.split_whitespace().next().is_some_and(|word| SECTIONS.contains(&word)) {
                    self.current = Current::Refused;
                }
                return None;
            }
        };
        for unset in split.unset {
            self.report.push(
                Diagnostic::warning(place(unset.span), format!("the variable {} is not set", unset.text))
                    .label("replaced by nothing")
                    .help(format!("a default goes behind a dash: \"${{{}-default}}\"", unset.text)),
            );
        }
        let words: Vec<_> =
            split.words.into_iter().map(|word| Word { text: word.text, span: place(word.span) }).collect();
        match words.iter().find(|word| lossy && word.text.contains('\u{fffd}')) {
            None => Some(words),
            Some(word) => {
                let fault = Diagnostic::error(word.span, "the word is not UTF-8 text");
                self.report.push(fault.label("bytes were replaced here").help("save the file as UTF-8"));
                None
            }
        }
    }

    /// The value of a variable: set by `global`, or the local peer's name, or from the environment.
    fn variable(&self, name: &str) -> Option<String> {
        if let Some(value) = self.global.variables.get(name) {
            return Some(value.clone());
        }
        if name == "HAPROXY_LOCALPEER" {
            return Some(self.local_peer().0);
        }
        match &self.options.environment {
            Environment::Process => env::var(name).ok(),
            Environment::Fixed(values) => values.get(name).cloned(),
        }
    }

    /// This node's name and where it comes from.
    fn local_peer(&self) -> (String, &'static str) {
        if let Some(name) = &self.options.local_peer {
            return (name.clone(), "-L");
        }
        if let Some(name) = &self.global.local_peer {
            return (name.text.clone(), "localpeer");
        }
        let asked = || gethostname::gethostname().to_string_lossy().into_owned();
        (self.options.host_name.clone().unwrap_or_else(asked), "its host name")
    }

    fn line(&mut self, words: &[Word]) {
        let Some(arguments) = Arguments::new(words) else { return };
        let keyword = arguments.keyword();
        let text = keyword.text.as_str();
        if SECTIONS.contains(&text) {
            return self.section(arguments);
        }
        if HAPROXYS_SECTIONS.contains(&text) {
            self.current = Current::Refused;
            let error = Diagnostic::error(keyword.span, format!("stickd has no \"{text}\" sections"));
            let error = error.label("HAProxy's, not stickd's");
            return self.report.push(error.help(
                "remove the section; stickd reads global, peers, aggregations, and the stick-table lines of proxies",
            ));
        }
        if let [".if" | ".elif" | ".else" | ".endif" | ".notice" | ".warning" | ".alert" | ".diag"] = [text] {
            let error = Diagnostic::error(keyword.span, format!("\"{text}\" is not supported"));
            return self.report.push(
                error.label("conditions and messages are HAProxy's").help("write the lines that are meant"),
            );
        }
        if let "no" | "default" = text {
            let error =
                Diagnostic::error(keyword.span, format!("\"{text}\" before a keyword is not supported"));
            return self.report.push(error.label("remove the line"));
        }
        if let Some(meant) = self.misspelt_section(text) {
            let error = Diagnostic::error(keyword.span, format!("unknown section \"{text}\""));
            self.report.push(error.label("not a section").help(format!("did you mean \"{meant}\"?")));
            self.current = Current::Refused;
            return;
        }
        match self.current {
            Current::None => {
                let error =
                    Diagnostic::error(keyword.span, format!("\"{text}\" stands outside of any section"));
                self.report.push(suggest(error.label("no section has begun"), text, &SECTIONS));
                // One message is enough for the lines that follow.
                self.current = Current::Refused;
            }
            Current::Refused => {}
            Current::Global => self.global_line(arguments),
            Current::Peers => {
                if let Some(section) = self.sections.last_mut() {
                    section.line(arguments, &mut self.report);
                }
            }
            Current::Aggregations => {
                if let Some(hub) = self.hubs.last_mut() {
                    hub.line(arguments, &mut self.report);
                }
            }
            Current::Proxy => {
                if let Some(proxy) = self.proxies.last_mut() {
                    proxy.line(arguments, &mut self.report);
                }
            }
        }
    }

    /// The section a word was meant to begin, if it is closer to one than to any keyword.
    fn misspelt_section(&self, word: &str) -> Option<&'static str> {
        if matches!(self.current, Current::None | Current::Refused) {
            return None;
        }
        let keywords = global::KEYWORDS.into_iter().chain(peers::KEYWORDS).chain(["stick-table"]);
        let keywords = keywords.chain(aggregations::KEYWORDS);
        closest(word, keywords.chain(SECTIONS)).filter(|meant| SECTIONS.contains(meant))
    }

    fn global_line(&mut self, arguments: Arguments<'_>) {
        let is_set = arguments.keyword().text == "presetenv"
            && arguments.peek().is_some_and(|name| self.variable(&name.text).is_some());
        self.global.line(arguments, is_set, &mut self.report);
    }

    /// Begins a section.
    fn section(&mut self, mut arguments: Arguments<'_>) {
        let keyword = arguments.keyword();
        let report = &mut self.report;
        self.current = Current::Refused;
        if keyword.text == "global" {
            arguments.end("global", report);
            self.current = Current::Global;
            return;
        }
        let example = match keyword.text.as_str() {
            "peers" => "peers mypeers",
            "aggregations" => "aggregations data",
            _ => "backend t1",
        };
        let Some(name) = arguments.value(keyword, "a name", example, report) else { return };
        arguments.end(example, report);
        if !check_name(name, "a section", report) {
            return;
        }
        let sections = self.sections.iter().map(|section| &section.name);
        let sections = sections.chain(self.hubs.iter().map(AggregationsDraft::name));
        match keyword.text.as_str() {
            "peers" => {
                cluster::check_unique(sections, name, report);
                self.sections.push(PeersDraft::new(name.clone()));
                self.current = Current::Peers;
            }
            "aggregations" => {
                cluster::check_unique(sections, name, report);
                self.hubs.push(AggregationsDraft::new(name.clone()));
                self.current = Current::Aggregations;
            }
            _ => {
                self.proxies.push(ProxyDraft::new(keyword.clone(), name.clone()));
                self.current = Current::Proxy;
            }
        }
    }

    /// Checks what lines mean together, and builds the configuration when there is no error.
    fn finish(mut self, sources: Sources) -> Result<Config, Diagnostics> {
        let (local_peer, local_peer_origin) = self.local_peer();
        self.check_local_peer(&local_peer, local_peer_origin);
        let report = &mut self.report;
        for proxy in &self.proxies {
            proxy.end(report);
        }
        references::apply_stick_rules(&mut self.sections, &mut self.proxies, report);
        references::check(&self.sections, &self.hubs, &self.proxies, report);
        let context = Context { local_peer: &local_peer, local_peer_origin, bases: &self.global.bases };
        let mut sections = Vec::new();
        for draft in &self.sections {
            sections.extend(cluster::build(draft, &context, report));
        }
        let dynamic = self.global.dynamic_peers(self.hubs.is_empty(), report);
        for draft in &self.hubs {
            sections.extend(aggregator::build(draft, dynamic, &context, report));
        }
        sections.sort_by_key(|section| section.span);
        self.global.check_source(&sections, report);
        listeners::check(&self.global.global, &sections, report);
        check_max_connections(&self.global.global, &sections, report);
        let found = Diagnostics::new(sources.clone(), std::mem::take(&mut report.items));
        if found.has_errors() {
            return Err(found);
        }
        let local_tables = references::distribute(&mut sections, self.sections, self.proxies);
        Ok(Config {
            global: self.global.global,
            local_peer,
            sections,
            local_tables,
            warnings: found,
            sources,
        })
    }

    /// A name that comes from outside the files must fit the protocol's hello too (peers-protocol §2.1).
    fn check_local_peer(&mut self, name: &str, origin: &str) {
        let fits =
            !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control());
        if !fits {
            let title = format!("{name:?} is no name for a peer (this node's name by {origin})");
            let help = "names have no blanks: start with `-L NAME`, or write `localpeer NAME` in global";
            self.report.push(Diagnostic::without_place(title).help(help));
        }
    }
}

/// Every configured peer must have a place, and one that says its hello.
fn check_max_connections(global: &Global, sections: &[PeersSection], report: &mut Report) {
    let Some(MaxConnections { number, span }) = global.max_connections else { return };
    let enabled = sections.iter().filter(|section| !section.disabled);
    let needed = enabled.map(PeersSection::configured_peers).sum::<u32>() + 1;
    if number < needed {
        report.push(
            Diagnostic::error(
                span,
                format!("maxconn {number} is too little for the peers that are configured"),
            )
            .label(format!("at least {needed} are needed"))
            .help("a place for each of them and this node's next process, and one to say hello"),
        );
    }
}
