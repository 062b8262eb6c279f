//! `cargo xtask package`: a Debian package, an RPM, an image, and a tarball with its checksum, in target/package.
//!
//! What goes where is in `[package.metadata.deb]` and `[package.metadata.generate-rpm]` of the daemon's manifest, in the form that
//! cargo-deb and cargo-generate-rpm read. Here dpkg-deb and rpmbuild build from these lists: Debian has both.

mod deb;
mod image;
mod install;
mod metadata;
mod rpm;
mod tarball;

use crate::{build, run};
use anyhow::{Context, Result, bail};
use deb::Revision;
use metadata::Metadata;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Package this program instead of building one
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the packages go
    #[arg(long, default_value = "target/package")]
    output: PathBuf,
    /// Only these: deb, rpm, tar, oci
    #[arg(long, value_delimiter = ',', value_parser = ["deb", "rpm", "tar", "oci"])]
    only: Vec<String>,
    /// Who distributes the packages, `NAME <ADDRESS>`
    #[arg(long)]
    maintainer: Option<String>,
    /// Instead, install the Debian package in a Debian of its own with a HAProxy, upgrade and purge it (as root, 20 s; the first time 3 minutes)
    #[arg(long)]
    test: bool,
}

/// Builds what is asked for, and lists it with sizes.
pub(crate) fn run(options: &Options) -> Result<()> {
    let output = run::root().join(&options.output);
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let program = match &options.program {
        Some(program) => {
            program.canonicalize().with_context(|| format!("there is no {}", program.display()))?
        }
        None => match &build::programs(&["stickd"], &["--release", "--locked"])?[..] {
            [program] => program.clone(),
            _ => bail!("cargo built no stickd"),
        },
    };
    let mut metadata = Metadata::read(&run::root().join("crates/stickd/Cargo.toml"))?;
    if let Some(maintainer) = &options.maintainer {
        metadata.maintainer.clone_from(maintainer);
    }
    let program = stripped(&program, &output)?;
    if options.test {
        return install::test(&metadata, &program);
    }
    let wants = |kind: &str| options.only.is_empty() || options.only.iter().any(|only| only == kind);
    let mut made = Vec::new();
    if wants("deb") {
        made.push(deb::build(&metadata, Revision(1), &program, &output)?);
    }
    if wants("tar") {
        made.extend(tarball::build(&metadata, &program, &output)?);
    }
    if wants("rpm") {
        made.extend(rpm::build(&metadata, &program, &output)?);
    }
    if wants("oci") {
        made.extend(image::build(&metadata, &program, &output)?);
    }
    fs::remove_file(&program)?;
    for file in made {
        let bytes = fs::metadata(&file)?.len();
        println!("{:>12} bytes  {}", bytes, file.display());
    }
    Ok(())
}

/// The program without its table of symbols, which takes a quarter of it.
fn stripped(program: &Path, output: &Path) -> Result<PathBuf> {
    let to = output.join("stickd.stripped");
    run::output(Command::new("strip").arg("-o").arg(&to).arg(program)).context("cannot strip the program")?;
    Ok(to)
}
