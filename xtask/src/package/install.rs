//! `cargo xtask package --test`: installs the Debian package in a Debian of its own, with a HAProxy in it.
//!
//! The system is made once by debootstrap and kept in the cache. A copy of it runs packaging/test/install.sh in namespaces of its
//! own: no port, process or mount of it is one of this machine, and all of it ends with the script. Root is needed.

use super::deb::{self, Revision};
use super::metadata::Metadata;
use crate::run;
use crate::setup::debian;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use stickd_testkit::cache;

const SUITE: &str = "bookworm";
/// What the script needs beside a minimal system.
const PACKAGES: &str = "haproxy,socat,iproute2,ca-certificates";

/// Builds two versions of the package and runs the script with them.
pub(super) fn test(metadata: &Metadata, program: &Path) -> Result<()> {
    let base = base()?;
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("root");
    run::output(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&base).arg(&root))?;
    let packages = root.join("tmp/packages");
    fs::create_dir_all(&packages)?;
    for revision in [Revision(1), Revision(2)] {
        deb::build(metadata, revision, program, &packages)?;
    }
    if run::which("lintian").is_none() {
        println!("lintian is missing: the package is not checked with it");
    } else {
        let first = packages.read_dir()?.next().context("no package")??.path();
        run::show(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(first))?;
        println!("lintian has nothing to say");
    }
    fs::copy(run::root().join("packaging/test/install.sh"), root.join("tmp/install.sh"))?;
    let inside =
        "ip link set lo up && mount -t proc proc \"$1/proc\" && exec chroot \"$1\" /bin/sh /tmp/install.sh";
    run::show(
        Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside, "sh"])
            .arg(&root),
    )
}

/// The system without the package.
fn base() -> Result<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        bail!("the test installs a package in a system of its own: run it as root");
    }
    if run::which("debootstrap").is_none() {
        bail!("debootstrap is missing: `apt-get install debootstrap`");
    }
    let recipe = format!("{SUITE} {PACKAGES}");
    let directory = cache::directory().join("debian");
    let root = directory.join("root");
    if cache::installed(&directory, &recipe).is_none() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        println!("a Debian {SUITE} for the test: 1 to 3 minutes, 230 MB in {}", directory.display());
        run::output(
            Command::new("debootstrap")
                .args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE])
                .arg(&root)
                .arg(debian::archive()?),
        )
        .context("debootstrap failed")?;
        cache::mark_installed(&directory, &recipe, "")?;
    }
    Ok(root)
}
