//! What is wrong or doubtful in a configuration, and how it is shown: the line, a caret under the word, and help.

use std::error::Error;
use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::{Source, Sources, Span};

/// Errors, and warnings, that are kept of one line: each shows the whole line, which may be long.
const MOST_OF_A_LINE: usize = 20;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration loads, but not every word has the effect its author may expect.
    Warning,
}

/// One thing that is wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    title: String,
    span: Option<Span>,
    label: String,
    related: Vec<(Span, String)>,
    help: Vec<String>,
}

impl Diagnostic {
    /// An error at a word.
    pub(crate) fn error(span: Span, title: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), title.into())
    }

    /// A warning at a word.
    pub(crate) fn warning(span: Span, title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), title.into())
    }

    /// An error that belongs to no line, such as a missing file.
    pub(crate) fn without_place(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, title.into())
    }

    fn new(severity: Severity, span: Option<Span>, title: String) -> Self {
        let title = printable(title);
        Self { severity, title, span, label: String::new(), related: Vec::new(), help: Vec::new() }
    }

    /// The text beside the caret.
    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = printable(label.into());
        self
    }

    /// Another place that explains this one, such as the first of two equal names.
    #[must_use]
    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, printable(label.into())));
        self
    }

    /// What to write instead, or what is allowed.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(printable(help.into()));
        self
    }

    /// Whether the configuration is refused.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The word that is wrong; `None` when the fault belongs to no line.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    fn group<'a>(&'a self, sources: &'a Sources) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.title.as_str()));
        let label = (!self.label.is_empty()).then_some(self.label.as_str());
        let primary = self.span.map(|span| (span, AnnotationKind::Primary, label));
        let related =
            self.related.iter().map(|(span, label)| (*span, AnnotationKind::Context, Some(&**label)));
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (span, kind, label) in primary.into_iter().chain(related) {
            let Some(line) = Line::of(span, sources) else { continue };
            let annotation = line.mark(span, kind, label);
            match lines.iter_mut().find(|known| known.is(&line)) {
                Some(known) => known.annotations.push(annotation),
                None => lines.push(Line { annotations: vec![annotation], ..line }),
            }
        }
        group = group.elements(lines.into_iter().map(Line::into_snippet));
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }
}

/// A text with its control characters escaped: words of a configuration may hold any, and a message is a line that does
/// nothing to the terminal.
fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escaped = text.chars().map(|letter| match letter {
        letter if letter.is_control() => letter.escape_debug().to_string(),
        letter => letter.to_string(),
    });
    escaped.collect()
}

/// A line to show with what is marked in it.
struct Line<'a> {
    source: &'a Source,
    number: usize,
    bytes: std::ops::Range<usize>,
    annotations: Vec<Annotation<'a>>,
}

impl<'a> Line<'a> {
    fn of(span: Span, sources: &'a Sources) -> Option<Self> {
        let source = sources.get(span)?;
        let (bytes, number) = source.line_of(span);
        Some(Self { source, number, bytes, annotations: Vec::new() })
    }

    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.source, other.source) && self.number == other.number
    }

    fn mark(&self, span: Span, kind: AnnotationKind, label: Option<&'a str>) -> Annotation<'a> {
        let (line, mark) = (&self.bytes, span.range());
        let start = mark.start.clamp(line.start, line.end) - line.start;
        let end = mark.end.clamp(line.start, line.end) - line.start;
        kind.span(start..end.max(start)).label(label)
    }

    fn into_snippet(self) -> Snippet<'a, Annotation<'a>> {
        let text = self.source.text().get(self.bytes).unwrap_or_default();
        Snippet::source(text).path(self.source.name()).line_start(self.number).annotations(self.annotations)
    }
}

/// Everything found in one run, in the order of the texts, with the texts to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    sources: Sources,
    items: Vec<Diagnostic>,
    /// Diagnostics that were one too many for their line.
    left_out: usize,
}

impl Diagnostics {
    /// Puts diagnostics in the order of their places, and keeps the first ones of each line.
    pub(crate) fn new(sources: Sources, mut items: Vec<Diagnostic>) -> Self {
        items.sort_by_key(|item| (item.span, item.severity));
        let count = items.len();
        let (mut line, mut of_line) = (None, [0; 2]);
        items.retain(|item| {
            let Some(span) = item.span else { return true };
            let here = sources.get(span).map(|source| (span.source(), source.line_of(span).1));
            if line != here {
                (line, of_line) = (here, [0; 2]);
            }
            let number = &mut of_line[usize::from(item.severity == Severity::Error)];
            *number += 1;
            *number <= MOST_OF_A_LINE
        });
        let left_out = count - items.len();
        Self { sources, items, left_out }
    }

    /// The diagnostics in the order of their places; those without a place come first.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Everything as text for a person, with colours for a terminal when asked; ends with a line that counts.
    pub fn render(&self, colors: bool) -> String {
        let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&renderer.render(&[item.group(&self.sources)]));
            text.push_str("\n\n");
        }
        if !self.items.is_empty() {
            text.push_str(&self.count());
            text.push('\n');
        }
        text
    }

    /// How many errors and warnings there are, such as `2 errors, 1 warning`.
    fn count(&self) -> String {
        let errors = self.items.iter().filter(|item| item.severity == Severity::Error).count();
        let warnings = self.items.len() - errors;
        let count = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{number} {word}s")),
        };
        let left_out =
            (self.left_out > 0).then(|| format!("{} more in the same lines are not shown", self.left_out));
        let counts: Vec<_> =
            [count(errors, "error"), count(warnings, "warning"), left_out].into_iter().flatten().collect();
        counts.join(", ")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Diagnostics {}

/// The known word closest to a misspelt one, if one is close enough to be meant.
pub(crate) fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|&(distance, candidate)| {
            distance <= 1 + candidate.len() / 5 && distance < candidate.len().max(2)
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_s_control_characters_do_nothing_to_the_terminal() {
        let mut sources = Sources::default();
        let number = sources.add("a.cfg", "\"x\\ny\" \u{1b}[2J\n", false);
        let span = Span::new(number, 0, 6);
        let error =
            Diagnostic::error(span, "unknown keyword \"x\ny\u{e9}\"").label("\r").help("\u{1b}[2J \u{9b}");
        assert_eq!(error.title(), "unknown keyword \"x\\ny\u{e9}\"");
        let text = Diagnostics::new(sources, vec![error]).render(false);
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
        assert!(text.contains("help: \\u{1b}[2J \\u{9b}"), "{text}");
    }

    #[test]
    fn a_diagnostic_shows_its_line_and_help() {
        let mut sources = Sources::default();
        let number = sources.add("a.cfg", "peers p\n  tabel t type ip\n", false);
        let error = Diagnostic::error(Span::new(number, 10, 15), "unknown keyword \"tabel\"")
            .label("not a keyword of a peers section")
            .related(Span::new(number, 0, 5), "in this section")
            .help("did you mean \"table\"?");
        let early = Diagnostic::warning(Span::new(number, 0, 5), "early");
        let all = Diagnostics::new(sources, vec![error, early]);
        let expected = "\
warning: early
 --> a.cfg:1:1
  |
1 | peers p
  | ^^^^^

error: unknown keyword \"tabel\"
 --> a.cfg:2:3
  |
2 |   tabel t type ip
  |   ^^^^^ not a keyword of a peers section
  |
 ::: a.cfg:1:1
  |
1 | peers p
  | ----- in this section
  |
  = help: did you mean \"table\"?

1 error, 1 warning
";
        assert_eq!(all.to_string(), expected);
        assert!(all.has_errors());
        assert!(all.render(true).contains("\u{1b}["));
    }

    #[test]
    fn a_line_full_of_faults_shows_the_first_ones() {
        let mut sources = Sources::default();
        let number = sources.add("a.cfg", format!("{}\nx\n", "x ".repeat(1_000)), false);
        let places = (0..1_000).map(|word| 2 * word).chain([2_001]);
        let warnings = places.map(|at| Diagnostic::warning(Span::new(number, at, at + 1), "w"));
        let error = Diagnostic::error(Span::new(number, 1_998, 1_999), "the last word");
        let all = Diagnostics::new(sources, warnings.chain([error]).collect());
        assert!(all.has_errors());
        assert_eq!(all.iter().count(), MOST_OF_A_LINE + 2, "with the error, and the second line's");
        let text = all.render(false);
        assert!(
            text.ends_with("\n1 error, 21 warnings, 980 more in the same lines are not shown\n"),
            "{text}"
        );
    }

    #[test]
    fn only_close_words_are_suggested() {
        let known = ["table", "peer", "shards", "default-server"];
        assert_eq!(closest("tabel", known), Some("table"));
        assert_eq!(closest("Peer", known), Some("peer"));
        assert_eq!(closest("defaultserver", known), Some("default-server"));
        assert_eq!(closest("balance", known), None);
        assert_eq!(closest("x", known), None);
    }
}
