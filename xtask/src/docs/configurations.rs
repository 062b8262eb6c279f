//! Configurations on pages: each whole one is loaded by the program that it is for.

use super::Programs;
use super::page::{Block, Page, Step};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Checks the configurations of a page, whose keys are in a directory, and returns how many there are.
pub(super) fn check(
    programs: &Programs,
    keys: &Path,
    page: &Page,
    faults: &mut Vec<String>,
) -> Result<usize> {
    let mut seen = 0;
    for step in &page.steps {
        let Step::Block(block) = step else { continue };
        if block.language == "haproxy" && !block.has("part") {
            seen += 1;
            if let Err(output) = load(programs, keys, block)? {
                faults.push(format!(
                    "{}:{}: the configuration does not load:\n{output}",
                    page.name, block.line
                ));
            }
        }
    }
    Ok(seen)
}

/// Loads one; the output if it is refused.
fn load(programs: &Programs, keys: &Path, block: &Block) -> Result<Result<(), String>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("page.cfg");
    let keys = format!("{}/", keys.display());
    let text = block.text.replace("/etc/stickd/", &keys).replace("/etc/haproxy/", &keys);
    fs::write(&file, &text)?;
    let mut command = if block.has("haproxy") {
        let mut command = Command::new(&programs.haproxy);
        command.args(["-c", "-L", "lb1"]);
        command
    } else {
        let mut command = Command::new(&programs.stickd);
        command.arg("check");
        if !text.contains("localpeer") {
            command.args(["-L", "stickd1"]);
        }
        command
    };
    let output =
        command.arg("-f").arg(&file).env("HOSTNAME", "lb1").env("N", "1").stdin(Stdio::null()).output();
    let output = output.context("cannot run the program that reads a configuration")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) })
}
