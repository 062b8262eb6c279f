//! The lines of an `aggregations` section, read one by one; what they mean together is worked out by
//! [`aggregator`](super::aggregator).

use stick_aggregate::{Rule, Rules};
use stick_table::DataType;

use super::arguments::{Arguments, Report, Word, check_name, listed, number, suggest, time};
use super::diagnostic::{Diagnostic, closest};
use super::hub::{Hub, PeerLevel};
use super::keywords;
use super::mappings::MappingDraft;
use super::peers::{self, Member, PeersDraft};
use super::syntax::words::{self, Place};
use super::transport::{Parameters, Role, is_parameter};

/// What may stand behind a peer's address.
const LEVELS: [&str; 4] = ["local", "up", "down", "beside"];

/// A section as it is written.
#[derive(Debug)]
pub(super) struct AggregationsDraft {
    /// What a `peers` section has as well; its members are those of `levels`.
    pub(super) peers: PeersDraft,
    /// The level of each member.
    pub(super) levels: Vec<LevelDraft>,
    pub(super) mappings: Vec<MappingDraft>,
    pub(super) rules: Vec<(DataType, Rule)>,
    pub(super) node_timeout: u32,
    pub(super) status_table: Option<Word>,
    /// The data types of `rule` lines.
    ruled: Vec<Word>,
    /// Whether there is a `from` line, one with faults too.
    pub(super) has_mappings: bool,
}

/// The words behind a peer's address.
#[derive(Debug, Default)]
pub(super) struct LevelDraft {
    /// `local`, `up`, `down` or `beside`; a load balancer without.
    pub(super) word: Option<Word>,
    group: Option<u32>,
}

impl LevelDraft {
    pub(super) fn is(&self, word: &str) -> bool {
        self.word.as_ref().is_some_and(|own| own.text == word)
    }

    /// The level of a peer that is not this node.
    pub(super) fn level(&self) -> PeerLevel {
        match self.word.as_ref().map(|word| word.text.as_str()) {
            Some("up") => PeerLevel::Up { group: self.group },
            Some("down") => PeerLevel::Down,
            Some("beside") => PeerLevel::Beside,
            _ => PeerLevel::Balancer,
        }
    }
}

impl AggregationsDraft {
    pub(super) fn new(name: Word) -> Self {
        Self {
            peers: PeersDraft::new(name),
            levels: Vec::new(),
            mappings: Vec::new(),
            rules: Vec::new(),
            node_timeout: Hub::NODE_TIMEOUT,
            status_table: None,
            ruled: Vec::new(),
            has_mappings: false,
        }
    }

    pub(super) fn name(&self) -> &Word {
        &self.peers.name
    }

    /// Reads one line.
    pub(super) fn line(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        match keyword.text.as_str() {
            text if !keywords::is_known(Place::Aggregations, text) => {
                if !words::report_line(Place::Aggregations, &arguments, false, report) {
                    unknown(keyword, report);
                }
            }
            "peer" => self.peer(arguments, report),
            "from" => {
                self.has_mappings = true;
                self.mappings.extend(MappingDraft::parse(arguments, report));
            }
            "table" | "disabled" | "enabled" | "default-bind" | "dynamic-peers" | "handshakes"
            | "nameserver" | "resolve-every" | "forget" => {
                self.peers.line(arguments, report);
            }
            "server-template" => {
                let before = self.peers.templates.templates.len();
                self.peers.line(arguments, report);
                let new = self.peers.templates.templates.get(before);
                // What `default-server` says is reported there.
                if let Some(new) = new.filter(|_| self.peers.default_server.shard.is_none()) {
                    refuse_shard(&new.server, report);
                }
            }
            "default-server" => {
                let before = self.peers.default_server.shard;
                self.peers.line(arguments, report);
                if before != self.peers.default_server.shard {
                    refuse_shard(&self.peers.default_server, report);
                }
            }
            "tables" => self.peers.limits_of_tables(arguments, report),
            "rule" => self.rule(arguments, report),
            "node-timeout" => {
                if self.peers.first(keyword, report)
                    && let Some(word) = arguments.only_value("a time", "node-timeout 30s", report)
                {
                    self.node_timeout = time(word, report).unwrap_or(self.node_timeout);
                }
            }
            "status-table" => {
                if self.peers.first(keyword, report)
                    && let Some(word) = arguments.only_value("a name", "status-table hub", report)
                    && check_name(word, "a table", report)
                {
                    self.status_table = Some(word.clone());
                }
            }
            _ => unknown(keyword, report),
        }
    }

    /// Reads `peer NAME [ADDRESS] [local|down|up [group N]] [TLS]`.
    fn peer(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        let example = "peer lb1 10.0.0.1:10000";
        let Some(name) = arguments.value(keyword, "a name and an address", example, report) else {
            return self.peers.lacks_a_line();
        };
        if !check_name(name, "a peer", report) {
            return self.peers.lacks_a_line();
        }
        let is_level = |word: &Word| word.text == "group" || LEVELS.contains(&word.text.as_str());
        let address = match arguments.peek() {
            Some(word) if !is_level(word) && !is_parameter(&word.text) => arguments.next().cloned(),
            _ => None,
        };
        let level = LevelDraft::parse(&mut arguments, report);
        let known = level.is_some() && !has_late_level(arguments.clone(), report);
        // After a fault what follows is not known.
        let own =
            if known { Parameters::parse(arguments, Role::Server, report) } else { Parameters::default() };
        let level = level.unwrap_or_default();
        refuse_shard(&own, report);
        if address.is_none() && own.has_tls() && !level.is("local") {
            let warning = Diagnostic::warning(name.span, "\"ssl\" has no effect: the peer has no address");
            report.push(warning.label("connects itself").help("TLS of the listener is on `default-bind`"));
        }
        self.peers.members.push(Member {
            keyword: keyword.clone(),
            name: name.clone(),
            address,
            default_bind: self.peers.default_bind.clone(),
            server: own.or(&self.peers.default_server),
        });
        self.levels.push(level);
    }

    fn rule(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        const EXAMPLE: &str = "rule gpt0 max";
        let keyword = arguments.keyword();
        let Some(name) = arguments.value(keyword, "a data type and a rule", EXAMPLE, report) else { return };
        let Some(data_type) = DataType::from_name(&name.text) else {
            let known = DataType::ALL.map(DataType::name);
            report.unknown(name, "data type", "to stick tables", &known);
            return;
        };
        let Some(word) = arguments.value(name, "a rule", EXAMPLE, report) else { return };
        let is_allowed = |rule: &Rule| Rules::default().set(data_type, *rule).is_ok();
        let allowed: Vec<_> = Rule::ALL.into_iter().filter(is_allowed).collect();
        let words: Vec<_> = allowed.iter().map(|rule| rule.word()).collect();
        let rule = match word.text.parse::<Rule>() {
            Ok(rule) if allowed.contains(&rule) => rule,
            Ok(rule) => {
                let title = format!("the rule \"{rule}\" is not possible for {data_type}");
                let error = Diagnostic::error(word.span, title).label("has no meaning here");
                report.push(error.help(format!("allowed for {data_type}: {}", listed(&words))));
                return;
            }
            Err(_) => {
                let title = format!("unknown rule \"{}\"", word.text);
                let error = Diagnostic::error(word.span, title).label("not a rule");
                report.push(suggest(error, &word.text, &words));
                return;
            }
        };
        if !arguments.end(EXAMPLE, report) {
            return;
        }
        let same = |(known, _): &(_, _)| *known == data_type;
        if let Some(first) = self.rules.iter().position(same).and_then(|place| self.ruled.get(place)) {
            report.push(
                Diagnostic::error(name.span, format!("{data_type} has two rules"))
                    .label("second rule")
                    .related(first.span, "first rule"),
            );
            return;
        }
        self.rules.push((data_type, rule));
        self.ruled.push(name.clone());
    }
}

impl LevelDraft {
    /// Reads the words behind the address. `None` when the rest of the line cannot be understood.
    fn parse(arguments: &mut Arguments<'_>, report: &mut Report) -> Option<Self> {
        let mut level = Self::default();
        let mut group = None;
        while let Some(word) = arguments.peek() {
            let text = word.text.as_str();
            if LEVELS.contains(&text) {
                arguments.next();
                level.add(word, report);
            } else if text == "group" {
                arguments.next();
                let value = arguments.value(word, "a number", "up group 1", report)?;
                level.group = number(value, 1, PeerLevel::MAX_GROUP, "the number of a group", report);
                group = Some(word);
            } else if closest(text, LEVELS).is_some() || !is_parameter(text) {
                let error = Diagnostic::error(word.span, format!("unknown word \"{text}\""));
                let help = "behind the address stands nothing for a load balancer, `local` for this node, `down`, \
                            `up`, `up group 1` or `beside` for other aggregators; TLS words come last";
                let error = error.label("not known behind a peer");
                report.push(match closest(text, LEVELS) {
                    Some(meant) => error.help(format!("did you mean \"{meant}\"?")).help(help),
                    None => error.help(help),
                });
                return None;
            } else {
                break;
            }
        }
        if let Some(word) = group.filter(|_| !level.is("up")) {
            report.push(
                Diagnostic::error(word.span, "\"group\" goes with \"up\" only")
                    .label("of upper-level aggregators that are copies of one another")
                    .help("write `up group 1`, or remove it"),
            );
        }
        Some(level)
    }

    fn add(&mut self, word: &Word, report: &mut Report) {
        if let Some(first) = &self.word {
            let title = if first.text == word.text {
                format!("\"{}\" is given twice", word.text)
            } else {
                format!("a peer cannot be \"{}\" and \"{}\"", first.text, word.text)
            };
            let error =
                Diagnostic::error(word.span, title).label("remove this").related(first.span, "or this");
            report.push(if first.text == word.text {
                error
            } else {
                error.help("`up` aggregates the results of this node, `down` is aggregated by it")
            });
            return;
        }
        self.word = Some(word.clone());
    }
}

/// Reports a level behind TLS words, which would be none of them.
fn has_late_level(words: Arguments<'_>, report: &mut Report) -> bool {
    let words: Vec<_> = words.collect();
    let takes_any =
        |word: &Word| ["crt", "ca-file", "sni", "verifyhost", "alpn"].contains(&word.text.as_str());
    let late = words.windows(2).find(|pair| LEVELS.contains(&pair[1].text.as_str()) && !takes_any(pair[0]));
    if let Some(pair) = late {
        let word = pair[1];
        report.push(
            Diagnostic::error(word.span, format!("\"{}\" stands too late", word.text))
                .label("write it behind the address")
                .related(words[0].span, "TLS words come last"),
        );
    }
    late.is_some()
}

/// Hubs need all keys.
fn refuse_shard(parameters: &Parameters, report: &mut Report) {
    if let Some((_, span)) = parameters.shard {
        report.push(
            Diagnostic::error(span, "an aggregations section has no shards")
                .label("remove \"shard\"")
                .help("a node that gets a part of the results only would take the rest for zero"),
        );
    }
}

/// An unknown keyword: one that stands elsewhere or is another product's, which gets a reason, or a misspelt one.
fn unknown(keyword: &Word, report: &mut Report) {
    let text = keyword.text.as_str();
    let error = |why: &str| Diagnostic::error(keyword.span, format!("\"{text}\" {why}"));
    let (error, help) = match text {
        "bind" => (
            error("is not supported in an aggregations section").label("no listener of its own"),
            "this node listens at the address of its own line: `peer NAME 0.0.0.0:10000 local`; TLS is on `default-bind`",
        ),
        "server" => (
            error("is not supported in an aggregations section").label("write \"peer\" here"),
            "each node is a `peer NAME ADDRESS` line, with `local`, `down` or `up` behind it",
        ),
        "stick-table" | "dynamic-tables" => (
            error("is not supported in an aggregations section").label("tables need no line here"),
            "they are made from what the peers define, or as a `table` line says; `tables memory 1g` limits them",
        ),
        "shards" | "relay" => (
            error("is not supported in an aggregations section").label("of peers sections"),
            "every node gets every result; values of nodes go to nobody. Remove the line",
        ),
        "stats" | "source" | "cpu-map" | "hash-table" | "trash-batch" | "localpeer" => (
            error("stands in global").label("not in an aggregations section"),
            "move the line to the `global` section",
        ),
        _ => {
            return peers::unknown(
                keyword,
                "an aggregations section",
                keywords::names(Place::Aggregations),
                report,
            );
        }
    };
    report.push(error.help(help));
}
