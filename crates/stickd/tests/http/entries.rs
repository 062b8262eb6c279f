//! Entries by the API, and what the runtime socket and peers see of them.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::node::Node;

fn path(rest: &str) -> String {
    format!("/v1/tables/{rest}")
}

#[test]
fn an_entry_is_set_shown_changed_and_deleted() {
    let node = Node::start("level operator", "");
    let client = node.client();
    let entry = path("t/entries/10.0.0.1");
    assert_eq!(client.get(&entry).status, 404);
    let body = r#"{"expires_ms":60000,"data":{"gpc0":5,"conn_cnt":7,"http_req_rate":3}}"#;
    let answer = client.send("PUT", &entry, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let shown = &answer.json()["entry"];
    assert_eq!(shown["data"], json!({"gpc0": 5, "conn_cnt": 7, "http_req_rate": 3}));
    assert!((59_000..=60_000).contains(&shown["expires_ms"].as_u64().unwrap()), "{shown}");
    // The socket shows the same.
    let table = node.stickd.table("t");
    let seen = table.entry("10.0.0.1");
    assert_eq!((seen.number("gpc0"), seen.number("conn_cnt")), (5, 7));
    // PATCH leaves the rest as it is and begins the lifetime again, PUT does not leave it.
    let shown = client.send("PATCH", &entry, r#"{"data":{"gpc0":6}}"#).json();
    assert_eq!(shown["entry"]["data"], json!({"gpc0": 6, "conn_cnt": 7, "http_req_rate": 3}));
    assert!(shown["entry"]["expires_ms"].as_u64().unwrap() > 590_000);
    let shown = client.send("PUT", &entry, r#"{"data":{"gpc0":1}}"#).json();
    assert_eq!(shown["entry"]["data"], json!({"gpc0": 1, "conn_cnt": 0, "http_req_rate": 0}));
    assert_eq!(client.ask("DELETE", &entry, "", b"").status, 204);
    assert_eq!(client.ask("DELETE", &entry, "", b"").status, 404);
    assert_eq!(node.stickd.table("t").entries.len(), 0);
}

#[test]
fn arrays_and_texts_are_complete() {
    let node = Node::start("level operator", "");
    let client = node.client();
    let body = r#"{"data":{"gpt":[1,null,3],"gpc[3]":4294967295,"gpc_rate":[7],"server_id":-5}}"#;
    let shown = client.send("PUT", &path("n/entries/42"), body).json();
    let data =
        json!({"gpt": [1, 0, 3], "gpc": [0, 0, 0, 4294967295_u32], "gpc_rate": [7, 0], "server_id": -5});
    assert_eq!((&shown["entry"]["data"], &shown["entry"]["key"]), (&data, &json!("42")));
    let body = r#"{"data":{"server_key":"web1","bytes_in_cnt":18446744073709551615,"bytes_out_rate":9}}"#;
    let shown = client.send("PUT", &path("s/entries/a%2Fb%20c"), body).json();
    assert_eq!(shown["entry"]["key"], "a/b c");
    let data = json!({"server_key": "web1", "bytes_in_cnt": u64::MAX, "bytes_out_rate": 9});
    assert_eq!(shown["entry"]["data"], data);
    // Keys that are no text.
    assert_eq!(client.send("PUT", &path("s/entries/fffe?encoding=hex"), "{}").status, 200);
    let shown = client.get(&path("s/entries/fffe?encoding=hex")).json();
    assert_eq!(shown["entry"]["key_hex"], "fffe");
    let shown =
        client.send("PATCH", &path("s/entries/fffe?encoding=hex"), r#"{"data":{"server_key":null}}"#).json();
    assert_eq!(shown["entry"]["data"]["server_key"], Value::Null);
}

#[test]
fn a_wrong_request_says_what_is_wrong_and_changes_nothing() {
    let node = Node::start("level operator", "");
    let client = node.client();
    for (rest, body, status, at) in [
        ("x/entries/10.0.0.1", r#"{}"#, 404, "table"),
        ("t/entries/10.0.0", r#"{}"#, 400, "key"),
        ("t/entries/10.0.0.1?clster=1", r#"{}"#, 400, "query"),
        ("t/entries/10.0.0.1", r#"{"data":{"gpc0":1}"#, 400, "body, line 1, column 18"),
        ("t/entries/10.0.0.1", r#"{"dat":{}}"#, 400, "body, line 1, column 6"),
        ("t/entries/10.0.0.1", r#"{"data":{"gpc0":1,"gpc9":1}}"#, 400, "data.gpc9"),
        ("t/entries/10.0.0.1", r#"{"data":{"conn_cnt":2,"gpc0":-1}}"#, 400, "data.gpc0"),
        ("t/entries/10.0.0.1", r#"{"data":{"conn_cnt":2,"gpc0":4294967296}}"#, 400, "data.gpc0"),
        ("t/entries/10.0.0.1", r#"{"data":{"conn_cnt":2,"gpc0":1.5}}"#, 400, "data.gpc0"),
        ("t/entries/10.0.0.1", r#"{"data":{"conn_cnt":2,"gpc0":[1]}}"#, 400, "data.gpc0"),
        ("t/entries/10.0.0.1", r#"{"expires_ms":600001}"#, 400, "expires_ms"),
        ("t/entries/10.0.0.1", r#"{"expires_ms":0}"#, 400, "expires_ms"),
        ("n/entries/1", r#"{"expires_ms":5}"#, 400, "expires_ms"),
        ("n/entries/4294967296", r#"{}"#, 400, "key"),
        ("n/entries/1", r#"{"data":{"gpt":[1,2,3,4]}}"#, 400, "data.gpt"),
        ("n/entries/1", r#"{"data":{"gpt":[1,2],"gpc[4]":1}}"#, 400, "data.gpc[4]"),
        ("s/entries/12345678901234567", r#"{}"#, 400, "key"),
        ("s/entries/a", r#"{"data":{"server_key":5}}"#, 400, "data.server_key"),
    ] {
        for method in ["PUT", "PATCH"] {
            let answer = client.send(method, &path(rest), body);
            let found = (answer.status, answer.json()["at"].as_str().unwrap_or_default().to_owned());
            assert_eq!(found, (status, at.to_owned()), "{method} {rest} {body}: {}", answer.text());
            assert_eq!(answer.json()["code"], status);
        }
    }
    for (rest, at) in [
        ("t/entries?limit=0", "limit"),
        ("t/entries?limit=10001", "limit"),
        ("t/entries?limit=x", "query"),
        ("t/entries?where=gpc0", "where"),
        ("t/entries?where=data.gpc1%20gt%205", "where"),
        ("t/entries?key=x", "key"),
        ("t/top?by=gpc7", "by"),
        ("t/top?by=gpc0&n=0", "n"),
        ("t/top", "query"),
    ] {
        let answer = client.get(&path(rest));
        assert_eq!(
            (answer.status, answer.json()["at"].as_str()),
            (400, Some(at)),
            "{rest}: {}",
            answer.text()
        );
    }
    assert_eq!(client.get("/nothing").json()["at"], "path");
    let answer = client.send("PATCH", "/v1/tables", "{}");
    assert_eq!((answer.status, answer.json()["at"].as_str()), (405, Some("method")));
    // Nothing is deleted by accident.
    client.send("PUT", &path("t/entries/10.0.0.1"), "{}");
    for query in ["", "?where=", "?where=data.gpc0%20eq%200&all=true", "?whre=data.gpc0%20eq%200"] {
        assert_eq!(client.ask("DELETE", &path(&format!("t/entries{query}")), "", b"").status, 400, "{query}");
    }
    for table in ["n", "s", "full"] {
        assert_eq!(node.stickd.table(table).entries.len(), 0, "{table}");
    }
    assert_eq!(node.stickd.table("t").entries.len(), 1);
}

#[test]
fn a_full_table_says_so() {
    let node = Node::start("level operator", "");
    let client = node.client();
    let put =
        |key: u8| client.send("PUT", &path(&format!("full/entries/10.0.0.{key}")), r#"{"data":{"gpc0":1}}"#);
    assert_eq!([put(1).status, put(2).status, put(3).status], [200, 200, 507]);
    assert!(put(3).json()["message"].as_str().unwrap().starts_with("the table is full"));
    assert_eq!(put(2).status, 200);
    assert_eq!(node.stickd.table("full").entries.len(), 2);
}

#[test]
fn many_entries_are_set_listed_ordered_and_deleted() {
    const MANY: usize = 30_000;
    let node = Node::start("level operator", "");
    let client = node.client();
    let address = |number: usize| format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let mut body = String::new();
    for number in 0..MANY {
        body += &json!({"key": address(number), "expires_ms": 300_000, "data": {"gpc0": number}}).to_string();
        body += "\n";
    }
    body += "\n{\"key\":\"10.0.0.300\"}\nnonsense\n{\"key\":\"10.0.0.1\",\"data\":{\"gpc1\":1}}\n{\"key\":\"10.0.0.2\",\"data\":{\"conn_cnt\":3}}";
    let answer = client.ask("POST", &path("t/entries"), "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let answers = answer.lines();
    assert_eq!(answers.len(), MANY + 4);
    assert!(
        answers[..MANY]
            .iter()
            .enumerate()
            .all(|(number, answer)| *answer == json!({"line": number + 1, "status": 200}))
    );
    let ends: Vec<_> = answers[MANY..]
        .iter()
        .map(|answer| (answer["line"].clone(), answer["status"].clone(), answer["at"].clone()))
        .collect();
    let line = |number: usize| json!(MANY + number);
    assert_eq!(
        ends,
        [
            (line(2), json!(400), json!("key")),
            (line(3), json!(400), json!("body, line 1, column 2")),
            (line(4), json!(400), json!("data.gpc1")),
            (line(5), json!(200), Value::Null),
        ]
    );
    // Pages have each entry once, also while others come and go.
    let writer = thread::spawn({
        let client = client.clone();
        move || {
            for number in 0..200 {
                client.send("PUT", &path(&format!("t/entries/192.0.2.{}", number % 250)), "{}");
            }
        }
    });
    let (mut seen, mut after) = (BTreeSet::new(), String::new());
    loop {
        let page = client.get(&path(&format!("t/entries?limit=7000{after}"))).json();
        for entry in page["entries"].as_array().unwrap() {
            let key = entry["key"].as_str().unwrap().to_owned();
            assert!(seen.insert(key.clone()) || key.starts_with("192."), "{key} twice");
        }
        let Some(next) = page["after"].as_u64() else { break };
        after = format!("&after={next}");
    }
    writer.join().unwrap();
    assert!((0..MANY).all(|number| seen.contains(&address(number))), "{}", seen.len());
    let lines = client.get(&path("t/entries?format=ndjson&where=data.gpc0.gt.9")).lines();
    assert_eq!(lines.len(), MANY - 10);
    assert_eq!(
        client
            .clone()
            .with("Accept", "application/x-ndjson")
            .get(&path("t/entries?where=data.gpc0.le.9,data.gpc0.gt.0"))
            .lines()
            .len(),
        9
    );
    let page = client.get(&path("t/entries?key=10.0.0.2")).json();
    assert_eq!(page["entries"][0]["data"], json!({"gpc0": 2, "conn_cnt": 3, "http_req_rate": 0}));
    let top = client.get(&path("t/top?by=gpc0&n=3")).json();
    let values: Vec<_> =
        top["entries"].as_array().unwrap().iter().map(|entry| entry["data"]["gpc0"].clone()).collect();
    assert_eq!(values, [MANY - 1, MANY - 2, MANY - 3]);
    assert!(top["entries_seen"].as_u64().unwrap() >= MANY as u64);
    let deleted = client.ask("DELETE", &path("t/entries?where=data.gpc0.gt.9"), "", b"").json();
    assert_eq!(deleted, json!({"removed": MANY - 10}));
    assert!(
        client.ask("DELETE", &path("t/entries?all=true"), "", b"").json()["removed"].as_u64().unwrap() >= 10
    );
    assert_eq!(node.stickd.table("t").entries.len(), 0);
}

#[test]
fn an_entry_is_cleared_on_all_nodes() {
    let node = Node::start("level operator", "");
    let client = node.client();
    client.send("PUT", &path("t/entries/10.0.0.1"), r#"{"data":{"gpc0":5}}"#);
    assert_eq!(client.ask("DELETE", &path("t/entries/10.0.0.1?cluster=true"), "", b"").status, 204);
    // Peers read zeros, and the entry ends soon.
    let shown = client.get(&path("t/entries/10.0.0.1")).json();
    assert_eq!(shown["entry"]["data"]["gpc0"], 0);
    assert!(shown["entry"]["expires_ms"].as_u64().unwrap() <= 6_000, "{shown}");
    let answer = client.ask("DELETE", &path("t/entries?all=true&cluster=true"), "", b"");
    assert_eq!((answer.status, answer.json()), (200, json!({})));
}
