//! Debian's fail2ban, which bans addresses through stickd in a test. Unpacked and not installed: its package would start a service
//! that watches the machine's own logs. The release of trixie runs with every Python from 3.5 on.

use anyhow::{Context, Result};
use stickd_testkit::cache;

use super::{debian, empty};
use crate::run;

/// What is unpacked; also what makes a directory outdated.
const RECIPE: &str = "fail2ban of trixie";

/// Makes the server and its client ready.
pub(super) fn install(refresh: bool) -> Result<()> {
    let directory = cache::fail2ban();
    if !refresh && let Some(version) = cache::installed(&directory, RECIPE) {
        println!("{version}: there");
        return Ok(());
    }
    println!("{RECIPE}: fetching");
    empty(&directory)?;
    debian::unpack_alone("trixie", "fail2ban", &directory).context("cannot get fail2ban")?;
    let mut server = cache::fail2ban_program("fail2ban-server");
    let printed = run::output(server.arg("--version"))?;
    let version = printed.lines().next().unwrap_or_default();
    cache::mark_installed(&directory, RECIPE, version)?;
    println!("{version}: ready");
    Ok(())
}
