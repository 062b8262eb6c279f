//! Who gets in, and with which rights.

use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{StickdProcess, ports};

use crate::client::{Client, read_answer};
use crate::node::{Node, STICKD, text};

const OPERATOR: &str = "0123456789abcdef0123456789abcdef";
const USER: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn levels_bound_what_a_client_may_do() {
    let node = Node::start("level user", "");
    let client = node.client();
    assert_eq!(client.get("/v1/tables").json()["tables"][0]["name"], "t");
    for (method, path) in [
        ("GET", "/v1/tables/t/entries"),
        ("GET", "/v1/tables/t/entries/10.0.0.1"),
        ("GET", "/v1/tables/t/top?by=gpc0"),
        ("PUT", "/v1/tables/t/entries/10.0.0.1"),
        ("DELETE", "/v1/tables/t/entries/10.0.0.1"),
        ("DELETE", "/v1/tables/t/entries?all=true"),
        ("GET", "/v3/services/haproxy/runtime/stick_tables/t/entries"),
    ] {
        let answer = client.send(method, path, r#"{"data":{"gpc0":1}}"#);
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        assert!(answer.json()["message"].as_str().unwrap().starts_with("this needs the level operator"));
    }
    assert_eq!(node.stickd.table("t").entries.len(), 0);
}

#[test]
fn a_token_is_needed_where_a_file_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    fs::write(&file, format!("# of the tests\noperator {OPERATOR}\n{USER}\n")).unwrap();
    let node = Node::start(&format!("level user token-file {}", file.display()), "");
    let bearer = |token: &str| node.client().with("Authorization", &format!("Bearer {token}"));
    let path = "/v1/tables/t/entries/10.0.0.1";
    let put = |client: &Client| client.send("PUT", path, r#"{"data":{"gpc0":5}}"#).status;
    let answer = node.client().get("/v1/tables");
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer realm=\"stickd\"")));
    assert_eq!(bearer("wrong").get("/v1/tables").status, 401);
    assert_eq!([node.client(), bearer("wrong"), bearer(USER)].map(|client| put(&client)), [401, 401, 403]);
    assert_eq!(node.stickd.table("t").entries.len(), 0);
    assert_eq!(put(&bearer(OPERATOR)), 200);
    assert_eq!(bearer(USER).get("/v1/tables").status, 200);
    // Orchestrators have no token.
    assert_eq!(node.client().get("/live").text(), "live\n");
    wait::until(SOON, "the end of the search for a lesson", || {
        let answer = node.client().get("/ready");
        assert_eq!(answer.json()["ready"], answer.status == 200);
        (answer.status == 200).then_some(())
    });
    let log = node.stickd.daemon().log();
    assert!(!log.contains(OPERATOR) && !log.contains("wrong"), "{log}");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let node = Node::start("level operator", "  http hosts stickd.example\n");
    let status = |name: &str, value: &str| {
        let client = node.client().with(name, value);
        client.send("PUT", "/v1/tables/t/entries/10.0.0.1", r#"{"data":{"gpc0":5}}"#).status
    };
    for (name, value, expected) in [
        ("Host", "evil.example", 421),
        ("Host", "", 400),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
    ] {
        assert_eq!(status(name, value), expected, "{name}: {value}");
    }
    assert_eq!(node.stickd.table("t").entries.len(), 0);
    // A form can be sent from anywhere, but not as JSON.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let answer =
            node.client().ask("PUT", "/v1/tables/t/entries/10.0.0.1", content_type, br#"{"data":{}}"#);
        assert_eq!(answer.status, 415, "{content_type}");
        let answer =
            node.client().ask("POST", "/v1/tables/t/entries", content_type, br#"{"key":"10.0.0.1"}"#);
        assert_eq!(answer.status, 415, "{content_type}");
    }
    assert_eq!(node.stickd.table("t").entries.len(), 0);
    assert_eq!(status("Host", "stickd.example:8404"), 200);
    let answer = node.client().get("/v1/tables");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'; "));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn a_unix_socket_has_its_mode() {
    let http = ports::free_address();
    let config = text(http, "", "")
        .replace(&format!("http bind {http}"), "http bind unix@http.sock mode 600 level admin");
    let stickd = StickdProcess::start(STICKD, Some(&config), &[]);
    let path = stickd.directory().join("http.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /v1/tables HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
    let answer = read_answer(&mut BufReader::new(stream)).unwrap();
    assert_eq!(answer.status, 200);
    assert!(stickd.directory().join(SOCKET).exists());
}

#[test]
fn check_and_run_refuse_a_file_without_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let (tokens, file) = (directory.path().join("tokens"), directory.path().join("a.cfg"));
    fs::write(&tokens, "operator short\n").unwrap();
    let line = format!("token-file {}", tokens.display());
    fs::write(&file, text(ports::free_address(), &line, "")).unwrap();
    for command in ["check", "run"] {
        let output = Command::new(STICKD).arg(command).arg("-f").arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains("tokens, line 1: a token of 5 letters could be guessed"), "{text}");
    }
}
