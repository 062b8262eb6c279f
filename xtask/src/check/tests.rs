//! `cargo test`, with a total over all test programs.

use crate::run;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Runs all tests, all the way through, showing the output as it comes.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(arguments).stdout(Stdio::piped());
    let line = run::line(&command);
    let mut child = command.spawn().with_context(|| format!("cannot run `{line}`"))?;
    let output = child.stdout.take().context("cargo's output is piped")?;
    let mut total = Total::default();
    for text in BufReader::new(output).split(b'\n') {
        let text = text?;
        let text = String::from_utf8_lossy(&text);
        println!("{text}");
        total.add(&text);
    }
    let status = child.wait()?;
    println!("total: {} passed, {} failed", total.passed, total.failed);
    if !status.success() {
        bail!("`{line}` failed ({status}); its output is above");
    }
    ensure!(total.failed == 0, "tests failed");
    ensure!(total.ignored == 0, "{} tests are ignored: a test runs or goes", total.ignored);
    ensure!(total.passed > 0, "no test ran");
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    /// Adds a line `test result: ok. 5 passed; 0 failed; 0 ignored; …`; other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse::<u64>().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse::<u64>().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn adds_up_the_closing_lines() {
        let mut total = Total::default();
        total.add("running 5 tests");
        total.add(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.18s",
        );
        total.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        assert_eq!(total, Total { passed: 7, failed: 3, ignored: 1 });
    }
}
