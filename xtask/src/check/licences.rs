//! Every dependency's licence is one that deny.toml allows. (The same file serves `cargo deny check`, which not everybody
//! has installed.)

use super::spdx;
use crate::run;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Checks all dependencies of the workspace for this machine's target, of all kinds.
pub(super) fn check(root: &Path) -> Result<()> {
    let file = root.join("deny.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let allowed = allowed(&text)?;
    let target = host()?;
    let metadata =
        run::output(run::cargo().args(["metadata", "--format-version", "1", "--filter-platform", &target]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cannot read cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    let refused: Vec<String> = packages.iter().filter_map(|package| refusal(package, &allowed)).collect();
    if !refused.is_empty() {
        bail!(
            "dependencies with licences that deny.toml does not allow:\n  {}\nreplace them, or allow the licence if it is \
             permissive (MIT, Apache, BSD, ISC, Zlib, Boost and the like)",
            refused.join("\n  ")
        );
    }
    println!("{} packages, all under allowed licences", packages.len());
    Ok(())
}

/// `licenses.allow` of deny.toml.
fn allowed(text: &str) -> Result<Vec<String>> {
    let table: toml::Table = text.parse().context("deny.toml is no TOML")?;
    let list =
        table.get("licenses").and_then(|licenses| licenses.get("allow")).and_then(toml::Value::as_array);
    let words = list.context("deny.toml has no list `allow` in [licenses]")?.iter().map(toml::Value::as_str);
    words
        .map(|word| word.map(str::to_owned).context("licenses.allow has something that is no text"))
        .collect()
}

/// What is wrong with a package's licence, if anything.
fn refusal(package: &Value, allowed: &[String]) -> Option<String> {
    let text = |key: &str| package[key].as_str().unwrap_or("?").to_owned();
    let (name, version) = (text("name"), text("version"));
    let Some(licence) = package["license"].as_str() else {
        return Some(format!("{name} {version}: no licence declared"));
    };
    match spdx::permits(licence, &|id| allowed.iter().any(|one| one == id)) {
        Ok(true) => None,
        Ok(false) => Some(format!("{name} {version}: {licence}")),
        Err(error) => Some(format!("{name} {version}: {licence}: {error}")),
    }
}

fn host() -> Result<String> {
    let printed = run::output(run::cargo().args(["version", "--verbose"]))?;
    let line = printed.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("`cargo version --verbose` names no host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_the_list() {
        assert_eq!(allowed("[licenses]\nallow = [\"MIT\", \"ISC\"]\n").unwrap(), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\nallow = [1]\n").is_err());
        assert!(allowed("[bans]\n").is_err());
    }

    #[test]
    fn names_the_package_that_is_refused() {
        let allowed = ["MIT".to_owned()];
        let package = |licence: Value| json!({"name": "a", "version": "1.0.0", "license": licence});
        assert_eq!(refusal(&package(json!("MIT OR GPL-2.0")), &allowed), None);
        assert_eq!(refusal(&package(json!("GPL-2.0")), &allowed).unwrap(), "a 1.0.0: GPL-2.0");
        assert_eq!(refusal(&package(Value::Null), &allowed).unwrap(), "a 1.0.0: no licence declared");
        assert!(refusal(&package(json!("MIT AND")), &allowed).unwrap().contains("licence expected"));
    }
}
