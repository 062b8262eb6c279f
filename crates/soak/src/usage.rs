//! Memory and file descriptors of the stickds: do they grow?

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// File descriptors that a process may have more at a calm point than at its first.
const MORE_DESCRIPTORS: u64 = 8;

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Resident memory in KiB.
    memory: u64,
    descriptors: u64,
}

/// A process at its first and its last calm point.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    name: &'static str,
    pid: u32,
    first: Sample,
    last: Sample,
    points: u32,
}

/// Every stickd there was.
#[derive(Debug, Default)]
pub(crate) struct Usages(Vec<Usage>);

impl Usages {
    /// Looks at a stickd at a calm point; an error when it has lost track of its file descriptors.
    pub(crate) fn sample(&mut self, name: &'static str, pid: u32) -> Result<()> {
        let now = sample(pid)?;
        let Some(usage) = self.0.iter_mut().find(|usage| usage.pid == pid && usage.name == name) else {
            self.0.push(Usage { name, pid, first: now, last: now, points: 1 });
            return Ok(());
        };
        usage.last = now;
        usage.points += 1;
        ensure!(
            now.descriptors <= usage.first.descriptors + MORE_DESCRIPTORS,
            "{name} (pid {pid}) has {} file descriptors, {} at its first calm point",
            now.descriptors,
            usage.first.descriptors
        );
        Ok(())
    }

    /// Of each stickd the process that lived longest.
    pub(crate) fn longest(&self) -> Vec<&Usage> {
        let mut usages: Vec<_> = self.0.iter().collect();
        usages.sort_by_key(|usage| (usage.name, std::cmp::Reverse(usage.life())));
        usages.dedup_by_key(|usage| usage.name);
        usages
    }

    /// The most memory in KiB and file descriptors seen.
    pub(crate) fn most(&self) -> (u64, u64) {
        let samples = || self.0.iter().flat_map(|usage| [usage.first, usage.last]);
        let memory = samples().map(|sample| sample.memory).max().unwrap_or(0);
        (memory, samples().map(|sample| sample.descriptors).max().unwrap_or(0))
    }
}

impl Usage {
    fn life(&self) -> Duration {
        self.last.at - self.first.at
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (pid {}) in {:.0} s, {} calm points: {} → {} KiB, {} → {} file descriptors",
            self.name,
            self.pid,
            self.life().as_secs_f32(),
            self.points,
            self.first.memory,
            self.last.memory,
            self.first.descriptors,
            self.last.descriptors
        )
    }
}

fn sample(pid: u32) -> Result<Sample> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    let memory = memory.with_context(|| format!("no VmRSS in {path}"))?;
    let path = format!("/proc/{pid}/fd");
    let descriptors = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?.count() as u64;
    Ok(Sample { at: Instant::now(), memory, descriptors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_leak_of_descriptors_is_an_error() {
        let (mut usages, pid) = (Usages::default(), std::process::id());
        usages.sample("me", pid).unwrap();
        let files: Vec<_> = (0..40).map(|_| File::open("/dev/null").unwrap()).collect();
        let error = usages.sample("me", pid).unwrap_err().to_string();
        assert!(error.contains("file descriptors"), "{error}");
        drop(files);
        assert_eq!(usages.longest().len(), 1);
        assert!(usages.most().0 > 100);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Usages::default().sample("nobody", u32::MAX).is_err());
    }
}
