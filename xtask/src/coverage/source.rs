//! The files of the crates, and which of their lines are compiled for tests only.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const TEST_ONLY: &str = "#[cfg(test)]";

/// The files of each crate that a released program may have.
pub(super) struct Sources {
    pub(super) crates: Vec<Crate>,
}

pub(super) struct Crate {
    pub(super) name: String,
    /// By path, relative to the repository.
    pub(super) files: BTreeMap<PathBuf, Source>,
}

/// A file of Rust.
pub(super) struct Source {
    pub(super) lines: Vec<String>,
    /// Numbers of lines that are compiled for tests only, from 1.
    pub(super) tests: BTreeSet<usize>,
}

impl Sources {
    /// Reads `crates/NAME/src` of each crate, without the files of modules that are compiled for tests only.
    pub(super) fn read(root: &Path, names: &[&str]) -> Result<Self> {
        let crates = names.iter().map(|name| Crate::read(root, name)).collect::<Result<_>>()?;
        Ok(Self { crates })
    }
}

impl Crate {
    fn read(root: &Path, name: &str) -> Result<Self> {
        let mut files = BTreeMap::new();
        read_directory(root, &Path::new("crates").join(name).join("src"), &mut files)?;
        let modules: Vec<PathBuf> =
            files.iter().flat_map(|(path, source): (&PathBuf, &Source)| source.test_modules(path)).collect();
        files.retain(|path, _| {
            !modules.iter().any(|module| *path == module.with_extension("rs") || path.starts_with(module))
        });
        Ok(Self { name: name.to_owned(), files })
    }
}

fn read_directory(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Source>) -> Result<()> {
    let entries =
        fs::read_dir(root.join(directory)).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read_directory(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(path, Source::new(&text));
        }
    }
    Ok(())
}

impl Source {
    /// Relies on rustfmt: an item ends with the first line that is indented as its first one and ends it.
    fn new(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut tests = BTreeSet::new();
        let mut number = 0;
        while number < lines.len() {
            if lines[number].trim() != TEST_ONLY {
                number += 1;
                continue;
            }
            let indent = indent(&lines[number]);
            let ends = |line: &str| self::indent(line) == indent && line.ends_with(['}', ';', ',']);
            let length =
                lines[number..].iter().position(|line| ends(line)).unwrap_or(lines.len() - number - 1);
            tests.extend(number + 1..=number + length + 1);
            number += length + 1;
        }
        Self { lines, tests }
    }

    /// Where modules are that are declared for tests only and are files: without their ending.
    fn test_modules(&self, path: &Path) -> Vec<PathBuf> {
        let stem = path.file_stem().unwrap_or_default();
        let directory = match stem.to_str() {
            Some("lib" | "main" | "mod") => path.with_file_name(""),
            _ => path.with_extension(""),
        };
        let declared = self.tests.iter().filter_map(|number| self.lines.get(number - 1));
        let names = declared.filter_map(|line| {
            let (_, name) = line.trim().strip_suffix(';')?.split_once("mod ")?;
            Some(directory.join(name))
        });
        names.collect()
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_lines(text: &str) -> Vec<usize> {
        Source::new(text).tests.into_iter().collect()
    }

    #[test]
    fn items_for_tests_are_found_from_attribute_to_end() {
        let module = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        assert_eq!(test_lines(module), [3, 4, 5, 6, 7]);
        let method = "impl A {\n    /// Of tests.\n    #[cfg(test)]\n    fn b(\n        c: u8,\n    ) -> u8 {\n        c\n    }\n\n    fn d() {}\n}\n";
        assert_eq!(test_lines(method), [3, 4, 5, 6, 7, 8]);
        assert_eq!(test_lines("#[cfg(test)]\nuse a::b;\nfn c() {}\n"), [1, 2]);
        assert!(test_lines("#[cfg(feature = \"defects\")]\nmod a {\n}\n").is_empty());
    }

    #[test]
    fn files_of_test_modules_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let src = root.path().join("crates/a/src");
        fs::create_dir_all(src.join("b")).unwrap();
        for (name, text) in [
            ("lib.rs", "mod b;\n\n#[cfg(test)]\nmod model;\n"),
            ("model.rs", "fn a() {}\n"),
            ("b.rs", "mod kept;\n#[cfg(test)]\nmod twin;\n"),
            ("b/kept.rs", "fn a() {}\n"),
            ("b/twin.rs", "fn a() {}\n"),
        ] {
            fs::write(src.join(name), text).unwrap();
        }
        let sources = Sources::read(root.path(), &["a"]).unwrap();
        let names: Vec<&str> = sources.crates[0].files.keys().filter_map(|path| path.to_str()).collect();
        assert_eq!(names, ["crates/a/src/b/kept.rs", "crates/a/src/b.rs", "crates/a/src/lib.rs"]);
        assert!(Sources::read(root.path(), &["nothing"]).is_err());
    }
}
