//! `cargo xtask docs`: what the pages say is checked. Links lead somewhere, configurations load, commands print what stands below
//! them, and the page of log lines has every line.

mod commands;
mod configurations;
mod links;
mod log_lines;
mod manifests;
mod matching;
mod page;
mod site;

use crate::{build, run, setup};
use anyhow::{Context, Result, bail};
use clap::Args;
use page::Page;
use std::path::{Path, PathBuf};
use stickd_testkit::{Release, Source};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Build the site into target/site with mdBook as well, which is installed if it is missing
    #[arg(long)]
    site: bool,
    /// Check only links, names of pages and log lines: no program is built or run
    #[arg(long)]
    text: bool,
    /// Use this stickd instead of building one
    #[arg(long, value_name = "PROGRAM")]
    stickd: Option<PathBuf>,
    /// Run the configurations and commands of these pages only, e.g. docs/state.md
    pages: Vec<String>,
}

impl Options {
    /// Everything, by this stickd, or by one that is built.
    pub(crate) fn with(stickd: Option<PathBuf>) -> Self {
        Self { stickd, ..Self::default() }
    }
}

/// The programs that pages run.
struct Programs {
    stickd: PathBuf,
    haproxy: PathBuf,
}

/// Checks the pages, and builds the site if asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    check_text(run::root())?;
    if !options.text {
        setup::run(false)?;
        let stickd = match &options.stickd {
            Some(program) => std::path::absolute(program)?,
            None => build::programs(&["stickd"], &[])?.remove(0),
        };
        check_programs(run::root(), stickd, &options.pages)?;
    }
    if options.site { site::build(&Page::all(run::root())?) } else { Ok(()) }
}

/// Links and the page of log lines: what needs no program.
pub(crate) fn check_text(root: &Path) -> Result<()> {
    let pages = Page::all(root)?;
    let mut faults = links::faults(root, &pages);
    faults.extend(log_lines::faults(root)?);
    report(&faults)?;
    let links: usize = pages.iter().map(|page| page.links.len()).sum();
    println!("{} pages, {links} links", pages.len());
    Ok(())
}

/// Configurations and commands of the pages; of all when none are named.
fn check_programs(root: &Path, stickd: PathBuf, only: &[String]) -> Result<()> {
    let haproxy = Release::find(Source::DebianSid).context("HAProxy is missing: run `cargo xtask setup`")?;
    let programs = Programs { stickd, haproxy: haproxy.program().to_owned() };
    let mut pages = Page::all(root)?;
    let keys = commands::make_keys(&programs, &pages)?;
    let mut faults = Vec::new();
    let manifests = if only.is_empty() { manifests::check(root, &programs, &pages, &mut faults)? } else { 0 };
    pages.retain(|page| only.is_empty() || only.contains(&page.name));
    let (mut configurations, mut commands) = (0, 0);
    for page in &pages {
        configurations += configurations::check(&programs, keys.path(), page, &mut faults)?;
        commands += commands::check(&programs, page, &mut faults)?;
    }
    report(&faults)?;
    println!(
        "{configurations} configurations load, {commands} commands print what the pages say, {manifests} manifests are valid"
    );
    Ok(())
}

fn report(faults: &[String]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults in the pages:\n  {}", faults.len(), faults.join("\n  "))
}
