//! Public clients of HAProxy's runtime socket, in a Python environment of their own.

use super::empty;
use crate::run;
use anyhow::{Context, Result};
use std::process::Command;
use stickd_testkit::cache;

/// What is installed; the list is also what makes an environment outdated.
const CLIENTS: [&str; 2] = ["haproxyadmin==0.2.4", "haproxy-cli==0.7.2"];

/// Makes the environment ready.
pub(super) fn install(refresh: bool) -> Result<()> {
    let directory = cache::python_environment();
    let recipe = CLIENTS.join(" ");
    if !refresh && cache::installed(&directory, &recipe).is_some() {
        println!("clients of the runtime socket ({recipe}): there");
        return Ok(());
    }
    println!("clients of the runtime socket ({recipe}): fetching");
    empty(&directory)?;
    let hint = "cannot get the Python clients of the runtime socket: is the Python package index reachable?";
    run::output(Command::new("python3").args(["-m", "venv"]).arg(&directory)).context(hint)?;
    run::output(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(CLIENTS),
    )
    .context(hint)?;
    cache::mark_installed(&directory, &recipe, "")?;
    println!("clients of the runtime socket: ready");
    Ok(())
}
