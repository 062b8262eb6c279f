//! Python packages, each kind in an environment of its own.

use super::empty;
use crate::run;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use stickd_testkit::cache;

/// An environment.
pub(super) struct Environment<'a> {
    /// What it is for, as it is shown.
    pub(super) what: &'a str,
    pub(super) directory: &'a Path,
    /// What is installed; the list is also what makes an environment outdated.
    pub(super) packages: &'a [&'a str],
}

impl Environment<'_> {
    /// Makes it ready.
    pub(super) fn install(&self, refresh: bool) -> Result<()> {
        let Self { what, directory, packages } = self;
        let recipe = packages.join(" ");
        if !refresh && cache::installed(directory, &recipe).is_some() {
            println!("{what} ({recipe}): there");
            return Ok(());
        }
        println!("{what} ({recipe}): fetching");
        empty(directory)?;
        let hint = || format!("cannot get Python packages ({what}): is the Python package index reachable?");
        run::output(Command::new("python3").args(["-m", "venv"]).arg(directory)).with_context(hint)?;
        run::output(
            Command::new(directory.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "--no-input"])
                .args(*packages),
        )
        .with_context(hint)?;
        cache::mark_installed(directory, &recipe, "")?;
        println!("{what}: ready");
        Ok(())
    }
}
