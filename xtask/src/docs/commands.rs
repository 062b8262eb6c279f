//! Commands on pages: they are run, and print what stands below them.
//!
//! The commands of a page run one after another in one shell, in a directory of their own, in namespaces of their own: they see a
//! loopback interface with the addresses of the pages, an empty `/run`, and no processes but theirs, all of which end with them.

use super::Programs;
use super::matching::lines_fit;
use super::page::{Page, Step};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The page whose commands make the keys that configurations name.
const KEYS: &str = "docs/operations/tls.md";

/// Begins the line before the output of each command.
const MARK: char = '\u{1}';

/// Longest time that the commands of a page may take, in seconds.
const LIMIT: &str = "120";

/// What the shell does first.
const PRELUDE: &str = "exec 2>&1\nip link set lo up\nfor a in 10.0.0.11 10.0.0.12 10.0.0.21; do ip address add $a/32 dev lo; done\n\
                       mount -t tmpfs tmpfs /run\n";

/// A command with what it prints.
struct Run {
    line: usize,
    command: String,
    /// `None` where only success counts.
    expected: Option<String>,
}

/// Makes the keys that configurations name, as the page about TLS says.
pub(super) fn make_keys(programs: &Programs, pages: &[Page]) -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    if let Some(page) = pages.iter().find(|page| page.name == KEYS) {
        let mut faults = Vec::new();
        run_in(directory.path(), programs, page, &mut faults)?;
        ensure!(faults.is_empty(), "cannot make keys:\n{}", faults.join("\n"));
    }
    Ok(directory)
}

/// Runs the commands of a page and returns how many there are.
pub(super) fn check(programs: &Programs, page: &Page, faults: &mut Vec<String>) -> Result<usize> {
    let directory = tempfile::tempdir()?;
    run_in(directory.path(), programs, page, faults)
}

fn run_in(directory: &Path, programs: &Programs, page: &Page, faults: &mut Vec<String>) -> Result<usize> {
    let runs = runs(directory, page)?;
    if runs.is_empty() {
        return Ok(0);
    }
    let mut script = PRELUDE.to_owned();
    for (number, Run { command, .. }) in runs.iter().enumerate() {
        script.push_str(&format!(
            "printf '\\001%d\\n' {number}\n{command}\n[ $? = 0 ] || printf '\\001failed\\n'\n"
        ));
    }
    let tools = tempfile::tempdir()?;
    for (name, program) in [("stickd", &programs.stickd), ("haproxy", &programs.haproxy)] {
        let text = format!("#!/bin/sh\nexec \"{}\" \"$@\"\n", program.display());
        crate::setup::script(&tools.path().join(name), &text)?;
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap_or_default());
    fs::write(tools.path().join("page.sh"), script)?;
    let output = Command::new("timeout")
        .args([
            LIMIT,
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
        ])
        .arg(tools.path().join("page.sh"))
        .current_dir(directory)
        .env("PATH", path)
        .env("PAGES_ROOT", crate::run::root())
        .stdin(Stdio::null())
        .output()
        .context("cannot run `unshare` (util-linux)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let outputs = outputs(&text);
    ensure!(
        outputs.len() == runs.len(),
        "{}: only {} of {} commands ran within {LIMIT} s, as root:\n{text}{}",
        page.name,
        outputs.len(),
        runs.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    for (Run { line, command, expected }, output) in runs.iter().zip(outputs) {
        let fits = match expected {
            Some(expected) => same(expected, &output.text),
            None => output.succeeded,
        };
        if !fits {
            faults.push(format!("{}:{line}: `{command}` printed:\n{}", page.name, output.text));
        }
    }
    Ok(runs.len())
}

/// The commands of a page; writes its files on the way.
fn runs(directory: &Path, page: &Page) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for step in &page.steps {
        match step {
            Step::Hidden { line, command } => {
                runs.push(Run { line: *line, command: command.clone(), expected: None });
            }
            Step::Block(block) => {
                if let Some(name) = block.file() {
                    fs::write(directory.join(name), &block.text)?;
                }
                if block.language == "sh" && block.has("run") {
                    runs.push(Run { line: block.line, command: block.text.clone(), expected: None });
                } else if block.language == "console" && !block.has("shown") {
                    runs.extend(prompts(block.line, &block.text));
                }
            }
        }
    }
    Ok(runs)
}

/// The commands behind prompts, with the lines below each.
fn prompts(first_line: usize, text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let expected = Some(String::new());
            runs.push(Run { line: first_line + number + 1, command: command.to_owned(), expected });
        } else if let Some(expected) = runs.last_mut().and_then(|run| run.expected.as_mut()) {
            expected.push_str(line);
            expected.push('\n');
        }
    }
    runs
}

struct Output {
    text: String,
    succeeded: bool,
}

/// The output of each command.
fn outputs(text: &str) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for part in text.split(MARK).skip(1) {
        let (mark, output) = part.split_once('\n').unwrap_or((part, ""));
        match outputs.last_mut() {
            Some(last) if mark == "failed" => {
                last.succeeded = false;
                last.text.push_str(output);
            }
            _ => outputs.push(Output { text: output.to_owned(), succeeded: true }),
        }
    }
    outputs
}

/// Whether a command printed what the page says, but for numbers that differ from run to run.
fn same(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (steady(expected), steady(printed));
    let expected: Vec<_> = expected.trim_end().lines().map(str::trim_end).collect();
    let printed: Vec<_> = printed.trim_end().lines().map(str::trim_end).collect();
    lines_fit(&expected, &printed)
}

/// A text without addresses of entries, times and sizes in memory.
fn steady(text: &str) -> String {
    const CHANGING: [&str; 6] = ["0x", "exp=", "age=", "heard=", "bytes=", "pid="];
    let mut out = String::new();
    let mut rest = text;
    while let Some((at, word)) =
        CHANGING.iter().filter_map(|word| rest.find(word).map(|at| (at, word))).min_by_key(|(at, _)| *at)
    {
        let (before, after) = rest.split_at(at + word.len());
        out.push_str(before);
        rest = after.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_output() {
        let runs = prompts(10, "$ a\n1\n2\n$ b\n");
        let found: Vec<_> =
            runs.iter().map(|run| (run.line, run.command.as_str(), run.expected.as_deref())).collect();
        assert_eq!(found, [(11, "a", Some("1\n2\n")), (14, "b", Some(""))]);
        let outputs = outputs("noise\n\u{1}0\n1\n2\n\u{1}1\n\u{1}failed\n");
        let found: Vec<_> = outputs.iter().map(|output| (output.text.as_str(), output.succeeded)).collect();
        assert_eq!(found, [("1\n2\n", true), ("", false)]);
    }

    #[test]
    fn numbers_that_change_are_no_difference() {
        assert!(same("0x1f0: key=a exp=12 gpc0=4\n", "0x2a: key=a exp=99 gpc0=4\n\n"));
        assert!(!same("0x1f0: key=a exp=12 gpc0=4\n", "0x2a: key=a exp=99 gpc0=5\n"));
        assert!(same("…\nb\n", "a\nb\n"));
    }
}
