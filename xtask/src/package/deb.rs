//! The Debian package.

use super::metadata::Metadata;
use crate::run;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Which package of one version it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revision(pub(super) u32);

/// Builds the package; returns its file.
pub(super) fn build(
    metadata: &Metadata,
    revision: Revision,
    program: &Path,
    output: &Path,
) -> Result<PathBuf> {
    let architecture = run::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let file = output.join(format!("stickd_{}-{}_{architecture}.deb", metadata.version, revision.0));
    let root = output.join("deb");
    let _ = fs::remove_dir_all(&root);
    for asset in &metadata.assets {
        asset.install(program, &root)?;
    }
    compress(&root)?;
    let control = root.join("DEBIAN");
    fs::create_dir_all(&control)?;
    let size = kilobytes(&root)?;
    fs::write(control.join("control"), control_file(metadata, revision, &architecture, size))?;
    let conf_files: String = metadata.conf_files.iter().map(|name| format!("{name}\n")).collect();
    fs::write(control.join("conffiles"), conf_files)?;
    for script in SCRIPTS {
        let to = control.join(script);
        fs::copy(run::root().join("packaging/debian").join(script), &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    }
    run::output(
        Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Zxz"]).arg(&root).arg(&file),
    )
    .context("cannot build the Debian package")?;
    fs::remove_dir_all(&root)?;
    Ok(file)
}

fn control_file(metadata: &Metadata, revision: Revision, architecture: &str, kilobytes: u64) -> String {
    let Metadata { version, description, extended, maintainer, section, depends, .. } = metadata;
    // The first line has no capital and no article, as the synopsis of a package.
    let synopsis = description.trim_start_matches("An ").trim_start_matches("A ");
    let extended: String = extended
        .lines()
        .map(|line| if line.trim().is_empty() { " .\n".to_owned() } else { format!(" {}\n", line.trim()) })
        .collect();
    format!(
        "Package: stickd\nVersion: {version}-{}\nArchitecture: {architecture}\nMaintainer: {maintainer}\nInstalled-Size: {kilobytes}\n\
         Depends: {depends}\nSection: {section}\nPriority: optional\nDescription: {synopsis}\n{extended}",
        revision.0
    )
}

/// Debian wants changes and manual pages compressed, and without the time of day.
fn compress(root: &Path) -> Result<()> {
    let pages = ["man1/stickd.1", "man5/stickd.cfg.5"].map(|page| format!("usr/share/man/{page}"));
    let changes = ["changelog", "changelog.Debian"].map(|file| format!("usr/share/doc/stickd/{file}"));
    for file in pages.iter().chain(&changes) {
        run::output(Command::new("gzip").args(["-9n"]).arg(root.join(file)))?;
    }
    Ok(())
}

/// What the files take, in KiB.
fn kilobytes(root: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() {
            kilobytes(&entry.path())?
        } else {
            entry.metadata()?.len().div_ceil(1024)
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a small program: what matters is what goes where.
    #[test]
    fn a_package_holds_what_the_manifest_says() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let metadata = Metadata::read(&run::root().join("crates/stickd/Cargo.toml")).unwrap();
        let file = build(&metadata, Revision(1), &program, directory.path()).unwrap();
        let contents = run::output(Command::new("dpkg-deb").arg("--contents").arg(&file)).unwrap();
        for (mode, name) in [
            ("-rwxr-xr-x", "./usr/bin/stickd"),
            ("-rw-r--r--", "./lib/systemd/system/stickd.service"),
            ("-rw-r--r--", "./etc/stickd/stickd.cfg"),
            ("-rw-r--r--", "./etc/default/stickd"),
            ("-rw-r--r--", "./usr/share/doc/stickd/copyright"),
            ("-rw-r--r--", "./usr/share/doc/stickd/changelog.gz"),
            ("-rw-r--r--", "./usr/share/doc/stickd/changelog.Debian.gz"),
            ("-rw-r--r--", "./usr/share/man/man5/stickd.cfg.5.gz"),
            ("-rw-r--r--", "./usr/share/bash-completion/completions/stickd"),
        ] {
            let line = contents.lines().find(|line| line.ends_with(&format!(" {name}")));
            assert!(
                line.is_some_and(|line| line.starts_with(mode) && line.contains(" root/root ")),
                "{name}: {contents}"
            );
        }
        let fields = run::output(Command::new("dpkg-deb").arg("--field").arg(&file)).unwrap();
        assert!(fields.contains("Package: stickd\n") && fields.contains("Depends: libc6"), "{fields}");
        let conf = run::output(Command::new("dpkg-deb").arg("-I").arg(&file).arg("conffiles")).unwrap();
        assert_eq!(conf, "/etc/stickd/stickd.cfg\n/etc/default/stickd\n");
        let changes = fs::read_to_string(run::root().join("packaging/debian/changelog")).unwrap();
        assert!(changes.starts_with(&format!("stickd ({}-1) ", metadata.version)), "{changes}");
        for script in SCRIPTS {
            let path = run::root().join("packaging/debian").join(script);
            run::output(Command::new("sh").arg("-n").arg(path)).unwrap();
        }
    }
}
