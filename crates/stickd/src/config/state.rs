//! The `state` line of `global`: where tables are kept.

use std::path::PathBuf;

use super::arguments::{Arguments, Report, memory, positive_time};
use super::diagnostic::Diagnostic;
use super::model::StateLine;

const EXAMPLE: &str = "state /var/lib/stickd every 500ms max-disk 4g";

const WORDS: [&str; 3] = ["every", "max-disk", "force"];

/// Reads a line.
pub(super) fn parse(mut arguments: Arguments<'_>, line: &mut Option<StateLine>, report: &mut Report) {
    let keyword = arguments.keyword();
    let Some(directory) = arguments.value(keyword, "a directory", EXAMPLE, report) else { return };
    if let Some(first) = line {
        let error = Diagnostic::error(keyword.span, "\"state\" is given twice");
        report.push(error.label("second line").related(first.span, "first line"));
        return;
    }
    let mut new = StateLine {
        directory: PathBuf::from(&directory.text),
        every_ms: StateLine::EVERY_MS,
        max_disk: None,
        force: false,
        span: directory.span,
    };
    while let Some(word) = arguments.next() {
        match word.text.as_str() {
            "every" => {
                let value = arguments.value(word, "a time", EXAMPLE, report);
                let Some(time) = value.and_then(|value| positive_time(value, report)) else { return };
                new.every_ms = time;
            }
            "max-disk" => {
                let value = arguments.value(word, "a number of bytes", EXAMPLE, report);
                let Some(bytes) = value.and_then(|value| memory(value, report)) else { return };
                new.max_disk = Some(bytes).filter(|&bytes| bytes != 0);
            }
            "force" => new.force = true,
            _ => {
                report.unknown(word, "word", "on a state line", &WORDS);
                return;
            }
        }
    }
    *line = Some(new);
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn read(line: &str) -> (Option<StateLine>, Report) {
        let (words, mut report) = (words(line), Report::default());
        let mut found = None;
        parse(Arguments::new(&words).unwrap(), &mut found, &mut report);
        (found, report)
    }

    #[test]
    fn a_directory_is_enough() {
        let (line, report) = read("state /var/lib/stickd");
        assert!(report.items.is_empty());
        let line = line.unwrap();
        assert_eq!(line.directory, PathBuf::from("/var/lib/stickd"));
        assert_eq!((line.every_ms, line.max_disk, line.force), (500, None, false));
        let (line, _) = read("state s force max-disk 4g every 2s");
        let line = line.unwrap();
        assert_eq!((line.every_ms, line.max_disk, line.force), (2_000, Some(4 << 30), true));
        assert_eq!(read("state s max-disk 0").0.unwrap().max_disk, None);
    }

    #[test]
    fn faults_name_their_word() {
        for (line, title) in [
            ("state", "\"state\" needs a directory"),
            ("state s every", "\"every\" needs a time"),
            ("state s every 0", "\"0\" is no time to wait"),
            ("state s max-disk x", "\"x\" is not an amount of memory"),
            ("state s evry 5s", "unknown word \"evry\""),
        ] {
            let (found, report) = read(line);
            assert_eq!(titles(&report), [title]);
            assert!(found.is_none());
        }
    }
}
