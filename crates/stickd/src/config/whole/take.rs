//! Which lines are taken, and in which order.

use std::collections::BTreeSet;

use super::super::arguments::{Arguments, Report, Word};
use super::super::diagnostic::Diagnostic;
use super::super::peers::PeersDraft;
use super::super::proxy::ProxyDraft;
use super::super::stick_rule::StickRule;
use super::{Line, Section, Taken, Whole};

/// What takes lines: the drafts of the configuration.
pub(in super::super) struct Take<'d> {
    pub(in super::super) sections: &'d mut Vec<PeersDraft>,
    pub(in super::super) proxies: &'d mut Vec<ProxyDraft>,
    pub(in super::super) report: &'d mut Report,
}

impl Whole {
    /// Gives what is taken to the drafts. A section that stickd's own file has as well goes on there.
    pub(in super::super) fn take(&self, local_peer: &str, mut to: Take<'_>) -> Vec<Taken> {
        let sections = self.sections_of(local_peer);
        if sections.is_empty() {
            to.report.push(self.nowhere(local_peer));
            return Vec::new();
        }
        let mut taken: Vec<_> = self
            .files
            .iter()
            .map(|file| Taken {
                file: file.name.clone(),
                of_global: file.of_global,
                not_read: file.lines.saturating_sub(file.of_global),
                ..Taken::default()
            })
            .collect();
        let place =
            |section: &Section| self.files.iter().position(|file| file.source == section.source).unwrap_or(0);
        let tables = self.tables_in(&sections);
        let mut said = BTreeSet::new();
        for section in self.peers() {
            let of_file = &mut taken[place(section)];
            if !sections.contains(section.name()) {
                of_file.other_sections.push(section.name().to_owned());
                continue;
            }
            of_file.sections.push(section.name().to_owned());
            of_file.tables.extend(section.own_tables());
            of_file.took(1 + section.lines.len());
            to.peers(section, &tables, &mut said);
        }
        for section in self.sections.iter().filter(|section| !section.is_peers()) {
            let of_file = &mut taken[place(section)];
            let lines: Vec<_> = section.lines.iter().filter(|line| section.is_taken(line, &tables)).collect();
            let declares = |line: &&Line| line.keyword() == "stick-table";
            if section.lines.iter().any(|line| declares(&line)) {
                let names =
                    if lines.iter().any(declares) { &mut of_file.tables } else { &mut of_file.other_tables };
                names.push(section.name().to_owned());
            }
            if !lines.is_empty() {
                of_file.took(1 + lines.len());
                to.proxy(section, &lines, &tables, &mut said);
            }
        }
        taken
    }

    /// Full names of the tables that are shared in these sections.
    fn tables_in(&self, sections: &BTreeSet<&str>) -> BTreeSet<String> {
        let mut tables = BTreeSet::new();
        for section in &self.sections {
            if section.is_peers() && sections.contains(section.name()) {
                tables.extend(section.own_tables());
            } else if !section.is_peers() && section.lines.iter().any(|line| is_shared(line, sections)) {
                tables.insert(section.name().to_owned());
            }
        }
        tables
    }

    /// What is said when no section names this node: the line to add to all files.
    fn nowhere(&self, local_peer: &str) -> Diagnostic {
        let title = format!("no peers section names this node, \"{local_peer}\"");
        let origin = "-L NAME says another name of this node";
        let Some(section) = self.peers().next() else {
            let files: Vec<_> = self.files.iter().map(|file| file.name.as_str()).take(3).collect();
            let error = Diagnostic::without_place(format!("{title}: {} has none", files.join(", ")));
            return error.help(format!(
                "add to the file on all nodes: `peers mycluster`, with a line `peer NAME ADDRESS:PORT` for each HAProxy and `peer {local_peer} ADDRESS:PORT`, and `peers mycluster` behind each stick-table that is shared"
            ));
        };
        let has_bind = section.lines.iter().any(|line| line.keyword() == "bind");
        let line = if has_bind {
            format!("server {local_peer} ADDRESS:PORT")
        } else {
            format!("peer {local_peer} ADDRESS:PORT")
        };
        let error = Diagnostic::error(section.header[1].span, title).label("no line for it here");
        error.help(format!("add to this section, in the file of all nodes: `{line}`")).help(origin)
    }
}

/// Whether a line declares a table that is shared in one of these sections.
fn is_shared(line: &Line, sections: &BTreeSet<&str>) -> bool {
    line.keyword() == "stick-table" && Section::shared_in(line).is_some_and(|name| sections.contains(name))
}

impl Section {
    /// Full names of the tables that a `peers` section declares.
    fn own_tables(&self) -> impl Iterator<Item = String> {
        let tables = self.lines.iter().filter(|line| line.keyword() == "table");
        tables.filter_map(|line| Some(format!("{}/{}", self.name(), line.words.get(1)?.text)))
    }

    /// Whether a line of a proxy is about a table that is taken.
    fn is_taken(&self, line: &Line, tables: &BTreeSet<String>) -> bool {
        let is_own_taken = tables.contains(self.name());
        match line.keyword() {
            "stick-table" => is_own_taken,
            _ => {
                let rule = Arguments::new(&line.words)
                    .and_then(|words| StickRule::parse(words, &mut Report::default()));
                match rule.map(|rule| rule.table) {
                    Some(Some(table)) => tables.contains(&table.text),
                    Some(None) | None => is_own_taken,
                }
            }
        }
    }
}

impl Taken {
    /// Notes lines that were taken.
    fn took(&mut self, lines: usize) {
        self.lines += lines;
        self.not_read = self.not_read.saturating_sub(lines);
    }
}

/// The conditions that were said to be in the way.
type Said = BTreeSet<super::super::source::Span>;

impl Take<'_> {
    fn peers(&mut self, section: &Section, tables: &BTreeSet<String>, said: &mut Said) {
        let place = self.sections.iter().position(|draft| draft.name.text == section.name());
        let place = place.unwrap_or_else(|| {
            self.sections.push(PeersDraft::new(section.header[1].clone()));
            self.sections.len() - 1
        });
        self.condition(section.condition, said);
        for line in &section.lines {
            let Some(words) = self.words(line, tables, said) else {
                self.sections[place].lacks_a_line();
                continue;
            };
            // "no log" and alike.
            if matches!(line.keyword(), "no" | "default") {
                continue;
            }
            let mut found = Report::default();
            if let Some(arguments) = Arguments::new(&words) {
                self.sections[place].line(arguments, &mut found);
            }
            self.found(found);
        }
    }

    fn proxy(&mut self, section: &Section, lines: &[&Line], tables: &BTreeSet<String>, said: &mut Said) {
        let [keyword, name] = section.header.clone();
        let mut draft = ProxyDraft::new(keyword, name);
        self.condition(section.condition, said);
        for line in lines {
            let Some(words) = self.words(line, tables, said) else {
                draft.lacks_a_line();
                continue;
            };
            let mut found = Report::default();
            if let Some(arguments) = Arguments::new(&words) {
                draft.line(arguments, &mut found);
            }
            self.found(found);
        }
        self.proxies.push(draft);
    }

    /// The words of a line that is taken; `None` when it cannot be read. A table that is not taken is not written to.
    fn words(&mut self, line: &Line, tables: &BTreeSet<String>, said: &mut Said) -> Option<Vec<Word>> {
        self.condition(line.condition, said);
        if !line.faults.is_empty() {
            line.faults.iter().cloned().for_each(|fault| self.report.push(fault));
            return None;
        }
        let mut words = line.words.clone();
        if matches!(line.keyword(), "stick-table" | "table")
            && let Some(at) = words.iter().position(|word| word.text == "write-to")
            && words.get(at + 1).is_some_and(|target| !tables.contains(&target.text))
        {
            words.drain(at..=at + 1);
        }
        Some(words)
    }

    /// Reports a condition around what is taken, once.
    fn condition(&mut self, condition: Option<super::super::source::Span>, said: &mut Said) {
        if let Some(span) = condition.filter(|span| said.insert(*span)) {
            let error = Diagnostic::error(
                span,
                "a condition that only a HAProxy can answer is around what stickd takes",
            );
            self.report.push(error.label("peers or tables are inside").help(
                "write the lines of peers sections and shared tables outside of it; conditions around other lines are passed over",
            ));
        }
    }

    /// Keeps the errors: words without effect are the HAProxy's own.
    fn found(&mut self, found: Report) {
        self.report.files.extend(found.files);
        let is_error = |diagnostic: &Diagnostic| diagnostic.severity() == super::super::Severity::Error;
        found.items.into_iter().filter(is_error).for_each(|error| self.report.push(error));
    }
}
