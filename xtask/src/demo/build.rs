//! Building the daemon.

use crate::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

/// Builds stickd with cargo's progress shown, and returns the program.
pub(super) fn stickd() -> Result<PathBuf> {
    let mut command = run::cargo();
    command.args(["build", "-p", "stickd", "--bin", "stickd"]);
    println!("==> {}", run::line(&command));
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let line = run::line(&command);
    let done = command.output().with_context(|| format!("cannot run `{line}`"))?;
    if !done.status.success() {
        bail!("`{line}` failed ({}); its output is above", done.status);
    }
    program(&String::from_utf8_lossy(&done.stdout))
        .with_context(|| format!("`{line}` named no program called stickd"))
}

/// The program in cargo's messages, one object of JSON a line.
fn program(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let wanted = message["target"]["name"] == "stickd";
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
        assert_eq!(program(messages), Some(PathBuf::from("/t/stickd")));
        assert_eq!(program("{\"reason\":\"build-finished\"}\n"), None);
    }
}
