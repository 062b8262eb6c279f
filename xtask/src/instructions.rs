//! `cargo xtask instructions`: instructions per update of the hot paths, counted by callgrind, so that a change shows that
//! a clock would not.
//!
//! Each scenario runs twice with different counts and the same preparation; the difference is the work. The figures of
//! `crates/micro/instructions.txt` are compared with; they belong to one compiler and kind of processor.

use crate::{run, setup};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The committed figures, from the repository's root.
const FIGURES: &str = "crates/micro/instructions.txt";
/// The counts of the two runs. The second is all there is, and twice the first, so that growth by doubling has its share.
const COUNTS: [u32; 2] = [1 << 15, 1 << 16];
/// A change of more than so many percent is flagged.
const TOLERANCE: f64 = 3.0;

#[derive(Args)]
pub(crate) struct Options {
    /// Write the figures to crates/micro/instructions.txt
    #[arg(long)]
    save: bool,
    /// Count only scenarios whose name contains one of these words
    scenarios: Vec<String>,
}

/// Counts, prints, and compares or saves.
///
/// # Errors
/// Also when a figure grew by more than the tolerance.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_valgrind()?;
    let program = build()?;
    let file = run::root().join(FIGURES);
    let committed = if file.exists() { fs::read_to_string(&file)? } else { String::new() };
    let mut figures = figures(&committed)?;
    let names = run::output(Command::new(&program).arg("list"))?;
    let wanted = |name: &str| {
        options.scenarios.is_empty() || options.scenarios.iter().any(|word| name.contains(word.as_str()))
    };
    let names: Vec<&str> = names.lines().filter(|name| wanted(name)).collect();
    ensure!(!names.is_empty(), "no scenario has such a name");
    println!("{:<20} {:>12} {:>12} {:>8}", "instructions of", "each", "committed", "change");
    let mut grown = Vec::new();
    for name in names {
        let each = per_update(&program, name)?;
        let before = figures.insert(name.to_owned(), each);
        println!("{}", row(name, each, before));
        if change(each, before).is_some_and(|percent| percent > TOLERANCE) {
            grown.push(name);
        }
    }
    let directory = program.parent().unwrap_or_else(|| Path::new("."));
    println!(
        "where they are, preparation included: callgrind_annotate {}/callgrind.SCENARIO",
        directory.display()
    );
    if options.save {
        let compiler = run::output(Command::new("rustc").arg("--version"))?;
        fs::write(&file, text(&figures, compiler.trim()))?;
        println!("saved: {FIGURES}");
    } else if !grown.is_empty() {
        bail!("grown by more than {TOLERANCE} %: {}; mend it, or say why and `--save`", grown.join(", "));
    }
    Ok(())
}

/// Builds the program that runs scenarios, with cargo's progress shown, and returns its path.
fn build() -> Result<PathBuf> {
    let mut command = run::cargo();
    command.args([
        "build",
        "--profile",
        "instructions",
        "--package",
        "stickd-micro",
        "--bin",
        "instructions",
    ]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let line = run::line(&command);
    let done = command.output().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(done.status.success(), "`{line}` failed ({}); its output is above", done.status);
    let messages = String::from_utf8_lossy(&done.stdout).into_owned();
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    program.with_context(|| format!("`{line}` named no program"))
}

/// Instructions per update of a scenario.
fn per_update(program: &Path, name: &str) -> Result<f64> {
    let [(few, few_instructions), (many, many_instructions)] =
        [count(program, name, COUNTS[0])?, count(program, name, COUNTS[1])?];
    ensure!(
        many > few && many_instructions > few_instructions,
        "{name} does not work more when asked for more"
    );
    Ok((many_instructions - few_instructions) as f64 / (many - few) as f64)
}

/// Runs a scenario; returns how many updates it worked on, and all instructions of the run.
fn count(program: &Path, name: &str, count: u32) -> Result<(u64, u64)> {
    let profile = program.with_file_name(format!("callgrind.{name}"));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", profile.display()));
    command.arg(program).args([name, &count.to_string()]);
    let printed = run::output(&mut command)?;
    let worked = printed.trim().parse().with_context(|| format!("{name} printed {printed:?}"))?;
    let profile = fs::read(&profile).with_context(|| format!("cannot read {}", profile.display()))?;
    let total = total(&String::from_utf8_lossy(&profile)).context("callgrind wrote no totals")?;
    Ok((worked, total))
}

/// The instructions of a profile: its line `totals: 1234`.
fn total(profile: &str) -> Option<u64> {
    profile.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

/// The committed figures: lines `name number`, and comments.
fn figures(text: &str) -> Result<BTreeMap<String, f64>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, figure) = line.split_once(' ').with_context(|| format!("{FIGURES}: {line:?}"))?;
            let figure = figure.trim().parse().with_context(|| format!("{FIGURES}: {line:?}"))?;
            Ok((name.to_owned(), figure))
        })
        .collect()
}

fn text(figures: &BTreeMap<String, f64>, compiler: &str) -> String {
    let mut text = format!(
        "# Instructions per update, entry, row or number, by scenario: `cargo xtask instructions --save` writes them.\n\
         # {compiler}, {}\n",
        std::env::consts::ARCH
    );
    for (name, figure) in figures {
        writeln!(text, "{name:<20} {figure:.1}").expect("a string takes all");
    }
    text
}

/// The change in percent, when there is a figure to compare with.
fn change(each: f64, before: Option<f64>) -> Option<f64> {
    before.filter(|&before| before > 0.0).map(|before| (each - before) / before * 100.0)
}

fn row(name: &str, each: f64, before: Option<f64>) -> String {
    let committed = before.map_or_else(|| "-".into(), |before| format!("{before:.1}"));
    let (percent, flag) = match change(each, before) {
        None => ("new".into(), ""),
        Some(percent) if percent.abs() > TOLERANCE => (format!("{percent:+.1} %"), " !"),
        Some(percent) => (format!("{percent:+.1} %"), ""),
    };
    format!("{name:<20} {each:>12.1} {committed:>12} {percent:>8}{flag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_they_are_read() {
        let before = BTreeMap::from([("learn-new".to_owned(), 512.5), ("sweep".to_owned(), 9.0)]);
        let written = text(&before, "rustc 1.2.3");
        assert_eq!(figures(&written).unwrap(), before);
        assert!(written.starts_with("# ") && written.contains("rustc 1.2.3"), "{written}");
        assert!(figures("learn-new many\n").is_err());
        assert!(figures("learn-new\n").is_err());
    }

    #[test]
    fn changes_over_the_tolerance_are_flagged_in_both_directions() {
        assert!(row("a", 103.1, Some(100.0)).ends_with("+3.1 % !"));
        assert!(row("a", 96.0, Some(100.0)).ends_with("-4.0 % !"));
        assert!(row("a", 102.9, Some(100.0)).ends_with("+2.9 %"));
        assert!(row("a", 102.9, None).ends_with("new"));
    }

    #[test]
    fn the_total_is_the_profiles_last_line_of_that_name() {
        assert_eq!(total("events: Ir\n\nfn=(1)\n5 7\n\ntotals: 575631016\n"), Some(575_631_016));
        assert_eq!(total("events: Ir\n"), None);
    }
}
