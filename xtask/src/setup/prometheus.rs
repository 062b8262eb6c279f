//! Debian's Prometheus, which reads the metrics in a test, and promtool, which checks them. They need the C library only.

use std::process::Command;

use anyhow::{Context, Result};
use stickd_testkit::cache;

use super::{debian, empty};
use crate::run;

/// What is unpacked; also what makes a directory outdated.
const RECIPE: &str = "prometheus of bookworm";

/// Makes both programs ready.
pub(super) fn install(refresh: bool) -> Result<()> {
    let directory = cache::prometheus();
    if !refresh && let Some(version) = cache::installed(&directory, RECIPE) {
        println!("{version}: there");
        return Ok(());
    }
    println!("{RECIPE}: fetching");
    empty(&directory)?;
    debian::unpack_alone("bookworm", "prometheus", &directory).context("cannot get Prometheus")?;
    let printed = run::output(Command::new(directory.join("root/usr/bin/promtool")).arg("--version"))?;
    let version = printed.lines().next().unwrap_or_default();
    cache::mark_installed(&directory, RECIPE, version)?;
    println!("{version}: ready");
    Ok(())
}
