//! cargo-llvm-cov, and the tools of LLVM it runs: installed when they are missing.

use crate::run;
use anyhow::{Context, Result, ensure};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use stickd_testkit::cache;

/// The version that figures are made with.
const VERSION: &str = "0.9.1";
const NAME: &str = "cargo-llvm-cov";

/// A cargo-llvm-cov that can be run.
pub(super) struct Tool(PathBuf);

impl Tool {
    /// Finds the program, or installs it to the cache of `cargo xtask setup`; likewise the tools of LLVM.
    pub(super) fn ensure() -> Result<Self> {
        ensure_llvm_tools()?;
        if let Some(program) = run::which(NAME).filter(|program| is_right(program)) {
            return Ok(Self(program));
        }
        let directory = cache::directory().join(NAME);
        let program = directory.join("bin").join(NAME);
        if cache::installed(&directory, VERSION).is_none() || !is_right(&program) {
            println!("{NAME} {VERSION}: building, 1 minute");
            let mut install = run::cargo();
            install.args(["install", NAME, "--version", VERSION, "--locked", "--force", "--root"]);
            run::show(install.arg(&directory))?;
            cache::mark_installed(&directory, VERSION, "")
                .with_context(|| format!("cannot write to {}", directory.display()))?;
        }
        Ok(Self(program))
    }

    /// A subcommand.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.current_dir(run::root()).args(["llvm-cov", name]);
        command
    }
}

fn is_right(program: &Path) -> bool {
    let version = run::output(Command::new(program).args(["llvm-cov", "--version"]));
    version.is_ok_and(|text| text.trim() == format!("{NAME} {VERSION}"))
}

/// `llvm-cov` and `llvm-profdata` have to be those of the compiler: a component of its toolchain, or named by hand.
fn ensure_llvm_tools() -> Result<()> {
    if ["LLVM_COV", "LLVM_PROFDATA"].iter().all(|name| env::var_os(name).is_some()) {
        return Ok(());
    }
    let libraries = run::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let tools = Path::new(libraries.trim()).with_file_name("bin");
    if tools.join("llvm-profdata").is_file() && tools.join("llvm-cov").is_file() {
        return Ok(());
    }
    ensure!(
        run::which("rustup").is_some(),
        "llvm-cov and llvm-profdata are missing in {}, and so is rustup, which could get them: set LLVM_COV and \
         LLVM_PROFDATA to those of the LLVM that `rustc -vV` names",
        tools.display()
    );
    println!("llvm-tools: installing by rustup");
    run::show(Command::new("rustup").args(["component", "add", "llvm-tools"]))
}
