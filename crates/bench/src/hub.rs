//! Sums over all nodes: what a hub costs, how soon its sums are where they are read, and what there is without it.
//!
//! Every scenario counts each request, or each update, by itself and compares that with what HAProxys and hub hold at the end.

mod cluster;
pub(crate) mod departure;
mod http;
pub(crate) mod latency;
mod listener;
pub(crate) mod mesh;
pub(crate) mod nodes;
mod poller;
mod proof;
mod relays;
mod schedule;
#[cfg(test)]
mod tests;
mod writer;

use haproxy_peers::{Definition, Padding, UpdateHeader, WireFrequency, encode_frequency, encode_unsigned};
use stick_table::{KeyType, TableDefinition};

use crate::stream::TABLE_ID;
use crate::workload::{EXPIRE_MS, Keys};

/// What nodes count in, and what a hub makes of it: names in a peers section.
const SOURCE: &str = "t";
const RESULT: &str = "t.agg";
/// Names of both on the wire.
const WIRE_SOURCE: &str = "/t";
const WIRE_RESULT: &str = "/t.agg";
/// Name of the hub, and of its section.
const HUB: &str = "hub";
const SECTION: &str = "data";
/// Current count of the rate in each update of a scripted node.
const RATE: u32 = 3;

/// The arguments of the tables for so many keys.
fn arguments(keys: u64) -> String {
    format!("type ip size {} expire {EXPIRE_MS}ms store http_req_cnt,http_req_rate(10s)", 2 * keys)
}

/// The source as a scripted node defines it.
fn definition() -> Vec<u8> {
    let empty = TableDefinition::new(WIRE_SOURCE, KeyType::Ip, 1).with_expire(Some(EXPIRE_MS));
    let table = ["http_req_cnt", "http_req_rate(10s)"].iter().fold(empty, |table, column| {
        let column = column.parse().expect("these columns are well-formed");
        table.with_column(column).expect("these columns go together")
    });
    let mut bytes = Vec::new();
    let definition = Definition::from_table(TABLE_ID, &table).expect("a table with a name");
    definition.encode(Padding::None, &mut bytes).expect("the definition of a table");
    bytes
}

/// Appends what a scripted node tells of a key.
fn update(id: u32, key: u64, count: u32, out: &mut Vec<u8>) {
    let mut frame = UpdateHeader { id: Some(id), lifetime_ms: None }.begin(out);
    let payload = frame.payload();
    Keys::Ip.encode(key, payload);
    encode_unsigned(count, payload);
    encode_frequency(WireFrequency { age: 1_500, current: RATE, previous: 0 }, payload);
    frame.finish(Padding::None);
}

/// The address that is the key of entry `i`, as text.
fn address(key: u64) -> std::net::Ipv4Addr {
    let mut bytes = Vec::with_capacity(4);
    Keys::Ip.encode(key, &mut bytes);
    let bytes: [u8; 4] = bytes.try_into().expect("these keys are addresses");
    bytes.into()
}
