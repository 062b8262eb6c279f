//! Building the workspace's programs.

use crate::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

/// Builds programs, each by the package of its name, with cargo's progress shown, and returns where they are. `arguments` are
/// further ones of `cargo build`.
pub(crate) fn programs(names: &[&str], arguments: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = run::cargo();
    command.arg("build").args(arguments);
    for name in names {
        command.args(["-p", name, "--bin", name]);
    }
    println!("==> {}", run::line(&command));
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let line = run::line(&command);
    let done = command.output().with_context(|| format!("cannot run `{line}`"))?;
    if !done.status.success() {
        bail!("`{line}` failed ({}); its output is above", done.status);
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    let found = |name: &&str| {
        program(&messages, name).with_context(|| format!("`{line}` named no program called {name}"))
    };
    names.iter().map(found).collect()
}

/// Where `cargo test` left a program of the workspace. Building it alone would build its dependencies once more, as they have
/// other features then.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    let metadata = run::output(run::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cannot read cargo's metadata")?;
    let target = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    let program = PathBuf::from(target).join("debug").join(name);
    if program.exists() { Ok(program) } else { bail!("the tests did not build {}", program.display()) }
}

/// The program of this name in cargo's messages, one object of JSON a line.
fn program(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let wanted = message["target"]["name"] == name;
        wanted.then(|| message["executable"].as_str().map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_program_in_cargos_messages() {
        let messages = "\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"stickd\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/t/other\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"stickd\"},\"executable\":\"/t/stickd\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(program(messages, "stickd"), Some(PathBuf::from("/t/stickd")));
        assert_eq!(program(messages, "other"), Some(PathBuf::from("/t/other")));
        assert_eq!(program("{\"reason\":\"build-finished\"}\n", "stickd"), None);
    }
}
