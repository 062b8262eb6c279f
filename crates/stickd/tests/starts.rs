//! Starts that fail: what stickd prints names what is wrong, where, and what to do.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{StickdProcess, ports};

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// What stickd prints with these arguments, and how it ends.
fn run(arguments: &[&str]) -> (String, Option<i32>) {
    let Output { status, stdout, stderr } = Command::new(STICKD).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (text, status.code())
}

fn config(bind: SocketAddr) -> String {
    format!(
        "global\n  localpeer n\n  stats socket unix@{SOCKET} level admin\npeers p\n  bind {bind}\n  server n\n  server A 192.0.2.1:1\n"
    )
}

#[test]
fn haproxy_s_command_line_is_answered_with_stickd_s() {
    for (arguments, line) in [
        (&["-f", "a.cfg"][..], "stickd run -f a.cfg"),
        (&["-c", "-f", "a.cfg"], "stickd check -f a.cfg"),
        (&["-W", "-f", "a.cfg", "-p", "/run/p", "-sf", "1"], "stickd run -f a.cfg -p /run/p -sf 1"),
        (&["run", "-D", "-f", "a.cfg"], "stickd run -f a.cfg"),
    ] {
        let (text, code) = run(arguments);
        assert!(text.contains(&format!("\n  {line}\n")) && code == Some(2), "{arguments:?}: {text}");
    }
    for arguments in [&["-v"][..], &["-vv"]] {
        let (text, code) = run(arguments);
        assert!(text.starts_with("stickd ") && code == Some(0), "{arguments:?}: {text}");
    }
    let (text, code) = run(&["--frob"]);
    assert!(text.contains("unexpected argument '--frob'") && code == Some(2), "{text}");
}

#[test]
fn check_says_what_it_checks() {
    let (text, code) = run(&["check"]);
    assert!(text.starts_with("No file is given (-f), so this is the built-in configuration.\n"), "{text}");
    assert_eq!(code, Some(0));
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.cfg");
    fs::write(&empty, "").unwrap();
    for command in ["check", "run"] {
        let (text, code) = run(&[command, "-f", empty.to_str().unwrap()]);
        assert!(text.contains("no stats socket: stickd would serve nothing"), "{text}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("n.cfg");
    fs::write(&file, config(ports::free_address())).unwrap();
    let script = format!("ulimit -n 12; exec {STICKD} run -f {}", file.display());
    let output = Command::new("sh").args(["-c", &script]).current_dir(&directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("the limit of open files is 12, and this configuration needs "), "{text}");
    assert!(text.contains("raise it (LimitNOFILE= of the unit, ulimit -n)"), "{text}");
}

#[test]
fn what_stands_at_a_socket_s_path_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s.sock");
    let text = config(ports::free_address()).replace(SOCKET, &socket.display().to_string());
    let refused = || StickdProcess::try_start(STICKD, Some(&text), &[]).unwrap_err().log;
    fs::write(&socket, "").unwrap();
    let log = refused();
    assert!(log.contains("s.sock: an empty file is there, as \"socat - PATH\" makes it"), "{log}");
    assert!(log.contains("\"socat - UNIX-CONNECT:PATH\""), "{log}");
    fs::remove_file(&socket).unwrap();
    fs::create_dir(&socket).unwrap();
    assert!(refused().contains("a directory is there: remove it"));
    assert!(!refused().contains("-sf"));
}

#[test]
fn a_take_over_is_proposed_where_a_stickd_runs() {
    let bind = ports::free_address();
    let first = StickdProcess::start(STICKD, Some(&config(bind)), &[]);
    let log = StickdProcess::try_start(STICKD, Some(&config(bind)), &[]).unwrap_err().log;
    assert!(log.contains(&format!("cannot listen on {bind} for section peers p: ")), "{log}");
    assert!(
        log.contains("to take over from the stickd that runs, add ")
            && log.contains(&format!("-sf {}", first.pid())),
        "{log}"
    );
    drop(first);
    let other = ports::free_address();
    let _listener = TcpListener::bind(other).unwrap();
    let log = StickdProcess::try_start(STICKD, Some(&config(other)), &[]).unwrap_err().log;
    // Other tests run stickds at the same time.
    assert!(log.contains("in use") && (log.contains("ss -lntp") || log.contains("-sf ")), "{log}");
    let nowhere: SocketAddr = "192.0.2.77:10000".parse().unwrap();
    let log = StickdProcess::try_start(STICKD, Some(&config(nowhere)), &[]).unwrap_err().log;
    assert!(log.contains("this machine does not have the address") && !log.contains("-sf"), "{log}");
}
