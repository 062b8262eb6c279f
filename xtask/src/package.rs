//! `cargo xtask package`: a Debian package, an RPM, and a tarball with its checksum, in target/package.
//!
//! What goes where is in `[package.metadata.deb]` and `[package.metadata.generate-rpm]` of the daemon's manifest, which cargo-deb and
//! cargo-generate-rpm read. Without cargo-deb the Debian package is built by dpkg-deb from the same lists.

mod deb;
mod metadata;
mod tarball;

use crate::{build, run};
use anyhow::{Context, Result, bail};
use metadata::Metadata;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Package this program instead of building one
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the packages go
    #[arg(long, default_value = "target/package")]
    output: PathBuf,
    /// Only these: deb, rpm, tar
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
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
    let metadata = Metadata::read(&run::root().join("crates/stickd/Cargo.toml"))?;
    let wants = |kind: &str| options.only.is_empty() || options.only.iter().any(|only| only == kind);
    let mut made = Vec::new();
    if wants("deb") {
        made.push(deb::build(&metadata, &program, &output)?);
    }
    if wants("tar") {
        made.extend(tarball::build(&metadata, &program, &output)?);
    }
    if wants("rpm") {
        made.extend(rpm(&program, &output)?);
    }
    for file in made {
        let bytes = fs::metadata(&file)?.len();
        println!("{:>12} bytes  {}", bytes, file.display());
    }
    Ok(())
}

/// The RPM, by cargo-generate-rpm; without it, nothing but a word about it.
fn rpm(program: &Path, output: &Path) -> Result<Option<PathBuf>> {
    if run::which("cargo-generate-rpm").is_none() {
        println!("no RPM: `cargo install cargo-generate-rpm` makes it possible");
        return Ok(None);
    }
    let release = run::root().join("target/release/stickd");
    if program != release {
        fs::create_dir_all(release.parent().unwrap_or(output))?;
        fs::copy(program, &release)
            .context("cannot put the program where cargo-generate-rpm looks for it")?;
    }
    let file = output.join(format!("stickd-{}-1.x86_64.rpm", env!("CARGO_PKG_VERSION")));
    run::show(run::cargo().args(["generate-rpm", "-p", "crates/stickd", "-o"]).arg(&file))?;
    Ok(Some(file))
}
