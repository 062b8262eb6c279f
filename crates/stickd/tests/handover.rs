//! From one process to the next with `-sf`: under traffic, with what only the old process knows, and when it fails.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use stickd_testkit::stickd::{SOCKET, config, table};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{
    Cli, Config, HaproxyProcess, Release, StickdProcess, TableDump, http, on_every_release, ports,
};

on_every_release!(nothing_is_lost_under_traffic);

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");
const TABLE: &str = "type ip size 1k expire 1h store gpc0,http_req_cnt";

/// HAProxy waits 5 s after its start for an old process, then asks others.
const RECONNECTED: Duration = Duration::from_secs(30);

/// Requests by key.
fn counts(table: &TableDump) -> BTreeMap<String, u64> {
    table.entries.iter().map(|(key, entry)| (key.clone(), entry.number("http_req_cnt"))).collect()
}

/// When the entry of a table expires.
fn expiry(side: &Cli, name: &str, key: &str) -> Instant {
    let table = side.table(name);
    Instant::now() + Duration::from_millis(table.entry(key).exp)
}

fn haproxy_config(name: &str, own: SocketAddr, stickd: SocketAddr) -> Config {
    Config::new(name).peer(name, own).peer("stickd", stickd)
}

fn nothing_is_lost_under_traffic(release: &Release) {
    let [bind, a, b] = [(); 3].map(|()| ports::free_address());
    let text = config(bind, &[("A", a), ("B", b)])
        + &["t_ip", "t_only", "t_gone"].map(|name| table(name, TABLE)).concat();
    let mut stickd = StickdProcess::start(STICKD, Some(&text), &["-p", "stickd.pid"]);
    let counting = haproxy_config("A", a, bind)
        .http(ports::free_address(), ports::free_address())
        .table("t_ip", TABLE)
        .track("ip", "req.hdr_ip(x-key)", "t_ip");
    let haproxy = HaproxyProcess::start(release, counting);
    let gone = HaproxyProcess::start(release, haproxy_config("B", b, bind).table("t_gone", TABLE));
    gone.cli().quiet("set table t_gone key 192.0.2.8 data.gpc0 8");
    stickd.cli().quiet("set table t_only key 192.0.2.9 data.gpc0 9");
    wait::until(SOON, "the entry of a HAProxy that goes", || {
        stickd.table("t_gone").entries.contains_key("192.0.2.8").then_some(())
    });
    gone.kill9();
    let known = [("t_gone", "192.0.2.8", 8), ("t_only", "192.0.2.9", 9)];
    let expires = known.map(|(name, key, _)| expiry(&stickd.cli(), name, key));

    // A HAProxy that is not up to date itself asks each new process for a lesson, and what it is taught takes the place
    // of what it counted meanwhile: with another HAProxy as with stickd.
    stickd.daemon().wait_log("the lesson is finished section=\"p\" peer=\"A\"", RECONNECTED);
    let keys: Vec<_> = (0..50).map(|number| format!("198.51.100.{number}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let traffic = http::Traffic::start(haproxy.http_address(), "/ip", &keys, 400);
    for round in 1..=3 {
        // Each process is of use: it has learned what was counted since it started.
        let sent = traffic.counts().sent();
        wait::until_or(
            SOON,
            "counts at stickd",
            || format!("{}\n{}", stickd.cli().run("show peers"), stickd.daemon().log()),
            || (counts(&stickd.table("t_ip")).values().sum::<u64>() > sent + 60).then_some(()),
        );
        let started = Instant::now();
        let old = stickd.replace(Some(&text), &["-p", "stickd.pid"]).unwrap();
        let ready = started.elapsed();
        let status = old.wait_exit(SOON);
        println!("{release}, round {round}: ready after {ready:?}, over after {:?}", started.elapsed());
        assert_eq!(status.code(), Some(0), "{}", old.log());
        assert!(old.log().contains("the next process has everything"), "{}", old.log());
        assert!(started.elapsed() < Duration::from_secs(2), "{}", old.log());
    }
    let counted = traffic.stop();
    assert_eq!(counted.failed, 0);
    let state = || {
        let (log, peers) = (stickd.daemon().log(), stickd.cli().run("show peers"));
        let sides = [counted.by_key.clone(), counts(&haproxy.table("t_ip")), counts(&stickd.table("t_ip"))];
        let differ =
            sides[0].keys().filter(|key| sides.iter().any(|side| side.get(*key) != sides[0].get(*key)));
        let differ: Vec<_> = differ.map(|key| (key, sides.each_ref().map(|side| side.get(key)))).collect();
        format!("{log}\n{peers}\nrequests, HAProxy, stickd: {differ:?}")
    };
    wait::until_or(SOON, "the counts of the requests", state, || {
        (counts(&stickd.table("t_ip")) == counted.by_key).then_some(())
    });
    assert_eq!(counts(&haproxy.table("t_ip")), counted.by_key);
    for ((name, key, value), original) in known.into_iter().zip(expires) {
        assert_eq!(stickd.table(name).entry(key).number("gpc0"), value);
        let now = expiry(&stickd.cli(), name, key);
        let difference = now.max(original) - now.min(original);
        assert!(difference < Duration::from_millis(250), "{name}: {difference:?}, {}", stickd.daemon().log());
    }
    let pid = std::fs::read_to_string(stickd.directory().join("stickd.pid")).unwrap();
    assert_eq!(pid.trim(), stickd.pid().to_string());
    assert!(stickd.directory().join(SOCKET).exists());
}

/// What the log of a hand-over tells an operator: one line for each step.
#[test]
fn the_log_tells_the_steps() {
    let text = config(ports::free_address(), &[]) + &table("t", TABLE);
    let mut stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 1");
    let old = stickd.replace(Some(&text), &[]).unwrap();
    assert_eq!(old.wait_exit(SOON).code(), Some(0));
    assert_eq!(stickd.table("t").entry("192.0.2.1").number("gpc0"), 1);
    stickd.daemon().wait_log("the lesson is finished", SOON);
    println!("old:\n{}\nnew:\n{}", old.log(), stickd.daemon().log());
    for line in ["soft stop: another process takes over", "the next process has everything", "stopped\n"] {
        assert_eq!(old.log().matches(line).count(), 1, "{line}: {}", old.log());
    }
    let told = "asked the old process to hand over";
    assert_eq!(stickd.daemon().log().matches(told).count(), 1, "{}", stickd.daemon().log());
    assert!(!old.log().contains("WARN"), "{}", old.log());
}

/// A stickd with an entry and a session with a HAProxy, which must not be disturbed.
struct Undisturbed {
    stickd: StickdProcess,
    haproxy: HaproxyProcess,
    bind: SocketAddr,
    text: String,
}

impl Undisturbed {
    fn start() -> Self {
        let (bind, a) = (ports::free_address(), ports::free_address());
        let text = config(bind, &[("A", a)]) + &table("t", TABLE);
        let stickd = StickdProcess::start(STICKD, Some(&text), &["-p", "stickd.pid"]);
        let haproxy = haproxy_config("A", a, bind).table("t", TABLE);
        let haproxy = HaproxyProcess::start(&Release::newest(), haproxy);
        let this = Self { stickd, haproxy, bind, text };
        this.set_and_wait(1);
        this
    }

    /// Sets an entry at stickd and waits until HAProxy has it.
    fn set_and_wait(&self, value: u64) {
        self.stickd.cli().quiet(&format!("set table t key 192.0.2.1 data.gpc0 {value}"));
        wait::until(SOON, "the entry at HAProxy", || {
            let table = self.haproxy.table("t");
            table.entries.get("192.0.2.1").is_some_and(|entry| entry.number("gpc0") == value).then_some(())
        });
    }

    fn assert_same(&self, value: u64) {
        let pid = self.stickd.pid().to_string();
        assert!(self.stickd.daemon().is_running());
        assert_eq!(self.stickd.cli().info("Pid"), Some(pid.clone()));
        let file = std::fs::read_to_string(self.stickd.directory().join("stickd.pid")).unwrap();
        assert_eq!(file.trim(), pid);
        let log = self.stickd.daemon().log();
        assert!(!log.contains("soft stop"), "{log}");
        assert!(!log.contains("session closed") && !log.contains("session ended"), "{log}");
        self.set_and_wait(value);
    }
}

#[test]
fn a_process_that_fails_leaves_the_old_one_as_it_was() {
    let mut this = Undisturbed::start();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = foreign.local_addr().unwrap();
    std::fs::write(this.stickd.directory().join("bad.pem"), "no certificate").unwrap();
    let second = |bind: &str| format!("{}peers q\n  bind {bind}\n  server stickd\n", this.text);
    let wrong = [
        (format!("{}nonsense\n", this.text), "nonsense"),
        (second(&taken.to_string()), "in use"),
        (second(&format!("127.0.0.1:{} ssl crt bad.pem", ports::free())), "bad.pem"),
        (second(&format!("127.0.0.1:{} ssl crt none.pem", ports::free())), "none.pem"),
        (this.text.replace("level admin", &format!("level admin\n  stats socket {taken}")), "in use"),
    ];
    for (value, (text, word)) in (2..).zip(wrong) {
        let ended = this.stickd.replace(Some(&text), &["-p", "stickd.pid"]).unwrap_err();
        println!("{}", ended.log);
        assert_eq!(ended.status.and_then(|status| status.code()), Some(1), "{ended}");
        assert!(ended.log.contains(word), "{word}: {}", ended.log);
        this.assert_same(value);
    }
    let ended = this.stickd.replace(Some(&this.text.clone()), &["-p", "missing/stickd.pid"]).unwrap_err();
    assert!(ended.log.contains("missing/stickd.pid"), "{ended}");
    this.assert_same(100);
    let rest = std::fs::read_dir(this.stickd.directory()).unwrap();
    let rest: Vec<_> = rest.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(rest.iter().filter(|name| name.starts_with(SOCKET)).count(), 1, "left behind: {rest:?}");
}

#[test]
fn a_second_process_without_sf_is_refused() {
    let this = Undisturbed::start();
    let ended = StickdProcess::try_start(STICKD, Some(&this.text), &[]).unwrap_err();
    println!("{}", ended.log);
    assert_eq!(ended.status.and_then(|status| status.code()), Some(1), "{ended}");
    let address = format!("cannot listen on {}", this.bind);
    for text in [address.as_str(), "section peers p", "in use", "-sf"] {
        assert!(ended.log.contains(text), "{text}: {}", ended.log);
    }
    this.assert_same(2);
}

/// A second stickd with peers of its own, and the runtime socket of the first one by mistake.
#[test]
fn the_runtime_socket_of_a_running_process_is_left_alone() {
    let this = Undisturbed::start();
    let socket = this.stickd.directory().join(SOCKET);
    let taken = format!("unix@{}", socket.display());
    let own = config(ports::free_address(), &[]) + &table("t", TABLE);
    let text = own.replace(&format!("unix@{SOCKET}"), &taken);
    let ended = StickdProcess::try_start(STICKD, Some(&text), &[]).unwrap_err();
    println!("{}", ended.log);
    assert_eq!(ended.status.and_then(|status| status.code()), Some(1), "{ended}");
    let pid = format!("another process (pid {}) listens there", this.stickd.pid());
    for text in [taken.as_str(), &pid, "-sf"] {
        assert!(ended.log.contains(text), "{text}: {}", ended.log);
    }
    this.assert_same(2);
    // Who takes over from one process may not have the socket of another one.
    let mut other = StickdProcess::start(STICKD, Some(&own), &[]);
    let ended = other.replace(Some(&text), &[]).unwrap_err();
    assert!(ended.log.contains(&pid), "{ended}");
    assert!(other.daemon().is_running());
    this.assert_same(3);
    drop(other);
    // What a killed process leaves behind is in nobody's way.
    this.stickd.daemon().kill9();
    assert!(socket.exists());
    let next = StickdProcess::start(
        STICKD,
        Some(&text.replace(&taken, &format!("{taken} level admin\n  stats socket unix@{SOCKET}"))),
        &[],
    );
    assert_eq!(Cli::unix(&socket).info("Pid"), Some(next.pid().to_string()));
}

/// Peers on a Unix socket: the path is taken over by a process that comes up, and by no other.
#[test]
fn a_unix_listener_is_handed_over() {
    let text = format!(
        "global\n  localpeer stickd\n  stats socket unix@{SOCKET} level admin\n\
         peers p\n  bind unix@peers.sock\n  server stickd\n{}",
        table("t", TABLE)
    );
    let mut stickd = StickdProcess::start(STICKD, Some(&text), &[]);
    stickd.cli().quiet("set table t key 192.0.2.1 data.gpc0 1");
    assert!(stickd.replace(Some(&text), &["-p", "missing/stickd.pid"]).is_err());
    let peers = stickd.directory().join("peers.sock");
    assert!(std::os::unix::net::UnixStream::connect(&peers).is_ok(), "the failed process took the path");
    let old = stickd.replace(Some(&text), &[]).unwrap();
    assert_eq!(old.wait_exit(SOON).code(), Some(0));
    assert!(old.log().contains("the next process has everything"), "{}", old.log());
    assert_eq!(stickd.table("t").entry("192.0.2.1").number("gpc0"), 1);
}
