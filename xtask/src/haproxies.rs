//! `cargo xtask haproxy`: the HAProxys the tests use.

use anyhow::{Result, bail};
use stickd_testkit::{Release, Source};

/// Prints a table of versions and programs; an error when one is missing.
pub(crate) fn print() -> Result<()> {
    let mut missing = 0;
    println!("{:<20} {:<16} program", "version", "source");
    for source in Source::ALL {
        match Release::find(source) {
            Some(release) => {
                println!("{:<20} {:<16} {}", release.version(), source.name(), release.program().display());
            }
            None => {
                missing += 1;
                println!("{:<20} {:<16} -", "missing", source.name());
            }
        }
    }
    if missing > 0 {
        bail!("{missing} of {} are missing: run `cargo xtask setup`", Source::ALL.len());
    }
    Ok(())
}
