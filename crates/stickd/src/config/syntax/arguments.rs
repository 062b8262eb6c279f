//! The words of one line, taken one after the other, with the faults every keyword shares.

use std::path::{Path, PathBuf};

use stick_table::units::{self, UnitError};

use super::diagnostic::{Diagnostic, Severity, closest};
use super::source::Span;

/// Most diagnostics that are kept: a file may have millions of lines with faults, and nobody reads that many.
const MOST_KEPT: usize = 20_000;

/// Errors after which no more suggestions are made.
const MOST_SUGGESTED: usize = 1_000;

/// A word of a configuration and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Word {
    pub(in crate::config) text: String,
    pub(in crate::config) span: Span,
}

impl Word {
    /// The place of some bytes of the text: the very bytes if the word is written plainly, else the whole word.
    pub(in crate::config) fn part(&self, bytes: std::ops::Range<usize>) -> Span {
        let whole = self.span.range();
        if whole.len() != self.text.len() {
            return self.span;
        }
        Span::new(self.span.source() as u32, whole.start + bytes.start, whole.start + bytes.end)
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Report {
    /// At most [`MOST_KEPT`].
    pub(in crate::config) items: Vec<Diagnostic>,
    errors: usize,
    /// Errors and warnings that found no place among the others.
    pub(in crate::config) left_out: [usize; 2],
    /// Files that the configuration names, and where.
    pub(in crate::config) files: Vec<(PathBuf, Span)>,
}

impl Report {
    pub(in crate::config) fn push(&mut self, diagnostic: Diagnostic) {
        let is_error = diagnostic.severity() == Severity::Error;
        // The first error has a place in any case: the configuration must be refused.
        let has_place = self.items.len() < MOST_KEPT || (is_error && self.errors == 0);
        self.errors += usize::from(is_error);
        if has_place {
            self.items.push(diagnostic);
        } else {
            self.left_out[usize::from(!is_error)] += 1;
        }
    }

    /// Notes a file that the configuration names.
    pub(in crate::config) fn names_file(&mut self, path: &Path, span: Span) {
        self.files.push((path.to_owned(), span));
    }

    pub(in crate::config) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether it is worth to look for what an unknown word may mean: nobody reads so many suggestions, and each takes long.
    pub(in crate::config) fn suggests(&self) -> bool {
        self.errors < MOST_SUGGESTED
    }

    /// An unknown word: suggests the known one that may be meant, and lists what is allowed.
    pub(in crate::config) fn unknown(&mut self, word: &Word, what: &str, place: &str, known: &[&str]) {
        let error = Diagnostic::error(word.span, format!("unknown {what} \"{}\"", word.text))
            .label(format!("not known {place}"));
        let error = if self.suggests() { suggest(error, &word.text, known) } else { error };
        self.push(error);
    }
}

/// Adds what may be meant and what is allowed.
pub(in crate::config) fn suggest(diagnostic: Diagnostic, word: &str, known: &[&str]) -> Diagnostic {
    let diagnostic = match closest(word, known.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean \"{meant}\"?")),
        None => diagnostic,
    };
    diagnostic.help(format!("allowed are {}", listed(known)))
}

/// Words as a list for people: `a, b and c`.
pub(in crate::config) fn listed<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The words of a line after its keyword.
#[derive(Clone, Debug)]
pub(in crate::config) struct Arguments<'l> {
    keyword: &'l Word,
    rest: &'l [Word],
}

impl<'l> Arguments<'l> {
    /// `None` for a line without words.
    pub(in crate::config) fn new(words: &'l [Word]) -> Option<Self> {
        words.split_first().map(|(keyword, rest)| Self { keyword, rest })
    }

    pub(in crate::config) fn keyword(&self) -> &'l Word {
        self.keyword
    }

    pub(in crate::config) fn peek(&self) -> Option<&'l Word> {
        self.rest.first()
    }

    /// The word after the keyword's `word`: its value. Reports its absence with an example.
    pub(in crate::config) fn value(
        &mut self,
        word: &Word,
        what: &str,
        example: &str,
        report: &mut Report,
    ) -> Option<&'l Word> {
        let value = self.next();
        if value.is_none() {
            report.push(
                Diagnostic::error(word.span, format!("\"{}\" needs {what}", word.text))
                    .label("missing after this")
                    .help(format!("for example `{example}`")),
            );
        }
        value
    }

    /// The value of a line that has exactly one. Reports its absence and further words.
    pub(in crate::config) fn only_value(
        mut self,
        what: &str,
        example: &str,
        report: &mut Report,
    ) -> Option<&'l Word> {
        let keyword = self.keyword;
        let value = self.value(keyword, what, example, report)?;
        self.end(example, report).then_some(value)
    }

    /// Reports words that are left; whether there are none.
    pub(in crate::config) fn end(&self, example: &str, report: &mut Report) -> bool {
        let [first, ..] = self.rest else { return true };
        let last = self.rest.last().unwrap_or(first);
        let title = format!("unexpected \"{}\" on the line of \"{}\"", first.text, self.keyword.text);
        report.push(
            Diagnostic::error(first.span.to(last.span), title)
                .label("the line should end before this")
                .help(format!("for example `{example}`")),
        );
        false
    }
}

impl<'l> Iterator for Arguments<'l> {
    type Item = &'l Word;

    fn next(&mut self) -> Option<&'l Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }
}

/// Reads a number in a range, digits only.
pub(in crate::config) fn number(
    word: &Word,
    min: u32,
    max: u32,
    what: &str,
    report: &mut Report,
) -> Option<u32> {
    let digits = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    let value = word.text.parse().ok().filter(|value| digits && (min..=max).contains(value));
    if value.is_none() {
        let title = if digits { "is out of range" } else { &format!("is not {what}") };
        report.push(
            Diagnostic::error(word.span, format!("\"{}\" {title}", word.text))
                .label(format!("a number from {min} to {max} is expected")),
        );
    }
    value
}

/// Reads a size with HAProxy's suffixes, in a range.
pub(in crate::config) fn size(word: &Word, min: u32, max: u32, report: &mut Report) -> Option<u32> {
    let size = with_unit(word, units::parse_size, ("a size", None), report)?;
    if !(min..=max).contains(&size) {
        let error = Diagnostic::error(word.span, format!("\"{}\" is out of range", word.text));
        report.push(error.label(format!("{min} to {max} are allowed")));
        return None;
    }
    Some(size)
}

/// Reads an amount of memory, in bytes.
pub(in crate::config) fn memory(word: &Word, report: &mut Report) -> Option<u64> {
    with_unit(word, units::parse_memory, ("an amount of memory", None), report)
}

/// Reads a time with HAProxy's units, in ms.
pub(in crate::config) fn time(word: &Word, report: &mut Report) -> Option<u32> {
    with_unit(word, units::parse_time_ms, ("a time", Some(unit_help)), report)
}

/// What to write instead, where an error does not say so itself.
type Help = Option<fn(UnitError) -> String>;

/// Reads a number with a unit: what it should be, and what to write where the error does not say so.
fn with_unit<T>(
    word: &Word,
    parse: fn(&str) -> Result<T, UnitError>,
    (what, help): (&str, Help),
    report: &mut Report,
) -> Option<T> {
    let error = match parse(&word.text) {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let title = format!("\"{}\" is not {what}", word.text);
    let fault = Diagnostic::error(word.span, title).label(error.to_string());
    report.push(match help {
        Some(help) => fault.help(help(error)),
        None => fault,
    });
    None
}

/// Reads a time that is not 0, in ms.
pub(in crate::config) fn positive_time(word: &Word, report: &mut Report) -> Option<u32> {
    let time = time(word, report)?;
    if time == 0 {
        let error = Diagnostic::error(word.span, format!("\"{}\" is no time to wait", word.text));
        report.push(error.label("at least 1ms is needed"));
        return None;
    }
    Some(time)
}

/// What to write for a time.
pub(in crate::config) fn unit_help(error: UnitError) -> String {
    let units = ["us", "ms", "s", "m", "h", "d"];
    match error {
        UnitError::TimeTooLong => "the longest time is 24d".to_owned(),
        _ => format!("times are such as 500, 500ms, 10s, 30m or 1d: the units are {}", listed(&units)),
    }
}

/// Checks that a name has only the characters HAProxy allows in names.
pub(in crate::config) fn check_name(word: &Word, what: &str, report: &mut Report) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    if !word.text.is_empty() && word.text.chars().all(allowed) {
        return true;
    }
    let span = match word.text.char_indices().find(|&(_, letter)| !allowed(letter)) {
        Some((at, letter)) => word.part(at..at + letter.len_utf8()),
        None => word.span,
    };
    report.push(
        Diagnostic::error(span, format!("\"{}\" is no name for {what}", word.text))
            .label(if word.text.is_empty() { "the name is empty" } else { "not allowed in a name" })
            .help("names have ASCII letters, digits, '-', '_', '.' and ':'"),
    );
    false
}

#[cfg(test)]
pub(in crate::config) mod tests {
    use super::*;

    /// The words of a line at offset 0 of the first text.
    pub(in crate::config) fn words(line: &str) -> Vec<Word> {
        let split = crate::config::lexer::split(line, crate::config::lexer::Rules::CONFIGURATION, &|_| None);
        let words = split.unwrap().words.into_iter();
        words
            .map(|word| Word { text: word.text, span: Span::new(0, word.span.start, word.span.end) })
            .collect()
    }

    /// The titles of what was reported.
    pub(in crate::config) fn titles(report: &Report) -> Vec<&str> {
        report.items.iter().map(Diagnostic::title).collect()
    }

    #[test]
    fn arguments_are_counted() {
        for (line, faults) in [
            ("shards 2", &[][..]),
            ("shards", &["\"shards\" needs a number"]),
            ("shards 2 3 4", &["unexpected \"3\" on the line of \"shards\""]),
        ] {
            let (words, mut report) = (words(line), Report::default());
            Arguments::new(&words).unwrap().only_value("a number", "shards 3", &mut report);
            assert_eq!(titles(&report), faults, "{line}");
        }
    }

    #[test]
    fn numbers_are_digits_in_their_range() {
        for (text, expected) in [("5", Some(5)), ("10", Some(10)), ("11", None), ("+5", None), ("x", None)] {
            let mut report = Report::default();
            assert_eq!(number(&words(text)[0], 1, 10, "a count", &mut report), expected, "{text}");
            assert_eq!(report.errors(), usize::from(expected.is_none()), "{text}");
        }
    }

    #[test]
    fn a_fault_in_a_name_is_under_its_letter() {
        let mut report = Report::default();
        assert!(check_name(&words("node-1.a:b_C")[0], "a peer", &mut report));
        assert!(!check_name(&words("a/b")[0], "a peer", &mut report));
        assert_eq!(report.items[0].span().unwrap().range(), 1..2);
        assert!(!check_name(&words("'a b'")[0], "a peer", &mut report));
        assert_eq!(report.items[1].span().unwrap().range(), 0..5);
        assert!(!check_name(&words("''")[0], "a peer", &mut report));
    }

    #[test]
    fn lists_for_people() {
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed::<&str>(&[]), "none");
    }
}
