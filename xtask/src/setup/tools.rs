//! Tools of the distribution: installed by apt when they are missing.

use crate::run;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Trusts Debian's archive when a suite is fetched.
pub(super) const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs what is missing of: socat (scripts written for HAProxy's socket), programs that commands on pages use, Python with its virtual environments, the key of Debian's archive.
pub(super) fn ensure_present() -> Result<()> {
    for program in ["apt-get", "dpkg", "dpkg-deb"] {
        if run::which(program).is_none() {
            bail!("`{program}` is missing: the set-up needs Debian or a relative of it");
        }
    }
    let mut missing = Vec::new();
    if run::which("socat").is_none() {
        missing.push("socat");
    }
    let needed = [("curl", "curl"), ("openssl", "openssl"), ("ip", "iproute2")];
    for (program, package) in needed {
        if run::which(program).is_none() {
            missing.push(package);
        }
    }
    if !python_is_complete() {
        missing.extend(["python3", "python3-venv"]);
    }
    if !Path::new(DEBIAN_KEYRING).exists() {
        missing.push("debian-archive-keyring");
    }
    if missing.is_empty() {
        println!("socat, curl, openssl, ip, Python, Debian's key: there");
        return Ok(());
    }
    println!("{}: installing by apt", missing.join(", "));
    install(&missing)
}

/// Installs valgrind when it is missing; it is not among what tests need.
pub(super) fn ensure_valgrind() -> Result<()> {
    const PACKAGE: &str = "valgrind";
    if run::which(PACKAGE).is_some() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() || run::which("apt-get").is_none() {
        bail!(
            "valgrind is missing: install it by `apt-get update && apt-get install {PACKAGE}` and run this again"
        );
    }
    println!("{PACKAGE}: installing by apt");
    install(&[PACKAGE])
}

fn python_is_complete() -> bool {
    run::which("python3").is_some()
        && run::output(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let hint = || format!("install by hand and run this again: apt-get update && apt-get install {list}");
    run::output(apt().arg("update")).with_context(hint)?;
    run::output(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
        .with_context(hint)?;
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    // Another apt may be at work on a machine that has just started.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}
