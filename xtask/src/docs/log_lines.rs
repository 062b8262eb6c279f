//! The page of log lines has every line that the daemon can write, and no other.

use super::matching::fits;
use super::page::Page;
use crate::tree;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const PAGE: &str = "docs/operations/log.md";

/// Where lines are written; the engine has the words of some.
const WRITERS: &str = "crates/stickd/src";
const WORDS: [&str; 2] = [WRITERS, "crates/haproxy-peers/src"];

/// Parts of a line that are shorter are not looked for.
const SHORTEST: usize = 8;

/// Most bytes of a macro's arguments.
const MOST_ARGUMENTS: usize = 4_000;

/// Lines that the page lacks, and lines of the page that nothing writes.
pub(super) fn faults(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let rows = rows(&Page::parse(PAGE.to_owned(), text).text);
    let mut faults = Vec::new();
    for file in tree::files(&root.join(WRITERS), "rs")? {
        let source = released(&fs::read_to_string(&file)?).to_owned();
        for message in messages(&source) {
            if !rows.iter().any(|row| fits(row, &message)) {
                let name = file.strip_prefix(root).unwrap_or(&file).display();
                faults.push(format!("{PAGE} lacks the line of {name}: {message}"));
            }
        }
    }
    let mut words = String::new();
    for directory in WORDS {
        for file in tree::files(&root.join(directory), "rs")? {
            for literal in literals(released(&fs::read_to_string(&file)?)) {
                words.push_str(&literal.text);
                words.push('\n');
            }
        }
    }
    for row in rows {
        let unknown =
            row.split('…').map(str::trim).find(|part| part.len() >= SHORTEST && !words.contains(part));
        if let Some(part) = unknown {
            faults.push(format!("{PAGE} has a line that nothing writes: {row} (no text has \"{part}\")"));
        }
    }
    Ok(faults)
}

/// The first cell of each row of the page's tables, where it is code.
fn rows(text: &str) -> Vec<String> {
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
    text.lines().filter_map(cell).collect()
}

/// A source without its tests, which stand at its end.
fn released(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// A literal of a source, with what stands before it and after it on the level of parentheses.
struct Literal {
    start: usize,
    text: String,
}

/// The messages of `info!`, `warn!` and `error!`, with `…` for their values; not those that are a value as a whole.
fn messages(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for level in ["info!(", "warn!(", "error!("] {
        for (at, _) in source.match_indices(level) {
            let before = source[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let begin = at + level.len();
            let arguments = arguments(&source[begin..]);
            // The message is the first literal that is no field's value, and outside of other calls.
            let message = literals(arguments).into_iter().find(|literal| {
                let before = &arguments[..literal.start];
                let depth = depth(before);
                depth == 0 && !before.trim_end().ends_with('=')
            });
            found.extend(
                message.map(|literal| literal.text).filter(|text| text.trim_matches(['…', ' ']).len() > 1),
            );
        }
    }
    found
}

/// The text up to the parenthesis that closes what is open at its begin.
fn arguments(text: &str) -> &str {
    // They are short: the rest of a long source is not looked at.
    let text = &text[..text.floor_char_boundary(MOST_ARGUMENTS)];
    let mut open = 1;
    let skipped = literal_ranges(text);
    for (at, letter) in text.char_indices() {
        if skipped.iter().any(|range| range.contains(&at)) {
            continue;
        }
        match letter {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return &text[..at];
        }
    }
    text
}

/// How many parentheses are open at the end of a text.
fn depth(text: &str) -> i32 {
    let skipped = literal_ranges(text);
    let outside = text.char_indices().filter(|(at, _)| !skipped.iter().any(|range| range.contains(at)));
    outside.map(|(_, letter)| i32::from(letter == '(') - i32::from(letter == ')')).sum()
}

/// Where the literals of a source are, with their quotes; comments are passed over.
fn literal_ranges(source: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = source.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            // A letter in single quotes, as '"'.
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at += 3,
            b'\'' if bytes.get(at + 1) == Some(&b'\\') && bytes.get(at + 3) == Some(&b'\'') => at += 4,
            b'"' => {
                let start = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                ranges.push(start..at.min(bytes.len()));
            }
            _ => at += 1,
        }
    }
    ranges
}

/// The literals of a source, as they are printed.
fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut begin = 0;
    // In pieces, as ranges are found in the first part of a text only.
    while begin < source.len() {
        let ranges = literal_ranges(&source[begin..]);
        let Some(last) = ranges.last().map(|range| range.end) else { break };
        for range in ranges {
            if let Some(text) = source.get(begin + range.start + 1..begin + range.end - 1) {
                found.push(Literal { start: begin + range.start, text: printed(text) });
            }
        }
        begin += last;
        while !source.is_char_boundary(begin) {
            begin += 1;
        }
    }
    found
}

/// A literal without its escapes and with `…` for values.
fn printed(literal: &str) -> String {
    let mut out = String::new();
    let mut letters = literal.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\n') => while letters.next_if(|letter| letter.is_whitespace()).is_some() {},
                Some('n') | None => out.push(' '),
                Some(escaped) => out.push(escaped),
            },
            '{' if letters.next_if_eq(&'{').is_some() => out.push('{'),
            '{' => {
                for letter in letters.by_ref() {
                    if letter == '}' {
                        break;
                    }
                }
                out.push('…');
            }
            '}' => {
                letters.next_if_eq(&'}');
                out.push('}');
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_a_source() {
        let source = r#"
            // A comment says "nothing".
            info!(section, at = "x", quote = '"', "listening: {}; \
                  report", show("this (", 1));
            tracing::warn!(%error, "cannot read");
            warn!("{event}");
            debug!("not this");
            my_info!("nor this");
            error!(limit, "{text}: a \"quoted\" word");
        "#;
        let mut found = messages(source);
        found.sort();
        assert_eq!(found, ["cannot read", "listening: …; report", "…: a \"quoted\" word"]);
    }

    #[test]
    fn rows_are_cells_of_code() {
        assert_eq!(rows("| line | level |\n| `a … b` | INFO |\n| c | |\n"), ["a … b"]);
        assert_eq!(released("a\n#[cfg(test)]\nmod tests {}"), "a\n");
    }
}
