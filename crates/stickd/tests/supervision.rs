//! A task that ends unasked ends the process, with an error and a status that says so.
//!
//! The faults are switched on by `STICKD_FAULT`, which debug builds know.

#![cfg(debug_assertions)]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Daemon, ports};

struct Faulty {
    daemon: Daemon,
    bind: SocketAddr,
    directory: tempfile::TempDir,
}

impl Faulty {
    fn start(fault: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bind = ports::free_address();
        let text = config(bind, &[("A", ports::free_address())]) + &table("t", "type ip size 1k store gpc0");
        let hub = ports::free_address();
        let text = format!(
            "{text}aggregations h\n  peer stickd {hub} local\n  peer lb1 127.0.0.9:1\n  from any to .agg\n\
             peers d\n  bind {}\n  server stickd\n  nameserver 127.0.0.9:53\n  server-template lb 3 nowhere.test:1\n",
            ports::free_address()
        );
        std::fs::write(directory.path().join("stickd.cfg"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stickd"));
        command.args(["run", "-f", "stickd.cfg", "-p", "stickd.pid"]).current_dir(directory.path());
        command.env("STICKD_FAULT", fault);
        let daemon = Daemon::spawn("stickd", &mut command, directory.path().join("log")).unwrap();
        Self { daemon, bind, directory }
    }

    /// It must end by itself, with an error, and leave nothing behind.
    #[track_caller]
    fn assert_failed(&self, reason: &str) {
        let status = self.daemon.wait_exit(SOON);
        let log = self.daemon.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(reason), "{reason}: {log}");
        assert!(log.contains("ERROR"), "{log}");
        for file in [SOCKET, "stickd.pid"] {
            assert!(!self.directory.path().join(file).exists(), "{file} stays: {log}");
        }
    }
}

#[test]
fn a_service_that_ends_or_panics_ends_the_process() {
    for task in ["sweep", "listener of p", "timers of p", "sums of h", "names of d", "runtime API"] {
        Faulty::start(&format!("return {task}")).assert_failed(&format!("the task \"{task}"));
        let faulty = Faulty::start(&format!("panic {task}"));
        faulty.assert_failed("failed; please report this");
        assert!(faulty.daemon.log().contains("switched on by STICKD_FAULT"), "{}", faulty.daemon.log());
    }
}

#[test]
fn a_panic_in_a_connection_ends_the_process() {
    let faulty = Faulty::start("panic inbound");
    let cli = Cli::unix(faulty.directory.path().join(SOCKET));
    wait::until(SOON, "the runtime API", || cli.info("Pid"));
    let mut stream = TcpStream::connect(faulty.bind).unwrap();
    let _ = stream.write_all(b"HAProxyS 2.1\nstickd\nA 1 1\n");
    faulty.assert_failed("failed; please report this");
}

#[test]
fn without_a_fault_it_runs() {
    let healthy = Faulty::start("panic nothing");
    let cli = Cli::unix(healthy.directory.path().join(SOCKET));
    wait::until_or(SOON, "the runtime API", || healthy.daemon.log(), || cli.info("Pid"));
    healthy.daemon.signal(stickd_testkit::Signal::TERM);
    assert_eq!(healthy.daemon.wait_exit(SOON).code(), Some(0), "{}", healthy.daemon.log());
}
