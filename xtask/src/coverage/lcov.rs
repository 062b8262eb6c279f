//! What llvm-cov reports, in the format of lcov: of each file the lines that have code, and how often each ran.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// By file, relative to the repository, and line: how often it ran.
pub(super) type Hits = BTreeMap<PathBuf, BTreeMap<usize, u64>>;

/// Reads lines `SF:path` and `DA:line,count`; all others say nothing about lines. A file that is there twice has been compiled
/// twice: a line ran as often as in both.
pub(super) fn read(text: &str, root: &Path) -> Result<Hits> {
    let mut hits = Hits::new();
    let mut file = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = Path::new(path);
            file = Some(hits.entry(path.strip_prefix(root).unwrap_or(path).to_owned()).or_default());
        } else if let Some(counted) = line.strip_prefix("DA:") {
            let file = file.as_mut().with_context(|| format!("{line:?} belongs to no file"))?;
            let mut fields = counted.split(',');
            let mut number = || fields.next()?.parse::<u64>().ok();
            let (Some(line), Some(count)) = (number(), number()) else {
                anyhow::bail!("{line:?} is not DA:line,count");
            };
            *file.entry(usize::try_from(line)?).or_default() += count;
        }
    }
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_file() {
        let text = "SF:/r/crates/a/src/lib.rs\nFN:3,f\nDA:3,2\nDA:4,0\nLF:2\nend_of_record\nSF:/r/b.rs\nDA:1,0\nend_of_record\n\
                    SF:/r/crates/a/src/lib.rs\nDA:4,7\nend_of_record\n";
        let hits = read(text, Path::new("/r")).unwrap();
        assert_eq!(hits[Path::new("crates/a/src/lib.rs")], BTreeMap::from([(3, 2), (4, 7)]));
        assert_eq!(hits[Path::new("b.rs")], BTreeMap::from([(1, 0)]));
    }

    #[test]
    fn what_is_malformed_is_told() {
        for text in ["DA:1,2\n", "SF:a\nDA:1\n", "SF:a\nDA:x,2\n"] {
            assert!(read(text, Path::new("/r")).is_err(), "{text:?}");
        }
    }
}
