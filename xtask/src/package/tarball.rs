//! The tarball for everybody else, and its checksum.

use super::metadata::Metadata;
use crate::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What it holds beside the program.
const FILES: [&str; 12] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "packaging/stickd.service",
    "packaging/stickd.cfg",
    "packaging/man/stickd.1",
    "packaging/man/stickd.cfg.5",
    "packaging/completions/stickd.bash",
    "packaging/completions/_stickd",
    "packaging/completions/stickd.fish",
    "docs/configuration.md",
];

/// Builds both; returns their files.
pub(super) fn build(metadata: &Metadata, program: &Path, output: &Path) -> Result<[PathBuf; 2]> {
    let name = format!("stickd-{}-{}-linux", metadata.version, std::env::consts::ARCH);
    let root = output.join(&name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    fs::copy(program, root.join("stickd")).context("cannot copy the program")?;
    for file in FILES {
        let from = run::root().join(file);
        let to = root.join(from.file_name().unwrap_or_default());
        fs::copy(&from, to).with_context(|| format!("cannot copy {file}"))?;
    }
    let tarball = output.join(format!("{name}.tar.gz"));
    let options = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"];
    run::output(Command::new("tar").args(options).arg(&tarball).arg("-C").arg(output).arg(&name))?;
    fs::remove_dir_all(&root)?;
    let sum = run::output(Command::new("sha256sum").current_dir(output).arg(format!("{name}.tar.gz")))?;
    let checksum = output.join(format!("{name}.tar.gz.sha256"));
    fs::write(&checksum, sum)?;
    Ok([tarball, checksum])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_tarball() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, "x").unwrap();
        let metadata = Metadata::read(&run::root().join("crates/stickd/Cargo.toml")).unwrap();
        let [tarball, checksum] = build(&metadata, &program, directory.path()).unwrap();
        run::output(Command::new("sha256sum").current_dir(directory.path()).arg("-c").arg(checksum)).unwrap();
        let listed = run::output(Command::new("tar").arg("-tzf").arg(tarball)).unwrap();
        assert!(
            listed.lines().any(|line| line.ends_with("/stickd")) && listed.lines().count() == FILES.len() + 2,
            "{listed}"
        );
    }
}
