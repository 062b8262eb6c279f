//! What was measured on, with what, when.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::subject::Candidate;

/// The machine as far as it matters.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) date: String,
    pub(crate) revision: String,
}

impl Machine {
    /// Looks.
    pub(crate) fn look() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let (cpuinfo, meminfo) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let kib = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        Ok(Self {
            processor: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.unwrap_or(0.0) / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).context("`date` says nothing")?,
            revision: said("git", &["describe", "--always", "--dirty"])
                .unwrap_or_else(|| "unknown".to_owned()),
        })
    }

    /// One line each: machine, versions, date.
    pub(crate) fn lines(&self, candidates: &[Candidate]) -> Vec<String> {
        let Self { processor, cores, memory_gib, kernel, date, revision } = self;
        let mut lines = vec![
            format!("date: {date}"),
            format!("machine: {processor}, {cores} cores, {memory_gib:.0} GiB, Linux {kernel}"),
        ];
        for candidate in candidates {
            let (label, version) = (candidate.label(), &candidate.version);
            let source = if label == "stickd" { format!(" (revision {revision})") } else { String::new() };
            lines.push(format!("{label}: version {version}{source}"));
        }
        lines
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// What a command prints, `None` when it fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\nMemTotal:       24 kB\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "MemTotal"), Some("24 kB"));
        assert_eq!(field(text, "none"), None);
    }

    #[test]
    fn a_command_that_fails_says_nothing() {
        assert_eq!(said("echo", &["a b"]).as_deref(), Some("a b"));
        assert_eq!(said("false", &[]), None);
        assert_eq!(said("no-such-program", &[]), None);
    }
}
