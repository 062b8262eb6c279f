//! stickd as a service: what the manager is told, a reload that can be waited for, and the files of the packages.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stickd_testkit::stickd::{config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Daemon, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file)
}

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(directory: &Path) -> Self {
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, path }
    }

    /// The next message that holds a line.
    #[track_caller]
    fn hears(&self, line: &str) -> String {
        let mut heard = String::new();
        wait::until(SOON * 2, line, || {
            let mut bytes = [0; 4096];
            let count = self.socket.recv(&mut bytes).ok()?;
            heard = String::from_utf8_lossy(&bytes[..count]).into_owned();
            heard.lines().any(|heard| heard.starts_with(line)).then_some(())
        });
        heard
    }
}

#[test]
fn the_manager_hears_of_the_start_the_work_the_next_process_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let manager = Manager::new(directory.path());
    let text = config(ports::free_address(), &[]) + &table("t", "type ip size 1k expire 1h store gpc0");
    let text = text.replacen("global\n", "global\n  state state\n", 1);
    let file = directory.path().join("stickd.cfg");
    fs::write(&file, text).unwrap();
    let pid_file = directory.path().join("pid");
    let mut command = Command::new(STICKD);
    command.args(["run", "-f"]).arg(&file).arg("-p").arg(&pid_file).current_dir(directory.path());
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "3000000").env("WATCHDOG_PID", "1");
    let stickd = Daemon::spawn("stickd", &mut command, directory.path().join("log")).unwrap();
    manager.hears("EXTEND_TIMEOUT_USEC=");
    let ready = manager.hears("READY=1");
    assert!(ready.contains(&format!("MAINPID={}", stickd.pid())), "{ready}");
    let cli = Cli::unix(directory.path().join("stickd.sock"));
    cli.quiet("set table t key 192.0.2.1 data.gpc0 7");
    wait::until(SOON * 2, "the status", || {
        manager.hears("WATCHDOG=1").contains("STATUS=1 entries in 1 tables, ").then_some(())
    });
    // A reload ends when the next process has everything, and says so before the one before is gone.
    let mut reload = Command::new(STICKD);
    reload.arg("reload").arg(stickd.pid().to_string()).stdin(Stdio::null());
    let reload = std::thread::spawn(move || reload.output().unwrap());
    let taken = manager.hears("MAINPID=");
    let done = reload.join().unwrap();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stderr), stickd.log());
    assert!(!stickd.is_running());
    let next = fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    assert_eq!(taken, format!("MAINPID={next}"));
    assert!(cli.run("show table t").contains("gpc0=7"));
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    // One that is refused changes nothing.
    fs::write(&file, "nonsense\n").unwrap();
    let refused = Command::new(STICKD).args(["reload", &next]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains(&format!("the process {next} goes on: its log says why")), "{error}");
    assert!(cli.run("show table t").contains("gpc0=7"));
    assert!(Command::new("kill").arg(&next).status().unwrap().success());
    manager.hears("STOPPING=1");
}

#[test]
fn a_reload_of_nobody_fails_at_once() {
    let mut ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    ended.wait().unwrap();
    let output =
        Command::new(STICKD).args(["reload", &pid.to_string()]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(&format!("the process {pid} cannot be reached")), "{error}");
}

/// 2.0 of 10 at most: what an attacker could do from inside the service.
#[test]
fn the_unit_is_hardened() {
    let unit = packaging("stickd.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .stdin(Stdio::null());
    let output = analyze.output().expect("systemd-analyze runs (Debian package systemd)");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("Overall exposure level"), "{text}");
    // The lifetimes of tables on disk need to know which start of the machine this is.
    assert!(!fs::read_to_string(&unit).unwrap().contains("ProcSubset=pid"));
}

#[test]
fn the_configurations_of_the_packages_load() {
    for name in ["stickd.cfg", "container.cfg"] {
        let output =
            Command::new(STICKD).args(["check", "-f"]).arg(packaging(name)).stdin(Stdio::null()).output();
        let output = output.unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("warning"), "{name}: {said}");
    }
}
