//! A copy of the tree, in which the mutants are made.

use super::list::Mutant;
use super::sample;
use crate::run;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy, which stays for the next run, as does what was built of it.
pub(super) struct Tree {
    directory: PathBuf,
    target: PathBuf,
    /// Where results are kept.
    results: PathBuf,
    /// A checksum of all files.
    sources: u64,
    /// Two runs in one copy would test each other's mutants.
    _lock: File,
}

/// A file that is changed until this is dropped.
pub(super) struct Changed {
    path: PathBuf,
    text: String,
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.text) {
            eprintln!("cannot write {} as it was: {error}", self.path.display());
        }
    }
}

impl Tree {
    /// Makes the copy like the tree; only what differs is written, so that little is built again.
    pub(super) fn make() -> Result<Self> {
        let place = run::root().join("target/mutants");
        fs::create_dir_all(&place)?;
        let lock = File::create(place.join("lock"))?;
        if lock.try_lock().is_err() {
            bail!("another run of this command uses {}", place.display());
        }
        let mut tree = Self {
            directory: place.join("tree"),
            target: place.join("target"),
            results: place.join("results"),
            sources: 0,
            _lock: lock,
        };
        let listed = run::output(Command::new("git").current_dir(run::root()).args([
            "ls-files",
            "-co",
            "--exclude-standard",
            "-z",
        ]))?;
        let files: BTreeSet<&Path> = listed.split_terminator('\0').map(Path::new).collect();
        for &file in &files {
            // Files that are listed and gone are not committed yet.
            let Ok(contents) = fs::read(run::root().join(file)) else { continue };
            tree.sources = sample::hash(tree.sources, file.as_os_str().as_bytes());
            tree.sources = sample::hash(tree.sources, &contents);
            let copy = tree.directory.join(file);
            if fs::read(&copy).is_ok_and(|copied| copied == contents) {
                continue;
            }
            fs::create_dir_all(copy.parent().unwrap_or(&tree.directory))?;
            fs::write(&copy, contents).with_context(|| format!("cannot write {}", copy.display()))?;
        }
        tree.remove_others(&tree.directory.join("crates"), &files)?;
        Ok(tree)
    }

    /// Removes what the tree does not have (any more): the copy's tests would be others.
    fn remove_others(&self, directory: &Path, files: &BTreeSet<&Path>) -> Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.remove_others(&path, files)?;
            } else if path.strip_prefix(&self.directory).is_ok_and(|file| !files.contains(file)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn results(&self) -> &Path {
        &self.results
    }

    pub(super) fn sources(&self) -> u64 {
        self.sources
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Makes a mutant, until what is returned is dropped.
    pub(super) fn change(&self, mutant: &Mutant) -> Result<Changed> {
        let path = self.directory.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let changed = mutant.apply(&text).with_context(|| format!("{} is not in its file", mutant.name))?;
        fs::write(&path, changed)?;
        Ok(Changed { path, text })
    }
}
