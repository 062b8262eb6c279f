//! Subcommands of cargo, installed to the cache when they are missing.

use crate::run;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use stickd_testkit::cache;

/// A subcommand of cargo, at the version that figures are made with.
pub(crate) struct CargoTool {
    /// The crate and its program.
    name: &'static str,
    /// What cargo calls it.
    subcommand: &'static str,
    version: &'static str,
}

/// Lists and applies changes to lines.
pub(crate) const MUTANTS: CargoTool =
    CargoTool { name: "cargo-mutants", subcommand: "mutants", version: "27.1.0" };
/// Builds and runs targets of libFuzzer.
pub(crate) const FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", subcommand: "fuzz", version: "0.13.2" };

impl CargoTool {
    /// Finds the program, or builds it from crates.io.
    ///
    /// # Errors
    /// When it cannot be built, or the cache cannot be written to.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let Self { name, version, .. } = self;
        if let Some(program) = run::which(name).filter(|program| self.is_right(program)) {
            return Ok(program);
        }
        let directory = cache::directory().join(name);
        let program = directory.join("bin").join(name);
        if !self.is_right(&program) {
            println!("{name} {version}: building, 2 minutes");
            let mut install = run::cargo();
            install.args(["install", name, "--version", version, "--locked", "--force", "--root"]);
            run::show(install.arg(&directory))?;
            cache::mark_installed(&directory, version, "")
                .with_context(|| format!("cannot write to {}", directory.display()))?;
        }
        Ok(program)
    }

    fn is_right(&self, program: &Path) -> bool {
        let version = run::output(Command::new(program).args([self.subcommand, "--version"]));
        version.is_ok_and(|text| text.trim() == format!("{} {}", self.name, self.version))
    }
}
