//! Which process may take over from which.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use stickd_testkit::daemon::{Daemon, Signal};
use stickd_testkit::stickd::{SOCKET, config};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{StickdProcess, ports};

use crate::STICKD;

const TABLE: &str = "type integer size 1k expire 1h store gpc0";

/// A stickd with one entry, which must not be disturbed.
fn with_entry(text: &str) -> StickdProcess {
    let stickd = StickdProcess::start(STICKD, Some(text), &["-p", "stickd.pid"]);
    stickd.cli().quiet("set table c key 1 data.gpc0 7");
    stickd
}

#[track_caller]
fn assert_undisturbed(stickd: &StickdProcess) {
    assert!(stickd.daemon().is_running(), "{}", stickd.daemon().log());
    assert!(!stickd.daemon().log().contains("soft stop"), "{}", stickd.daemon().log());
    assert_eq!(stickd.table("c").entry("1").number("gpc0"), 7);
    assert_eq!(stickd.cli().info("Pid"), Some(stickd.pid().to_string()));
}

fn pids(pids: &[u32]) -> Vec<String> {
    ["-sf".to_owned()].into_iter().chain(pids.iter().map(u32::to_string)).collect()
}

/// Starts a stickd in a directory of its own with `-sf` and these processes.
fn take_over(text: &str, from: &[u32]) -> Result<StickdProcess, stickd_testkit::daemon::Ended> {
    let arguments = pids(from);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    StickdProcess::try_start(STICKD, Some(text), &arguments)
}

fn text(section: &str, name: &str, bind: std::net::SocketAddr) -> String {
    let text = config(bind, &[]).replace("peers p\n", &format!("peers {section}\n"));
    let text = text.replace("localpeer stickd", &format!("localpeer {name}"));
    text.replace("server stickd", &format!("server {name}"))
        + &format!("backend c\n  stick-table {TABLE} peers {section}\n")
}

/// `-sf $(pidof stickd)` on a host with two of them.
#[test]
fn all_stickds_of_a_host_may_be_named_and_one_hands_over() {
    let [one, two] = [(); 2].map(|()| ports::free_address());
    let (ours, theirs) = (text("p", "a", one), text("q", "b", two));
    let (mut old, other) = (with_entry(&ours), with_entry(&theirs));
    let other_pid = other.pid().to_string();
    let ended = old.replace(Some(&ours), &["-sf", &other_pid]).unwrap();
    assert_eq!(ended.wait_exit(SOON).code(), Some(0), "{}", ended.log());
    assert_eq!(old.table("c").entry("1").number("gpc0"), 7, "{}", old.daemon().log());
    let log = old.daemon().log();
    let line =
        log.lines().find(|line| line.contains("does not hand over")).unwrap_or_else(|| panic!("{log}"));
    println!("{line}\n{}", other.daemon().log());
    for part in ["WARN", &format!("pid={other_pid}"), "section peers q", "keeps running"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_undisturbed(&other);
}

/// A process ends for a successor of the same sections only, and says why it does not.
#[test]
fn a_process_of_other_sections_is_no_successor() {
    let [bind, other] = [(); 2].map(|()| ports::free_address());
    let old = with_entry(&text("p", "a", bind));
    for (wrong, word) in [
        (text("q", "a", other), "its section peers p is not one of"),
        (text("p", "b", other), "it is a, and the process that asks is b"),
        // As two stickds of one host may have the same names, at addresses of their own.
        (text("p", "a", other), "listens on 127.0.0.1"),
        (
            text("p", "a", other).replacen("peers p\n", "peers p\n  disabled\n", 1),
            "its section peers p is not one of",
        ),
    ] {
        let ended = take_over(&wrong, &[old.pid()]).unwrap_err();
        println!("{}", ended.log);
        assert_eq!(ended.status.and_then(|status| status.code()), Some(1), "{ended}");
        assert!(ended.log.contains(word) && ended.log.contains("no process hands over"), "{word}: {ended}");
        assert!(old.daemon().log().contains(word), "{word}: {}", old.daemon().log());
        assert_undisturbed(&old);
    }
    // One section more is fine.
    let more = text("p", "a", bind) + &format!("peers r\n  bind {other}\n  server a\n");
    let new = take_over(&more, &[old.pid()]).unwrap();
    assert_eq!(old.daemon().wait_exit(SOON).code(), Some(0));
    assert_eq!(new.table("c").entry("1").number("gpc0"), 7);
    // And one less is not.
    let ended = take_over(&text("p", "a", bind), &[new.pid()]).unwrap_err();
    assert!(ended.log.contains("its section peers r is not one of"), "{ended}");
}

/// Old pid files: in a container the next process often has the same id.
#[test]
fn a_process_that_names_itself_starts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.cfg"), text("p", "a", ports::free_address())).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {STICKD} run -f a.cfg -sf $$")]).current_dir(dir.path());
    let daemon = Daemon::spawn("stickd", &mut command, dir.path().join("log")).unwrap();
    let cli = stickd_testkit::Cli::unix(dir.path().join(SOCKET));
    let daemon = daemon.wait_ready(&cli, SOON).unwrap_or_else(|ended| panic!("{ended}"));
    let line = "-sf names this process itself";
    assert_eq!(daemon.log().matches(line).count(), 1, "{}", daemon.log());
    assert!(!daemon.log().contains("soft stop"), "{}", daemon.log());
    // It is up to date as without -sf: nobody is waited for.
    assert!(daemon.is_running());
    assert!(daemon.log().contains("WARN"));
}

/// Pid files whose process has ended, or whose number another program has by now.
#[test]
fn other_programs_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut sleep = Command::new("sleep");
    let sleep = Daemon::spawn("sleep", sleep.arg("1000"), dir.path().join("log")).unwrap();
    let gone = Daemon::spawn("true", &mut Command::new("true"), dir.path().join("log2")).unwrap();
    let gone_pid = gone.pid();
    gone.wait_exit(SOON);
    let new = take_over(&text("p", "a", ports::free_address()), &[sleep.pid(), gone_pid]).unwrap();
    let log = new.daemon().log();
    println!("{log}");
    assert!(sleep.is_running(), "a program was ended that is no stickd");
    assert!(log.contains("has no hand-over socket"), "{log}");
    assert!(log.contains("is not running"), "{log}");
}

/// What -sf names does not hand over, and its addresses are taken: nothing is shared with it.
#[test]
fn a_process_that_takes_over_from_nobody_does_not_share_addresses() {
    let bind = ports::free_address();
    let old = with_entry(&text("p", "a", bind));
    let dir = tempfile::tempdir().unwrap();
    let mut sleep = Command::new("sleep");
    let sleep = Daemon::spawn("sleep", sleep.arg("1000"), dir.path().join("log")).unwrap();
    let ended = take_over(&text("p", "a", bind), &[sleep.pid()]).unwrap_err();
    assert!(ended.log.contains("in use"), "{ended}");
    assert_undisturbed(&old);
}

/// The hand-over socket of a process.
fn door(pid: u32) -> PathBuf {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let paths = sockets.lines().filter_map(|line| line.split(' ').next_back());
    // A socket shows the name it was bound under, and stands beside or one directory above that.
    let above = paths.flat_map(|path| Path::new(path).ancestors().skip(1).take(2));
    let sockets = above.map(|directory| directory.join(format!("{pid}.sock")));
    let found = sockets.into_iter().find(|socket| socket.exists());
    found.unwrap_or_else(|| panic!("process {pid} has no hand-over socket"))
}

#[test]
fn the_hand_over_socket_is_closed_to_other_users_and_goes_with_its_process() {
    let stickd = with_entry(&text("p", "a", ports::free_address()));
    let socket = door(stickd.pid());
    let directory = fs::symlink_metadata(socket.parent().unwrap()).unwrap();
    assert!(directory.is_dir());
    assert_eq!(directory.mode() & 0o777, 0o700, "{}", socket.display());
    assert_eq!(directory.uid(), fs::metadata(stickd.directory()).unwrap().uid());
    stickd.stop();
    assert!(!socket.exists());
}

/// A process of this user that was not named in -sf does not become a predecessor.
#[test]
fn a_process_that_was_not_named_does_not_teach() {
    let stickd = with_entry(&text("p", "a", ports::free_address()));
    let mut stream = UnixStream::connect(door(stickd.pid())).unwrap();
    stream.write_all(b"stickd-handover 1\tteach\tpeers\tp\nHAProxyS 2.1\na\na 1 1\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"", "{}", stickd.daemon().log());
    stickd.daemon().wait_log("wants to teach", SOON);
    assert_undisturbed(&stickd);
}

/// Words of no meaning, and a process that asks and never gets ready.
#[test]
fn a_process_that_asks_and_goes_leaves_the_old_one_as_it_was() {
    let bind = ports::free_address();
    let old = with_entry(&text("p", "a", bind));
    for words in
        ["\n", "GET / HTTP/1.1\r\n\r\n", "stickd-handover 1\tdance\n", "stickd-handover 1\ttake-over\nx\n"]
    {
        let mut stream = UnixStream::connect(door(old.pid())).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("no\t"), "{words:?}: {answer}");
    }
    let request = format!("stickd-handover 1\ttake-over\npeers\tp\ta\t{bind}\nend\n");
    let mut asking = UnixStream::connect(door(old.pid())).unwrap();
    asking.set_read_timeout(Some(SOON)).unwrap();
    asking.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(asking.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "yes");
    // Meanwhile nobody else may.
    let ended = take_over(&text("p", "a", bind), &[old.pid()]).unwrap_err();
    assert!(ended.log.contains("takes over already"), "{ended}");
    drop((asking, lines));
    old.daemon().wait_log("did not become ready", SOON);
    assert_undisturbed(&old);
    let new = take_over(&text("p", "a", bind), &[old.pid()]).unwrap();
    assert_eq!(old.daemon().wait_exit(SOON).code(), Some(0));
    assert_eq!(new.table("c").entry("1").number("gpc0"), 7);
}

/// A successor that never takes a lesson to its end does not keep the old process.
#[test]
fn a_successor_that_breaks_off_is_given_up() {
    let bind = ports::free_address();
    let old = with_entry(&text("p", "a", bind));
    let socket = door(old.pid());
    // This test is the successor: at the socket of its own process id, whose name another thread may have.
    let own = socket.with_file_name(format!("{}.sock", std::process::id()));
    let _ = fs::remove_file(&own);
    let listener = UnixListener::bind(&own).unwrap();
    let asked = Instant::now();
    let mut asking = UnixStream::connect(&socket).unwrap();
    let request = format!("stickd-handover 1\ttake-over\npeers\tp\ta\t{bind}\nend\n");
    asking.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(asking.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "yes");
    asking.write_all(b"go\n").unwrap();
    let attempts = thread::spawn(move || {
        let mut attempts = 0;
        while attempts < 3 {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut lines = [(); 4].map(|()| String::new());
            lines.iter_mut().for_each(|line| {
                stream.read_line(line).unwrap();
            });
            if lines[0].is_empty() {
                // A stickd that starts beside this test looks whether anybody lives here.
                continue;
            }
            let words = ["stickd-handover 1\tteach\tpeers\tp\n", "HAProxyS 2.1\n", "a\n"];
            assert_eq!(lines[..3], words);
            assert!(lines[3].starts_with("a "), "{lines:?}");
            stream.get_mut().write_all(b"200\n").unwrap();
            attempts += 1;
        }
        attempts
    });
    assert_eq!(old.daemon().wait_exit(SOON).code(), Some(0));
    assert_eq!(attempts.join().unwrap(), 3);
    let _ = fs::remove_file(&own);
    let log = old.daemon().log();
    assert_eq!(log.matches("no process took over").count(), 1, "{log}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{log}");
}

/// The signal of an operator, with no process that takes over: the process ends.
#[test]
fn a_soft_stop_without_a_successor_ends_at_once() {
    let old = with_entry(&text("p", "a", ports::free_address()));
    let asked = Instant::now();
    old.signal(Signal::USR1);
    assert_eq!(old.daemon().wait_exit(SOON).code(), Some(0));
    let log = old.daemon().log();
    assert_eq!(log.matches("no process took over").count(), 1, "{log}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{log}");
}

/// Root sees every pid, and a user that root started may name root's: it is refused by the system, and says so.
#[test]
fn a_process_of_another_user_does_not_take_over() {
    let bind = ports::free_address();
    let old = with_entry(&text("p", "a", bind));
    if !rustix::process::geteuid().is_root() {
        // Only root can start a process of another user; the directory's permissions have a test of their own.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let program = dir.path().join("stickd");
    fs::copy(STICKD, &program).unwrap();
    fs::write(dir.path().join("a.cfg"), text("p", "a", bind)).unwrap();
    let mut command = Command::new(&program);
    command.args(["run", "-f", "a.cfg", "-sf", &old.pid().to_string()]).current_dir(dir.path());
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    let daemon = Daemon::spawn("stickd", &mut command, dir.path().join("log")).unwrap();
    wait::until_or(SOON, "the end of the other user's process", || daemon.log(), || daemon.try_exit());
    println!("{}", daemon.log());
    assert!(
        daemon.log().contains("no hand-over socket") && daemon.log().contains("in use"),
        "{}",
        daemon.log()
    );
    assert_undisturbed(&old);
}

/// Two tables of two sections, each handed over by a connection of its own.
#[test]
fn every_section_is_handed_over() {
    let [one, two] = [(); 2].map(|()| ports::free_address());
    let text = text("p", "a", one)
        + &format!(
            "peers \"q r\"\n  bind {two}\n  server a\nbackend d\n  stick-table {TABLE} peers \"q r\"\n"
        );
    let text = if text.contains("q r") { text.replace("\"q r\"", "q.r") } else { text };
    let mut stickd = with_entry(&text);
    stickd.cli().quiet("set table d key 2 data.gpc0 8");
    let old = stickd.replace(Some(&text), &[]).unwrap();
    assert_eq!(old.wait_exit(SOON).code(), Some(0));
    assert_eq!(old.log().matches("the next process has everything").count(), 2, "{}", old.log());
    assert_eq!(stickd.table("c").entry("1").number("gpc0"), 7);
    assert_eq!(stickd.table("d").entry("2").number("gpc0"), 8);
}
