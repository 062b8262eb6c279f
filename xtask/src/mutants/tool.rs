//! cargo-mutants, installed when it is missing.

use crate::run;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use stickd_testkit::cache;

/// The version that figures are made with.
const VERSION: &str = "27.1.0";
const NAME: &str = "cargo-mutants";

/// Finds the program, or installs it to the cache of `cargo xtask setup`.
pub(super) fn ensure() -> Result<PathBuf> {
    if let Some(program) = run::which(NAME).filter(|program| is_right(program)) {
        return Ok(program);
    }
    let directory = cache::directory().join(NAME);
    let program = directory.join("bin").join(NAME);
    if !is_right(&program) {
        println!("{NAME} {VERSION}: building, 2 minutes");
        let mut install = run::cargo();
        install.args(["install", NAME, "--version", VERSION, "--locked", "--force", "--root"]);
        run::show(install.arg(&directory))?;
        cache::mark_installed(&directory, VERSION, "")
            .with_context(|| format!("cannot write to {}", directory.display()))?;
    }
    Ok(program)
}

fn is_right(program: &Path) -> bool {
    let version = run::output(Command::new(program).args(["mutants", "--version"]));
    version.is_ok_and(|text| text.trim() == format!("{NAME} {VERSION}"))
}
