//! The RPM, by Debian's rpmbuild from the lists that cargo-generate-rpm reads as well.

use super::metadata::Metadata;
use crate::run;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the package; returns its file, or `None` without rpmbuild.
pub(super) fn build(metadata: &Metadata, program: &Path, output: &Path) -> Result<Option<PathBuf>> {
    if run::which("rpmbuild").is_none() {
        println!("no RPM: rpmbuild is missing (Debian's package `rpm`)");
        return Ok(None);
    }
    let top = output.join("rpm");
    let _ = fs::remove_dir_all(&top);
    let root = top.join("root");
    for (asset, _) in &metadata.rpm.assets {
        asset.install(program, &root)?;
    }
    let spec = top.join("stickd.spec");
    fs::write(&spec, spec_of(metadata))?;
    let define = |name: &str, value: &Path| format!("{name} {}", value.display());
    run::output(
        Command::new("rpmbuild")
            .args(["-bb", "--define", &define("_topdir", &top), "--define", &define("_rpmdir", output)])
            .args(["--define", "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm", "--buildroot"])
            .arg(&root)
            .arg(&spec),
    )
    .context("cannot build the RPM")?;
    fs::remove_dir_all(&top)?;
    let architecture = std::env::consts::ARCH;
    Ok(Some(output.join(format!("stickd-{}-1.{architecture}.rpm", metadata.version))))
}

fn spec_of(metadata: &Metadata) -> String {
    let Metadata { version, extended, rpm, .. } = metadata;
    // The files are in place already: nothing is to be built, stripped or compressed.
    let mut spec = format!(
        "%global debug_package %{{nil}}\n%global _build_id_links none\n%global __os_install_post %{{nil}}\n%global __spec_install_pre %{{nil}}\n\
         Name: stickd\nVersion: {version}\nRelease: 1\nSummary: {}\nLicense: {}\n\n%description\n{extended}\n\n",
        rpm.summary, rpm.license
    );
    for (name, script) in &rpm.scripts {
        let _ = write!(spec, "%{name}\n{script}\n\n");
    }
    spec.push_str("%files\n");
    for (asset, words) in &rpm.assets {
        let _ = writeln!(spec, "%attr({:o},root,root) {words}/{}", asset.mode, asset.to.display());
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_files_keeps_changed_configurations() {
        let metadata = Metadata::read(&run::root().join("crates/stickd/Cargo.toml")).unwrap();
        let spec = spec_of(&metadata);
        for line in [
            "%attr(755,root,root) /usr/bin/stickd",
            "%attr(644,root,root) %config(noreplace) /etc/stickd/stickd.cfg",
            "%attr(644,root,root) %doc /usr/share/man/man5/stickd.cfg.5",
            "%preun",
        ] {
            assert!(spec.lines().any(|found| found == line), "{line}: {spec}");
        }
    }
}
