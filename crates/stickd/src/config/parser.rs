//! Takes texts line by line, gives each line to its section, and puts the sections together at the end.

use std::collections::HashMap;
use std::env;

use super::aggregations::AggregationsDraft;
use super::arguments::{Arguments, Report, Word, check_name, suggest};
use super::cluster::{self, Context};
use super::diagnostic::{Diagnostic, Diagnostics, Severity, closest};
use super::global::GlobalDraft;
use super::lexer::{self, LexErrorKind, Lookalike, Rules};
use super::model::{Global, MaxConnections, PeersSection};
use super::peers::PeersDraft;
use super::proxy::ProxyDraft;
use super::source::{Source, Sources, Span};
use super::syntax::words::{self, Place};
use super::whole::{self, Taken, Whole};
use super::{
    Config, Environment, Options, aggregator, directives, http, keywords, listeners, references, shared,
};
use crate::tls::Loaded;

/// Most words that are remembered.
const MOST_LOOKED_AT: usize = 4096;

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
    /// A HAProxy's files.
    whole: Whole,
    /// Whether the next line continues one that was refused.
    is_continued: bool,
    /// Words that no section knows, with the section that each was meant to begin.
    looked_at: HashMap<String, Option<&'static str>>,
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
        whole: Whole::default(),
        is_continued: false,
        looked_at: HashMap::new(),
        report,
    };
    // A HAProxy's files come first: what stickd's own say is stronger.
    for (number, source) in sources.iter().enumerate().filter(|(_, source)| source.is_haproxys()) {
        let mut whole = std::mem::take(&mut parser.whole);
        whole.read(
            number as u32,
            source,
            &mut HaproxysLines { parser: &mut parser, source, number: number as u32 },
        );
        parser.whole = whole;
    }
    for (number, source) in sources.iter().enumerate().filter(|(_, source)| !source.is_haproxys()) {
        parser.current = Current::None;
        parser.source(number as u32, source);
    }
    let taken = parser.take_haproxys();
    parser.finish(sources, taken)
}

/// A HAProxy's file in reading.
struct HaproxysLines<'p, 'o, 's> {
    parser: &'p mut Parser<'o>,
    source: &'s Source,
    number: u32,
}

impl whole::Reader for HaproxysLines<'_, '_, '_> {
    fn split(&mut self, line: &str, start: usize) -> whole::Split {
        // Most of what is said about words goes to the report: here it waits until the line is taken.
        let report = std::mem::take(&mut self.parser.report);
        // A line stands for itself.
        (self.parser.current, self.parser.is_continued) = (Current::None, false);
        let words = self.parser.words(line, self.number, start, self.source.is_lossy()).unwrap_or_default();
        let found = std::mem::replace(&mut self.parser.report, report);
        let is_error = |fault: &Diagnostic| fault.severity() == Severity::Error;
        whole::Split { words, faults: found.items.into_iter().filter(is_error).collect() }
    }

    fn global(&mut self, words: &[Word]) {
        let Some(arguments) = Arguments::new(words) else { return };
        let report = std::mem::take(&mut self.parser.report);
        self.parser.global_line(arguments);
        let found = std::mem::replace(&mut self.parser.report, report);
        let errors = found.items.into_iter().filter(|fault| fault.severity() == Severity::Error);
        errors.for_each(|error| self.parser.report.push(error));
    }
}

impl Parser<'_> {
    /// Takes what is stickd's share of a HAProxy's files.
    fn take_haproxys(&mut self) -> Vec<Taken> {
        if self.whole.is_empty() {
            return Vec::new();
        }
        let (local_peer, _) = self.local_peer();
        let Self { whole, sections, proxies, report, .. } = self;
        whole.take(&local_peer, whole::Take { sections, proxies, report })
    }

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
        let first = line.split_whitespace().next().unwrap_or_default();
        let begins_section = sections().contains(&first);
        let is_continued = std::mem::take(&mut self.is_continued);
        // What follows may begin with `peers` as well, but a section's name is rarely indented.
        if is_continued && !(begins_section && line.starts_with(first)) {
            self.is_continued = line.trim_end().ends_with('\\');
            return None;
        }
        let place = |span: std::ops::Range<usize>| Span::new(number, start + span.start, start + span.end);
        let split = lexer::split(line, Rules::CONFIGURATION, &|name| self.variable(name));
        let is_passed_over = self.current == Current::Refused && !begins_section;
        let split = match split {
            Ok(split) => split,
            Err(error) => {
                self.is_continued = error.kind == LexErrorKind::TrailingBackslash;
                if !is_passed_over {
                    let fault = Diagnostic::error(place(error.span), error.kind.to_string());
                    self.refuse_line(fault.label("here").help(error.kind.help()), begins_section);
                }
                return None;
            }
        };
        if is_passed_over && !is_section(first) {
            return None;
        }
        let is_text = matches!(first, "description" | ".diag" | ".notice" | ".warning" | ".alert");
        if let Some(found) = split.lookalikes.first().filter(|_| !is_text) {
            let Lookalike { letter, name, meant, span } = found;
            let title = format!("{name} (U+{:04X}) is not {meant}", u32::from(*letter));
            let title =
                if *meant == "nothing" { title.replace("is not nothing", "stands here") } else { title };
            let fault = Diagnostic::error(place(span.clone()), title).label("here");
            let help = match *meant {
                "nothing" => "remove it".to_owned(),
                _ => format!("write {meant} instead"),
            };
            self.refuse_line(fault.help(help + "; pages on the web have such characters"), begins_section);
            return None;
        }
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
                self.refuse_line(
                    fault.label("bytes were replaced here").help("save the file as UTF-8"),
                    begins_section,
                );
                None
            }
        }
    }

    /// Reports a line that cannot be read. The lines of a section whose name is unknown belong to no other one, and what a section
    /// lacks may stand on a line that cannot be read.
    fn refuse_line(&mut self, fault: Diagnostic, begins_section: bool) {
        self.report.push(fault);
        match self.current {
            _ if begins_section => self.current = Current::Refused,
            Current::Peers => self.sections.iter_mut().last().into_iter().for_each(PeersDraft::lacks_a_line),
            Current::Aggregations => {
                self.hubs.iter_mut().last().into_iter().for_each(|hub| hub.peers.lacks_a_line());
            }
            Current::Proxy => self.proxies.iter_mut().last().into_iter().for_each(ProxyDraft::lacks_a_line),
            _ => {}
        }
    }

    /// The value of a variable: set by `global`, or the local peer's name, or from the environment.
    fn variable(&self, name: &str) -> Option<String> {
        self.global.variables.get(name, |name| match &self.options.environment {
            _ if name == "HAPROXY_LOCALPEER" => Some(self.local_peer().0),
            Environment::Process => env::var(name).ok(),
            Environment::Fixed(values) => values.get(name).cloned(),
        })
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
        if sections().contains(&text) {
            return self.section(arguments);
        }
        if let Some(known) = words::known(Place::Sections, text) {
            self.current = Current::Refused;
            let error = Diagnostic::error(keyword.span, format!("stickd has no \"{text}\" sections"));
            let error = error.label("HAProxy's, not stickd's").help(known.reason);
            return self.report.push(error.help(
                "stickd reads global, peers, aggregations, and the stick-table and stick lines of proxies",
            ));
        }
        if self.current == Current::Refused {
            return;
        }
        if text.starts_with('.') {
            return directives::line(&arguments, &mut self.report);
        }
        if let "no" | "default" = text {
            return self.negated(words);
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
                self.report.push(suggest(error.label("no section has begun"), text, sections()));
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

    /// Reads a line with "no" or "default" before its keyword.
    fn negated(&mut self, words: &[Word]) {
        let (before, rest) = (&words[0], &words[1..]);
        let place = match self.current {
            Current::Global => Place::Global,
            Current::Peers => Place::Peers,
            Current::Aggregations => Place::Aggregations,
            Current::Proxy => Place::Proxy,
            Current::None | Current::Refused => Place::Elsewhere,
        };
        let Some(arguments) = Arguments::new(rest) else {
            let error = Diagnostic::error(before.span, format!("\"{}\" needs a keyword", before.text));
            return self.report.push(error.label("missing after this").help("remove the line"));
        };
        let is_log = place == Place::Global && before.text == "no" && rest[0].text == "log";
        if is_log && rest.len() == 1 {
            // What HAProxy means: no targets from here on.
            self.global.global.logs.clear();
            return;
        }
        if before.text == "no" && words::report_line(place, &arguments, true, &mut self.report) {
            if self.current == Current::Proxy {
                self.proxies.iter_mut().last().into_iter().for_each(ProxyDraft::lacks_a_line);
            }
            return;
        }
        let title = format!("\"{}\" before \"{}\" is not possible", before.text, rest[0].text);
        let error = Diagnostic::error(before.span.to(rest[0].span), title).label("remove the line");
        self.report.push(error.help("HAProxy takes \"no\" before log, option and a few words of global"));
    }

    /// The section a word was meant to begin, if it is closer to one than to any keyword.
    fn misspelt_section(&mut self, word: &str) -> Option<&'static str> {
        let place = match self.current {
            Current::None | Current::Refused => return None,
            Current::Global => Place::Global,
            Current::Peers => Place::Peers,
            Current::Aggregations => Place::Aggregations,
            Current::Proxy => Place::Proxy,
        };
        if !self.report.suggests() {
            return None;
        }
        // Files repeat their words, and to compare one with all others takes longer than to read its line.
        if let Some(meant) = self.looked_at.get(word) {
            return *meant;
        }
        if words::known(place, word).is_some() || words::elsewhere(word).is_some() {
            return None;
        }
        let lines = [Place::Global, Place::Peers, Place::Proxy, Place::Aggregations, Place::Sections];
        let known = lines.into_iter().flat_map(keywords::names).copied();
        let meant = closest(word, known).filter(|meant| sections().contains(meant));
        if self.looked_at.len() < MOST_LOOKED_AT {
            self.looked_at.insert(word.to_owned(), meant);
        }
        meant
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
            "frontend" => "frontend t1",
            "listen" => "listen t1",
            _ => "backend t1",
        };
        let Some(name) = arguments.value(keyword, "a name", example, report) else { return };
        let is_proxy = !matches!(keyword.text.as_str(), "peers" | "aggregations");
        if let Some(from) = arguments.peek().filter(|word| is_proxy && word.text == "from") {
            arguments.next();
            let defaults = arguments.value(from, "the name of a defaults section", "from d", report);
            let span = defaults.map_or(from.span, |defaults| from.span.to(defaults.span));
            let warning = Diagnostic::warning(span, "\"from\" has no effect in stickd");
            let help = "it names the defaults section of the proxy, of which stickd needs nothing: remove both words";
            report.push(warning.label("can be removed").help(help));
        }
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
    fn finish(mut self, sources: Sources, taken: Vec<Taken>) -> Result<Config, Diagnostics> {
        let (local_peer, local_peer_origin) = self.local_peer();
        self.check_local_peer(&local_peer, local_peer_origin);
        let report = &mut self.report;
        for proxy in &self.proxies {
            proxy.end(report);
        }
        references::apply_stick_rules(&mut self.sections, &mut self.proxies, report);
        references::check(&self.sections, &self.hubs, &self.proxies, report);
        let has_shared = !self.global.shared.is_empty();
        let context =
            Context { local_peer: &local_peer, local_peer_origin, bases: &self.global.bases, has_shared };
        let mut sections = Vec::new();
        for draft in &self.sections {
            sections.extend(cluster::build(draft, &context, report));
        }
        let dynamic = self.global.dynamic_peers(self.hubs.is_empty(), report);
        for draft in &self.hubs {
            sections.extend(aggregator::build(draft, dynamic, &context, report));
        }
        sections.sort_by_key(|section| section.span);
        let shared = shared::build(&self.global.shared, &mut sections, &context, report);
        self.global.global.shared = shared;
        self.global.global.http.binds = http::build(&self.global.http, &self.global.bases, report);
        self.global.check_source(&sections, report);
        listeners::check(&self.global.global, &sections, report);
        check_max_connections(&self.global.global, &sections, report);
        let found = Diagnostics::new(sources.clone(), std::mem::take(&mut report.items));
        let found = found.and_more(report.left_out);
        if found.has_errors() {
            return Err(found);
        }
        let local_tables = references::distribute(&mut sections, self.sections, self.proxies);
        Ok(Config {
            global: self.global.global,
            local_peer,
            sections,
            local_tables,
            tls: Loaded::default(),
            files: self.report.files,
            taken,
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

/// The words that begin sections of stickd's.
fn sections() -> &'static [&'static str] {
    keywords::names(Place::Sections)
}

/// Whether a word begins a section, of stickd's or of HAProxy's.
fn is_section(word: &str) -> bool {
    sections().contains(&word) || words::known(Place::Sections, word).is_some()
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
