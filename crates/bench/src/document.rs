//! BENCHMARKS.md.

use std::fs;
use std::path::Path;

use crate::report::Table;

/// What stands before the results. It describes what the other files of this program do.
const METHOD: &str = include_str!("method.md");

/// Begins the part written by hand, which a new run keeps.
const BY_HAND: &str = "<!-- Written by hand from here on; a new run keeps it. -->";

/// The whole document.
pub(crate) fn text(machine: &[String], goals: &Table, tables: &[Table]) -> String {
    let mut text = String::from("# Benchmarks\n\nWritten by `cargo xtask bench`.\n\n");
    machine.iter().for_each(|line| text += &format!("- {line}\n"));
    text += "\n## Goals\n\n";
    text += &section(goals);
    text += METHOD;
    text += "\n## Results\n\nMedian (smallest–largest) of the rounds.\n\n";
    text + &tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n")
}

/// A table without its heading.
fn section(table: &Table) -> String {
    let text = table.markdown();
    text.split_once("\n\n").map_or_else(|| text.clone(), |(_, rest)| rest.to_owned()) + "\n"
}

/// The part of the document there is that is to be kept: what was written by hand at its end.
pub(crate) fn kept(file: &Path) -> String {
    let before = fs::read_to_string(file).unwrap_or_default();
    before.find(BY_HAND).map_or_else(|| format!("\n{BY_HAND}\n"), |at| format!("\n{}", &before[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_come_first_and_everything_is_there() {
        let mut goals = Table::new("Goals", &["work"]);
        goals.row(["learn".to_owned()]);
        let text = text(&["date: today".to_owned()], &goals, &[Table::new("Learn", &["ns"])]);
        let places: Vec<usize> =
            ["- date: today", "## Goals", "| learn |", "## Method", "## Results", "### Learn"]
                .iter()
                .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part} in:\n{text}")))
                .collect();
        assert!(places.is_sorted(), "{places:?}\n{text}");
        assert!(!text.contains("### Goals") && !text.contains("\n\n\n"), "{text}");
    }

    #[test]
    fn what_was_written_by_hand_is_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(kept(file.path()), format!("\n{BY_HAND}\n"));
        fs::write(file.path(), format!("# Benchmarks\n\n{BY_HAND}\n\n## Profile\n")).unwrap();
        assert_eq!(kept(file.path()), format!("\n{BY_HAND}\n\n## Profile\n"));
    }
}
