//! stickd's keywords with their arguments, defaults and meanings, by the places where they stand.
//!
//! The file `syntax/stickd.keywords` is the only list of them. The parser takes no word that is not in it; `stickd check` makes its
//! suggestions from it, and `stickd help`, the manual pages and docs/keywords.md show it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::diagnostic;
use super::syntax::words::{self, Place};

const LIST: &str = include_str!("syntax/stickd.keywords");

static KEYWORDS: LazyLock<Vec<Keyword>> = LazyLock::new(|| LIST.split("\n\n").filter_map(entry).collect());

static NAMES: LazyLock<HashMap<Place, Vec<&'static str>>> = LazyLock::new(|| {
    let mut names: HashMap<Place, Vec<&'static str>> = HashMap::new();
    for keyword in KEYWORDS.iter() {
        for place in &keyword.places {
            let names = names.entry(*place).or_default();
            // `stats socket` and `stats timeout` begin with one word.
            let first = keyword.word.split(' ').next().unwrap_or(keyword.word);
            if !names.contains(&first) {
                names.push(first);
            }
        }
    }
    names
});

/// A keyword of stickd's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// The word, or the words, that a line or a parameter begins with: `peer`, `stats socket`.
    pub word: &'static str,
    /// Where it stands.
    pub places: Vec<Place>,
    /// The line as it is written, with its arguments.
    pub usage: &'static str,
    /// What holds without it.
    pub default: Option<&'static str>,
    /// What it means.
    pub text: &'static str,
}

/// Every keyword, by places, in the order in which a manual shows them.
pub fn all() -> &'static [Keyword] {
    &KEYWORDS
}

/// The first words of the lines or parameters that a place knows, each once.
pub(super) fn names(place: Place) -> &'static [&'static str] {
    NAMES.get(&place).map_or(&[], Vec::as_slice)
}

/// Whether a place knows a line or a parameter that begins with the word.
pub(super) fn is_known(place: Place, word: &str) -> bool {
    names(place).contains(&word)
}

/// The keywords that a word stands for: the very words, else those that begin with it, as `stats` does.
pub fn find(word: &str) -> Vec<&'static Keyword> {
    let exact: Vec<_> = KEYWORDS.iter().filter(|keyword| keyword.word == word).collect();
    if !exact.is_empty() {
        return exact;
    }
    let longer = |keyword: &&Keyword| {
        keyword.word.strip_prefix(word).is_some_and(|rest| !word.is_empty() && rest.starts_with(' '))
    };
    KEYWORDS.iter().filter(longer).collect()
}

/// The keyword that a misspelt word may be meant for.
pub fn closest(word: &str) -> Option<&'static str> {
    diagnostic::closest(word, KEYWORDS.iter().map(|keyword| keyword.word))
}

/// Why stickd does not obey a word of HAProxy's, for each reason once.
pub fn reasons(word: &str) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    for known in Place::ALL.into_iter().filter_map(|place| words::known(place, word)) {
        if !reasons.contains(&known.reason) {
            reasons.push(known.reason);
        }
    }
    reasons
}

/// Reads an entry; `None` for a comment, and for what is malformed, which a test finds.
fn entry(text: &'static str) -> Option<Keyword> {
    let mut lines = text.trim().lines();
    let (places, usage) = lines.next()?.strip_prefix('[')?.split_once("] ")?;
    let places = places.split(' ').map(Place::from_name).collect::<Option<_>>()?;
    let mut text = lines.next()?;
    let default = text.strip_prefix("default: ");
    if default.is_some() {
        text = lines.next()?;
    }
    let is_argument =
        |word: &str| word.contains(|letter: char| letter.is_ascii_uppercase() || "[|…(".contains(letter));
    let words = usage.split(' ').take_while(|word| !is_argument(word)).map(str::len);
    let length = words.map(|length| length + 1).sum::<usize>().saturating_sub(1);
    let word = usage.get(..length).filter(|word| !word.is_empty())?;
    lines.next().is_none().then_some(Keyword { word, places, usage, default, text })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Options};
    use super::*;

    #[test]
    fn every_entry_of_the_list_is_understood() {
        let entries = LIST.split("\n\n").filter(|entry| !entry.starts_with('#')).count();
        assert_eq!(
            all().len(),
            entries,
            "the first is missing after {:?}",
            all().last().map(|last| last.word)
        );
        let mut seen = Vec::new();
        for keyword in all() {
            assert!(keyword.text.ends_with('.') || keyword.text.ends_with('…'), "{}", keyword.word);
            assert!(keyword.default.is_some() || keyword.places == [Place::Sections], "{}", keyword.word);
            for place in &keyword.places {
                assert!(
                    !seen.contains(&(*place, keyword.word)),
                    "{} stands twice in {place:?}",
                    keyword.word
                );
                seen.push((*place, keyword.word));
                let first = keyword.word.split(' ').next().unwrap();
                // `disabled` of a peers section is a word of proxies as well: only the same place matters.
                assert_eq!(words::known(*place, first), None, "{first} is obeyed, and has no effect");
            }
        }
    }

    #[test]
    fn words_are_found_alone_and_by_their_beginning() {
        let words = |word: &str| find(word).iter().map(|keyword| keyword.word).collect::<Vec<_>>();
        assert_eq!(words("relay"), ["relay"]);
        assert_eq!(words("stats"), ["stats socket", "stats timeout", "stats maxconn"]);
        assert_eq!(words("stats timeout"), ["stats timeout"]);
        assert_eq!(words("bind"), ["bind", "bind"], "of global and of peers sections");
        assert_eq!(words("from"), ["from"]);
        assert_eq!((words("nbthread"), words("")), (vec![], vec![]));
        assert!(
            reasons("nbthread").iter().all(|reason| !reason.is_empty()) && !reasons("nbthread").is_empty()
        );
        assert!(reasons("relay").is_empty());
    }

    /// What the parser says about a line at a place.
    fn titles(place: Place, line: &str) -> Vec<String> {
        let text = match place {
            Place::Sections => line.to_owned(),
            Place::Global => format!("global\n {line}"),
            Place::Peers => format!("peers p\n {line}"),
            Place::Aggregations => format!("aggregations a\n {line}"),
            Place::Proxy => format!("backend b\n {line}"),
            Place::Table => format!("backend b\n stick-table {line}"),
            Place::Bind => format!("peers p\n bind 127.0.0.1:1 {line}"),
            Place::Server => format!("peers p\n server x 127.0.0.1:1 {line}"),
            Place::Socket => format!("global\n stats socket /s {line}"),
            Place::Http => format!("global\n http bind 127.0.0.1:1 {line}"),
            Place::Elsewhere => panic!("stickd has no words there"),
        };
        let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
        match Config::parse_text("t", &text, &options) {
            Ok(config) => config.warnings.iter().map(|item| item.title().to_owned()).collect(),
            Err(found) => found.iter().map(|item| item.title().to_owned()).collect(),
        }
    }

    /// With [`a_word_that_is_not_in_the_list_is_not_taken`], the list is exactly what the parser takes.
    #[test]
    fn every_word_of_the_list_is_taken_by_the_parser() {
        for keyword in all() {
            for place in &keyword.places {
                let unknown: Vec<_> = titles(*place, keyword.word)
                    .into_iter()
                    .filter(|title| title.starts_with("unknown ") || title.contains("not supported"))
                    .collect();
                assert!(unknown.is_empty(), "{} in {place:?}: {unknown:?}", keyword.word);
            }
        }
    }

    #[test]
    fn a_word_that_is_not_in_the_list_is_not_taken() {
        // Words that have an entry at another place, and so could be read here by mistake.
        let places = [
            Place::Global,
            Place::Peers,
            Place::Aggregations,
            Place::Proxy,
            Place::Table,
            Place::Bind,
            Place::Server,
            Place::Socket,
            Place::Http,
        ];
        for place in places {
            for keyword in all().iter().filter(|keyword| !keyword.places.contains(&Place::Sections)) {
                let first = keyword.word.split(' ').next().unwrap();
                // The words of TLS belong to HTTP listeners too.
                let is_tls = place == Place::Http && super::super::transport::is_tls(first);
                if is_known(place, first) || is_tls {
                    continue;
                }
                assert!(!titles(place, first).is_empty(), "{first} is taken in {place:?}");
            }
        }
    }
}
