//! `/metrics`: the names that boards and alerts use, checked by promtool and read by a real Prometheus.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stickd_testkit::{cache, ports, wait};

use crate::client::Client;
use crate::node::Node;

/// A Prometheus takes a few seconds to start on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The value of a line that begins so.
fn value(metrics: &str, line: &str) -> Option<f64> {
    metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn boards_of_haproxy_find_their_names() {
    let node = Node::start("level operator", "");
    let client = node.client();
    for number in 1..=3 {
        client.send("PUT", &format!("/v1/tables/t/entries/10.0.0.{number}"), r#"{"data":{"gpc0":1}}"#);
    }
    let answer = client.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for (line, expected) in [
        ("haproxy_sticktable_size{name=\"t\",type=\"ip\"}", 204_800.0),
        ("haproxy_sticktable_used{name=\"t\",type=\"ip\"}", 3.0),
        ("haproxy_sticktable_used{name=\"n\",type=\"integer\"}", 0.0),
        ("haproxy_sticktable_local_updates{name=\"t\",type=\"ip\"}", 3.0),
        ("stickd_table_local_updates_total{name=\"t\",type=\"ip\"}", 3.0),
        ("stickd_table_learned_total{name=\"t\",type=\"ip\"}", 0.0),
        ("stickd_table_evicted_total{name=\"t\",type=\"ip\"}", 0.0),
        ("stickd_table_mismatched_peers{name=\"t\",type=\"ip\"}", 0.0),
        ("haproxy_process_active_peers", 0.0),
        ("haproxy_process_connected_peers", 0.0),
        ("stickd_table_entries{name=\"t\",type=\"ip\"}", 3.0),
        ("stickd_entries", 3.0),
        ("stickd_updates_received_total", 0.0),
    ] {
        assert_eq!(value(text, line), Some(expected), "{line} in\n{text}");
    }
    assert!(value(text, "haproxy_process_start_time_seconds").unwrap() > 1.6e9);
    assert!(!text.contains("10.0.0.1"), "no label by key");
    let wanted = client.with("Accept", "application/openmetrics-text; version=1.0.0").get("/metrics");
    assert!(wanted.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(wanted.text().ends_with("# EOF\n"));
}

#[test]
fn promtool_finds_nothing_wrong() {
    let node = Node::start("level user", "");
    let text = node.client().get("/metrics");
    let mut promtool = Command::new(cache::prometheus_program("promtool"));
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut promtool = promtool.stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(&text.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let says =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && says.is_empty(), "{says}");
}

#[test]
fn alerts_fire_when_they_should() {
    let mut promtool = Command::new(cache::prometheus_program("promtool"));
    let output = promtool
        .args(["test", "rules", "stickd.rules.test.yml"])
        .current_dir(examples().join("prometheus"))
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A Prometheus that reads one stickd. Dropping it kills it.
struct Prometheus {
    process: Child,
    client: Client,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(node: &Node) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "global:\n  scrape_interval: 1s\nrule_files: [{}]\nscrape_configs:\n  - job_name: stickd\n    static_configs:\n      - targets: [\"{}\"]\n",
            examples().join("prometheus/stickd.rules.yml").display(),
            node.http
        );
        let (file, address) = (directory.path().join("prometheus.yml"), ports::free_address());
        std::fs::write(&file, config).unwrap();
        let process = Command::new(cache::prometheus_program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { process, client: Client::new(address), _directory: directory }
    }

    /// The series that a query finds; an error of the query fails the test.
    fn query(&self, query: &str) -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.client.try_ask("GET", &format!("/api/v1/query?query={encoded}"), "", b"").ok()?;
        assert!([200, 503].contains(&answer.status), "{query}: {}", answer.text());
        if answer.status == 503 {
            // It is not ready yet.
            return None;
        }
        Some(answer.json()["data"]["result"].as_array()?.clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_prometheus_reads_them_and_every_query_of_the_board_works() {
    let node = Node::start("level operator", "");
    let prometheus = Prometheus::start(&node);
    node.client().send("PUT", "/v1/tables/t/entries/10.0.0.1", "{}");
    wait::until(LONG, "the entry in Prometheus", || {
        let found = prometheus.query("haproxy_sticktable_used{name=\"t\"}")?;
        (found.first()?["value"][1] == "1").then_some(())
    });
    assert_eq!(prometheus.query("up{job=\"stickd\"}").unwrap()[0]["value"][1], "1");
    let board = std::fs::read_to_string(examples().join("grafana/stickd.json")).unwrap();
    let board: Value = serde_json::from_str(&board).unwrap();
    let mut queries = BTreeSet::new();
    collect(&board, &mut queries);
    assert!(queries.len() >= 8, "{queries:?}");
    let known: BTreeSet<String> = node
        .client()
        .get("/metrics")
        .text()
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned()))
        .collect();
    for query in &queries {
        let plain = query.replace("$instance", ".*").replace("$__rate_interval", "1m");
        prometheus.query(&plain).unwrap_or_else(|| panic!("{query}"));
        let names = plain.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in names.filter(|name| name.starts_with("stickd_") || name.starts_with("haproxy_")) {
            assert!(known.contains(name), "{query}: stickd has no {name}");
        }
    }
}

fn collect(value: &Value, queries: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            queries.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, queries));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}
