//! A page of Markdown: its headings, links and blocks.
//!
//! The words behind the language of a block say how it is checked:
//!
//! | block | check |
//! | --- | --- |
//! | `haproxy` | a whole configuration of stickd: `stickd check` |
//! | `haproxy,haproxy` | a whole configuration of HAProxy: `haproxy -c` |
//! | `haproxy,part` | not checked: lines out of a file |
//! | `…,file=NAME` | also written to that file for the commands of the page |
//! | `console` | lines that begin with `$` are run, and print the lines below them |
//! | `console,shown` | not run |
//! | `sh,run` | run, and must succeed |
//!
//! A comment `<!-- run: COMMAND -->` is run as well, at its place.

use anyhow::{Context, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tree;

pub(super) struct Page {
    /// Its path from the repository's root, with `/`.
    pub(super) name: String,
    pub(super) text: String,
    /// The fragments that lead to its headings.
    pub(super) anchors: BTreeSet<String>,
    pub(super) links: Vec<Link>,
    pub(super) steps: Vec<Step>,
}

pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

/// What is checked by running it, in the order of the page.
pub(super) enum Step {
    Block(Block),
    /// `<!-- run: … -->`
    Hidden {
        line: usize,
        command: String,
    },
}

pub(super) struct Block {
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) words: Vec<String>,
    pub(super) text: String,
}

impl Block {
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    /// The name behind `file=`.
    pub(super) fn file(&self) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix("file="))
    }
}

impl Page {
    /// Every page of the repository.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let files = tree::files(root, "md")?;
        files
            .iter()
            .map(|file| {
                let text =
                    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
                Ok(Self::parse(name, text))
            })
            .collect()
    }

    pub(super) fn parse(name: String, text: String) -> Self {
        let (mut anchors, mut links, mut steps) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let mut html: Option<(usize, String)> = None;
        let line_of = |offset: usize| {
            text[..offset].lines().count().max(1) + usize::from(text[..offset].ends_with('\n'))
        };
        for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let numbered = (1..).map(|number| format!("{slug}-{number}"));
                    let free = std::iter::once(slug.clone()).chain(numbered);
                    anchors.extend(free.into_iter().find(|anchor| !anchors.contains(anchor)));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(Link { line: line_of(range.start), target: dest_url.into_string() });
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let mut words = info.split([',', ' ']).map(str::to_owned);
                    let language = words.next().unwrap_or_default();
                    let line = line_of(range.start);
                    block = Some(Block { line, language, words: words.collect(), text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => steps.extend(block.take().map(Step::Block)),
                Event::Start(Tag::HtmlBlock) => html = Some((line_of(range.start), String::new())),
                Event::Html(part) => {
                    if let Some((_, text)) = &mut html {
                        text.push_str(&part);
                    }
                }
                Event::End(TagEnd::HtmlBlock) => {
                    let Some((line, text)) = html.take() else { continue };
                    let command =
                        text.trim().strip_prefix("<!-- run:").and_then(|rest| rest.strip_suffix("-->"));
                    steps.extend(
                        command.map(|command| Step::Hidden { line, command: command.trim().to_owned() }),
                    );
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&part);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        Self { name, anchors, links, steps, text }
    }
}

/// The fragment that leads to a heading, as code hosts make it.
fn slug(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_links_and_blocks_are_found() {
        let text = "# A `b`: c!\n\nSee [x](y.md#z).\n\n# A b c\n\n```haproxy,part,file=a.cfg\nglobal\n```\n\n<!-- run: true -->\n";
        let page = Page::parse("p.md".into(), text.into());
        assert_eq!(page.anchors, BTreeSet::from(["a-b-c".to_owned(), "a-b-c-1".to_owned()]));
        assert_eq!((page.links[0].line, page.links[0].target.as_str()), (3, "y.md#z"));
        let [Step::Block(block), Step::Hidden { line: 11, command }] = &page.steps[..] else {
            panic!("steps")
        };
        assert_eq!((block.line, block.language.as_str(), block.file()), (7, "haproxy", Some("a.cfg")));
        assert!(block.has("part") && !block.has("haproxy"));
        assert_eq!((block.text.as_str(), command.as_str()), ("global\n", "true"));
    }
}
