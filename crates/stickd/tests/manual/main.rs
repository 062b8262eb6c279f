//! Manual pages, shell completions and docs/keywords.md are what the table of keywords and the command line say.
//!
//! `BLESS=1 cargo test -p stickd --test manual` writes them.

mod markdown;
mod roff;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use stickd::args::Arguments;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assert_saved(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let saved = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        saved == text,
        "{file} is not what the sources say: `BLESS=1 cargo test -p stickd --test manual` writes it"
    );
}

fn command() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

#[test]
fn the_page_of_keywords() {
    assert_saved("docs/keywords.md", &markdown::keywords());
}

#[test]
fn the_manual_of_the_configuration() {
    assert_saved("packaging/man/stickd.cfg.5", &roff::configuration());
}

/// One page: the subcommands stand below each other, as there are few.
#[test]
fn the_manual_of_the_command() {
    assert_saved("packaging/man/stickd.1", &roff::command(&command()));
}

#[test]
fn completions_for_shells() {
    for (shell, file) in [(Shell::Bash, "stickd.bash"), (Shell::Zsh, "_stickd"), (Shell::Fish, "stickd.fish")]
    {
        let mut text = Vec::new();
        generate(shell, &mut command(), "stickd", &mut text);
        assert_saved(&format!("packaging/completions/{file}"), &String::from_utf8(text).unwrap());
    }
}
