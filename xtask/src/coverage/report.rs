//! Figures of lines, by file and crate.

use super::lcov::Hits;
use super::source::Sources;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What tests cover of some crates.
pub(super) struct Report {
    crates: Vec<Crate>,
    /// Whether other tests than the crates' own ran as well.
    others: bool,
}

struct Crate {
    name: String,
    files: Vec<File>,
}

struct File {
    path: PathBuf,
    lines: Vec<Line>,
}

/// A line that has code.
struct Line {
    number: usize,
    text: String,
    /// Whether a test of the crates ran it, and whether any test did.
    own: bool,
    any: bool,
}

impl Report {
    /// `all` has what the own tests covered as well.
    pub(super) fn new(sources: &Sources, own: &Hits, all: Option<&Hits>) -> Self {
        let ran = |hits: &Hits, path: &Path, line: usize| {
            hits.get(path).and_then(|lines| lines.get(&line)).is_some_and(|&count| count > 0)
        };
        let crates = sources.crates.iter().map(|source| {
            let files = source.files.iter().map(|(path, source)| {
                // Code that only the others compile, such as known defects, is not counted.
                let counted = own.get(path).into_iter().flatten().map(|(&number, _)| number);
                let lines = counted.filter(|number| !source.tests.contains(number)).map(|number| {
                    let own = ran(own, path, number);
                    let text = source.lines.get(number - 1).cloned().unwrap_or_default();
                    Line { number, text, own, any: own || all.is_some_and(|all| ran(all, path, number)) }
                });
                File { path: path.clone(), lines: lines.collect() }
            });
            Crate { name: source.name.clone(), files: files.filter(|file| !file.lines.is_empty()).collect() }
        });
        Self { crates: crates.collect(), others: all.is_some() }
    }

    /// A table of all files, and one line for each crate.
    pub(super) fn table(&self) -> String {
        let mut table = format!("{:<48} {:>6} {:>9} {:>9}", "", "lines", "uncovered", "own tests");
        table += if self.others { "  and simulator, corpus\n" } else { "\n" };
        for measured in &self.crates {
            for file in &measured.files {
                self.row(&mut table, &file.path.display().to_string(), file.lines.iter());
            }
            self.row(&mut table, &measured.name, measured.lines());
            table.push('\n');
        }
        table
    }

    fn row<'a>(&self, table: &mut String, name: &str, lines: impl Iterator<Item = &'a Line> + Clone) {
        let count = lines.clone().count();
        let own = lines.clone().filter(|line| line.own).count();
        let any = lines.filter(|line| line.any).count();
        // Cut, not rounded: 100 % is all of them.
        let shown = |part| (percent(part, count) * 10.0).floor() / 10.0;
        let mut row = format!("{name:<48} {count:>6} {:>9} {:>7.1} %", count - own, shown(own));
        if self.others {
            write!(row, " {:>7.1} %", shown(any)).expect("a string takes all");
        }
        *table += &row;
        table.push('\n');
    }

    /// The lines that the own tests do not cover.
    pub(super) fn uncovered(&self) -> String {
        let mut list = String::new();
        for file in self.crates.iter().flat_map(|measured| &measured.files) {
            for line in file.lines.iter().filter(|line| !line.own) {
                let others = if line.any { "    <- simulator or corpus" } else { "" };
                writeln!(list, "{}:{}: {}{others}", file.path.display(), line.number, line.text.trim())
                    .expect("a string takes all");
            }
        }
        list
    }

    /// The crates of which the own tests cover less than so many percent.
    pub(super) fn below(&self, floor: f64) -> Vec<&str> {
        let below = self.crates.iter().filter(|measured| {
            let own = measured.lines().filter(|line| line.own).count();
            percent(own, measured.lines().count()) < floor
        });
        below.map(|measured| measured.name.as_str()).collect()
    }
}

impl Crate {
    fn lines(&self) -> impl Iterator<Item = &Line> + Clone {
        self.files.iter().flat_map(|file| &file.lines)
    }
}

/// Nothing covered of nothing is 0: a crate without lines was not measured.
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    const FILE: &str = "crates/a/src/lib.rs";
    const TEXT: &str = "fn a() {\n    b();\n    c();\n    d();\n}\n\n#[cfg(test)]\nmod tests {\n}\n";

    fn hits(lines: &[(usize, u64)]) -> Hits {
        Hits::from([(FILE.into(), BTreeMap::from_iter(lines.iter().copied()))])
    }

    fn report(own: &Hits, all: Option<&Hits>) -> Report {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("crates/a/src")).unwrap();
        fs::write(root.path().join(FILE), TEXT).unwrap();
        Report::new(&Sources::read(root.path(), &["a"]).unwrap(), own, all)
    }

    #[test]
    fn lines_of_tests_and_of_other_builds_do_not_count() {
        let own = hits(&[(1, 1), (2, 1), (3, 0), (4, 0), (8, 9)]);
        let all = hits(&[(1, 1), (2, 1), (3, 2), (4, 0), (5, 0), (8, 9)]);
        let with_others = report(&own, Some(&all));
        let table = with_others.table();
        let row = |name: &str| -> Vec<String> {
            let row = table.lines().find(|line| line.starts_with(name)).unwrap();
            row.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(row("a "), ["a", "4", "2", "50.0", "%", "75.0", "%"]);
        assert_eq!(row(FILE)[1..], row("a ")[1..]);
        assert_eq!(
            with_others.uncovered(),
            format!("{FILE}:3: c();    <- simulator or corpus\n{FILE}:4: d();\n")
        );
        assert_eq!(report(&own, None).uncovered(), format!("{FILE}:3: c();\n{FILE}:4: d();\n"));
    }

    #[test]
    fn figures_are_cut() {
        let own = hits(&[(1, 1), (2, 1), (3, 0)]);
        assert!(report(&own, None).table().contains("66.6 %"));
    }

    #[test]
    fn the_floor_is_for_own_tests() {
        let all = hits(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let own = report(&hits(&[(1, 1), (2, 0), (3, 1), (4, 1)]), Some(&all));
        assert_eq!(own.below(75.1), ["a"]);
        assert!(own.below(75.0).is_empty());
        assert_eq!(report(&Hits::new(), None).below(1.0), ["a"]);
    }
}
