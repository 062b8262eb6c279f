//! Bans from outside: the examples of docs/bans.md put addresses into a table, and real HAProxys deny them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stickd_testkit::stickd::{config, table};
use stickd_testkit::{Config, HaproxyProcess, Release, Source, StickdProcess, cache, http, ports, wait};

use crate::client::Client;
use crate::node::STICKD;

const TABLE: &str = "type ipv6 size 200k expire 1d store gpc0";
/// HAProxy waits 5 s between attempts, and after its start that long before it considers itself up to date.
const LONG: Duration = Duration::from_secs(60);

/// A stickd with a table of bans and two HAProxys of different releases that deny what is in it.
struct Cluster {
    stickd: StickdProcess,
    text: String,
    api: SocketAddr,
    haproxys: [HaproxyProcess; 2],
}

impl Cluster {
    fn start() -> Self {
        let [api, a, b, own] = [(); 4].map(|()| ports::free_address());
        let text = config(own, &[("A", a), ("B", b)]) + &table("banned", TABLE);
        let text = text.replacen("global\n", &format!("global\n  http bind {api} level operator\n"), 1);
        let stickd = StickdProcess::start(STICKD, Some(&text), &[]);
        let haproxy = |name, address, source| {
            let config = Config::new(name)
                .peer(name, address)
                .peer("stickd", own)
                .table("banned", TABLE)
                .http(ports::free_address(), ports::free_address())
                .limit("x", "{ req.hdr_ip(x-from),table_gpc0(banned) gt 0 }")
                .rule("x", "return status 200");
            HaproxyProcess::start(&Release::of(source), config)
        };
        let haproxys = [haproxy("A", a, Source::DebianBookworm), haproxy("B", b, Source::DebianSid)];
        let cluster = Self { stickd, text, api, haproxys };
        // HAProxy forgets what is written while it learns.
        wait::until_or(
            LONG,
            "the HAProxys to take what is set",
            || cluster.state(),
            || {
                cluster.client().send("PUT", &entry("192.0.2.200"), r#"{"data":{"gpc0":1}}"#);
                cluster.answers("192.0.2.200", 429).then_some(())
            },
        );
        cluster
    }

    fn client(&self) -> Client {
        Client::new(self.api)
    }

    /// Whether all HAProxys answer a client of this address so.
    fn answers(&self, client: &str, status: u16) -> bool {
        self.haproxys.iter().all(|haproxy| {
            let answer = http::get(haproxy.http_address(), "/x", &[("x-from", client)]);
            answer.is_ok_and(|answer| answer.status == status)
        })
    }

    #[track_caller]
    fn wait(&self, client: &str, status: u16) {
        let what = format!("{status} for {client}");
        wait::until_or(LONG, &what, || self.state(), || self.answers(client, status).then_some(()));
    }

    fn state(&self) -> String {
        let tables = self.haproxys.iter().map(|haproxy| haproxy.cli().run("show table banned"));
        tables.collect::<String>() + &self.stickd.cli().run("show peers") + &self.stickd.daemon().log()
    }

    /// What is left of a ban here, in ms.
    fn left(&self, client: &str) -> Option<u64> {
        let answer = self.client().get(&entry(client));
        if answer.status == 200 { answer.json()["entry"]["expires_ms"].as_u64() } else { None }
    }
}

fn entry(client: &str) -> String {
    format!("/v1/tables/banned/entries/{client}")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bans")
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fail2ban of its own: its files and its socket are in a directory, and it watches nothing.
struct Fail2ban {
    directory: tempfile::TempDir,
    _server: Running,
}

impl Fail2ban {
    fn start(api: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::create_dir(at.join("action.d")).unwrap();
        std::fs::create_dir(at.join("filter.d")).unwrap();
        std::fs::copy(examples().join("fail2ban/action.d/stickd.conf"), at.join("action.d/stickd.conf"))
            .unwrap();
        let place = |name: &str| at.join(name).display().to_string();
        std::fs::write(at.join("filter.d/web.conf"), "[Definition]\nfailregex = ^\\s*<HOST> denied$\n")
            .unwrap();
        std::fs::write(at.join("web.log"), "").unwrap();
        let main = format!(
            "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {}\npidfile = {}\n\
             dbfile = {}\ndbpurgeage = 1d\ndbmaxmatches = 10\n",
            place("log"),
            place("socket"),
            place("pid"),
            place("db.sqlite3"),
        );
        std::fs::write(at.join("fail2ban.conf"), main).unwrap();
        let jail = format!(
            "[DEFAULT]\nbackend = polling\n[web]\nenabled = true\nfilter = web\nlogpath = {}\nmaxretry = 2\n\
             findtime = 10m\nbantime = 1h\naction = stickd[table=banned, url=http://{api}]\n",
            place("web.log"),
        );
        std::fs::write(at.join("jail.conf"), jail).unwrap();
        let server = Self::command(at, "fail2ban-server").args(["-f", "start"]).spawn();
        let server = Running(server.expect("Python starts"));
        let fail2ban = Self { directory, _server: server };
        wait::until_or(
            LONG,
            "fail2ban to answer",
            || fail2ban.log(),
            || fail2ban.tell(&["status", "web"]).then_some(()),
        );
        fail2ban
    }

    fn command(at: &Path, program: &str) -> Command {
        let mut command = cache::fail2ban_program(program);
        command.arg("-c").arg(at).arg("-s").arg(at.join("socket")).arg("-p").arg(at.join("pid"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn tell(&self, words: &[&str]) -> bool {
        let status = Self::command(self.directory.path(), "fail2ban-client").args(words).status();
        status.unwrap().success()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Lines of now for its filter to find.
    fn write(&self, clients: &[&str]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let lines: String = clients.iter().map(|client| format!("{now} {client} denied\n")).collect();
        let log = std::fs::OpenOptions::new().append(true).open(self.directory.path().join("web.log"));
        log.unwrap().write_all(lines.as_bytes()).unwrap();
    }
}

#[test]
fn what_fail2ban_bans_all_haproxys_deny() {
    let mut cluster = Cluster::start();
    let fail2ban = Fail2ban::start(cluster.api);
    for client in ["192.0.2.7", "2001:db8::7"] {
        cluster.wait(client, 200);
        assert!(fail2ban.tell(&["set", "web", "banip", client]), "{}", fail2ban.log());
        cluster.wait(client, 429);
        let left = cluster.left(client).unwrap();
        assert!((3_000_000..=3_600_000).contains(&left), "{left}");
    }
    fail2ban.write(&["192.0.2.8", "192.0.2.8", "192.0.2.9"]);
    cluster.wait("192.0.2.8", 429);
    cluster.wait("192.0.2.9", 200);

    assert!(fail2ban.tell(&["set", "web", "unbanip", "192.0.2.7"]), "{}", fail2ban.log());
    cluster.wait("192.0.2.7", 200);
    cluster.wait("192.0.2.8", 429);

    // Neither the end of fail2ban nor that of stickd lifts a ban.
    assert!(fail2ban.tell(&["stop"]), "{}", fail2ban.log());
    let text = cluster.text.clone();
    cluster.stickd.restart(Some(&text), &[]);
    wait::until_or(
        LONG,
        "stickd to learn the bans",
        || cluster.state(),
        || cluster.left("192.0.2.8").filter(|_| cluster.left("2001:db8::7").is_some()),
    );
    cluster.wait("192.0.2.8", 429);
}

/// A server that speaks the stream of decisions of a CrowdSec.
struct Crowdsec {
    address: SocketAddr,
    /// What is answered next; `null` stands for nothing new.
    next: Arc<Mutex<Value>>,
    all: Arc<Mutex<Value>>,
}

impl Crowdsec {
    fn start(all: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let nothing = || json!({"new": null, "deleted": null});
        let (next, all) = (Arc::new(Mutex::new(nothing())), Arc::new(Mutex::new(all)));
        let (told_next, told_all) = (Arc::clone(&next), Arc::clone(&all));
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) =
                    lines.next().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                {
                    head.push(line.to_lowercase());
                }
                let knows = head.iter().any(|line| line == "x-api-key: secret");
                let first = head.first().cloned().unwrap_or_default();
                let answer = match first.as_str() {
                    _ if !knows => None,
                    "get /v1/decisions/stream?startup=true http/1.1" => {
                        Some(told_all.lock().unwrap().clone())
                    }
                    "get /v1/decisions/stream?startup=false http/1.1" => {
                        Some(std::mem::replace(&mut *told_next.lock().unwrap(), nothing()))
                    }
                    _ => None,
                };
                let (status, body) = match answer {
                    Some(answer) => ("200 OK", answer.to_string()),
                    None => ("403 Forbidden", String::new()),
                };
                let text = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(text.as_bytes());
            }
        });
        Self { address, next, all }
    }

    fn bouncer(&self, api: SocketAddr) -> Running {
        let child = Command::new("python3")
            .arg(examples().join("crowdsec/stickd-bouncer"))
            .env("CROWDSEC_URL", format!("http://{}", self.address))
            .env("CROWDSEC_KEY", "secret")
            .env("STICKD_URL", format!("http://{api}"))
            .env("PAUSE_SECONDS", "0.1")
            .stdin(Stdio::null())
            .spawn();
        Running(child.unwrap())
    }
}

fn decision(scope: &str, value: &str, duration: &str) -> Value {
    json!({"id": 1, "origin": "cscli", "scenario": "manual", "type": "ban", "scope": scope, "value": value, "duration": duration})
}

#[test]
fn what_crowdsec_decides_all_haproxys_deny() {
    let cluster = Cluster::start();
    let crowdsec = Crowdsec::start(json!({
        "new": [
            decision("Ip", "192.0.2.17", "3h59m58.25s"),
            decision("Ip", "192.0.2.18", "20m"),
            decision("Ip", "192.0.2.22", "168h0m0s"),
            decision("Range", "198.51.100.0/24", "4h"),
        ],
        "deleted": [decision("Ip", "192.0.2.19", "-1m3s")],
    }));
    let bouncer = crowdsec.bouncer(cluster.api);
    cluster.wait("192.0.2.17", 429);
    cluster.wait("192.0.2.18", 429);
    let left = cluster.left("192.0.2.17").unwrap();
    assert!((14_000_000..=14_398_250).contains(&left), "{left}");
    cluster.wait("192.0.2.22", 429);
    assert!(cluster.left("192.0.2.22").unwrap() <= 86_400_000, "as long as the table permits");
    cluster.wait("198.51.100.1", 200);
    cluster.wait("192.0.2.19", 200);

    *crowdsec.next.lock().unwrap() = json!({
        "new": [decision("Ip", "2001:db8::20", "1h")],
        "deleted": [decision("Ip", "192.0.2.17", "-2s")],
    });
    cluster.wait("2001:db8::20", 429);
    cluster.wait("192.0.2.17", 200);

    // One that starts again takes all decisions there are by then.
    drop(bouncer);
    *crowdsec.all.lock().unwrap() = json!({"new": [decision("Ip", "192.0.2.21", "1h"), decision("Ip", "192.0.2.18", "1h")], "deleted": null});
    let _bouncer = crowdsec.bouncer(cluster.api);
    cluster.wait("192.0.2.21", 429);
    cluster.wait("192.0.2.18", 429);
}

#[test]
fn a_list_of_100000_addresses_is_denied_and_lifted() {
    let cluster = Cluster::start();
    let address = |number: u32| format!("10.1.{}.{}", number >> 8 & 255, number & 255);
    let address = |number: u32| {
        if number >> 16 == 0 { address(number) } else { address(number).replacen("10.1", "10.2", 1) }
    };
    let list = |value: u32| -> String {
        (0..100_000)
            .map(|number| {
                format!(
                    "{{\"key\":\"{}\",\"expires_ms\":600000,\"data\":{{\"gpc0\":{value}}}}}\n",
                    address(number)
                )
            })
            .collect()
    };
    let answer =
        cluster.client().ask("POST", "/v1/tables/banned/entries", "application/x-ndjson", list(1).as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.lines().iter().all(|line| line["status"] == 200));
    for number in [0, 65_535, 65_536, 99_999] {
        cluster.wait(&address(number), 429);
    }
    cluster.wait("10.3.0.1", 200);
    let answer = cluster.client().ask("DELETE", "/v1/tables/banned/entries?all=true&cluster=true", "", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for number in [0, 99_999] {
        cluster.wait(&address(number), 200);
    }
}
