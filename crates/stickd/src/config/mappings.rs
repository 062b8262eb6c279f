//! The `from … to …` lines of an `aggregations` section, alone and together.

use super::arguments::{Arguments, Report, Word, check_name};
use super::diagnostic::Diagnostic;
use super::hub::{Mapping, Source};

const EXAMPLE: &str = "from any to .agg";
/// Most mappings of a section: each table is compared with all.
const MAX_MAPPINGS: usize = 64;
/// Longest suffix, in bytes: it becomes a part of names on the wire.
const MAX_SUFFIX: usize = 64;

/// A mapping as it is written.
#[derive(Clone, Debug)]
pub(super) struct MappingDraft {
    /// The suffix of the sources, or `any`.
    from: Word,
    /// The suffix of the results.
    to: Word,
}

impl MappingDraft {
    /// Reads a line. `None` after a fault, which is reported.
    pub(super) fn parse(mut arguments: Arguments<'_>, report: &mut Report) -> Option<Self> {
        let keyword = arguments.keyword();
        let from = arguments.value(keyword, "any, or a suffix of names", EXAMPLE, report)?;
        let good = from.text == "any" || check_suffix(from, "from any, or from a suffix", report);
        let to = arguments.value(from, "\"to\" and a suffix behind it", EXAMPLE, report)?;
        if to.text != "to" {
            let error = Diagnostic::error(to.span, format!("unknown word \"{}\"", to.text));
            report.push(error.label("\"to\" is expected here").help(format!("for example `{EXAMPLE}`")));
            return None;
        }
        let suffix = arguments.value(to, "the suffix of the results", EXAMPLE, report)?;
        let good = check_suffix(suffix, "to a suffix", report) && good;
        let draft = Self { from: from.clone(), to: suffix.clone() };
        (arguments.end(EXAMPLE, report) && good).then_some(draft)
    }

    fn is_any(&self) -> bool {
        self.from.text == "any"
    }

    /// The word `any`.
    pub(super) fn any(&self) -> Option<&Word> {
        self.is_any().then_some(&self.from)
    }

    /// What the line means.
    pub(super) fn mapping(&self) -> Mapping {
        let from = if self.is_any() { Source::Any } else { Source::Suffix(self.from.text.clone()) };
        Mapping { from, to: self.to.text.clone() }
    }

    /// Whether some table is a source of both.
    fn shares_sources(&self, other: &Self) -> bool {
        match (self.is_any(), other.is_any()) {
            (true, true) => true,
            // Names with the suffix of a result are no sources of `any`.
            (true, false) => !other.from.text.ends_with(&self.to.text),
            (false, true) => !self.from.text.ends_with(&other.to.text),
            (false, false) => overlap(&self.from.text, &other.from.text),
        }
    }

    /// Whether some result of this one is a source of the other one.
    fn feeds(&self, other: &Self) -> bool {
        !other.is_any() && overlap(&self.to.text, &other.from.text)
    }
}

/// Whether a name may end with both suffixes.
fn overlap(one: &str, other: &str) -> bool {
    one.ends_with(other) || other.ends_with(one)
}

fn check_suffix(word: &Word, what: &str, report: &mut Report) -> bool {
    let fault = |label: String| {
        let error = Diagnostic::error(word.span, format!("\"{}\" is no suffix of names", word.text));
        error.label(label)
    };
    if !word.text.starts_with('.') {
        let error = fault("does not begin with a dot".to_owned());
        let letters = word.text.chars().all(|letter| letter.is_ascii_alphanumeric());
        let meant = if letters && !word.text.is_empty() { &word.text } else { "agg" };
        report.push(error.help(format!("tables are mapped {what}: write for example `.{meant}`")));
        return false;
    }
    if word.text.len() == 1 {
        report.push(fault("a dot and nothing behind it".to_owned()).help("write for example `.agg`"));
        return false;
    }
    if word.text.len() > MAX_SUFFIX {
        report.push(fault(format!("{} bytes; at most {MAX_SUFFIX} are allowed", word.text.len())));
        return false;
    }
    check_name(word, "tables", report)
}

/// Checks what the mappings mean together; reports a mapping once at most.
pub(super) fn check(mappings: &[MappingDraft], report: &mut Report) {
    if let Some(extra) = mappings.get(MAX_MAPPINGS) {
        report.push(
            Diagnostic::error(extra.from.span, "a section has too many mappings")
                .label(format!("at most {MAX_MAPPINGS} are allowed"))
                .help("give the tables names with one suffix, or use several sections"),
        );
        return;
    }
    let errors = report.errors();
    for (number, mapping) in mappings.iter().enumerate() {
        let before = &mappings[..number];
        if let Some(first) = before.iter().find(|first| first.shares_sources(mapping)) {
            report.push(two_of_one_source(mapping, first));
        } else if let Some(first) = before.iter().find(|first| overlap(&first.to.text, &mapping.to.text)) {
            report.push(
                Diagnostic::error(
                    mapping.to.span,
                    format!("two mappings give results of the suffix \"{}\"", mapping.to.text),
                )
                .label("results of this one")
                .related(first.to.span, "may have the names of results of this one")
                .help("a result is of one table: give the mappings suffixes of their own"),
            );
        }
    }
    // What leads where is clear only without overlaps.
    if report.errors() == errors {
        check_cycles(mappings, report);
    }
    if report.errors() == errors {
        check_chains(mappings, report);
    }
}

/// Reports mappings of what this hub publishes itself: it sums what others tell, never what it told them.
fn check_chains(mappings: &[MappingDraft], report: &mut Report) {
    for mapping in mappings {
        let Some(next) = mappings.iter().find(|next| mapping.feeds(next)) else { continue };
        let title = format!("the results of \"{}\" are sources of another mapping", mapping.from.text);
        report.push(
            Diagnostic::error(next.from.span, title)
                .label("a hub does not aggregate its own results")
                .related(mapping.to.span, "these results")
                .help("give the second mapping to an upper-level aggregator, in a process of its own"),
        );
    }
}

fn two_of_one_source(mapping: &MappingDraft, first: &MappingDraft) -> Diagnostic {
    let (any, suffix) = if mapping.is_any() { (mapping, first) } else { (first, mapping) };
    let title = match (any.is_any(), suffix.is_any()) {
        (true, true) => "\"from any\" is given twice".to_owned(),
        (true, false) => format!("\"from any\" takes the tables of \"{}\" as well", suffix.from.text),
        _ if mapping.from.text == first.from.text => {
            format!("tables of the suffix \"{}\" are mapped twice", mapping.from.text)
        }
        _ => format!("a table may end with \"{}\" and with \"{}\"", first.from.text, mapping.from.text),
    };
    Diagnostic::error(mapping.from.span, title)
        .label("a table has one result")
        .related(first.from.span, "the other mapping")
        .help("either `from any`, or one `from` with a suffix for each kind of tables")
}

/// Reports mappings whose results become sources of themselves, by way of others or at once.
fn check_cycles(mappings: &[MappingDraft], report: &mut Report) {
    let mut told = vec![false; mappings.len()];
    for start in 0..mappings.len() {
        if told[start] {
            continue;
        }
        let Some(way) = way_back(mappings, start) else { continue };
        let first = &mappings[start];
        let same = first.from.text == first.to.text;
        let title = match &way[..] {
            [_] if same => format!("the suffix \"{}\" is on both sides", first.to.text),
            _ => format!("the results of \"{}\" become its sources", first.from.text),
        };
        let mut error = Diagnostic::error(first.to.span, title).label("aggregated again without an end");
        for &place in &way[1..] {
            error = error.related(mappings[place].to.span, "by way of this");
        }
        let help =
            "a result must not end like a table it comes from: give it a suffix of its own, such as `.agg`";
        report.push(error.help(help));
        way.into_iter().for_each(|place| told[place] = true);
    }
}

/// The shortest way from a mapping's results to its sources: the mappings on it, itself first.
fn way_back(mappings: &[MappingDraft], start: usize) -> Option<Vec<usize>> {
    let mut before = vec![None; mappings.len()];
    let mut next = std::collections::VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        if mappings[at].feeds(&mappings[start]) {
            let mut way = vec![at];
            while let Some(earlier) = way.last().filter(|&&last| last != start).and_then(|&last| before[last])
            {
                way.push(earlier);
            }
            way.reverse();
            return Some(way);
        }
        for onward in (0..mappings.len()).filter(|&onward| mappings[at].feeds(&mappings[onward])) {
            if onward != start && before[onward].is_none() {
                before[onward] = Some(at);
                next.push_back(onward);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arguments::tests::{titles, words};
    use super::super::hub::Hub;
    use super::*;
    use haproxy_peers::NamedPart;

    fn read<T: AsRef<str>>(lines: &[T]) -> (Vec<MappingDraft>, Report) {
        let (mut mappings, mut report) = (Vec::new(), Report::default());
        for line in lines {
            let words = words(line.as_ref());
            mappings.extend(MappingDraft::parse(Arguments::new(&words).unwrap(), &mut report));
        }
        check(&mappings, &mut report);
        (mappings, report)
    }

    fn hub(mappings: &[MappingDraft]) -> Hub {
        let mappings = mappings.iter().map(MappingDraft::mapping).collect();
        Hub { mappings, rules: Vec::new(), tables: Vec::new(), node_timeout: 0, status_table: None }
    }

    #[test]
    fn good_mappings() {
        for lines in [
            &["from any to .agg"][..],
            &["from any to .aggregate"],
            &["from .uncombined to .aggr"],
            &["from .local to .aggr", "from .x to .y"],
            &["from .a-b_c:1 to .d"],
        ] {
            let (mappings, report) = read(lines);
            assert_eq!(titles(&report), [""; 0], "{lines:?}");
            let read: Vec<_> = mappings.iter().map(|mapping| mapping.mapping().to_string()).collect();
            assert_eq!(read, lines);
        }
    }

    #[test]
    fn faults_of_single_lines() {
        for (line, title) in [
            ("from", "\"from\" needs any, or a suffix of names"),
            ("from any", "\"any\" needs \"to\" and a suffix behind it"),
            ("from any ot .agg", "unknown word \"ot\""),
            ("from any to", "\"to\" needs the suffix of the results"),
            ("from any to agg", "\"agg\" is no suffix of names"),
            ("from any to any", "\"any\" is no suffix of names"),
            ("from any to .", "\".\" is no suffix of names"),
            ("from any to .a/b", "\".a/b\" is no name for tables"),
            ("from local to .agg", "\"local\" is no suffix of names"),
            ("from '' to .agg", "\"\" is no suffix of names"),
            ("from any to .agg .b", "unexpected \".b\" on the line of \"from\""),
            ("from .a to .a", "the suffix \".a\" is on both sides"),
            ("from .a to .b.a", "the results of \".a\" become its sources"),
            ("from .b.a to .a", "the results of \".b.a\" become its sources"),
        ] {
            assert_eq!(titles(&read(&[line]).1), [title], "{line}");
        }
        let long = format!("from any to .{}", "x".repeat(64));
        assert!(titles(&read(&[&long]).1)[0].ends_with("is no suffix of names"));
    }

    #[test]
    fn faults_of_lines_together() {
        for (lines, title) in [
            (&["from any to .a", "from any to .b"][..], "\"from any\" is given twice"),
            (&["from any to .a", "from .x to .b"], "\"from any\" takes the tables of \".x\" as well"),
            (&["from .x to .b", "from any to .a"], "\"from any\" takes the tables of \".x\" as well"),
            (&["from .x to .a", "from .x to .b"], "tables of the suffix \".x\" are mapped twice"),
            (&["from .x to .a", "from .y.x to .b"], "a table may end with \".x\" and with \".y.x\""),
            (&["from .x to .a", "from .y to .a"], "two mappings give results of the suffix \".a\""),
            (&["from .x to .a", "from .y to .b.a"], "two mappings give results of the suffix \".b.a\""),
            (&["from .x to .y", "from .y to .x"], "the results of \".x\" become its sources"),
            (
                &["from .p to .x", "from .x to .y", "from .y to .z", "from .z to .x"],
                "two mappings give results of the suffix \".x\"",
            ),
            (
                &["from .p to .q", "from .x to .y", "from .y to .z", "from .z to .x"],
                "the results of \".x\" become its sources",
            ),
            (
                &["from .local to .aggr", "from .aggr to .l2"],
                "the results of \".local\" are sources of another mapping",
            ),
            (
                &["from .agg to .l2", "from any to .agg"],
                "the results of \"any\" are sources of another mapping",
            ),
        ] {
            assert_eq!(titles(&read(lines).1), [title], "{lines:?}");
        }
        let many: Vec<_> = (0..65).map(|number| format!("from .s{number} to .r{number}")).collect();
        assert_eq!(titles(&read(&many).1), ["a section has too many mappings"]);
        assert_eq!(titles(&read(&many[..64]).1), [""; 0]);
    }

    proptest! {
        /// Of mappings that are accepted each result is a result, of one table.
        #[test]
        fn results_are_of_one_table(
            lines in prop::collection::vec(("(any|(\\.[ab]){1,3})", "(\\.[abc]){1,3}"), 1..5),
            names in prop::collection::vec("/?(t|(\\.[abc])){1,4}", 2..12),
        ) {
            let lines: Vec<_> = lines.iter().map(|(from, to)| format!("from {from} to {to}")).collect();
            let (mappings, report) = read(&lines);
            prop_assume!(report.errors() == 0);
            let hub = hub(&mappings).to_engine();
            let mut sources = std::collections::BTreeMap::new();
            for name in names {
                let NamedPart::Source(result) = hub.part_of(&name) else { continue };
                let first = sources.entry(result.clone()).or_insert_with(|| name.clone());
                prop_assert_eq!(&*first, &name, "{:?}: both become {}", lines, result);
                prop_assert_eq!(hub.part_of(&result), NamedPart::Result(name), "{:?}", lines);
            }
        }
    }
}
