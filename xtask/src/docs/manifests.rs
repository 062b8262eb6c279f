//! Manifests of Kubernetes: they fit the schemas, and their configurations load.

use super::Programs;
use super::page::{Page, Step};
use crate::{setup, tree};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const DIRECTORY: &str = "packaging/kubernetes";

/// It has no schema: kustomize reads it, and the cluster does not.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// Checks all manifests, and those on pages, and returns how many files there are.
pub(super) fn check(
    root: &Path,
    programs: &Programs,
    pages: &[Page],
    faults: &mut Vec<String>,
) -> Result<usize> {
    let directory = root.join(DIRECTORY);
    let mut files = tree::files(&directory, "yaml")?;
    let kustomization = fs::read_to_string(directory.join(KUSTOMIZATION))?;
    files.retain(|file| file.file_name().is_some_and(|name| name != KUSTOMIZATION));
    for file in files.iter().chain(&tree::files(&directory, "cfg")?) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !kustomization.contains(&format!("- {name}\n")) {
            faults.push(format!("{DIRECTORY}/{KUSTOMIZATION} does not name {name}"));
        }
    }
    let scratch = tempfile::tempdir()?;
    for page in pages {
        for step in &page.steps {
            let Step::Block(block) = step else { continue };
            if block.language == "yaml" && block.text.starts_with("apiVersion") {
                let name = format!("{}-{}.yaml", page.name.replace('/', "-"), block.line);
                fs::write(scratch.path().join(&name), &block.text)?;
                files.push(scratch.path().join(name));
            }
        }
    }
    for file in &files {
        if let Err(output) = validate(file)? {
            faults.push(format!("{}: not valid:\n{output}", file.display()));
        }
    }
    a_fault_is_found(&files[0], scratch.path())?;
    for file in tree::files(&directory, "cfg")? {
        let mut command = Command::new(&programs.stickd);
        let output = command.args(["check", "-f"]).arg(&file).env("NAMESPACE", "default").output()?;
        if !output.status.success() {
            faults.push(format!("{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(files.len())
}

/// Validates one file; the output if it is refused.
fn validate(file: &Path) -> Result<Result<(), String>> {
    let program = setup::kubernetes_validate();
    let mut command = Command::new(&program);
    let output = command.args(["--strict", "--quiet"]).arg(file).stdin(Stdio::null()).output();
    let output = output
        .with_context(|| format!("cannot run {}: run `cargo xtask setup --refresh`", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) })
}

/// A misspelt word is a fault, so that a validator that accepts everything is noticed.
fn a_fault_is_found(file: &Path, scratch: &Path) -> Result<()> {
    let wrong = scratch.join("wrong.yaml");
    fs::write(&wrong, fs::read_to_string(file)?.replacen("\nspec:", "\nspek:", 1))?;
    ensure!(validate(&wrong)?.is_err(), "the validator accepts `spek:` in {}", file.display());
    Ok(())
}
