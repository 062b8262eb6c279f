//! The daemon under test.

use crate::cli::Cli;
use crate::daemon::{Daemon, Ended, Signal};
use crate::dump::TableDump;
use crate::wait::SOON;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tempfile::TempDir;

/// Name of the runtime socket that a test's configuration must open, relative to the working directory: the configuration
/// needs the line `stats socket unix@stickd.sock level admin` in `global`.
pub const SOCKET: &str = "stickd.sock";

/// A configuration of the node `stickd` for the peers section `p` of [`Config`](crate::Config): it listens on `bind` and
/// connects to `remotes`. Tables are added behind it by [`table`].
pub fn config(bind: SocketAddr, remotes: &[(&str, SocketAddr)]) -> String {
    let remotes: String =
        remotes.iter().map(|(name, address)| format!("  server {name} {address}\n")).collect();
    format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
         peers p\n  bind {bind}\n  server stickd\n{remotes}"
    )
}

/// A table for [`config`], `arguments` as in [`Config::table`](crate::Config::table).
pub fn table(name: &str, arguments: &str) -> String {
    format!("backend {name}\n  stick-table {arguments} peers p\n")
}

/// A running stickd in a working directory of its own. Dropping it kills the process, by its id, and removes the directory.
#[derive(Debug)]
pub struct StickdProcess {
    daemon: Daemon,
    program: PathBuf,
    generation: u32,
    // Last: the directory goes when the process is gone.
    dir: TempDir,
}

impl StickdProcess {
    /// Runs `program run -f <file with config> <arguments>` (without `-f` when there is no `config`) and waits until its
    /// runtime socket answers. In an integration test of the daemon's crate `program` is `env!("CARGO_BIN_EXE_stickd")`.
    ///
    /// # Panics
    ///
    /// When it ends instead or does not answer, with what it printed.
    #[track_caller]
    pub fn start(program: impl AsRef<Path>, config: Option<&str>, arguments: &[&str]) -> Self {
        Self::try_start(program, config, arguments).unwrap_or_else(|ended| panic!("stickd {ended}"))
    }

    /// [`Self::start`] for a test of what stickd refuses.
    ///
    /// # Errors
    ///
    /// When it ends instead or does not answer, with what it printed.
    ///
    /// # Panics
    ///
    /// When it cannot even be started.
    pub fn try_start(
        program: impl AsRef<Path>,
        config: Option<&str>,
        arguments: &[&str],
    ) -> Result<Self, Ended> {
        let program = program.as_ref().to_owned();
        let dir = tempfile::Builder::new()
            .prefix("stickd-")
            .tempdir()
            .unwrap_or_else(|error| panic!("cannot make a temporary directory: {error}"));
        let daemon = spawn(&program, config, dir.path(), 0, arguments)?;
        Ok(Self { daemon, program, generation: 0, dir })
    }

    /// Starts another stickd with `-sf <this one's pid>` in the same working directory and waits until it answers on the
    /// runtime socket. Returns the old process, whose end can be waited for by [`Daemon::wait_exit`].
    ///
    /// # Errors
    ///
    /// When the new process ends instead or does not answer; this one is left as it is.
    pub fn replace(&mut self, config: Option<&str>, arguments: &[&str]) -> Result<Daemon, Ended> {
        self.generation += 1;
        let old_pid = self.daemon.pid().to_string();
        let arguments = [arguments, &["-sf", &old_pid]].concat();
        let new = spawn(&self.program, config, self.dir.path(), self.generation, &arguments)?;
        Ok(std::mem::replace(&mut self.daemon, new))
    }

    /// Kills the process and starts another in the same working directory.
    ///
    /// # Panics
    ///
    /// When the new process does not come up.
    #[track_caller]
    pub fn restart(&mut self, config: Option<&str>, arguments: &[&str]) {
        self.daemon.kill9();
        self.generation += 1;
        self.daemon = spawn(&self.program, config, self.dir.path(), self.generation, arguments)
            .unwrap_or_else(|ended| panic!("stickd {ended}"));
    }

    /// Ends it by SIGTERM and waits for that.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn stop(&self) -> ExitStatus {
        self.daemon.signal(Signal::TERM);
        self.daemon.wait_exit(SOON)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The process: signals, output, end.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Its working directory.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Its runtime socket.
    pub fn cli(&self) -> Cli {
        Cli::unix(self.dir.path().join(SOCKET))
    }

    /// `show table <name>`, parsed.
    ///
    /// # Panics
    ///
    /// When there is no such table.
    #[track_caller]
    pub fn table(&self, name: &str) -> TableDump {
        self.cli().table(name)
    }
}

fn spawn(
    program: &Path,
    config: Option<&str>,
    dir: &Path,
    generation: u32,
    arguments: &[&str],
) -> Result<Daemon, Ended> {
    let mut command = Command::new(program);
    command.arg("run").current_dir(dir);
    if let Some(text) = config {
        let file = dir.join(format!("stickd.{generation}.cfg"));
        fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        command.arg("-f").arg(file);
    }
    command.args(arguments);
    let log = dir.join(format!("stickd.{generation}.log"));
    Daemon::spawn("stickd", &mut command, log)
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
        .wait_ready(&Cli::unix(dir.join(SOCKET)), SOON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that prints how it was called and ends.
    fn echo() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("fake");
        fs::write(&program, "#!/bin/sh\necho \"$@\"; pwd; exit 2\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (dir, program)
    }

    #[test]
    fn a_refusal_is_an_error_with_its_output() {
        let (_dir, program) = echo();
        let ended = StickdProcess::try_start(&program, Some("global"), &["-L", "hub"]).unwrap_err();
        assert_eq!(ended.status.and_then(|status| status.code()), Some(2));
        assert!(ended.log.starts_with("run -f "), "{}", ended.log);
        assert!(ended.log.contains("/stickd.0.cfg -L hub\n"), "{}", ended.log);
    }

    #[test]
    fn no_configuration_no_option() {
        let (_dir, program) = echo();
        let ended = StickdProcess::try_start(&program, None, &["-L", "hub"]).unwrap_err();
        assert!(ended.log.starts_with("run -L hub\n"), "{}", ended.log);
    }
}
