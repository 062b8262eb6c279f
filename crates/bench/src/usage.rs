//! What processes use of the machine, as the operating system counts it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

/// Share of a processor that a process may use and count as idle: timers, heartbeats, looking for what has expired. Work left
/// from before takes a whole one.
const IDLE_SHARE: f64 = 0.10;
/// How long a process must have been idle before it is measured.
const IDLE_WINDOW: Duration = Duration::from_millis(200);
/// How long to wait for that.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// After its work is answered for, a process may go on for a moment: it is at rest when it uses next to nothing in this.
const REST_WINDOW: Duration = Duration::from_millis(10);
const REST_CPU: Duration = Duration::from_micros(500);

/// A process whose use is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched(pub(crate) u32);

impl Watched {
    /// CPU time of all its threads so far. Exact to the nanosecond for threads that sleep now.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.0);
        let mut sum = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("the process measured is gone: {tasks}"))? {
            // A thread may end between the list and the look.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let run = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            sum += run.with_context(|| format!("unexpected schedstat: {text:?}"))?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no Rss in {path}"))? * 1_024)
    }

    /// Waits until it has been idle for 200 ms; returns the share of a processor, 0 to 1, that it used in them.
    ///
    /// # Errors
    ///
    /// When it does not come to rest: what it does besides would be measured too.
    pub(crate) fn wait_idle(self) -> Result<f64> {
        let started = Instant::now();
        loop {
            let before = self.cpu()?;
            thread::sleep(IDLE_WINDOW);
            let used = self.cpu()?.saturating_sub(before);
            let share = used.as_secs_f64() / IDLE_WINDOW.as_secs_f64();
            if share <= IDLE_SHARE {
                return Ok(share);
            }
            ensure!(
                started.elapsed() < IDLE_LIMIT,
                "process {} is not idle before its measurement: {used:?} of CPU in the last {IDLE_WINDOW:?}",
                self.0
            );
        }
    }

    /// Waits until it has come to rest after some work, at most a second.
    pub(crate) fn wait_rest(self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut before = self.cpu()?;
        loop {
            thread::sleep(REST_WINDOW);
            let now = self.cpu()?;
            if now - before <= REST_CPU || Instant::now() > deadline {
                return Ok(());
            }
            before = now;
        }
    }
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// CPU time of this process.
fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    Duration::try_from(clock_gettime(id)).expect("CPU clocks are never negative")
}

/// CPU time that all processors of the machine spent busy so far, stolen time included; counted in steps of 10 ms.
fn machine_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line =
        text.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no cpu in /proc/stat")?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user time already.
    let busy: u64 =
        ticks.iter().take(8).enumerate().filter(|(at, _)| ![3, 4].contains(at)).map(|(_, n)| n).sum();
    Ok(Duration::from_millis(busy * 10))
}

/// Watches who else uses the machine while something is measured.
#[derive(Debug)]
pub(crate) struct Foreign {
    started: Instant,
    machine: Duration,
    driver: Duration,
}

impl Foreign {
    /// Starts.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { started: Instant::now(), machine: machine_cpu()?, driver: process_cpu() })
    }

    /// The share of the machine, 0 to 1, that neither the driver nor the subject used, given the subject's CPU time; 0
    /// when the time was too short for the system's clock ticks to tell.
    pub(crate) fn share(&self, subject: Duration) -> Result<f64> {
        let wall = self.started.elapsed();
        let known = process_cpu() - self.driver + subject;
        let foreign = (machine_cpu()? - self.machine).saturating_sub(known);
        let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
        if wall < Duration::from_millis(250) {
            return Ok(0.0);
        }
        Ok(foreign.as_secs_f64() / (wall.as_secs_f64() * cores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let until = thread_cpu() + time;
        while thread_cpu() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn counts_the_cpu_and_memory_of_all_threads() {
        let me = Watched(std::process::id());
        let before = me.cpu().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                burn(Duration::from_millis(30));
                // Its time is read from outside only while the thread exists.
                assert!(me.cpu().unwrap() - before >= Duration::from_millis(20));
            });
        });
        assert!(me.rss().unwrap() > 100_000);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Watched(u32::MAX).cpu().is_err());
        assert!(Watched(u32::MAX).rss().is_err());
    }
}
