//! `server-template`: members that DNS lists, and when a section asks for them.
//!
//! As HAProxy's: `server-template <prefix> <num | range> <fqdn>[:<port>]`. A name that starts with an underscore is asked
//! for SRV records, which have the ports; any other for addresses.

use std::net::{IpAddr, SocketAddr};

use super::address::{Address, Family};
use super::arguments::{Arguments, Report, Word, check_name, number, positive_time};
use super::diagnostic::Diagnostic;
use super::global::Bases;
use super::model::ServerTls;
use super::source::Span;
use super::transport::{Parameters, Role, is_parameter};

/// Most members of one line: there are some 61,000 numbers for all members of all sections.
const MAX_MEMBERS: u32 = 60_000;
/// Highest number in a member's name.
const MAX_NUMBER: u32 = 999_999;
/// Longest name of the name service.
const MAX_NAME: usize = 253;
/// Longest part of such a name between two dots.
const MAX_LABEL: usize = 63;
const EXAMPLE: &str = "server-template lb 1-50 _peers._tcp.lbs.example.org";

/// Members that a DNS name lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTemplate {
    /// What the members' names begin with.
    pub prefix: String,
    /// Lowest and highest number; there are never more members than numbers.
    pub numbers: (u32, u32),
    /// The name that is asked for.
    pub domain: String,
    /// Port of the addresses; `None` when SRV records say it.
    pub port: Option<u16>,
    /// Set when only addresses of one family count.
    pub family: Option<Family>,
    /// What the members are called.
    pub names: MemberNames,
    /// The shard each gets, 1 to the section's `shards`; 0 when they get all.
    pub shard: u32,
    /// Set to connect over TLS.
    pub tls: Option<ServerTls>,
    /// The name in the configuration.
    pub span: Span,
}

/// What the members of a [`ServerTemplate`] are called: a peer has to be greeted by the very name it gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberNames {
    /// The first label of the target of an SRV record: for example the name of a pod.
    Target,
    /// The prefix and a number, as HAProxy names servers of a template.
    Number,
    /// The prefix and the address, with hyphens between its numbers.
    Address,
}

impl MemberNames {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Number => "number",
            Self::Address => "address",
        }
    }
}

impl ServerTemplate {
    /// Most members.
    pub fn most(&self) -> u32 {
        self.numbers.1 - self.numbers.0 + 1
    }
}

/// How the members of a section that are not configured are found and forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Pause between two questions to the name service, in ms.
    pub resolve_every: u32,
    /// Whom to ask, in order; the system's name servers when empty.
    pub name_servers: Vec<SocketAddr>,
    /// How long a member that is not configured is remembered without a session, in ms.
    pub forget: u32,
}

impl Membership {
    /// Default of [`resolve_every`](Self::resolve_every): as often as HAProxy asks for a name it holds.
    pub const RESOLVE_EVERY: u32 = 10_000;
    /// Default of [`forget`](Self::forget): an hour.
    pub const FORGET: u32 = 3_600_000;
}

impl Default for Membership {
    fn default() -> Self {
        Self { resolve_every: Self::RESOLVE_EVERY, name_servers: Vec::new(), forget: Self::FORGET }
    }
}

/// What the lines of a section say of such members.
#[derive(Debug, Default)]
pub(super) struct TemplateDrafts {
    pub(super) templates: Vec<TemplateDraft>,
    pub(super) membership: Membership,
    /// The first word of each line that only matters with a template.
    words: Vec<Word>,
}

/// A `server-template` line.
#[derive(Debug)]
pub(super) struct TemplateDraft {
    template: ServerTemplate,
    pub(super) domain: Word,
    pub(super) server: Parameters,
}

impl TemplateDrafts {
    /// Reads a `server-template` line.
    pub(super) fn template(
        &mut self,
        mut arguments: Arguments<'_>,
        defaults: &Parameters,
        report: &mut Report,
    ) {
        let keyword = arguments.keyword();
        let what = "a prefix, a number of members and a DNS name";
        let Some(prefix) = arguments.value(keyword, what, EXAMPLE, report) else { return };
        check_name(prefix, "a peer", report);
        let Some(count) = arguments.value(prefix, "a number or a range after it", EXAMPLE, report) else {
            return;
        };
        let numbers = range(count, report);
        let Some(word) = arguments.value(count, "a DNS name after it", EXAMPLE, report) else { return };
        let domain = domain(word, report);
        let names = match arguments.peek().filter(|word| word.text == "names") {
            None => None,
            Some(keyword) => {
                arguments.next();
                let Some(word) = arguments.value(keyword, "a word", "names target", report) else { return };
                let Some(names) = names(word, report) else { return };
                Some((names, word.span))
            }
        };
        if let Some(word) = arguments.peek().filter(|word| !is_parameter(&word.text)) {
            return report.unknown(
                word,
                "word",
                "after the DNS name",
                &["names", "shard", "ssl", "crt", "ca-file"],
            );
        }
        let server = Parameters::parse(arguments, Role::Server, report).or(defaults);
        let (Some(numbers), Some((name, port, family))) = (numbers, domain) else { return };
        let by_default = if port.is_none() { MemberNames::Target } else { MemberNames::Number };
        if let Some((MemberNames::Target, span)) = names
            && port.is_some()
        {
            report.push(
                Diagnostic::error(span, "addresses have no target to be named by")
                    .label("only SRV records have one")
                    .help("write `names number` or `names address`, or ask for SRV records such as `_peers._tcp.lbs.example.org`"),
            );
            return;
        }
        self.templates.push(TemplateDraft {
            template: ServerTemplate {
                prefix: prefix.text.clone(),
                numbers,
                domain: name,
                port,
                family,
                names: names.map_or(by_default, |(names, _)| names),
                shard: 0,
                tls: None,
                span: word.span,
            },
            domain: word.clone(),
            server,
        });
    }

    /// Reads a `resolve-every` line.
    pub(super) fn resolve_every(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        self.words.push(arguments.keyword().clone());
        let value = arguments.only_value("a time", "resolve-every 10s", report);
        if let Some(time) = value.and_then(|word| positive_time(word, report)) {
            self.membership.resolve_every = time;
        }
    }

    /// Reads a `forget` line.
    pub(super) fn forget(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let value = arguments.only_value("a time", "forget 1h", report);
        if let Some(time) = value.and_then(|word| positive_time(word, report)) {
            self.membership.forget = time;
        }
    }

    /// Reads a `nameserver` line.
    pub(super) fn name_server(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        const EXAMPLE: &str = "nameserver 10.0.0.53:53";
        let keyword = arguments.keyword();
        self.words.push(keyword.clone());
        let Some(first) = arguments.value(keyword, "an address", EXAMPLE, report) else { return };
        for word in std::iter::once(first).chain(arguments) {
            let address =
                word.text.parse().or_else(|_| word.text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
            match address {
                Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => {
                    self.membership.name_servers.push(address);
                }
                _ => report.push(
                    Diagnostic::error(word.span, format!("\"{}\" is no name server", word.text))
                        .label("an IP address with or without a port is expected")
                        .help(format!("for example `{EXAMPLE}`")),
                ),
            }
        }
    }

    /// The templates of the section; `shard` checks one's shard.
    pub(super) fn build(
        &self,
        bases: &Bases,
        shard: impl Fn(&TemplateDraft, &mut Report) -> u32,
        report: &mut Report,
    ) -> Vec<ServerTemplate> {
        if self.templates.is_empty() {
            for word in &self.words {
                let title =
                    format!("\"{}\" has no effect: the section has no \"server-template\"", word.text);
                report.push(
                    Diagnostic::warning(word.span, title)
                        .label("can be removed")
                        .help(format!("for example `{EXAMPLE}`")),
                );
            }
        }
        let mut built: Vec<ServerTemplate> = Vec::new();
        for draft in &self.templates {
            let (domain, port) = (&draft.template.domain, draft.template.port);
            let same =
                |other: &&ServerTemplate| other.domain.eq_ignore_ascii_case(domain) && other.port == port;
            if let Some(first) = built.iter().find(same) {
                report.push(
                    Diagnostic::error(
                        draft.domain.span,
                        format!("{domain} is asked for twice in the section"),
                    )
                    .label("second line")
                    .related(first.span, "first line"),
                );
                continue;
            }
            draft.server.warn_listening_words(report);
            let tls = draft.server.server_tls(draft.domain.span, bases, report);
            let shard = shard(draft, report);
            built.push(ServerTemplate { tls, shard, ..draft.template.clone() });
        }
        built
    }
}

/// Reads `<num>` or `<low>-<high>`.
fn range(word: &Word, report: &mut Report) -> Option<(u32, u32)> {
    let Some((low, high)) = word.text.split_once('-') else {
        return Some((1, number(word, 1, MAX_MEMBERS, "a number of members", report)?));
    };
    let part = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= MAX_NUMBER)
    };
    let numbers = part(low).zip(part(high)).filter(|(low, high)| low <= high && high - low < MAX_MEMBERS);
    if numbers.is_none() {
        report.push(
            Diagnostic::error(word.span, format!("\"{}\" is not a range of numbers", word.text)).label(format!(
                "such as 1-50 is expected: the lower one first, at most {MAX_MEMBERS} of them, none over {MAX_NUMBER}"
            )),
        );
    }
    numbers
}

fn names(word: &Word, report: &mut Report) -> Option<MemberNames> {
    let all = [MemberNames::Target, MemberNames::Number, MemberNames::Address];
    let found = all.into_iter().find(|names| names.word() == word.text);
    if found.is_none() {
        report.unknown(word, "word", "after names", &all.map(MemberNames::word));
    }
    found
}

/// Reads what is asked for: a name with a port for addresses, a name that starts with an underscore for SRV records.
fn domain(word: &Word, report: &mut Report) -> Option<(String, Option<u16>, Option<Family>)> {
    let fault = |label: &str, help: &'static str| {
        let error = Diagnostic::error(word.span, format!("\"{}\" is not a DNS name to ask for", word.text));
        Some(error.label(label.to_owned()).help(help))
    };
    const FORMS: &str =
        "`_peers._tcp.lbs.example.org` for SRV records, `lbs.example.org:10000` for addresses";
    let text = word.text.as_str();
    let error = if text.starts_with('_') {
        match text.split_once(':') {
            None if is_domain(text) => return Some((plain(text), None, None)),
            None => fault("not a name", FORMS),
            Some(_) => fault("SRV records say the port", FORMS),
        }
    } else {
        match Address::parse(text) {
            Ok(Address::Host { host, port, family }) if is_domain(&host) => {
                return Some((plain(&host), Some(port), family));
            }
            Ok(Address::Ip(_) | Address::Unix(_)) => {
                fault("one address, which needs no name", "write `server NAME ADDRESS`")
            }
            Ok(Address::Host { .. }) => fault("not a name", FORMS),
            Err(error) => fault(&error.to_string(), FORMS),
        }
    };
    error.into_iter().for_each(|error| report.push(error));
    None
}

/// Without the dot at the end that a complete name may have.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(good);
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(line: &str) -> (TemplateDrafts, Report) {
        let (mut drafts, mut report) = (TemplateDrafts::default(), Report::default());
        let words = words(line);
        let arguments = Arguments::new(&words).unwrap();
        match words[0].text.as_str() {
            "server-template" => drafts.template(arguments, &Parameters::default(), &mut report),
            "nameserver" => drafts.name_server(arguments, &mut report),
            "forget" => drafts.forget(arguments, &mut report),
            _ => drafts.resolve_every(arguments, &mut report),
        }
        (drafts, report)
    }

    #[test]
    fn forms_of_a_template() {
        use MemberNames::{Address, Number, Target};
        let (v4, v6) = (Some(Family::V4), Some(Family::V6));
        for (line, numbers, domain, port, family, names) in [
            ("lb 50 _p._tcp.a.b", (1, 50), "_p._tcp.a.b", None, None, Target),
            ("lb 0-9 _p._tcp.a.b. names number", (0, 9), "_p._tcp.a.b", None, None, Number),
            ("lb 7-7 a.b:10000", (7, 7), "a.b", Some(10_000), None, Number),
            ("lb 1 ipv4@a:1 names address", (1, 1), "a", Some(1), v4, Address),
            ("lb 60000 ipv6@a.b.:1 shard 0", (1, 60_000), "a.b", Some(1), v6, Number),
        ] {
            let (drafts, report) = read(&format!("server-template {line}"));
            assert_eq!(titles(&report), [""; 0], "{line}");
            let template = &drafts.templates[0].template;
            let found = (template.numbers, &*template.domain, template.port, template.family, template.names);
            assert_eq!(found, (numbers, domain, port, family, names), "{line}");
            assert_eq!(template.most(), numbers.1 - numbers.0 + 1);
        }
    }

    #[test]
    fn faults_of_single_lines() {
        let long = format!("server-template lb 1 _{}.b", "x".repeat(63));
        for (line, title) in [
            ("server-template", "\"server-template\" needs a prefix, a number of members and a DNS name"),
            ("server-template lb", "\"lb\" needs a number or a range after it"),
            ("server-template lb 5", "\"5\" needs a DNS name after it"),
            ("server-template l/b 5 a.b:1", "\"l/b\" is no name for a peer"),
            ("server-template lb 0 a.b:1", "\"0\" is out of range"),
            ("server-template lb 60001 a.b:1", "\"60001\" is out of range"),
            ("server-template lb 5-4 a.b:1", "\"5-4\" is not a range of numbers"),
            ("server-template lb 1-60001 a.b:1", "\"1-60001\" is not a range of numbers"),
            ("server-template lb 1- a.b:1", "\"1-\" is not a range of numbers"),
            ("server-template lb 1 a.b", "\"a.b\" is not a DNS name to ask for"),
            ("server-template lb 1 _p._tcp.a:1", "\"_p._tcp.a:1\" is not a DNS name to ask for"),
            ("server-template lb 1 _p..a", "\"_p..a\" is not a DNS name to ask for"),
            ("server-template lb 1 10.0.0.1:1", "\"10.0.0.1:1\" is not a DNS name to ask for"),
            ("server-template lb 1 /run/s", "\"/run/s\" is not a DNS name to ask for"),
            ("server-template lb 1 a.b:1 names", "\"names\" needs a word"),
            ("server-template lb 1 a.b:1 names pod", "unknown word \"pod\""),
            ("server-template lb 1 a.b:1 names target", "addresses have no target to be named by"),
            ("server-template lb 1 a.b:1 _p._tcp.a.b", "unknown word \"_p._tcp.a.b\""),
            ("resolve-every 0", "\"0\" is no time to wait"),
            ("resolve-every", "\"resolve-every\" needs a time"),
            ("forget 5x", "\"5x\" is not a time"),
            ("nameserver", "\"nameserver\" needs an address"),
            ("nameserver dns", "\"dns\" is no name server"),
            ("nameserver 0.0.0.0", "\"0.0.0.0\" is no name server"),
            ("nameserver 10.0.0.1:0", "\"10.0.0.1:0\" is no name server"),
        ] {
            assert_eq!(titles(&read(line).1), [title], "{line}");
        }
        assert_eq!(read(&long).1.errors(), 1);
    }

    #[test]
    fn name_servers_have_port_53_unless_they_say_another() {
        let (drafts, report) = read("nameserver 10.0.0.1 10.0.0.2:5353 ::1 [::1]:54");
        assert_eq!(titles(&report), [""; 0]);
        let servers: Vec<_> = drafts.membership.name_servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "10.0.0.2:5353", "[::1]:53", "[::1]:54"]);
        assert_eq!(read("forget 2h").0.membership.forget, 7_200_000);
    }
}
