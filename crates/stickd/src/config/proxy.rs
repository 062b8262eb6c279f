//! `backend`, `frontend` and `listen` sections: they hold a `stick-table` line, and `stick` lines that say what it stores.

use super::arguments::{Arguments, Report, Word};
use super::diagnostic::{Diagnostic, closest};
use super::keywords;
use super::source::Span;
use super::stick_rule::StickRule;
use super::syntax::words::{self, Place};
use super::table::{self, Form, TableDraft};

const EXAMPLE: &str = "stick-table type ip size 100k expire 30m store http_req_rate(10s) peers mypeers";

/// A proxy as it is written.
#[derive(Debug)]
pub(super) struct ProxyDraft {
    /// `backend`, `frontend` or `listen`.
    pub(super) keyword: Word,
    pub(super) name: Word,
    /// Place of the `stick-table` line's keyword, even when the line has faults.
    pub(super) line: Option<Span>,
    pub(super) table: Option<TableDraft>,
    /// Lines by which traffic sticks to servers.
    pub(super) rules: Vec<StickRule>,
    /// Whether some line was refused.
    faulty: bool,
}

impl ProxyDraft {
    pub(super) fn new(keyword: Word, name: Word) -> Self {
        Self { keyword, name, line: None, table: None, rules: Vec::new(), faulty: false }
    }

    /// Reads one line.
    pub(super) fn line(&mut self, arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        if !keywords::is_known(Place::Proxy, &keyword.text) {
            self.faulty = true;
            return other(&self.keyword.text, &arguments, report);
        }
        if keyword.text == "stick" {
            match StickRule::parse(arguments, report) {
                Some(rule) => self.rules.push(rule),
                None => self.faulty = true,
            }
            return;
        }
        if let Some(first) = self.line {
            report.push(
                Diagnostic::error(keyword.span, format!("a {} holds one stick-table", self.keyword.text))
                    .label("second stick-table")
                    .related(first, "first stick-table")
                    .help("put it into a backend of its own, or declare it by `table` in the peers section"),
            );
            return;
        }
        self.line = Some(keyword.span);
        self.table = table::parse(&self.name.text, &self.name, Form::Proxy, arguments, report);
    }

    /// Notes that a line was refused, which may have been what the section lacks.
    pub(super) fn lacks_a_line(&mut self) {
        self.faulty = true;
    }

    /// Reports a proxy that declares nothing.
    pub(super) fn end(&self, report: &mut Report) {
        if let Some(rule) = self.rules.iter().find(|rule| rule.table.is_none() && self.line.is_none()) {
            report.push(
                Diagnostic::error(
                    rule.word.span,
                    format!("the {} \"{}\" has no stick-table", self.keyword.text, self.name.text),
                )
                .label("uses it")
                .help(format!(
                    "add `{EXAMPLE}`, or say which table is meant: `{} … table NAME`",
                    rule.word.text
                )),
            );
        } else if self.line.is_none() && self.rules.is_empty() && !self.faulty {
            let title = format!("the {} \"{}\" has no stick-table", self.keyword.text, self.name.text);
            let error = Diagnostic::error(self.keyword.span.to(self.name.span), title);
            report.push(
                error.label("nothing to keep here").help(format!("add `{EXAMPLE}`, or remove the section")),
            );
        }
    }
}

/// A keyword for traffic, or a misspelt one.
fn other(proxy: &str, arguments: &Arguments<'_>, report: &mut Report) {
    if words::report_line(Place::Proxy, arguments, false, report) {
        return;
    }
    let keyword = arguments.keyword();
    let title = format!("unknown keyword \"{}\" in a {proxy}", keyword.text);
    let error = Diagnostic::error(keyword.span, title).label("not known in stickd");
    let close = report
        .suggests()
        .then(|| closest(&keyword.text, keywords::names(Place::Proxy).iter().copied()))
        .flatten();
    report.push(match close {
        Some(meant) => error.help(format!("did you mean \"{meant}\"?")),
        None => error.help(
            "stickd handles no traffic; keep the \"stick-table\" and \"stick\" lines of the section and remove the others",
        ),
    });
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(lines: &[&str]) -> (ProxyDraft, Report) {
        let mut report = Report::default();
        let mut header = words("backend b").into_iter();
        let mut draft = ProxyDraft::new(header.next().unwrap(), header.next().unwrap());
        for line in lines {
            draft.line(Arguments::new(&words(line)).unwrap(), &mut report);
        }
        draft.end(&mut report);
        (draft, report)
    }

    #[test]
    fn a_backend_holds_one_table() {
        let (draft, report) = read(&["stick-table type ip size 1k store gpc0 peers p"]);
        assert_eq!(titles(&report), [""; 0]);
        assert_eq!(draft.table.unwrap().definition.name, "b");
    }

    #[test]
    fn anything_else_is_refused() {
        let table = "stick-table type ip size 1k";
        for (lines, expected) in [
            (&[][..], &["the backend \"b\" has no stick-table"][..]),
            (&[table, table], &["a backend holds one stick-table"]),
            (&["balance roundrobin"], &["\"balance\" is for traffic"]),
            (&["balanec roundrobin"], &["unknown keyword \"balanec\" in a backend"]),
            (&["sticktable type ip size 1k"], &["unknown keyword \"sticktable\" in a backend"]),
            (&["stick on src"], &["the backend \"b\" has no stick-table"]),
            (&["stick on src table t"], &[]),
            (&[table, "stick match src", "stick store-request src"], &[]),
            (&["stick-table type ip"], &["the table \"b\" has no size"]),
        ] {
            assert_eq!(titles(&read(lines).1), expected, "{lines:?}");
        }
    }
}
