//! What was found out about mutants, kept in a file: a run that was interrupted goes on where it ended.

use super::suite::Outcome;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// The outcome of each suite on each mutant.
pub(super) struct Results {
    file: File,
    known: BTreeMap<(String, String), Outcome>,
}

impl Results {
    /// Opens the file. What an earlier run found out counts when `resume` says so and the sources are the same, of which
    /// `sources` is a checksum.
    pub(super) fn open(path: &Path, sources: u64, resume: bool) -> Result<Self> {
        let heading = format!("sources {sources:016x}");
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let kept = resume && text.lines().next() == Some(&heading);
        if resume && !kept {
            println!("no results of these sources: beginning from scratch");
        }
        let known = if kept { text.lines().filter_map(read).collect() } else { BTreeMap::new() };
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(kept).truncate(!kept);
        let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
        if !kept {
            writeln!(file, "{heading}")?;
        }
        Ok(Self { file, known })
    }

    pub(super) fn get(&self, mutant: &str, suite: &str) -> Option<Outcome> {
        self.known.get(&(mutant.to_owned(), suite.to_owned())).copied()
    }

    pub(super) fn add(&mut self, mutant: &str, suite: &str, outcome: Outcome) -> Result<()> {
        writeln!(self.file, "{outcome}\t{suite}\t{mutant}").context("cannot write the results")?;
        self.known.insert((mutant.to_owned(), suite.to_owned()), outcome);
        Ok(())
    }
}

/// Reads a line; `None` for one that was cut off.
fn read(line: &str) -> Option<((String, String), Outcome)> {
    let mut words = line.splitn(3, '\t');
    let (outcome, suite, mutant) = (words.next()?, words.next()?, words.next()?);
    let outcome = Outcome::ALL.into_iter().find(|it| it.to_string() == outcome)?;
    Some(((mutant.to_owned(), suite.to_owned()), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_run_goes_on_with_the_same_sources_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results");
        let mut first = Results::open(&path, 1, true).unwrap();
        first.add("a.rs:1:1: replace < with <=", "engine", Outcome::Survived).unwrap();
        drop(first);

        let mut again = Results::open(&path, 1, true).unwrap();
        assert_eq!(again.get("a.rs:1:1: replace < with <=", "engine"), Some(Outcome::Survived));
        assert_eq!(again.get("a.rs:1:1: replace < with <=", "simulator"), None);
        again.add("b.rs:1:1: replace f with ()", "engine", Outcome::TimedOut).unwrap();
        drop(again);
        let third = Results::open(&path, 1, true).unwrap();
        assert_eq!(third.get("a.rs:1:1: replace < with <=", "engine"), Some(Outcome::Survived));
        assert_eq!(third.get("b.rs:1:1: replace f with ()", "engine"), Some(Outcome::TimedOut));
        drop(third);

        let other = Results::open(&path, 2, true).unwrap();
        assert_eq!(other.get("a.rs:1:1: replace < with <=", "engine"), None, "the sources changed");
        drop(other);
        let anew = Results::open(&path, 2, false).unwrap();
        assert_eq!(anew.known.len(), 0);
    }
}
