//! The paths of the Data Plane API.

use serde_json::{Value, json};

use crate::node::Node;

const TABLES: &str = "/v3/services/haproxy/runtime/stick_tables";

#[test]
fn clients_of_the_data_plane_api_find_their_paths() {
    let node = Node::start("level operator", "");
    let client = node.client();
    let tables = client.get(TABLES).json();
    let names: Vec<_> = tables.as_array().unwrap().iter().map(|table| table["name"].clone()).collect();
    assert_eq!(names, ["t", "n", "s", "full"]);
    let table = client.get(&format!("{TABLES}/n")).json();
    let fields = json!([
        {"field": "gpt", "type": "counter", "idx": 3},
        {"field": "gpc", "type": "counter", "idx": 4},
        {"field": "gpc_rate", "type": "rate", "period": 10_000, "idx": 2},
        {"field": "server_id", "type": "counter"},
    ]);
    let mut found = table["fields"].as_array().unwrap().clone();
    found.sort_by_key(Value::to_string);
    let mut expected = fields.as_array().unwrap().clone();
    expected.sort_by_key(Value::to_string);
    assert_eq!(found, expected);
    assert_eq!((&table["type"], &table["size"], &table["used"]), (&json!("integer"), &json!(100), &json!(0)));
    let answer = client.get(&format!("{TABLES}/x"));
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!(404)));
    let entries = format!("{TABLES}/t/entries");
    for number in 1..=4 {
        let body = json!({"key": format!("10.0.0.{number}"), "data_type": {"gpc0": number, "http_req_rate": 2, "exp": 60_000, "use": true}});
        let answer = client.send("POST", &entries, &body.to_string());
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let entry = &client.get(&format!("{entries}?key=10.0.0.3")).json()[0];
    assert_eq!(
        (&entry["gpc0"], &entry["http_req_rate"], &entry["use"]),
        (&json!(3), &json!(2), &json!(false))
    );
    assert!((59_000..=60_000).contains(&entry["exp"].as_u64().unwrap()), "{entry}");
    let count = |query: &str| client.get(&format!("{entries}?{query}")).json().as_array().unwrap().len();
    assert_eq!(count(""), 4);
    // All filters hold, not only the first.
    assert_eq!(count("filter=data.gpc0%20gt%201,data.gpc0%20lt%204"), 2);
    assert_eq!((count("count=3"), count("count=3&offset=3"), count("offset=9")), (3, 1, 0));
    assert_eq!(client.ask("DELETE", &format!("{entries}?key=10.0.0.3"), "", b"").status, 204);
    assert_eq!(count(""), 3);
    let numbers = format!("{TABLES}/n/entries");
    let body = json!({"key": "7", "data_type": {"gpc": {"idx": 2, "value": 9}, "gpt": [4, 5, 6]}});
    assert_eq!(client.send("POST", &numbers, &body.to_string()).status, 204);
    let entry = &client.get(&numbers).json()[0];
    assert_eq!(entry["gpt"], json!({"idx": 0, "value": 4}));
    assert_eq!(entry["gpc_all"][2], json!({"idx": 2, "value": 9}));
    assert_eq!(
        client.send("POST", &numbers, r#"{"key":"7","data_type":{"conn_cnt":1}}"#).json()["at"],
        "data.conn_cnt"
    );
}
