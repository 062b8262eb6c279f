//! `stickd reload`: a reload that can be waited for, as a service manager's `ExecReload` must.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Longest time until the next process holds everything: a bit more than the process itself gives it.
const LIMIT: Duration = Duration::from_secs(160);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// A process without a child for so long has given the reload up.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// Arguments of `stickd reload`.
#[derive(Args, Debug)]
pub struct Reload {
    /// The process that is to be replaced.
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

/// Sends SIGUSR2, and waits until the process has ended: it does when the next one holds everything.
pub(super) fn run(arguments: &Reload) -> anyhow::Result<ExitCode> {
    let pid = Pid::from_raw(arguments.pid).context("not a process id")?;
    let number = arguments.pid;
    kill_process(pid, Signal::USR2).with_context(|| format!("the process {number} cannot be reached"))?;
    let began = Instant::now();
    let mut busy = began;
    while is_there(pid) {
        if has_child(number) {
            busy = Instant::now();
        }
        if busy.elapsed() > GIVEN_UP {
            bail!("the process {number} goes on: its log says why there is no other one");
        }
        if began.elapsed() > LIMIT {
            bail!("the process {number} goes on after {} s", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a process runs. One that has ended, and that nobody has waited for, does not.
fn is_there(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    match stat.ok().as_deref().and_then(|stat| stat.rsplit_once(") ")) {
        Some((_, rest)) => !rest.starts_with(['Z', 'X']),
        None => test_kill_process(pid).is_ok() && std::fs::metadata("/proc/self").is_err(),
    }
}

/// Whether a process has children that run: the check of the configuration, or the next process.
fn has_child(pid: i32) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let parent_of = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok();
    processes.flatten().any(|process| {
        let is_process = process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let stat = || std::fs::read_to_string(process.path().join("stat")).ok();
        is_process && stat().is_some_and(|stat| parent_of(&stat) == Some(pid))
    })
}
