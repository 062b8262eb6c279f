//! A HAProxy's whole configuration, of which stickd takes its share (`--haproxy-cfg`).
//!
//! The file stays as it is on every HAProxy. Taken are the `peers` sections that name this node, the tables that are shared in one of
//! them with the columns that `stick` lines add, and of `global` what these need: variables, bases of certificates, sizes of
//! messages. All other lines are passed over, whatever they hold. What is taken is read like stickd's own lines, so that an
//! error there is an error.

mod conditions;
mod take;
mod taken;

use std::collections::BTreeSet;

use super::arguments::Word;
use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use super::syntax::words::{self, Place};
use conditions::Conditions;

pub(super) use take::Take;
pub use taken::Taken;

/// Lines of `global` that matter to what is taken.
const OF_GLOBAL: [&str; 9] = [
    "setenv",
    "presetenv",
    "unsetenv",
    "resetenv",
    "ca-base",
    "crt-base",
    "tune.bufsize",
    "tune.peers.max-updates-at-once",
    "tune.peers.max-server-key",
];
/// Sections whose lines may be taken.
const PROXIES: [&str; 3] = ["backend", "frontend", "listen"];
/// Sections that this program may not know yet begin with such words, and their lines are for them.
const OTHERS: [&str; 6] = ["program", "crt-store", "acme", "mailers", "defaults", "dynamic-update"];

/// What may matter of all files, in its order.
#[derive(Debug, Default)]
pub(super) struct Whole {
    files: Vec<File>,
    sections: Vec<Section>,
}

/// A file.
#[derive(Debug)]
struct File {
    name: String,
    /// Its number among the sources.
    source: u32,
    /// Lines that hold words.
    lines: usize,
    /// Lines of `global` that were taken.
    of_global: usize,
}

/// A `peers` section, or a proxy.
#[derive(Debug)]
struct Section {
    source: u32,
    /// The keyword and the name.
    header: [Word; 2],
    lines: Vec<Line>,
    condition: Option<Span>,
}

/// A line that may be taken.
#[derive(Debug)]
struct Line {
    words: Vec<Word>,
    /// What is wrong with it, if it is taken.
    faults: Vec<Diagnostic>,
    /// The `.if` around it whose answer only a HAProxy knows.
    condition: Option<Span>,
}

/// What a line that was split gives: its words and what is wrong with it.
pub(super) struct Split {
    pub(super) words: Vec<Word>,
    pub(super) faults: Vec<Diagnostic>,
}

/// What reading a file needs of the parser.
pub(super) trait Reader {
    /// Splits a line that begins at this byte offset of the text.
    fn split(&mut self, line: &str, start: usize) -> Split;

    /// Takes a line of `global`.
    fn global(&mut self, words: &[Word]);
}

/// The section of the next line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Elsewhere,
    Global,
    Peers,
    Proxy,
}

impl Whole {
    /// Whether there is no file.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Looks through a file. Lines of `global` are taken at once, as variables hold from there on.
    pub(super) fn read(&mut self, number: u32, source: &Source, reader: &mut impl Reader) {
        let mut file = File { name: source.name().to_owned(), source: number, lines: 0, of_global: 0 };
        let mut conditions = Conditions::default();
        let mut at = At::Elsewhere;
        let text = source.text();
        let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        for line in text[start..].split_inclusive('\n') {
            let line_start = start;
            start += line.len();
            let line = line.trim_end_matches('\n');
            let plain = line.split_ascii_whitespace().next().unwrap_or_default();
            if plain.is_empty() || plain.starts_with('#') {
                continue;
            }
            file.lines += 1;
            if plain.starts_with('.') {
                let is_condition = conditions::WORDS.contains(&plain);
                if is_condition {
                    conditions.line(&reader.split(line, line_start).words);
                }
                continue;
            }
            if conditions.are_false() {
                continue;
            }
            // A keyword may be quoted, and nobody does that.
            let quoted = plain.contains(['"', '\'', '\\', '#']).then(|| reader.split(line, line_start));
            let first = match &quoted {
                Some(split) => split.words.first().map_or(plain, |word| word.text.as_str()),
                None => plain,
            };
            let is_unknown_section = |first: &str| {
                // In a section that is taken, a word that nobody knows at the beginning of a line begins another section: words of
                // the section are indented.
                at == At::Peers
                    && !line.starts_with([' ', '\t'])
                    && self.sections.last().is_some_and(|section| section.is_indented(text))
                    && !super::keywords::is_known(Place::Peers, first)
                    && words::known(Place::Peers, first).is_none()
            };
            if is_section(first) || is_unknown_section(first) {
                at = match first {
                    "global" => At::Global,
                    "peers" => At::Peers,
                    _ if PROXIES.contains(&first) => At::Proxy,
                    _ => At::Elsewhere,
                };
                if matches!(at, At::Peers | At::Proxy) {
                    let split = quoted.unwrap_or_else(|| reader.split(line, line_start));
                    let header = <[Word; 2]>::try_from(split.words.into_iter().take(2).collect::<Vec<_>>());
                    let Ok([keyword, name]) = header else {
                        at = At::Elsewhere;
                        continue;
                    };
                    let condition = conditions.unknown();
                    self.sections.push(Section {
                        source: number,
                        header: [keyword, name],
                        lines: Vec::new(),
                        condition,
                    });
                }
                continue;
            }
            let matters = match at {
                At::Elsewhere => false,
                At::Global => OF_GLOBAL.contains(&first) && conditions.unknown().is_none(),
                At::Peers => true,
                At::Proxy => matches!(first, "stick-table" | "stick"),
            };
            if !matters {
                continue;
            }
            let Split { words, faults } = quoted.unwrap_or_else(|| reader.split(line, line_start));
            if at == At::Global {
                file.of_global += 1;
                reader.global(&words);
            } else if let Some(section) = self.sections.last_mut() {
                section.lines.push(Line { words, faults, condition: conditions.unknown() });
            }
        }
        self.files.push(file);
    }

    /// The `peers` sections.
    fn peers(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| section.is_peers())
    }

    /// Names of the sections that name this node.
    fn sections_of(&self, local_peer: &str) -> BTreeSet<&str> {
        self.peers().filter(|section| section.names(local_peer)).map(Section::name).collect()
    }
}

impl Section {
    fn is_peers(&self) -> bool {
        self.header[0].text == "peers"
    }

    fn name(&self) -> &str {
        &self.header[1].text
    }

    /// Whether a line of it is about this node.
    fn names(&self, local_peer: &str) -> bool {
        self.lines.iter().any(|line| {
            let texts: Vec<_> = line.words.iter().take(2).map(|word| word.text.as_str()).collect();
            matches!(texts[..], ["peer" | "server", name] if name == local_peer)
        })
    }

    /// Whether its first line is indented, as most people write.
    fn is_indented(&self, text: &str) -> bool {
        let first = self.lines.first().and_then(|line| line.words.first());
        first.is_some_and(|word| text[..word.span.range().start].ends_with([' ', '\t']))
    }

    /// The section that a line shares its table in.
    fn shared_in(line: &Line) -> Option<&str> {
        let words = line.words.iter().map(|word| word.text.as_str());
        let mut words = words.skip_while(|word| *word != "peers").skip(1);
        words.next()
    }
}

impl Line {
    fn keyword(&self) -> &str {
        self.words.first().map_or("", |word| word.text.as_str())
    }
}

fn is_section(word: &str) -> bool {
    word == "global"
        || word == "peers"
        || PROXIES.contains(&word)
        || OTHERS.contains(&word)
        || words::known(Place::Sections, word).is_some()
}

#[cfg(test)]
mod tests;
