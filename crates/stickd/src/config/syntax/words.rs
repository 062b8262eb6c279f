//! HAProxy's words that stickd knows and does not obey, by the place where they stand.
//!
//! The words are data: `haproxy.words` has those of HAProxy 1.6 to 3.5-dev and of HAProxy Enterprise, each with what follows it and
//! with the reason that is shown. A word that stickd obeys is not in the list but in the code that reads it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::arguments::{Arguments, Report, Word};
use super::diagnostic::{Diagnostic, Severity};

const LIST: &str = include_str!("haproxy.words");

static WORDS: LazyLock<HashMap<(Place, &'static str), Known>> = LazyLock::new(|| entries(LIST).collect());

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the beginning of a line of `global`.
    Global,
    /// At the beginning of a line of a `peers` section.
    Peers,
    /// At the beginning of a line of an `aggregations` section.
    Aggregations,
    /// At the beginning of a line of a `backend`, `frontend` or `listen` section.
    Proxy,
    /// At the beginning of a line of a section that stickd does not have.
    Elsewhere,
    /// At the beginning of a section.
    Sections,
    /// A parameter of a listener.
    Bind,
    /// A parameter of a server.
    Server,
    /// An argument of a table.
    Table,
    /// A parameter of a runtime socket.
    Socket,
    /// A parameter of an HTTP listener.
    Http,
}

/// What is known of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Known {
    /// Whether the word is refused or only without effect.
    pub(in crate::config) severity: Severity,
    /// Why, and what to do.
    pub(in crate::config) reason: &'static str,
    /// How many values follow: on a line at most so many, after a parameter exactly so many, none when it is not said.
    pub(in crate::config) values: Option<usize>,
    /// Whether HAProxy takes "no" before it.
    pub(in crate::config) negatable: bool,
}

/// What is known of a word at its place; `None` for a word of stickd's own, or of nobody's.
pub(in crate::config) fn known(place: Place, word: &str) -> Option<Known> {
    WORDS.get(&(place, word)).copied()
}

/// What is known of a word that stands at the beginning of lines of sections for traffic, or of those that stickd does not have.
pub(in crate::config) fn elsewhere(word: &str) -> Option<Known> {
    known(Place::Elsewhere, word).or_else(|| known(Place::Proxy, word))
}

/// Every word of a place in the order of the alphabet, with what is known of it.
pub fn all(place_name: &str) -> Vec<(&'static str, bool)> {
    let place = Place::from_name(place_name);
    let mut words: Vec<_> = WORDS
        .iter()
        .filter(|((at, _), _)| Some(*at) == place)
        .map(|((_, word), known)| (*word, known.has_value()))
        .collect();
    words.sort_unstable();
    words
}

/// Reports a line that begins with a word of HAProxy's, if it does. `negated` says that "no" stood before it.
pub(in crate::config) fn report_line(
    place: Place,
    arguments: &Arguments<'_>,
    negated: bool,
    report: &mut Report,
) -> bool {
    let keyword = arguments.keyword();
    let Some(known) = known(place, &keyword.text).filter(|known| known.negatable || !negated) else {
        return false;
    };
    match known.values.and_then(|most| arguments.clone().nth(most)) {
        // HAProxy refuses the line as well.
        Some(word) => report.push(
            Diagnostic::error(
                word.span,
                format!("unexpected \"{}\" on the line of \"{}\"", word.text, keyword.text),
            )
            .label("the line should end before this")
            .help(format!("remove the line: {}", known.reason)),
        ),
        None => report.push(known.of_a_line(keyword, place)),
    }
    true
}

impl Known {
    /// Whether a value follows a parameter.
    pub(in crate::config) fn has_value(&self) -> bool {
        self.values == Some(1)
    }

    fn of_a_line(&self, keyword: &Word, place: Place) -> Diagnostic {
        let text = &keyword.text;
        match (self.severity, place) {
            (Severity::Warning, _) => {
                let warning =
                    Diagnostic::warning(keyword.span, format!("\"{text}\" has no effect in stickd"));
                warning.label("remove the line").help(self.reason)
            }
            (Severity::Error, Place::Proxy) => {
                Diagnostic::error(keyword.span, format!("\"{text}\" is for traffic"))
                    .label("HAProxy's, not stickd's")
                    .help(self.reason)
            }
            (Severity::Error, _) => {
                Diagnostic::error(keyword.span, format!("\"{text}\" does not stand in this section"))
                    .label("HAProxy's, not stickd's")
                    .help(self.reason)
            }
        }
    }
}

impl Place {
    /// Every place, in the order in which a manual shows them.
    pub const ALL: [Self; 11] = [
        Self::Sections,
        Self::Global,
        Self::Peers,
        Self::Aggregations,
        Self::Proxy,
        Self::Table,
        Self::Bind,
        Self::Server,
        Self::Socket,
        Self::Http,
        Self::Elsewhere,
    ];

    /// What the place is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sections => "Sections",
            Self::Global => "Lines of global",
            Self::Peers => "Lines of peers sections",
            Self::Aggregations => "Lines of aggregations sections",
            Self::Proxy => "Lines of backend, frontend and listen",
            Self::Table => "Arguments of table and stick-table",
            Self::Bind => "Parameters of bind and default-bind",
            Self::Server => "Parameters of peer, server, server-template and default-server",
            Self::Socket => "Parameters of stats socket",
            Self::Http => "Parameters of http bind",
            Self::Elsewhere => "Lines of other sections",
        }
    }

    pub(in crate::config) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "global" => Self::Global,
            "peers" => Self::Peers,
            "aggregations" => Self::Aggregations,
            "proxy" => Self::Proxy,
            "elsewhere" => Self::Elsewhere,
            "sections" => Self::Sections,
            "bind" => Self::Bind,
            "server" => Self::Server,
            "table" => Self::Table,
            "socket" => Self::Socket,
            "http" => Self::Http,
            _ => return None,
        })
    }
}

/// The words of a list; what is malformed is left out, and a test finds it.
fn entries(list: &'static str) -> impl Iterator<Item = ((Place, &'static str), Known)> {
    let mut places: Vec<Place> = Vec::new();
    let mut group = (Severity::Warning, "");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(move |line| {
        if line.starts_with('[') {
            places = line.split(['[', ']', ' ']).filter_map(Place::from_name).collect();
            return Vec::new();
        }
        for (mark, severity) in [("warn: ", Severity::Warning), ("error: ", Severity::Error)] {
            if let Some(reason) = line.strip_prefix(mark) {
                group = (severity, reason);
                return Vec::new();
            }
        }
        let (severity, reason) = group;
        let words = line.split_ascii_whitespace().flat_map(|entry| {
            let (negatable, entry) = match entry.strip_prefix("no+") {
                Some(word) => (true, word),
                None => (false, entry),
            };
            let (word, values) = match entry.split_once('/') {
                Some((word, values)) => (word, values.parse().ok()),
                None => (entry, None),
            };
            let known = Known { severity, reason, values, negatable };
            places.iter().map(move |place| ((*place, word), known))
        });
        words.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_understood() {
        let mut seen = HashMap::new();
        for ((place, word), known) in entries(LIST) {
            assert!(!known.reason.is_empty() && !known.reason.ends_with('.'), "{word}");
            assert!(!word.contains(['+', '/', '[']), "{word}");
            let is_parameter = matches!(place, Place::Bind | Place::Server);
            assert!(!is_parameter || matches!(known.values, None | Some(1)), "{word}");
            assert_eq!(seen.insert((place, word), known), None, "{word} stands twice in {place:?}");
        }
        for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[', ' '])) {
            assert!(line.starts_with("warn: ") || line.starts_with("error: "), "{line}");
        }
        for line in LIST.lines().filter(|line| line.starts_with('[')) {
            let names = line.split(['[', ']', ' ']).filter(|name| !name.is_empty());
            assert!(names.into_iter().all(|name| Place::from_name(name).is_some()), "{line}");
        }
        assert!(seen.len() > 700, "{}", seen.len());
    }

    #[test]
    fn lines_with_words_too_many_are_refused() {
        for (line, errors) in
            [("daemon", 0), ("daemon x", 1), ("nbthread 4", 0), ("nbthread 4 5", 1), ("cpu-map 1 2 3 4", 0)]
        {
            let (words, mut report) = (super::super::arguments::tests::words(line), Report::default());
            assert!(report_line(Place::Global, &Arguments::new(&words).unwrap(), false, &mut report));
            assert_eq!((report.items.len(), report.errors()), (1, errors), "{line}");
        }
    }

    #[test]
    fn words_are_known_at_their_place() {
        let of = |place, word| known(place, word).map(|known| (known.severity, known.has_value()));
        assert_eq!(of(Place::Server, "weight"), Some((Severity::Warning, true)));
        assert_eq!(of(Place::Bind, "weight"), None);
        assert_eq!(of(Place::Server, "check"), Some((Severity::Warning, false)));
        assert_eq!(of(Place::Bind, "backlog"), Some((Severity::Warning, true)));
        assert_eq!(of(Place::Server, "send-proxy"), Some((Severity::Error, false)));
        assert_eq!(of(Place::Sections, "userlist"), Some((Severity::Error, false)));
        assert_eq!(of(Place::Proxy, "mode"), Some((Severity::Error, false)));
        assert_eq!(of(Place::Bind, "ssl"), None, "stickd obeys it");
        assert!(known(Place::Peers, "log").unwrap().negatable);
        assert!(!known(Place::Global, "nbthread").unwrap().negatable);
        assert_eq!(all("bind").first(), Some(&("accept-netscaler-cip", true)));
    }
}
