//! Links between pages, and the list of pages.

use super::page::{Link, Page};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The table of contents of the site.
const CONTENTS: &str = "docs/SUMMARY.md";

/// Links that lead nowhere, and pages that the table of contents lacks.
pub(super) fn faults(root: &Path, pages: &[Page]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Page> = pages.iter().map(|page| (page.name.as_str(), page)).collect();
    let mut faults = Vec::new();
    for page in pages {
        for link in &page.links {
            if let Err(reason) = follow(root, &by_name, page, link) {
                faults.push(format!("{}:{}: link to {}: {reason}", page.name, link.line, link.target));
            }
        }
    }
    let listed: Vec<_> = by_name.get(CONTENTS).map_or_else(Vec::new, |page| {
        page.links.iter().filter_map(|link| resolve(CONTENTS, &link.target)).collect()
    });
    for page in pages.iter().filter(|page| page.name.starts_with("docs/") && page.name != CONTENTS) {
        if !listed.contains(&page.name) {
            faults.push(format!("{}: {CONTENTS} does not list the page", page.name));
        }
    }
    faults
}

fn follow(root: &Path, pages: &BTreeMap<&str, &Page>, page: &Page, link: &Link) -> Result<(), String> {
    if link.target.contains("://") || link.target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, fragment) = link.target.split_once('#').unwrap_or((&link.target, ""));
    let name = if path.is_empty() {
        page.name.clone()
    } else {
        resolve(&page.name, path).ok_or("it leaves the repository")?
    };
    if !root.join(&name).exists() {
        return Err(format!("there is no {name}"));
    }
    match pages.get(name.as_str()) {
        _ if fragment.is_empty() => Ok(()),
        Some(target) if target.anchors.contains(fragment) => Ok(()),
        Some(target) => {
            let anchors = target.anchors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(format!("{name} has no heading for #{fragment}, only {anchors}"))
        }
        None => Err("only pages have headings".to_owned()),
    }
}

/// A path that a page names, from the repository's root.
pub(super) fn resolve(page: &str, path: &str) -> Option<String> {
    let path = path.split('#').next().unwrap_or_default();
    let mut resolved = PathBuf::new();
    for part in Path::new(page).parent()?.join(path).components() {
        match part {
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_nowhere_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("docs")).unwrap();
        for (name, text) in [
            ("docs/SUMMARY.md", "[a](a.md)\n"),
            (
                "docs/a.md",
                "# One\n[ok](#one) [ok](../README.md) [ok](b.md#two) [ok](https://example.org/x)\n",
            ),
            (
                "docs/b.md",
                "# Two\n[gone](c.md) [wrong](a.md#zero) [outside](../../x.md) [file](../f.txt#l1)\n",
            ),
            ("README.md", "text\n"),
            ("f.txt", ""),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let found = faults(dir.path(), &Page::all(dir.path()).unwrap());
        let expected = [
            "docs/b.md:2: link to c.md: there is no docs/c.md",
            "docs/b.md:2: link to a.md#zero: docs/a.md has no heading for #zero, only one",
            "docs/b.md:2: link to ../../x.md: it leaves the repository",
            "docs/b.md:2: link to ../f.txt#l1: only pages have headings",
            "docs/b.md: docs/SUMMARY.md does not list the page",
        ];
        assert_eq!(found, expected);
    }
}
