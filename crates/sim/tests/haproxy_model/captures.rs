//! The model against streams of real HAProxys: in their place it says the same, in the same order, under the same ids.

use std::collections::BTreeMap;

use serde_json::Value;
use stickd_sim::{HaproxyTable, Process, Release, Write};

use crate::net::Net;
use crate::node::{Node, config};
use crate::shape::{bytes, end_at, listing, shape};
use crate::wire::Wire;

/// The first exchange is over by then, and the first live change comes later, in s.
const FIRST_EXCHANGE: f64 = 0.5;

/// Connections between two processes of one release. In each, A had been there for 11 s and was populated, B was empty.
///
/// 1.6.0 is not among them: it repeats everything after a lesson but one definition, for which no rule is known.
const RESYNCS: [(&str, Release); 11] = [
    ("v1.7.0-resync.conn1", Release::V1_7),
    ("v1.8.0-resync", Release::V1_8),
    ("v2.0.0-resync", Release::V2_0),
    ("v2.2.0-resync", Release::V2_2),
    ("v2.4.0-resync", Release::V2_4),
    ("v2.6.12-resync", Release::V2_6),
    ("v2.8.0-resync", Release::V2_8),
    ("v3.0.0-resync", Release::V3_0),
    ("v3.2.0-resync", Release::V3_2),
    ("v3.4.0-resync", Release::V3_4),
    ("v3.5-dev5-resync", Release::V3_5Dev),
];

/// Connections between two releases. A had not been there for long, so each asks the other for a lesson.
const MIXED: [(&str, Release, Release); 7] = [
    ("A-v1.7.0_B-v3.4.0.conn1", Release::V1_7, Release::V3_4),
    ("A-v2.0.0_B-v3.4.0", Release::V2_0, Release::V3_4),
    ("A-v2.4.0_B-v3.4.0", Release::V2_4, Release::V3_4),
    ("A-v2.6.12_B-v3.4.0", Release::V2_6, Release::V3_4),
    ("A-v3.4.0_B-v1.7.0.conn1", Release::V3_4, Release::V1_7),
    ("A-v3.4.0_B-v2.0.0", Release::V3_4, Release::V2_0),
    ("A-v3.4.0_B-v2.6.12", Release::V3_4, Release::V2_6),
];

/// The tables that a side defined, by id, and the ids of its first updates in each.
fn tables(listing: &Value, direction: &str) -> BTreeMap<u64, (String, Vec<u64>)> {
    let mut tables = BTreeMap::new();
    let mut current = 0;
    for message in listing[direction]["messages"].as_array().unwrap() {
        if message["t_s"].as_f64().unwrap() > FIRST_EXCHANGE {
            break;
        }
        if message["msg"] == "define" {
            current = message["id"].as_u64().unwrap();
            let name = message["name"].as_str().unwrap().to_owned();
            tables.entry(current).or_insert((name, Vec::new()));
        }
        let id = message.get("update_id").or_else(|| message.get("implied_update_id"));
        if let (Some(id), true) = (id, message["msg"] != "ack") {
            let (_, ids) = tables.get_mut(&current).unwrap();
            if !ids.contains(&id.as_u64().unwrap()) {
                ids.push(id.as_u64().unwrap());
            }
        }
    }
    assert_eq!(tables.keys().copied().collect::<Vec<_>>(), (1..=tables.len() as u64).collect::<Vec<_>>());
    tables
}

/// Two models in the place of the processes of a capture, up to the first exchange. What A held is written so often that
/// its entries have the captured ids, if each is changed several times in a row.
fn replay(listing: &Value, releases: (Release, Release), head_start: u64) -> (Net<Node>, usize, usize) {
    let (of_a, of_b) = (tables(listing, "s2c"), tables(listing, "c2s"));
    let mut net = Net::new();
    net.room = 16_384;
    let configured = |name: &str, peer: &str, release: Release, tables: &BTreeMap<_, (String, Vec<_>)>| {
        let mut config = config(name, &[peer], release.quirks());
        config.tables = tables.values().map(|(name, _)| HaproxyTable::new(name)).collect();
        config
    };
    let mut a_config = configured("A", "B", releases.0, &of_a);
    for ((_, ids), table) in of_a.values().zip(&mut a_config.tables) {
        // A table that was written to, but whose only entry was gone before B came.
        if ids.is_empty() {
            table.expire_ms = Some(1);
        }
    }
    let a = net.start("A", Node::model(a_config, net.now));
    for (table, (_, ids)) in of_a.values().enumerate() {
        let mut last = 0;
        for (key, &id) in ids.iter().enumerate() {
            let changes = if releases.0.quirks().renumbers_waiting_entries { id - last } else { 3 };
            for _ in 0..changes {
                write(&mut net, a, table, key as u32);
            }
            last = id;
        }
        if ids.is_empty() {
            write(&mut net, a, table, 0);
        }
    }
    net.run(head_start);
    let b_config = configured("B", "A", releases.1, if of_b.is_empty() { &of_a } else { &of_b });
    let b = net.start("B", Node::model(b_config, net.now));
    net.run(500);
    (net, a, b)
}

fn write(net: &mut Net<Node>, node: usize, table: usize, key: u32) {
    let write = Write { table, key, gpc0: 1, requests: 1 };
    assert!(net.do_at(node, |node, now| node.write(now, write)));
}

fn assert_same(name: &str, net: &Net<Node>, connection: usize, until: f64) {
    let listing = listing(name);
    let streams = net.streams().nth(connection).unwrap();
    for (direction, stream) in ["c2s", "s2c"].into_iter().zip(streams) {
        let captured = shape(&bytes(name, direction), end_at(&listing, direction, until));
        let said = shape(stream, stream.len());
        assert!(said.len() > 1 || captured.len() < 2, "{name}.{direction}: {said:?}");
        assert_eq!(said, captured, "{name}.{direction}");
    }
}

/// Order of tables, definitions, live push, request, lesson, its end, acknowledgements with their ids, confirmation, and what
/// is repeated after it.
#[test]
fn a_first_exchange_is_as_captured() {
    for (name, release) in RESYNCS {
        let (net, ..) = replay(&listing(name), (release, release), 11_000);
        assert_same(name, &net, 0, FIRST_EXCHANGE);
    }
}

#[test]
fn releases_mix_as_captured() {
    for (name, a, b) in MIXED {
        let (net, ..) = replay(&listing(name), (a, b), 1_600);
        assert_same(name, &net, 0, FIRST_EXCHANGE);
    }
}

/// What was acknowledged outside of the lesson is not repeated after a reconnect, all else is.
#[test]
fn a_reconnect_repeats_as_captured() {
    let (mut net, a, _) = replay(&listing("A-v3.4.0_B-v1.7.0.conn1"), (Release::V3_4, Release::V1_7), 1_600);
    // The tables with live changes on A before the connection was lost.
    for table in [2, 5, 8] {
        write(&mut net, a, table - 1, 1_000);
    }
    // The older one sends no heartbeats, so the newer one closes after 5 to 10 s, and is called again.
    net.run(13_000);
    let captured = bytes("A-v3.4.0_B-v1.7.0.conn2", "s2c");
    let captured = shape(&captured, captured.len());
    let [caller, called] = net.streams().nth(1).unwrap();
    assert!(caller.starts_with(b"HAProxyS 2.1\nA\n"));
    let said = shape(called, called.len());
    assert_eq!(captured.len(), 38);
    assert_eq!(said[..captured.len()], captured);
}

/// Heartbeats of an idle session come 3, 6 and 9 s after its start.
#[test]
fn heartbeats_come_when_captured() {
    let listing = listing("v3.4.0-outbound");
    let is_heartbeat = |message: &&Value| message["msg"] == "heartbeat";
    let messages = listing["c2s"]["messages"].as_array().unwrap();
    let captured: Vec<_> =
        messages.iter().filter(is_heartbeat).map(|it| it["t_s"].as_f64().unwrap().round() as u64).collect();
    let mut wire = Wire::ready(Release::V3_4.quirks());
    wire.heard();
    let mut said = Vec::new();
    for second in 0..=9 {
        if wire.heard().contains(&"heartbeat".into()) {
            said.push(second);
        }
        wire.say(haproxy_peers::Control::Heartbeat);
        wire.wait(1_000);
    }
    assert_eq!((said, captured), (vec![3, 6, 9], vec![3, 6, 9]));
}
