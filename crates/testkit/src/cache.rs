//! Where `cargo xtask setup` keeps what the tests need, shared by every clone of the same user.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// File written last into a directory of the cache: a directory without it is unfinished and gets removed.
const MARKER: &str = "installed";

/// The cache: `$STICKD_CACHE`, else `$XDG_CACHE_HOME/stickd`, else `~/.cache/stickd`.
///
/// # Panics
///
/// When none of the three is set.
pub fn directory() -> PathBuf {
    resolve(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
        .expect("no place for the cache of test programs: set STICKD_CACHE to a directory")
}

fn resolve(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("STICKD_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("stickd")))
        .or_else(|| Some(variable("HOME")?.join(".cache/stickd")))
}

/// The virtual environment with public clients of HAProxy's runtime socket (`haproxyadmin`, `haproxy-cli`).
pub fn python_environment() -> PathBuf {
    directory().join("python")
}

/// A program of [`python_environment`], e.g. `python` or `haproxy-cli`.
///
/// # Panics
///
/// When it is not there.
pub fn python_program(name: &str) -> PathBuf {
    let program = python_environment().join("bin").join(name);
    assert!(program.exists(), "{} is missing: run `cargo xtask setup`", program.display());
    program
}

/// Where Debian's Prometheus is unpacked.
pub fn prometheus() -> PathBuf {
    directory().join("prometheus")
}

/// The directory of fail2ban.
pub fn fail2ban() -> PathBuf {
    directory().join("fail2ban")
}

/// A program of [`fail2ban`]: `fail2ban-server` or `fail2ban-client`, which run with the system's Python.
///
/// # Panics
///
/// When it is not there.
pub fn fail2ban_program(name: &str) -> Command {
    let root = fail2ban().join("root");
    let program = root.join("usr/bin").join(name);
    assert!(program.is_file(), "{} is missing: run cargo xtask setup", program.display());
    let mut command = Command::new("python3");
    command.arg(program).env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"));
    command
}

/// A program of [`prometheus`]: `prometheus` or `promtool`.
///
/// # Panics
///
/// When it is not there.
pub fn prometheus_program(name: &str) -> PathBuf {
    let program = prometheus().join("root/usr/bin").join(name);
    assert!(program.exists(), "{} is missing: run `cargo xtask setup`", program.display());
    program
}

/// What [`mark_installed`] noted for `directory`, or `None` when it is missing, unfinished or of another recipe.
pub fn installed(directory: &Path, recipe: &str) -> Option<String> {
    let text = fs::read_to_string(directory.join(MARKER)).ok()?;
    let (written, note) = text.split_once('\n')?;
    (written == recipe).then(|| note.trim_end().to_owned())
}

/// Declares `directory` complete, made by `recipe` (one line, changes when what is done changes); `note` is what
/// [`installed`] returns.
///
/// # Errors
///
/// When the file cannot be written; the directory then counts as unfinished.
pub fn mark_installed(directory: &Path, recipe: &str, note: &str) -> io::Result<()> {
    let draft = directory.join(format!("{MARKER}.new"));
    fs::write(&draft, format!("{recipe}\n{note}\n"))?;
    fs::rename(draft, directory.join(MARKER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Option<PathBuf> {
        resolve(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let all = [("STICKD_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(with(&all), Some("/a".into()));
        assert_eq!(with(&all[1..]), Some("/b/stickd".into()));
        assert_eq!(with(&all[2..]), Some("/c/.cache/stickd".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_directory_counts_only_when_marked_by_the_same_recipe() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(installed(dir.path(), "r1"), None);
        mark_installed(dir.path(), "r1", "3.0.11").unwrap();
        assert_eq!(installed(dir.path(), "r1").as_deref(), Some("3.0.11"));
        assert_eq!(installed(dir.path(), "r2"), None);
    }
}
