//! `stickd help`: the page of a keyword or of a subcommand.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};

use crate::args::Arguments;
use crate::config::keywords::{self, Keyword};

/// Widest line of a page, in letters.
const WIDTH: usize = 80;
/// What stands before each line of a page but its first.
const INDENT: &str = "    ";

/// Arguments of `stickd help`.
#[derive(Args, Debug)]
pub struct Help {
    /// A keyword of the configuration, such as `relay` or `stats socket`, or a subcommand.
    #[arg(value_name = "KEYWORD")]
    words: Vec<String>,
}

/// Prints what is known of the words, or what may be meant.
pub(super) fn run(help: &Help) -> ExitCode {
    match page(&help.words.join(" ")) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// The page of a word; `Err` is the message when there is none.
fn page(word: &str) -> Result<String, String> {
    let mut command = Arguments::command();
    if word.is_empty() {
        return Ok(command.render_long_help().to_string());
    }
    let mut pages = Vec::new();
    // As clap does it before a command line is read: without it, the usage has no name of the program.
    command.build();
    if let Some(subcommand) = command.find_subcommand_mut(word) {
        pages.push(subcommand.render_long_help().to_string());
    }
    let found = keywords::find(word);
    pages.extend(found.iter().map(|keyword| keyword_page(keyword)));
    if found.is_empty() {
        for reason in keywords::reasons(word) {
            pages.push(format!("{word} (HAProxy's, not obeyed by stickd)\n{}", indented(reason)));
        }
    }
    if !pages.is_empty() {
        return Ok(pages.join("\n"));
    }
    let mut text = format!("error: stickd has no keyword and no subcommand \"{word}\"\n");
    if let Some(meant) = keywords::closest(word) {
        let _ = writeln!(text, "did you mean \"{meant}\"? write `stickd help {meant}`");
    }
    text.push_str(
        "`stickd help` lists the subcommands; stickd.cfg(5) and docs/keywords.md list all keywords\n",
    );
    Err(text)
}

fn keyword_page(keyword: &Keyword) -> String {
    let mut text = format!("{}\n", keyword.usage);
    let places: Vec<_> = keyword.places.iter().map(|place| place.title()).collect();
    text.push_str(&indented(&places.join("; ")));
    if let Some(default) = keyword.default {
        text.push_str(&indented(&format!("Default: {default}")));
    }
    text.push('\n');
    text.push_str(&indented(keyword.text));
    text
}

/// A text in lines of at most [`WIDTH`] letters with [`INDENT`] before each.
fn indented(text: &str) -> String {
    let mut lines = String::new();
    let mut line = INDENT.to_owned();
    for word in text.split(' ') {
        let letters = line.chars().count() + 1 + word.chars().count();
        if letters > WIDTH && line.len() > INDENT.len() {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = INDENT.to_owned();
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_a_keyword_stands_and_what_holds_without_it() {
        let text = page("relay").unwrap();
        assert!(text.starts_with("relay\n    Lines of peers sections\n    Default: off\n\n    "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let text = page("stats").unwrap();
        for usage in ["stats socket ADDRESS", "\nstats timeout TIME\n", "\nstats maxconn N\n"] {
            assert!(text.contains(usage), "{text}");
        }
    }

    #[test]
    fn subcommands_have_pages_also_where_a_keyword_has_the_name() {
        let text = page("run").unwrap();
        assert!(text.contains("Usage: stickd run") && text.contains("--haproxy-cfg"), "{text}");
        let text = page("state").unwrap();
        assert!(
            text.contains("Usage: stickd state") && text.contains("\nstate DIRECTORY [every TIME]"),
            "{text}"
        );
        assert!(page("").unwrap().contains("Usage: stickd <COMMAND>"));
    }

    #[test]
    fn words_of_haproxy_have_a_reason_and_others_a_suggestion() {
        let text = page("nbthread").unwrap();
        assert!(text.starts_with("nbthread (HAProxy's, not obeyed by stickd)\n    "), "{text}");
        let text = page("relai").unwrap_err();
        assert!(text.contains("did you mean \"relay\"?"), "{text}");
        assert!(!page("xyzzy").unwrap_err().contains("did you mean"));
    }
}
