//! HAProxy's configuration for a test.

use std::fmt::Write;
use std::net::SocketAddr;

/// One HAProxy: its runtime socket, one peers section `p`, tables in it or in backends of their own, and HTTP on one
/// port whose paths track keys in tables. [`Config::line`] adds whatever else a test needs.
///
/// Requests: `GET /<path>` runs the rules of [`Config::track`] and [`Config::stick`] for that path and is answered 200
/// by a second frontend of the same process, through a backend; `GET /<path>/error` is answered 404 and
/// `GET /<path>/fail` 503 (data types `http_err_*` and `http_fail_*`).
#[derive(Clone, Debug)]
pub struct Config {
    name: String,
    threads: u32,
    peers: Vec<String>,
    rules: Vec<String>,
    backends: Vec<String>,
    http: Option<(SocketAddr, SocketAddr)>,
    global: Vec<String>,
    /// A text that stands for all of it.
    text: Option<Box<str>>,
}

impl Config {
    /// A configuration for the peer `name` (started with `-L name`).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            threads: 1,
            peers: Vec::new(),
            rules: Vec::new(),
            backends: Vec::new(),
            http: None,
            global: Vec::new(),
            text: None,
        }
    }

    /// A configuration as it stands in a file, of which only the path in its line `stats socket` is changed. It serves HTTP
    /// on `front`.
    pub fn of_text(name: impl Into<String>, text: impl Into<String>, front: SocketAddr) -> Self {
        Self { text: Some(text.into().into_boxed_str()), http: Some((front, front)), ..Self::new(name) }
    }

    /// Number of threads; one unless set.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// A line of the section `global`.
    pub fn global(mut self, line: impl Into<String>) -> Self {
        self.global.push(line.into());
        self
    }

    /// A `peer` line of the peers section `p`, for the local peer and for the others.
    pub fn peer(self, name: &str, address: SocketAddr) -> Self {
        self.peers_line(format!("peer {name} {address}"))
    }

    /// Any line of the peers section `p`, e.g. `table t type ip size 1k`, known as `p/t` on the runtime socket.
    pub fn peers_line(mut self, line: impl Into<String>) -> Self {
        self.peers.push(line.into());
        self
    }

    /// A table in a backend of its own, attached to the peers section: `arguments` as after `stick-table`, e.g.
    /// `type ip size 1k expire 1h store gpc0,conn_rate(10s)`.
    pub fn table(self, name: &str, arguments: &str) -> Self {
        self.line(format!("backend {name}\n  stick-table {arguments} peers p"))
    }

    /// Whole sections at the end.
    pub fn line(mut self, text: impl Into<String>) -> Self {
        self.backends.push(text.into());
        self
    }

    /// Serves HTTP on `front`; `back` is where the answers come from.
    pub fn http(mut self, front: SocketAddr, back: SocketAddr) -> Self {
        self.http = Some((front, back));
        self
    }

    /// Requests of `/<path>` track `key` (e.g. `req.hdr(x-key)`, `req.hdr_ip(x-key)`) in `table` by `sc0`.
    pub fn track(self, path: &str, key: &str, table: &str) -> Self {
        self.rule(path, &format!("track-sc0 {key} table {table}"))
    }

    /// Requests of `/<path>` run an action, e.g. `sc-inc-gpc0(0)`, `sc-inc-gpc(1,0)`, `sc-set-gpt0(0) 7`. Actions run in
    /// the order given, so track first.
    pub fn rule(mut self, path: &str, action: &str) -> Self {
        self.rules.push(format!("http-request {action} if {{ path_dir {path} }}"));
        self
    }

    /// Requests of `/<path>` are answered 429 when a condition holds, e.g. `{ req.hdr(x-key),table_gpc0(t) gt 9 }`.
    pub fn limit(mut self, path: &str, condition: &str) -> Self {
        self.rules.push(format!("http-request deny deny_status 429 if {{ path_dir {path} }} {condition}"));
        self
    }

    /// Requests of `/<path>` stick to one of two servers by `key` in `table`, which stores `server_id` and `server_key`.
    /// The servers are `s1` (id 7) and `s2` (id 9).
    ///
    /// # Panics
    ///
    /// When [`Config::http`] was not called before.
    pub fn stick(mut self, path: &str, key: &str, table: &str) -> Self {
        let (_, back) = self.http.expect("call Config::http before Config::stick");
        self.rules.push(format!("use_backend stick_{path} if {{ path_dir {path} }}"));
        self.line(format!(
            "backend stick_{path}\n  stick on {key} table {table}\n  server s1 {back} id 7\n  server s2 {back} id 9"
        ))
    }

    /// Name of the local peer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address of HTTP.
    ///
    /// # Panics
    ///
    /// When [`Config::http`] was not called.
    pub fn http_address(&self) -> SocketAddr {
        self.http.expect("this HAProxy serves no HTTP: call Config::http").0
    }

    /// The text of the configuration with its runtime socket at `socket`.
    pub fn text(&self, socket: &str) -> String {
        if let Some(text) = &self.text {
            let of_line = |line: &str| match line.trim_start().strip_prefix("stats socket ") {
                Some(_) => format!("    stats socket {socket} level admin\n"),
                None => format!("{line}\n"),
            };
            return text.lines().map(of_line).collect();
        }
        let mut text = String::new();
        let mut add = |line: &str| writeln!(text, "{line}").expect("writing to a string cannot fail");
        add("global");
        add(&format!("  stats socket {socket} level admin"));
        add(&format!("  maxconn 500\n  nbthread {}", self.threads));
        self.global.iter().for_each(|line| add(&format!("  {line}")));
        add("defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s");
        if !self.peers.is_empty() {
            add("peers p");
            self.peers.iter().for_each(|line| add(&format!("  {line}")));
        }
        if let Some((front, back)) = self.http {
            add(&format!("frontend answer\n  bind {back}"));
            add("  http-request return status 404 if { path_end /error }");
            add("  http-request return status 503 if { path_end /fail }");
            add("  http-request return status 200 content-type text/plain string ok");
            add(&format!("frontend web\n  bind {front}"));
            self.rules.iter().for_each(|line| add(&format!("  {line}")));
            add(&format!("  default_backend app\nbackend app\n  server answer {back}"));
        }
        self.backends.iter().for_each(|section| add(section));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_sections_in_order() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = Config::new("A")
            .http(address(80), address(81))
            .peer("A", address(1))
            .peers_line("table t type ip size 1k")
            .table("t_ip", "type ip size 1k store gpc0")
            .track("ip", "req.hdr_ip(x-key)", "t_ip")
            .stick("st", "req.hdr(x-key)", "t_st")
            .global("tune.bufsize 32768")
            .text("/tmp/a.sock");
        let expected = "\
global
  stats socket /tmp/a.sock level admin
  maxconn 500
  nbthread 1
  tune.bufsize 32768
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
peers p
  peer A 127.0.0.1:1
  table t type ip size 1k
frontend answer
  bind 127.0.0.1:81
  http-request return status 404 if { path_end /error }
  http-request return status 503 if { path_end /fail }
  http-request return status 200 content-type text/plain string ok
frontend web
  bind 127.0.0.1:80
  http-request track-sc0 req.hdr_ip(x-key) table t_ip if { path_dir ip }
  use_backend stick_st if { path_dir st }
  default_backend app
backend app
  server answer 127.0.0.1:81
backend t_ip
  stick-table type ip size 1k store gpc0 peers p
backend stick_st
  stick on req.hdr(x-key) table t_st
  server s1 127.0.0.1:81 id 7
  server s2 127.0.0.1:81 id 9
";
        assert_eq!(text, expected);
    }
}
