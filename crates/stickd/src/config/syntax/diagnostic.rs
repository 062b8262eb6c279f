//! What is wrong or doubtful in a configuration, and how it is shown: the line, a caret under the word, and help.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::{Source, Sources, Span};

/// Errors, and warnings, that are kept of one line: each shows the whole line, which may be long.
const MOST_OF_A_LINE: usize = 20;
/// Diagnostics that are shown of those that say the same of different words.
const MOST_OF_A_KIND: usize = 3;
/// Lines that are shown in all: a screenful. At least one diagnostic is shown, however long.
const SCREENFUL: usize = 60;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    title: Text,
    span: Option<Span>,
    label: Text,
    related: Vec<(Span, Text)>,
    help: Vec<Text>,
}

/// Most texts are the same for all files, and a file may have thousands of messages.
type Text = Cow<'static, str>;

impl Diagnostic {
    /// An error at a word.
    pub(crate) fn error(span: Span, title: impl Into<Text>) -> Self {
        Self::new(Severity::Error, Some(span), title.into())
    }

    /// A warning at a word.
    pub(crate) fn warning(span: Span, title: impl Into<Text>) -> Self {
        Self::new(Severity::Warning, Some(span), title.into())
    }

    /// An error that belongs to no line, such as a missing file.
    pub(crate) fn without_place(title: impl Into<Text>) -> Self {
        Self::new(Severity::Error, None, title.into())
    }

    /// A warning that belongs to no line.
    pub(crate) fn warning_without_place(title: impl Into<Text>) -> Self {
        Self::new(Severity::Warning, None, title.into())
    }

    fn new(severity: Severity, span: Option<Span>, title: Text) -> Self {
        let title = printable(title);
        Self { severity, title, span, label: Text::Borrowed(""), related: Vec::new(), help: Vec::new() }
    }

    /// The text beside the caret.
    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<Text>) -> Self {
        self.label = printable(label.into());
        self
    }

    /// Another place that explains this one, such as the first of two equal names.
    #[must_use]
    pub(crate) fn related(mut self, span: Span, label: impl Into<Text>) -> Self {
        self.related.push((span, printable(label.into())));
        self
    }

    /// What to write instead, or what is allowed.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<Text>) -> Self {
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

    /// What is the same in diagnostics that say the same of different words.
    fn kind(&self) -> (Severity, &str, &[Text]) {
        let label = if self.label.is_empty() && self.help.is_empty() { &self.title } else { &self.label };
        (self.severity, label, &self.help)
    }

    fn group<'a>(&'a self, sources: &'a Sources) -> Group<'a> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&*self.title));
        let label = (!self.label.is_empty()).then_some(&*self.label);
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
            group = group.element(Level::HELP.message(&**help));
        }
        group
    }
}

/// A text with its control characters escaped: words of a configuration may hold any, and a message is a line that does
/// nothing to the terminal.
fn printable(text: Text) -> Text {
    // Control characters have one byte below 0x80, or begin with 0xc2.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | 0x80..=0xc1 | 0xc3..);
    if text.bytes().all(is_plain) || !text.contains(char::is_control) {
        return text;
    }
    let escaped = text.chars().map(|letter| match letter {
        letter if letter.is_control() => letter.escape_debug().to_string(),
        letter => letter.to_string(),
    });
    escaped.collect::<String>().into()
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
    /// Errors and warnings that were too many for the configuration, and are counted only.
    only_counted: [usize; 2],
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
        Self { sources, items, left_out, only_counted: [0; 2] }
    }

    /// Adds diagnostics.
    pub(crate) fn with(self, more: Vec<Diagnostic>) -> Self {
        let (left_out, only_counted) = (self.left_out, self.only_counted);
        let all = Self::new(self.sources, self.items.into_iter().chain(more).collect());
        Self { left_out: all.left_out + left_out, only_counted, ..all }
    }

    /// Adds diagnostics that were not kept to what is counted.
    pub(crate) fn and_more(self, [errors, warnings]: [usize; 2]) -> Self {
        let [known_errors, known_warnings] = self.only_counted;
        Self { only_counted: [known_errors + errors, known_warnings + warnings], ..self }
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

    /// As text for a person, with colours for a terminal when asked. Shows a screenful, errors first, and few of those that
    /// say the same; ends with lines that count all.
    pub fn render(&self, colors: bool) -> String {
        let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut shown: Vec<Option<String>> = vec![None; self.items.len()];
        let (mut lines, mut kinds) = (0, HashMap::new());
        for severity in [Severity::Error, Severity::Warning] {
            let of_severity = self.items.iter().enumerate().filter(|(_, item)| item.severity == severity);
            for (place, item) in of_severity {
                if lines >= SCREENFUL {
                    break;
                }
                let of_kind: &mut usize = kinds.entry(item.kind()).or_default();
                *of_kind += 1;
                if *of_kind > MOST_OF_A_KIND {
                    continue;
                }
                let text = renderer.render(&[item.group(&self.sources)]);
                let height = text.lines().count() + 1;
                if lines > 0 && lines + height > SCREENFUL {
                    lines = SCREENFUL;
                    break;
                }
                lines += height;
                shown[place] = Some(text);
            }
        }
        self.with_counts(shown.into_iter().flatten().collect())
    }

    /// As [`render`](Self::render), with every diagnostic.
    pub fn render_all(&self, colors: bool) -> String {
        let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        self.with_counts(
            self.items.iter().map(|item| renderer.render(&[item.group(&self.sources)])).collect(),
        )
    }

    fn with_counts(&self, shown: Vec<String>) -> String {
        let mut text = String::new();
        let hidden = self.items.len() - shown.len() + self.only_counted.iter().sum::<usize>();
        for item in shown {
            text.push_str(&item);
            text.push_str("\n\n");
        }
        if hidden > 0 {
            text.push_str(&format!(
                "... and {} more, `stickd check --all` shows them\n\n",
                thousands(hidden)
            ));
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
        let warnings = self.items.len() - errors + self.only_counted[1];
        let errors = errors + self.only_counted[0];
        let count = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{} {word}s", thousands(number))),
        };
        let left_out = (self.left_out > 0)
            .then(|| format!("{} more in the same lines are not shown", thousands(self.left_out)));
        let counts = [count(errors, "error"), count(warnings, "warning"), left_out];
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A number with a comma before each group of three digits.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
    // Words whose lengths differ by more cannot be close, and need not be compared.
    let may_be_close =
        |candidate: &&str| candidate.len().abs_diff(word.chars().count()) <= 1 + candidate.len() / 5;
    known
        .into_iter()
        .filter(may_be_close)
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|&(distance, candidate)| {
            distance <= 1 + candidate.len() / 5 && distance < candidate.len().max(2)
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
