//! `cargo xtask fuzz`: the fuzz targets one after the other, under libFuzzer (docs/testing/fuzzing.md).
//!
//! A run begins with the committed corpus and what earlier runs found, and writes beside the build: only `--keep` changes
//! the committed corpus.

use crate::run;
use crate::setup::cargo_tool;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longest input in bytes: what is found in longer ones is found in shorter ones sooner.
const MAX_LEN: &str = "-max_len=4096";
/// An input that takes so many seconds is a fault, and so is one that wants so much memory at once, in MiB.
const LIMITS: [&str; 3] = ["-timeout=10", "-malloc_limit_mb=128", "-rss_limit_mb=1500"];

/// HAProxy's words, which the target of configurations gets as a dictionary.
const WORDS: &str = "crates/stickd/src/config/syntax/haproxy.words";
/// The target of configurations.
const WITH_WORDS: &str = "config";

#[derive(Args)]
pub(crate) struct Options {
    /// Run this target only (may be given several times)
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to run each target
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,
    /// Afterwards add the inputs to fuzz/corpus that reach what it does not, small ones first
    #[arg(long)]
    keep: bool,
}

/// What libFuzzer said about a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Edges of code that the corpus reached, and the whole run.
    edges: (u64, u64),
    executions: u64,
    /// Where the input is that failed.
    crash: Option<String>,
}

/// Runs the targets and prints what each did.
///
/// # Errors
/// When something that is needed is missing, or an input makes a target fail; the others are run all the same.
pub(crate) fn run(options: &Options) -> Result<()> {
    let all = targets(&run::root().join("fuzz/fuzz_targets"))?;
    for target in &options.targets {
        ensure!(all.contains(target), "there is no target \"{target}\": there are {}", all.join(", "));
    }
    let wanted = if options.targets.is_empty() { &all } else { &options.targets };
    let tool = install_tools()?;
    let mut rows = Vec::new();
    for target in wanted {
        let outcome = fuzz(&tool, target, options.minutes)?;
        if options.keep && outcome.crash.is_none() {
            merge(&tool, target)?;
        }
        rows.push((target, outcome));
    }
    println!("{:<12} {:>12} {:>14} {:>12}", "target", "executions", "edges at first", "at the end");
    for (target, Outcome { edges, executions, .. }) in &rows {
        println!("{target:<12} {executions:>12} {:>14} {:>12}", edges.0, edges.1);
    }
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|(target, outcome)| Some(format!("{target}: {}", outcome.crash.as_ref()?)))
        .collect();
    if !failed.is_empty() {
        bail!(
            "inputs that fail:\n  {}\nput the smallest form of each into fuzz/crashes/TARGET, see docs/testing/fuzzing.md",
            failed.join("\n  ")
        );
    }
    Ok(())
}

/// The names of the programs in a directory.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Finds cargo-fuzz and a nightly compiler, or installs them.
fn install_tools() -> Result<PathBuf> {
    ensure!(
        run::which("rustup").is_some(),
        "fuzzing needs rustup, which runs the nightly compiler: see https://rustup.rs"
    );
    if run::output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_err() {
        println!("a nightly compiler: installing by rustup");
        run::show(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    cargo_tool::FUZZ.ensure()
}

/// Where a target's runs keep what they find.
fn found(target: &str) -> PathBuf {
    run::root().join("target/fuzz-corpus").join(target)
}

fn committed(target: &str) -> PathBuf {
    run::root().join("fuzz/corpus").join(target)
}

/// `cargo fuzz run`, without a sanitizer: nothing here is unsafe, and runs are three times as fast.
fn cargo_fuzz(tool: &Path, target: &str) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(run::root()).stdin(Stdio::null());
    command.args(["run", "nightly"]).arg(tool);
    command.args(["run", "--sanitizer", "none", target]);
    command
}

fn fuzz(tool: &Path, target: &str, minutes: u64) -> Result<Outcome> {
    println!("==> {target}: {minutes} minutes");
    for directory in [found(target), committed(target)] {
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut command = cargo_fuzz(tool, target);
    // What is new goes to the first directory.
    command
        .args([found(target), committed(target)])
        .args(["--", MAX_LEN, "-print_final_stats=1"])
        .args(LIMITS);
    if target == WITH_WORDS {
        command.arg(format!("-dict={}", dictionary()?.display()));
    }
    command.arg(format!("-max_total_time={}", minutes * 60)).stderr(Stdio::piped());
    let line = run::line(&command);
    let mut child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
    let output = child.stderr.take().context("the output is piped")?;
    let mut outcome = Outcome::default();
    for text in BufReader::new(output).split(b'\n') {
        let text = text?;
        let text = String::from_utf8_lossy(&text);
        eprintln!("{text}");
        outcome.note(&text);
    }
    let status = child.wait()?;
    if !status.success() && outcome.crash.is_none() {
        bail!("`{line}` failed ({status}); its output is above");
    }
    Ok(outcome)
}

/// Writes HAProxy's words in libFuzzer's form, and returns where.
fn dictionary() -> Result<PathBuf> {
    let list = run::root().join(WORDS);
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let path = run::root().join("target/haproxy.dict");
    let entries: String = words(&text).map(|word| format!("\"{word}\"\n")).collect();
    fs::write(&path, entries).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The words of the list: indented, some with a mark before or behind.
fn words(list: &str) -> impl Iterator<Item = &str> {
    let lines = list.lines().filter(|line| line.starts_with("  "));
    let words = lines.flat_map(str::split_ascii_whitespace);
    words
        .map(|word| word.strip_prefix("no+").unwrap_or(word))
        .map(|word| word.strip_suffix("/1").unwrap_or(word))
}

/// Adds to the committed corpus what reaches more than it does.
fn merge(tool: &Path, target: &str) -> Result<()> {
    let mut command = cargo_fuzz(tool, target);
    run::show(command.args([committed(target), found(target)]).args(["--", "-merge=1", MAX_LEN]))
}

impl Outcome {
    /// Reads a line such as `#8\tINITED cov: 65 ft: 66 …`, `stat::number_of_executed_units: 9`, or
    /// `… Test unit written to PATH`.
    fn note(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.crash = Some(path.trim().to_owned());
        }
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(0);
        }
        let edges = line.split_once(" cov: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        if let (Some(edges), true) = (edges, line.starts_with('#')) {
            let first = if line.contains("INITED") { edges } else { self.edges.0 };
            self.edges = (first, edges);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_marks() {
        let list = "# a\n[global]\nwarn: reason\n  daemon no+log\n  addr/1\n";
        assert_eq!(words(list).collect::<Vec<_>>(), ["daemon", "log", "addr"]);
        let text = fs::read_to_string(run::root().join(WORDS)).unwrap();
        assert!(words(&text).count() > 700);
    }

    #[test]
    fn the_lines_of_a_run_are_read() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: seed corpus: files: 3 min: 1b max: 9b total: 12b rss: 27Mb",
            "#4\tINITED cov: 65 ft: 66 corp: 2/10b exec/s: 0 rss: 27Mb",
            "#90\tNEW    cov: 70 ft: 80 corp: 3/11b lim: 4 exec/s: 0 rss: 27Mb L: 1/9 MS: 1 ChangeBit-",
            "artifact_prefix='./'; Test unit written to ./crash-1234",
            "stat::number_of_executed_units: 91",
        ] {
            outcome.note(line);
        }
        let crash = Some("./crash-1234".to_owned());
        assert_eq!(outcome, Outcome { edges: (65, 70), executions: 91, crash });
    }

    #[test]
    fn every_program_is_a_target() {
        let names = targets(&run::root().join("fuzz/fuzz_targets")).unwrap();
        assert!(names.contains(&"session".to_owned()) && names.is_sorted());
        assert!(targets(Path::new("/nowhere")).is_err());
    }
}
