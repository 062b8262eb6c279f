//! House rules that no lint knows: short files, the workspace's lints for every member, no lint switched off.

use crate::{run, tree};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file of Rust, in lines.
const LONGEST: usize = 600;

/// Checks the working tree.
pub(super) fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    let files = tree::files(root, "rs")?;
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        faults.extend(faults_of_file(&name, &text));
    }
    let workspace = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    faults.extend(faults_of_workspace(&workspace)?);
    let manifests = manifests()?;
    for manifest in &manifests {
        let text =
            fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let name = manifest.strip_prefix(root).unwrap_or(manifest).display().to_string();
        faults.extend(faults_of_member(&name, &text)?);
    }
    if !faults.is_empty() {
        bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("{} files of Rust, {} members", files.len(), manifests.len());
    Ok(())
}

fn faults_of_file(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        faults
            .push(format!("{name}: {lines} lines, more than {LONGEST}: one noun per file, move a part out"));
    }
    for (number, line) in text.lines().enumerate() {
        let attribute = line.trim_start().starts_with('#') || line.contains("cfg_attr");
        if attribute && (line.contains("[allow(") || line.contains(" allow(")) {
            let number = number + 1;
            faults.push(format!(
                "{name}:{number}: a lint is switched off: use expect with a reason, or mend the code"
            ));
        }
    }
    faults
}

fn faults_of_workspace(text: &str) -> Result<Option<String>> {
    let table: toml::Table = text.parse().context("Cargo.toml is no TOML")?;
    let level = ["workspace", "lints", "rust", "unsafe_code"]
        .iter()
        .try_fold(&toml::Value::Table(table.clone()), |value, key| value.get(key))
        .and_then(toml::Value::as_str)
        .map(str::to_owned);
    Ok((level.as_deref() != Some("forbid"))
        .then(|| "Cargo.toml: workspace.lints.rust.unsafe_code is not \"forbid\"".to_owned()))
}

fn faults_of_member(name: &str, text: &str) -> Result<Option<String>> {
    let table: toml::Table = text.parse().with_context(|| format!("{name} is no TOML"))?;
    let inherits = table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    Ok((inherits != Some(true)).then(|| format!("{name}: add `[lints]` with `workspace = true`")))
}

/// The Cargo.toml files of the workspace's members.
fn manifests() -> Result<Vec<PathBuf>> {
    let metadata = run::output(run::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cannot read cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    Ok(packages.iter().filter_map(|package| package["manifest_path"].as_str()).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_switched_off_lints_are_faults() {
        assert!(faults_of_file("a.rs", &"x\n".repeat(600)).is_empty());
        assert_eq!(faults_of_file("a.rs", &"x\n".repeat(601)).len(), 1);
        let word = "allow";
        assert_eq!(faults_of_file("a.rs", &format!("fn a() {{}}\n  #[{word}(dead_code)]\n")).len(), 1);
        assert_eq!(faults_of_file("a.rs", &format!("#![{word}(dead_code)]\n")).len(), 1);
        assert_eq!(faults_of_file("a.rs", &format!("#[cfg_attr(test, {word}(dead_code))]\n")).len(), 1);
        assert!(faults_of_file("a.rs", &format!("if rules.{word}(peer) {{\n")).is_empty());
    }

    #[test]
    fn members_inherit_the_lints() {
        assert!(faults_of_member("Cargo.toml", "[lints]\nworkspace = true\n").unwrap().is_none());
        assert!(faults_of_member("Cargo.toml", "[package]\nname = \"a\"\n").unwrap().is_some());
        assert!(faults_of_workspace("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n").unwrap().is_none());
        assert!(faults_of_workspace("[workspace.lints.rust]\nunsafe_code = \"deny\"\n").unwrap().is_some());
    }
}
