//! How real HAProxys and stickd come together: both connect at once, and two processes have one name.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Cli, Config, HaproxyProcess, Release, StickdProcess, on_every_release, ports};

on_every_release!(of_two_connections_at_once_one_is_kept, two_processes_of_one_name_are_named);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type string len 32 size 1k expire 1h store gpc0";
/// HAProxy waits 5 s between attempts.
const CONNECTED: Duration = Duration::from_secs(30);

/// The way to one side. The first connection waits until both sides have said their hello, so that the hellos cross.
struct Gate {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Gate {
    fn start(target: SocketAddr, both: &Arc<Barrier>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, both) = (Arc::clone(&connections), Arc::clone(both));
        // Ends with the test's process.
        thread::spawn(move || {
            for opener in listener.incoming().flatten() {
                let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
                let both = is_first.then(|| Arc::clone(&both));
                thread::spawn(move || pass(opener, target, both));
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Joins a connection with the target once that listens.
fn pass(mut opener: TcpStream, target: SocketAddr, both: Option<Arc<Barrier>>) -> io::Result<()> {
    let mut hello = [0; 1024];
    let count = opener.read(&mut hello)?;
    let mut target = wait::until(SOON, "the other side to listen", || TcpStream::connect(target).ok());
    if let Some(both) = both {
        both.wait();
    }
    for stream in [&opener, &target] {
        stream.set_nodelay(true)?;
    }
    target.write_all(&hello[..count])?;
    let (to_target, to_opener) = ([opener.try_clone()?, target.try_clone()?], [target, opener]);
    thread::spawn(move || pump(to_target));
    pump(to_opener);
    Ok(())
}

fn pump([mut from, mut to]: [TcpStream; 2]) {
    let _ = io::copy(&mut from, &mut to);
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn stickd_config(name: &str, bind: SocketAddr, haproxy: SocketAddr) -> String {
    format!(
        "global\n  localpeer {name}\n  stats socket unix@stickd.sock level admin\n\
         peers p\n  bind {bind}\n  server {name}\n  server M {haproxy}\nbackend t\n  stick-table {TABLE} peers p\n"
    )
}

#[track_caller]
fn wait_value(side: &Cli, key: &str, value: u64, stickd: &StickdProcess) {
    let state = || side.run("show peers") + &stickd.cli().run("show peers") + &stickd.daemon().log();
    wait::until_or(CONNECTED, &format!("{key} = {value} on {side}"), state, || {
        (side.table("t").entries.get(key)?.number("gpc0") == value).then_some(())
    });
}

/// Nobody has to connect again: the entries of both sides arrive over one of the two connections.
fn of_two_connections_at_once_one_is_kept(release: &Release) {
    // The side with the lower name does otherwise than the one with the higher.
    for name in ["A", "Z"] {
        let [own, haproxy] = [(); 2].map(|()| ports::free_address());
        let both = Arc::new(Barrier::new(2));
        let (to_stickd, to_haproxy) = (Gate::start(own, &both), Gate::start(haproxy, &both));
        let config = Config::new("M").peer("M", haproxy).peer(name, to_stickd.address).table("t", TABLE);
        let stickd = StickdProcess::start(STICKD, Some(&stickd_config(name, own, to_haproxy.address)), &[]);
        let haproxy = HaproxyProcess::start(release, config);
        haproxy.cli().quiet("set table t key of-haproxy data.gpc0 1");
        stickd.cli().quiet("set table t key of-stickd data.gpc0 2");
        wait_value(&stickd.cli(), "of-haproxy", 1, &stickd);
        wait_value(&haproxy.cli(), "of-stickd", 2, &stickd);
        let log = stickd.daemon().log();
        assert_eq!((to_stickd.connections(), to_haproxy.connections()), (1, 1), "{name}: {log}");
        assert!(!log.contains("cannot reach the peer"), "an attempt that gives way is no warning: {log}");
    }
}

/// Two stickds decide alike.
#[test]
fn two_stickds_that_connect_at_once_keep_one_connection() {
    let [one, other] = [(); 2].map(|()| ports::free_address());
    let both = Arc::new(Barrier::new(2));
    let (to_one, to_other) = (Gate::start(one, &both), Gate::start(other, &both));
    let text = |name: &str, bind: SocketAddr, peer: &str, at: SocketAddr| {
        format!(
            "global\n  localpeer {name}\n  stats socket unix@stickd.sock level admin\n\
             peers p\n  bind {bind}\n  server {name}\n  server {peer} {at}\nbackend t\n  stick-table {TABLE} peers p\n"
        )
    };
    let nodes = [text("a", one, "b", to_other.address), text("b", other, "a", to_one.address)];
    let [a, b] = nodes.map(|text| StickdProcess::start(STICKD, Some(&text), &[]));
    a.cli().quiet("set table t key of-a data.gpc0 1");
    b.cli().quiet("set table t key of-b data.gpc0 2");
    wait_value(&b.cli(), "of-a", 1, &b);
    wait_value(&a.cli(), "of-b", 2, &a);
    assert_eq!((to_one.connections(), to_other.connections()), (1, 1), "{}", a.daemon().log());
    for node in [&a, &b] {
        assert!(!node.daemon().log().contains("WARN"), "{}", node.daemon().log());
    }
}

/// A cloned machine: the session of one ends that of the other, again and again.
fn two_processes_of_one_name_are_named(release: &Release) {
    let own = ports::free_address();
    let stickd = StickdProcess::start(STICKD, Some(&stickd_config("A", own, ports::free_address())), &[]);
    let start = || {
        let config = Config::new("M").peer("M", ports::free_address()).peer("A", own).table("t", TABLE);
        HaproxyProcess::start(release, config)
    };
    let pair = [start(), start()];
    let warning = "two processes say they are M: ";
    stickd.daemon().wait_log(warning, CONNECTED);
    let log = stickd.daemon().log();
    let line = log.lines().find(|line| line.contains(warning)).unwrap();
    let process = |side: &HaproxyProcess| format!("127.0.0.1 (process {})", side.pid());
    let processes = [process(&pair[0]), process(&pair[1])];
    for process in &processes {
        assert!(line.contains(process.as_str()), "{process}: {line}");
    }
    assert!(line.contains(" WARN ") && line.contains("localpeer"), "{line}");
    let peers = stickd.cli().run("show peers");
    let shown = peers.lines().find(|line| line.trim_start().starts_with("same name: ")).expect("a line");
    assert!(processes.iter().all(|process| shown.contains(process.as_str())), "{shown}");
    let count: u64 = stickd.cli().info("Stickd_namesakes").unwrap().parse().unwrap();
    assert!(count > 0, "{count}");
}
