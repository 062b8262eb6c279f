//! A running HAProxy.

use super::config::Config;
use super::release::Release;
use crate::cli::Cli;
use crate::daemon::{Daemon, Signal};
use crate::dump::TableDump;
use crate::wait::SOON;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A HAProxy in a directory of its own, with what it needs to be reloaded and restarted. Dropping it kills the process,
/// by its id, and removes the directory.
#[derive(Debug)]
pub struct HaproxyProcess {
    daemon: Daemon,
    release: Release,
    config: Config,
    generation: u32,
    // Last: the directory goes when the process is gone.
    dir: TempDir,
}

impl HaproxyProcess {
    /// Starts `release` with `config` in the foreground and waits until its runtime socket answers.
    ///
    /// # Panics
    ///
    /// When it ends instead or does not answer, with what it printed.
    #[track_caller]
    pub fn start(release: &Release, config: Config) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("stickd-haproxy-")
            .tempdir()
            .unwrap_or_else(|error| panic!("cannot make a temporary directory: {error}"));
        let daemon = spawn(release, &config, dir.path(), 0, &[]);
        Self { daemon, release: release.clone(), config, generation: 0, dir }
    }

    /// Reloads as an operator would: a new process takes over with `-sf`, teaches itself from the old one through the
    /// local peer's session, and the old one ends when its work is done. Returns the old one once the new one answers;
    /// wait for its end by [`Daemon::wait_exit`].
    ///
    /// # Panics
    ///
    /// When the new process does not come up.
    #[track_caller]
    pub fn reload(&mut self, config: Config) -> Daemon {
        self.generation += 1;
        let old_pid = self.daemon.pid().to_string();
        let new = spawn(&self.release, &config, self.dir.path(), self.generation, &["-sf", &old_pid]);
        self.config = config;
        std::mem::replace(&mut self.daemon, new)
    }

    /// [`Self::reload`] with the configuration it has.
    ///
    /// # Panics
    ///
    /// When the new process does not come up.
    #[track_caller]
    pub fn reload_same(&mut self) -> Daemon {
        self.reload(self.config.clone())
    }

    /// Kills the process and starts another with the same configuration, whose tables are empty.
    ///
    /// # Panics
    ///
    /// When the new process does not come up.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.kill9();
        self.generation += 1;
        self.daemon = spawn(&self.release, &self.config, self.dir.path(), self.generation, &[]);
    }

    /// Ends it by SIGTERM, which HAProxy obeys at once, and waits for that.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn stop(&self) {
        self.daemon.signal(Signal::TERM);
        self.daemon.wait_exit(SOON);
    }

    /// Ends it as a crash would.
    pub fn kill9(&self) {
        self.daemon.kill9();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The process: signals, output, end.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Which HAProxy it is.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The directory of its configuration, socket and output.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Its runtime socket.
    pub fn cli(&self) -> Cli {
        cli(self.dir.path())
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

    /// Address of its HTTP.
    ///
    /// # Panics
    ///
    /// When its configuration has none.
    pub fn http_address(&self) -> SocketAddr {
        self.config.http_address()
    }
}

fn cli(dir: &Path) -> Cli {
    Cli::unix(dir.join("haproxy.sock"))
}

#[track_caller]
fn spawn(release: &Release, config: &Config, dir: &Path, generation: u32, arguments: &[&str]) -> Daemon {
    let file = dir.join(format!("haproxy.{generation}.cfg"));
    let text = config.text(&dir.join("haproxy.sock").display().to_string());
    fs::write(&file, &text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    let mut command = Command::new(release.program());
    command.arg("-db").arg("-L").arg(config.name()).arg("-f").arg(&file).args(arguments).current_dir(dir);
    let name = format!("{release} as peer {}", config.name());
    let log = dir.join(format!("haproxy.{generation}.log"));
    let daemon = Daemon::spawn(&name, &mut command, log)
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", release.program().display()));
    daemon
        .wait_ready(&cli(dir), SOON)
        .unwrap_or_else(|ended| panic!("{name} {ended}\nits configuration:\n{text}"))
}
