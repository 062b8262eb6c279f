//! The lines of a `peers` section, read one by one; what they mean together is worked out by [`cluster`](super::cluster).

use super::arguments::{Arguments, Report, Word, check_name, listed, memory, number, positive_time, size};
use super::cidr::Cidr;
use super::diagnostic::Diagnostic;
use super::keywords;
use super::model::{DynamicPeers, DynamicTables, Handshakes};
use super::syntax::words::{self, Place};
use super::table::{self, Form, TableDraft};
use super::template::TemplateDrafts;
use super::transport::{Parameters, Role, is_parameter};

/// Most connections without a hello that can be asked for: each takes an open file.
const MAX_HANDSHAKES: u32 = 1 << 20;

/// A section as it is written.
#[derive(Debug)]
pub(super) struct PeersDraft {
    /// The section's name.
    pub(super) name: Word,
    pub(super) disabled: bool,
    pub(super) listener: Option<ListenerDraft>,
    pub(super) members: Vec<Member>,
    pub(super) tables: Vec<TableDraft>,
    /// Full names of all `table` lines, those with faults too.
    pub(super) table_names: Vec<(String, Word)>,
    pub(super) shards: Option<u32>,
    pub(super) dynamic_peers: Option<DynamicPeers>,
    pub(super) templates: TemplateDrafts,
    pub(super) dynamic_tables: Option<DynamicTables>,
    pub(super) handshakes: Handshakes,
    /// The `relay` keyword.
    pub(super) relay: Option<Word>,
    pub(super) default_bind: Parameters,
    pub(super) default_server: Parameters,
    /// Keywords that may stand once, with the word they were first given by.
    once: Vec<Word>,
    /// Whether a line could not be read, so that what seems to be missing may be there.
    pub(super) lacks_a_line: bool,
}

/// A `bind` line.
#[derive(Debug)]
pub(super) struct ListenerDraft {
    pub(super) keyword: Word,
    pub(super) address: Word,
    pub(super) parameters: Parameters,
}

/// A `peer` or a `server` line. Which node it names decides later what its address is for.
#[derive(Debug)]
pub(super) struct Member {
    /// `peer` or `server`.
    pub(super) keyword: Word,
    pub(super) name: Word,
    pub(super) address: Option<Word>,
    /// How its address is listened to if it is a `peer` line of this node: what `default-bind` says.
    pub(super) default_bind: Parameters,
    /// How to connect to it: its own parameters with those of `default-server` behind them.
    pub(super) server: Parameters,
}

impl Member {
    pub(super) fn is_peer_line(&self) -> bool {
        self.keyword.text == "peer"
    }
}

impl PeersDraft {
    pub(super) fn new(name: Word) -> Self {
        Self {
            name,
            disabled: false,
            listener: None,
            members: Vec::new(),
            tables: Vec::new(),
            table_names: Vec::new(),
            shards: None,
            dynamic_peers: None,
            templates: TemplateDrafts::default(),
            dynamic_tables: None,
            handshakes: Handshakes::default(),
            relay: None,
            default_bind: Parameters::default(),
            default_server: Parameters::default(),
            once: Vec::new(),
            lacks_a_line: false,
        }
    }

    /// Notes that a line could not be read.
    pub(super) fn lacks_a_line(&mut self) {
        self.lacks_a_line = true;
    }

    /// Reads one line.
    pub(super) fn line(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        match keyword.text.as_str() {
            text if !keywords::is_known(Place::Peers, text) => {
                if !words::report_line(Place::Peers, &arguments, false, report) {
                    unknown(keyword, "a peers section", keywords::names(Place::Peers), report);
                }
            }
            "peer" | "server" => self.member(arguments, report),
            "bind" => self.bind(arguments, report),
            "default-bind" => {
                self.default_bind = Parameters::parse(arguments, Role::Bind, report).or(&self.default_bind);
            }
            "default-server" => {
                self.default_server =
                    Parameters::parse(arguments, Role::Server, report).or(&self.default_server);
            }
            "table" => self.table(arguments, report),
            "shards" => self.shards(arguments, report),
            "disabled" => self.disabled = arguments.end("disabled", report) || self.disabled,
            "enabled" => self.disabled = !arguments.end("enabled", report) && self.disabled,
            "dynamic-peers" => {
                if self.first(keyword, report) {
                    self.dynamic_peers = Some(dynamic_peers(arguments, report));
                }
            }
            "server-template" => self.templates.template(arguments, &self.default_server, report),
            "nameserver" => self.templates.name_server(arguments, report),
            "resolve-every" | "forget" if !self.first(keyword, report) => {}
            "resolve-every" => self.templates.resolve_every(arguments, report),
            "forget" => self.templates.forget(arguments, report),
            "dynamic-tables" => self.limits_of_tables(arguments, report),
            "handshakes" => self.handshakes(arguments, report),
            "relay" => {
                if self.first(keyword, report) && arguments.end("relay", report) {
                    self.relay = Some(keyword.clone());
                }
            }
            _ => unknown(keyword, "a peers section", keywords::names(Place::Peers), report),
        }
    }

    fn member(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        let example = match keyword.text.as_str() {
            "peer" => "peer node1 10.0.0.1:10000",
            _ => "server node1 10.0.0.1:10000",
        };
        let Some(name) = arguments.value(keyword, "a name and an address", example, report) else {
            return self.lacks_a_line();
        };
        if !check_name(name, "a peer", report) {
            return self.lacks_a_line();
        }
        let address = match arguments.peek() {
            Some(word) if !is_parameter(&word.text) => arguments.next(),
            _ => None,
        };
        let own = Parameters::parse(arguments, Role::Server, report);
        self.members.push(Member {
            keyword: keyword.clone(),
            name: name.clone(),
            address: address.cloned(),
            default_bind: self.default_bind.clone(),
            server: own.or(&self.default_server),
        });
    }

    fn bind(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        let Some(address) = arguments.value(keyword, "an address", "bind 10.0.0.1:10000", report) else {
            return;
        };
        let parameters = Parameters::parse(arguments, Role::Bind, report).or(&self.default_bind);
        if let Some(first) = &self.listener {
            report.push(
                Diagnostic::error(keyword.span, "a peers section has one listener")
                    .label("second \"bind\"")
                    .related(first.keyword.span, "first \"bind\""),
            );
            return;
        }
        self.listener =
            Some(ListenerDraft { keyword: keyword.clone(), address: address.clone(), parameters });
    }

    fn table(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        let example = "table t1 type ip size 100k expire 30m store http_req_rate(10s)";
        let Some(name) = arguments.value(keyword, "a name and arguments", example, report) else { return };
        if !check_table_name(name, report) {
            return;
        }
        let full_name = format!("{}/{}", self.name.text, name.text);
        self.tables.extend(table::parse(&full_name, name, Form::Section, arguments, report));
        self.table_names.push((full_name, name.clone()));
    }

    fn shards(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        match self.once.iter_mut().find(|first| first.text == keyword.text) {
            Some(first) => {
                report.push(
                    Diagnostic::warning(keyword.span, "\"shards\" is given twice in the section")
                        .label("this one counts")
                        .related(first.span, "this one is without effect"),
                );
                *first = keyword.clone();
            }
            None => self.once.push(keyword.clone()),
        }
        if let Some(word) = arguments.only_value("a number", "shards 3", report) {
            self.shards = number(word, 1, u32::MAX, "a number of shards", report);
        }
    }

    /// Reads `dynamic-tables`, or `tables` of an `aggregations` section.
    pub(super) fn limits_of_tables(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        if !self.first(keyword, report) {
            return;
        }
        let keyword = &keyword.text;
        let is_hub = keyword == "tables";
        let example = if is_hub { "tables memory 2g" } else { "dynamic-tables size 100k max 50 memory 512m" };
        let mut dynamic = if is_hub { DynamicTables::aggregated() } else { DynamicTables::default() };
        while let Some(word) = arguments.next() {
            let target = match word.text.as_str() {
                "size" => Some(&mut dynamic.size),
                "max" => Some(&mut dynamic.max),
                "memory" => None,
                _ => {
                    let place = format!("after {keyword}");
                    report.unknown(word, "word", &place, &["size", "max", "memory"]);
                    break;
                }
            };
            let Some(value) = arguments.value(word, "a number", example, report) else { break };
            match target {
                Some(target) => *target = size(value, 1, u32::MAX, report).unwrap_or(*target),
                None => dynamic.memory = memory(value, report).unwrap_or(dynamic.memory),
            }
        }
        self.dynamic_tables = Some(dynamic);
    }

    fn handshakes(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        const EXAMPLE: &str = "handshakes max 1024 timeout 5s";
        if !self.first(arguments.keyword(), report) {
            return;
        }
        if arguments.peek().is_none() {
            arguments.value(arguments.keyword(), "max or timeout", EXAMPLE, report);
        }
        while let Some(word) = arguments.next() {
            match word.text.as_str() {
                "max" => {
                    let Some(value) = arguments.value(word, "a number", EXAMPLE, report) else { break };
                    let max = size(value, 1, MAX_HANDSHAKES, report);
                    self.handshakes.max = max.unwrap_or(self.handshakes.max);
                }
                "timeout" => {
                    let Some(value) = arguments.value(word, "a time", EXAMPLE, report) else { break };
                    let timeout = positive_time(value, report);
                    self.handshakes.timeout = timeout.unwrap_or(self.handshakes.timeout);
                }
                _ => {
                    report.unknown(word, "word", "after handshakes", &["max", "timeout"]);
                    break;
                }
            }
        }
    }

    /// Whether a keyword is given for the first time; reports the second.
    pub(super) fn first(&mut self, keyword: &Word, report: &mut Report) -> bool {
        if let Some(first) = self.once.iter().find(|first| first.text == keyword.text) {
            report.push(
                Diagnostic::error(
                    keyword.span,
                    format!("\"{}\" is given twice in the section", keyword.text),
                )
                .label("second line")
                .related(first.span, "first line"),
            );
            return false;
        }
        self.once.push(keyword.clone());
        true
    }

    /// The word of the `shards` line that counts.
    pub(super) fn shards_keyword(&self) -> Option<&Word> {
        self.once.iter().find(|keyword| keyword.text == "shards")
    }

    /// Whether there is a `shards` line that was refused.
    pub(super) fn has_faulty_shards(&self) -> bool {
        self.shards.is_none() && self.once.iter().any(|keyword| keyword.text == "shards")
    }

    /// The names on `peer` and `server` lines, for messages.
    pub(super) fn member_names(&self) -> String {
        let names: Vec<_> = self.members.iter().map(|member| format!("\"{}\"", member.name.text)).collect();
        listed(&names)
    }
}

/// Reads `dynamic-peers`, of a section or of `global`.
pub(super) fn dynamic_peers(mut arguments: Arguments<'_>, report: &mut Report) -> DynamicPeers {
    const EXAMPLE: &str = "dynamic-peers from 10.0.0.0/8 max 100";
    let mut dynamic = DynamicPeers { from: Vec::new(), max: DynamicPeers::MAX };
    while let Some(word) = arguments.next() {
        match word.text.as_str() {
            "from" => {
                let Some(first) = arguments.value(word, "a block of addresses", EXAMPLE, report) else {
                    break;
                };
                dynamic.from.extend(block(first, report));
                while let Some(next) = arguments.peek().filter(|word| !["max", "from"].contains(&&*word.text))
                {
                    arguments.next();
                    dynamic.from.extend(block(next, report));
                }
            }
            "max" => {
                let Some(value) = arguments.value(word, "a number", EXAMPLE, report) else { break };
                dynamic.max = size(value, 1, u32::MAX, report).unwrap_or(dynamic.max);
            }
            _ => {
                report.unknown(word, "word", "after dynamic-peers", &["from", "max"]);
                break;
            }
        }
    }
    dynamic
}

/// Reports a keyword that a section does not have: of another section, or misspelt.
pub(super) fn unknown(keyword: &Word, section: &str, known: &[&str], report: &mut Report) {
    let text = keyword.text.as_str();
    match words::elsewhere(text).or_else(|| words::known(Place::Global, text)) {
        Some(found) => {
            let error = Diagnostic::error(keyword.span, format!("unknown keyword \"{text}\""));
            let error = error.label(format!("HAProxy's, but not in {section}"));
            report.push(error.help(format!("remove the line: {}", found.reason)));
        }
        None => report.unknown(keyword, "keyword", &format!("in {section}"), known),
    }
}

/// HAProxy takes any name for a table; one that breaks lines would break what `show table` prints.
fn check_table_name(name: &Word, report: &mut Report) -> bool {
    let good = !name.text.is_empty() && !name.text.contains(char::is_control);
    if !good {
        let error = Diagnostic::error(name.span, format!("{:?} is no name for a table", name.text));
        report.push(error.label("names are not empty and have no control characters"));
    }
    good
}

fn block(word: &Word, report: &mut Report) -> Option<Cidr> {
    let block = word.text.parse();
    if let Err(error) = &block {
        let title = format!("\"{}\" is not a block of addresses", word.text);
        report.push(Diagnostic::error(word.span, title).label(format!("{error}")));
    }
    block.ok()
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(lines: &[&str]) -> (PeersDraft, Report) {
        let mut report = Report::default();
        let mut draft = PeersDraft::new(words("p").remove(0));
        for line in lines {
            draft.line(Arguments::new(&words(line)).unwrap(), &mut report);
        }
        (draft, report)
    }

    #[test]
    fn dynamic_keywords() {
        let (draft, report) =
            read(&["dynamic-peers from 127.0.0.0/8 ::1 max 10", "dynamic-tables size 1k max 3"]);
        assert_eq!(titles(&report), [""; 0]);
        let peers = draft.dynamic_peers.unwrap();
        assert_eq!((peers.from.len(), peers.max), (2, 10));
        let memory = DynamicTables::MEMORY;
        assert_eq!(draft.dynamic_tables, Some(DynamicTables { size: 1024, max: 3, memory }));

        let (draft, _) = read(&["dynamic-peers", "dynamic-tables"]);
        assert_eq!(draft.dynamic_peers, Some(DynamicPeers { from: Vec::new(), max: 1024 }));
        assert_eq!(draft.dynamic_tables, Some(DynamicTables { size: 102_400, max: 256, memory }));
        assert_eq!(read(&["dynamic-tables memory 20g"]).0.dynamic_tables.unwrap().memory, 20 << 30);
        let (draft, report) = read(&["dynamic-tables memory 0", "handshakes timeout 500 max 2k"]);
        assert_eq!(titles(&report), [""; 0]);
        assert_eq!(draft.dynamic_tables.unwrap().memory, 0);
        assert_eq!(draft.handshakes, Handshakes { max: 2048, timeout: 500 });
        assert_eq!(read(&[]).0.handshakes, Handshakes { max: 1024, timeout: 5_000 });
    }

    #[test]
    fn faults_of_single_lines() {
        for (lines, title) in [
            (&["peer"][..], "\"peer\" needs a name and an address"),
            (&["peer a/b 1.2.3.4:1"], "\"a/b\" is no name for a peer"),
            (&["bind"], "\"bind\" needs an address"),
            (&["bind :1", "bind :2"], "a peers section has one listener"),
            (&["shards 0"], "\"0\" is out of range"),
            (&["shards 1 2"], "unexpected \"2\" on the line of \"shards\""),
            (&["shards 1", "shards 2"], "\"shards\" is given twice in the section"),
            (&["dynamic-peers", "dynamic-peers"], "\"dynamic-peers\" is given twice in the section"),
            (&["disabled x"], "unexpected \"x\" on the line of \"disabled\""),
            (&["log global"], "\"log\" has no effect in stickd"),
            (&["timeout connect 5s"], "unknown keyword \"timeout\""),
            (&["tabel t"], "unknown keyword \"tabel\""),
            (&["table '' type ip size 1"], "\"\" is no name for a table"),
            (&["table a\\nb type ip size 1"], "\"a\\nb\" is no name for a table"),
            (&["dynamic-peers form 10.0.0.0/8"], "unknown word \"form\""),
            (&["dynamic-peers from"], "\"from\" needs a block of addresses"),
            (&["dynamic-peers from 10.0.0.1/8"], "\"10.0.0.1/8\" is not a block of addresses"),
            (&["relay", "relay"], "\"relay\" is given twice in the section"),
            (&["relay on"], "unexpected \"on\" on the line of \"relay\""),
            (&["dynamic-tables size 0"], "\"0\" is out of range"),
            (&["dynamic-tables memory 5gb"], "\"5gb\" is not an amount of memory"),
            (&["handshakes"], "\"handshakes\" needs max or timeout"),
            (&["handshakes max"], "\"max\" needs a number"),
            (&["handshakes max 0"], "\"0\" is out of range"),
            (&["handshakes timeout 0"], "\"0\" is no time to wait"),
            (&["handshakes timeout 5x"], "\"5x\" is not a time"),
            (&["handshakes 5"], "unknown word \"5\""),
            (&["handshakes max 1", "handshakes max 2"], "\"handshakes\" is given twice in the section"),
        ] {
            assert_eq!(titles(&read(lines).1), [title], "{lines:?}");
        }
    }

    #[test]
    fn any_name_is_good_for_a_table() {
        let (draft, report) = read(&["table a/b type ip size 1", "table 'a b%' type ip size 1"]);
        assert_eq!(titles(&report), [""; 0]);
        let names: Vec<_> = draft.tables.iter().map(|table| table.definition.network_name()).collect();
        assert_eq!(names, ["/a/b", "/a b%"]);
    }

    #[test]
    fn the_last_of_disabled_and_enabled_counts() {
        assert!(read(&["enabled", "disabled"]).0.disabled);
        assert!(!read(&["disabled", "enabled"]).0.disabled);
    }

    #[test]
    fn defaults_hold_for_the_lines_after_them() {
        let (draft, _) =
            read(&["server a 1.2.3.4:1", "default-server ssl verify none", "server b 1.2.3.4:2"]);
        let tls: Vec<_> = draft.members.iter().map(|member| member.server.has_tls()).collect();
        assert_eq!(tls, [false, true]);
    }
}
