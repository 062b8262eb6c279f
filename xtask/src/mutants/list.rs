//! What can be changed, as cargo-mutants lists it.

use super::suite::Suite;
use crate::run;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where mutants are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Package {
    Table,
    Aggregate,
    Peers,
    /// Only what reads the configuration and answers commands.
    Daemon,
}

impl Package {
    /// Those whose tests are quick first.
    pub(super) const ALL: [Self; 4] = [Self::Table, Self::Aggregate, Self::Peers, Self::Daemon];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Table => "stick-table",
            Self::Aggregate => "stick-aggregate",
            Self::Peers => "haproxy-peers",
            Self::Daemon => "stickd",
        }
    }

    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|&package| package == self).unwrap_or_default()
    }

    /// The tests that may find a mutant, quick ones first.
    pub(super) const fn suites(self) -> &'static [Suite] {
        match self {
            Self::Table => &Suite::TABLE,
            Self::Aggregate => &Suite::AGGREGATE,
            Self::Peers => &Suite::PEERS,
            Self::Daemon => &Suite::DAEMON,
        }
    }

    /// The files to change; none for all of the crate.
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Daemon => &["crates/stickd/src/config/**", "crates/stickd/src/runtime/**"],
            _ => &[],
        }
    }
}

/// Code that ordinary builds do not have: known defects for the simulator.
const LEFT_OUT: &str = "crates/stick-table/src/defect.rs";

/// One change of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    pub(super) package: Package,
    /// `FILE:LINE:COLUMN: CHANGE`.
    pub(super) name: String,
    pub(super) file: PathBuf,
    start: Position,
    end: Position,
    replacement: String,
}

/// A line and a column in characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

/// All mutants of the packages that are wanted, or of all.
pub(super) fn all(tool: &Path, wanted: &[String]) -> Result<Vec<Mutant>> {
    for name in wanted {
        let names = Package::ALL.map(Package::name);
        ensure!(
            names.contains(&name.as_str()),
            "no mutants are made of \"{name}\": use {}",
            names.join(", ")
        );
    }
    let mut mutants = Vec::new();
    for package in Package::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == package.name()) {
            continue;
        }
        let mut list = Command::new(tool);
        list.current_dir(run::root()).args(["mutants", "--list", "--json", "--package", package.name()]);
        list.args(["--exclude", LEFT_OUT]);
        list.args(package.files().iter().flat_map(|file| ["--file", file]));
        let listed: Vec<Value> = serde_json::from_str(&run::output(&mut list)?)?;
        for value in &listed {
            mutants.push(read(package, value).with_context(|| format!("cannot read the mutant {value}"))?);
        }
    }
    Ok(mutants)
}

fn read(package: Package, value: &Value) -> Option<Mutant> {
    let position = |end: &str| {
        let number = |name: &str| usize::try_from(value["span"][end][name].as_u64()?).ok();
        Some(Position { line: number("line")?, column: number("column")? })
    };
    Some(Mutant {
        package,
        name: value["name"].as_str()?.to_owned(),
        file: value["file"].as_str()?.into(),
        start: position("start")?,
        end: position("end")?,
        replacement: value["replacement"].as_str()?.to_owned(),
    })
}

impl Mutant {
    /// The changed text of its file; `None` when the text is another one than that which was listed.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        let (start, end) = (self.start.offset(text)?, self.end.offset(text)?);
        let (before, after) = (text.get(..start)?, text.get(end.max(start)..)?);
        Some(format!("{before}{} {after}", self.replacement))
    }
}

impl Position {
    /// Where it is in the text, in bytes.
    fn offset(self, text: &str) -> Option<usize> {
        let line = text.split_inclusive('\n').nth(self.line.checked_sub(1)?)?;
        let start = line.as_ptr() as usize - text.as_ptr() as usize;
        let column = self.column.checked_sub(1)?;
        let at = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(column)?;
        Some(start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mutant(start: (usize, usize), end: (usize, usize), replacement: &str) -> Mutant {
        let position = |(line, column): (usize, usize)| json!({ "line": line, "column": column });
        let value = json!({
            "name": "a.rs:1:1: change", "file": "a.rs", "replacement": replacement,
            "span": { "start": position(start), "end": position(end) },
        });
        read(Package::Table, &value).unwrap()
    }

    #[test]
    fn a_change_is_where_the_list_says() {
        let text = "let é = 1;\nif a < b {\n    c();\n}\n";
        assert_eq!(mutant((2, 6), (2, 7), "<=").apply(text).unwrap(), text.replace("< b", "<=  b"));
        assert_eq!(mutant((1, 9), (1, 10), "2").apply(text).unwrap(), text.replace("= 1;", "= 2 ;"));
        assert_eq!(mutant((2, 10), (4, 2), "").apply(text).unwrap(), "let é = 1;\nif a < b  \n");
        for (start, end) in [((9, 1), (9, 2)), ((1, 40), (1, 41)), ((0, 1), (1, 1))] {
            assert_eq!(mutant(start, end, "").apply(text), None);
        }
    }
}
