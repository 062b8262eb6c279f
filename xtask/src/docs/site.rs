//! The site: mdBook builds it from docs/, and the files of the repository that its pages name come along.

use super::links::resolve;
use super::page::Page;
use crate::run;
use anyhow::{Context, Result};
use pulldown_cmark::{Event, Options, Parser, Tag};
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use stickd_testkit::cache;

/// What is installed, with cargo, into the cache of `cargo xtask setup`.
const MDBOOK: &str = "mdbook@0.5.4";

/// Where files from outside docs/ are on the site.
const OUTSIDE: &str = "repository";

/// Builds the site into target/site.
pub(super) fn build(pages: &[Page]) -> Result<()> {
    let mdbook = installed()?;
    let target = run::root().join("target");
    let stage = target.join("site-source");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    lay_out(run::root(), pages, &stage)?;
    let site = target.join("site");
    run::show(Command::new(mdbook).arg("build").arg(&stage).arg("--dest-dir").arg(&site))?;
    println!("the site is at {}", site.join("index.html").display());
    Ok(())
}

fn installed() -> Result<PathBuf> {
    let directory = cache::directory().join("mdbook");
    if cache::installed(&directory, MDBOOK).is_none() {
        println!("{MDBOOK}: installing (some minutes)");
        let mut command = run::cargo();
        command.args(["install", "--locked", "--no-default-features", "--features", "search", "--root"]);
        run::show(command.arg(&directory).arg(MDBOOK))?;
        cache::mark_installed(&directory, MDBOOK, "")?;
    }
    Ok(directory.join("bin/mdbook"))
}

/// Copies docs/ and what its pages name, with links that lead there.
fn lay_out(root: &Path, pages: &[Page], stage: &Path) -> Result<()> {
    let mut waiting: VecDeque<String> =
        pages.iter().map(|page| page.name.clone()).filter(|name| name.starts_with("docs/")).collect();
    let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
    let mut more_pages = String::new();
    while let Some(name) = waiting.pop_front() {
        let place = stage.join(place(&name));
        fs::create_dir_all(place.parent().context("a file is in a directory")?)?;
        let Some(page) = pages.iter().find(|page| page.name == name) else {
            fs::copy(root.join(&name), place).with_context(|| format!("cannot copy {name}"))?;
            continue;
        };
        if !name.starts_with("docs/") {
            let title = page.text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(&name);
            more_pages.push_str(&format!("- [{title}]({OUTSIDE}/{name})\n"));
        }
        for link in &page.links {
            if let Some(target) = file_of(root, &name, &link.target)
                && seen.insert(target.clone())
            {
                waiting.push_back(target);
            }
        }
        fs::write(place, with_links(root, page))?;
    }
    let contents = stage.join("SUMMARY.md");
    let text = fs::read_to_string(&contents)?;
    fs::write(contents, format!("{text}\n# The repository\n\n{more_pages}"))?;
    fs::copy(root.join("docs/book.toml"), stage.join("book.toml"))?;
    Ok(())
}

/// The place of a file of the repository on the site.
fn place(name: &str) -> String {
    name.strip_prefix("docs/").map_or_else(|| format!("{OUTSIDE}/{name}"), str::to_owned)
}

/// The file that a link names; of a directory its README.
fn file_of(root: &Path, page: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with('#') {
        return None;
    }
    let name = resolve(page, target)?;
    if root.join(&name).is_dir() {
        let readme = format!("{name}/README.md");
        return root.join(&readme).exists().then_some(readme);
    }
    Some(name)
}

/// The text of a page with links as they are on the site; a link to a directory without a page leads to the page itself.
fn with_links(root: &Path, page: &Page) -> String {
    let mut text = page.text.clone();
    let mut changes = Vec::new();
    for (event, range) in Parser::new_ext(&page.text, Options::ENABLE_TABLES).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. }) = event else { continue };
        if dest_url.contains("://") || dest_url.starts_with('#') {
            continue;
        }
        let fragment =
            dest_url.split_once('#').map_or_else(String::new, |(_, fragment)| format!("#{fragment}"));
        let new = file_of(root, &page.name, &dest_url).map_or_else(
            || "#".to_owned(),
            |target| {
                format!(
                    "{}{}{fragment}",
                    "../".repeat(place(&page.name).matches('/').count()),
                    place(&target)
                )
            },
        );
        let written = format!("]({dest_url})");
        if let Some(at) = page.text[range.clone()].rfind(&written) {
            changes.push((range.start + at, written.len(), format!("]({new})")));
        }
    }
    changes.sort_by_key(|change| std::cmp::Reverse(change.0));
    for (at, length, new) in changes {
        text.replace_range(at..at + length, &new);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_their_places_on_the_site() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("docs/guides")).unwrap();
        fs::create_dir_all(dir.path().join("examples")).unwrap();
        for (name, text) in [
            ("docs/book.toml", ""),
            ("docs/SUMMARY.md", "- [a](guides/a.md)\n"),
            (
                "docs/guides/a.md",
                "# A\n[r](../../README.md#one) [d](../../examples) [b](../SUMMARY.md) [h](#a)\n",
            ),
            ("README.md", "# Read\n[e](examples/e.cfg)\n"),
            ("examples/e.cfg", "global\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let stage = dir.path().join("target/stage");
        lay_out(dir.path(), &Page::all(dir.path()).unwrap(), &stage).unwrap();
        let read = |name: &str| fs::read_to_string(stage.join(name)).unwrap();
        let page = "# A\n[r](../repository/README.md#one) [d](#) [b](../SUMMARY.md) [h](#a)\n";
        assert_eq!(read("guides/a.md"), page);
        assert_eq!(read("repository/README.md"), "# Read\n[e](../repository/examples/e.cfg)\n");
        assert_eq!(read("repository/examples/e.cfg"), "global\n");
        assert!(read("SUMMARY.md").ends_with("# The repository\n\n- [Read](repository/README.md)\n"));
    }
}
