//! HAProxy from a Debian suite, unpacked beside the system with that suite's own C library and loader.
//!
//! apt works on directories of its own here, with one source and an empty list of installed packages: so it fetches the
//! package with everything it depends on, and neither reads nor changes what the system has. The library path given to
//! the suite's loader makes the program independent of the system's libraries.

use super::{script, tools};
use crate::run;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Used on a machine whose apt knows no Debian archive.
const PUBLIC_ARCHIVE: &str = "http://deb.debian.org/debian";

/// Unpacks `haproxy` of `suite` into `<directory>/root` and writes the script `<directory>/haproxy`.
pub(super) fn unpack(suite: &str, directory: &Path) -> Result<()> {
    let apt = Apt::new(suite, &directory.join("apt"))?;
    // Without the option apt counts a suite that it could not reach as a success.
    run::output(apt.command().args(["update", "--error-on=any"])).with_context(|| {
        format!("cannot read Debian's suite {suite} from {}: is it reachable? The address comes from the system's apt sources", apt.archive)
    })?;
    let install = ["-y", "--no-install-recommends", "--download-only", "install", "haproxy"];
    run::output(apt.command().args(install))?;
    let root = directory.join("root");
    fs::create_dir(&root)?;
    for package in files(&apt.directory.join("cache/archives"))? {
        if package.extension() == Some(OsStr::new("deb")) {
            run::output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root))?;
        }
    }
    fs::remove_dir_all(&apt.directory)?;
    prune(&root)?;
    let loader = loader(&root)?;
    let libraries = library_directories(&root)?;
    let program = root.join("usr/sbin/haproxy");
    ensure!(program.exists(), "the package has no {}", program.display());
    script(&directory.join("haproxy"), &launcher(directory, &loader, &libraries, &program)?)
}

/// Unpacks one package of `suite`, without what it depends on, into `<directory>/root`.
pub(super) fn unpack_alone(suite: &str, package: &str, directory: &Path) -> Result<()> {
    let apt = Apt::new(suite, &directory.join("apt"))?;
    run::output(apt.command().args(["update", "--error-on=any"])).with_context(|| {
        format!("cannot read Debian's suite {suite} from {}: is it reachable?", apt.archive)
    })?;
    run::output(apt.command().args(["download", package]).current_dir(&apt.directory))?;
    let root = directory.join("root");
    fs::create_dir(&root)?;
    for file in files(&apt.directory)?.iter().filter(|file| file.extension() == Some(OsStr::new("deb"))) {
        run::output(Command::new("dpkg-deb").arg("-x").arg(file).arg(&root))?;
    }
    fs::remove_dir_all(&apt.directory)?;
    Ok(())
}

/// An apt of its own in a directory.
struct Apt {
    directory: PathBuf,
    archive: String,
}

impl Apt {
    fn new(suite: &str, directory: &Path) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "none"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let archive = archive()?;
        // Only the list of packages: no descriptions of applications or contents.
        let options = format!("target=Packages signed-by={}", tools::DEBIAN_KEYRING);
        fs::write(directory.join("sources.list"), format!("deb [{options}] {archive} {suite} main\n"))?;
        fs::write(directory.join("state/status"), "")?;
        Ok(Self { directory: directory.to_owned(), archive })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        let mut set = |option: &str, value: &str| {
            command.args(["-o", &format!("{option}={value}")]);
        };
        let inside = |part: &str| self.directory.join(part).display().to_string();
        set("Dir::Etc::sourcelist", &inside("sources.list"));
        set("Dir::Etc::sourceparts", &inside("none"));
        set("Dir::Etc::preferences", &inside("none/preferences"));
        set("Dir::Etc::preferencesparts", &inside("none"));
        set("Dir::State", &inside("state"));
        set("Dir::State::status", &inside("state/status"));
        set("Dir::Cache", &inside("cache"));
        set("Acquire::Languages", "none");
        set("Acquire::Retries", "3");
        // The cache is the user's: apt's own account could not write there.
        set("APT::Sandbox::User", "root");
        command.arg("-q").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// The Debian archive that the system's apt uses, or the public one.
pub(crate) fn archive() -> Result<String> {
    // Without release information: a fresh machine has not fetched any yet.
    let options = ["indextargets", "--no-release-info", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"];
    let listed = run::output(Command::new("apt-get").args(options).arg("Created-By: Packages"))?;
    Ok(archive_in(&listed).unwrap_or(PUBLIC_ARCHIVE).to_owned())
}

/// Picks the archive of a Debian suite itself (not of its security or other updates) out of lines
/// `<suite> <component> <address>`. Addresses of other archives, e.g. Ubuntu's, have other suites.
fn archive_in(listed: &str) -> Option<&str> {
    const SUITES: [&str; 9] =
        ["bookworm", "trixie", "forky", "sid", "oldoldstable", "oldstable", "stable", "testing", "unstable"];
    listed.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [suite, "main", address] if SUITES.contains(&suite) => Some(address.trim_end_matches('/')),
        _ => None,
    })
}

/// Removes what no program needs to run.
fn prune(root: &Path) -> Result<()> {
    for part in ["etc", "var", "bin", "sbin", "usr/bin", "usr/share"] {
        let part = root.join(part);
        if part.exists() {
            fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        }
    }
    Ok(())
}

/// The suite's own dynamic loader, e.g. `usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`.
fn loader(root: &Path) -> Result<PathBuf> {
    let is_loader = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("ld-linux")
            && name.contains(".so.")
            && file.metadata().is_ok_and(|data| data.is_file())
    };
    for directory in library_directories(root)? {
        if let Some(file) = files(&directory)?.into_iter().find(is_loader) {
            return Ok(file);
        }
    }
    bail!("no dynamic loader (ld-linux*.so.*) below {}", root.display())
}

/// The directories of shared libraries: `lib/<architecture>` and `usr/lib/<architecture>`, as far as they are there.
fn library_directories(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for parent in ["lib", "usr/lib"] {
        let parent = root.join(parent);
        for directory in if parent.is_dir() { files(&parent)? } else { Vec::new() } {
            if directory.is_dir()
                && directory.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"))
            {
                found.insert(directory);
            }
        }
    }
    Ok(found)
}

/// A script that replaces itself by the loader with the program; paths are relative to the script's own place.
fn launcher(
    directory: &Path,
    loader: &Path,
    libraries: &BTreeSet<PathBuf>,
    program: &Path,
) -> Result<String> {
    let here = |path: &Path| -> Result<String> {
        let inside = path.strip_prefix(directory)?;
        Ok(format!("$here/{}", inside.display()))
    };
    let libraries = libraries.iter().map(|path| here(path)).collect::<Result<Vec<_>>>()?.join(":");
    let (loader, program) = (here(loader)?, here(program)?);
    Ok(format!(
        "#!/bin/sh\n# HAProxy with the C library and loader of its own Debian suite.\nhere=${{0%/*}}\n\
         exec \"{loader}\" --library-path \"{libraries}\" \"{program}\" \"$@\"\n"
    ))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_mirror_is_used() {
        let listed = "bookworm-security main http://mirror.example/debian-security/\n\
                      bookworm main http://mirror.example/debian/\nnodistro main https://other.example/x\n";
        assert_eq!(archive_in(listed), Some("http://mirror.example/debian"));
        assert_eq!(archive_in("noble main http://mirror.example/ubuntu/\n"), None);
        assert_eq!(archive_in("bookworm contrib http://mirror.example/debian/\n"), None);
        assert_eq!(archive_in(""), None);
    }

    #[test]
    fn finds_loader_and_libraries_and_writes_the_launcher() {
        let dir = tempfile::tempdir().unwrap();
        let libraries = dir.path().join("root/usr/lib/x86_64-linux-gnu");
        fs::create_dir_all(&libraries).unwrap();
        fs::create_dir_all(dir.path().join("root/usr/lib/haproxy")).unwrap();
        fs::write(libraries.join("ld-linux-x86-64.so.2"), "").unwrap();
        let root = dir.path().join("root");
        let found = library_directories(&root).unwrap();
        assert_eq!(found, BTreeSet::from([libraries.clone()]));
        let loader = loader(&root).unwrap();
        let text = launcher(dir.path(), &loader, &found, &root.join("usr/sbin/haproxy")).unwrap();
        let expected = "exec \"$here/root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\" \
                        --library-path \"$here/root/usr/lib/x86_64-linux-gnu\" \"$here/root/usr/sbin/haproxy\" \"$@\"\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
