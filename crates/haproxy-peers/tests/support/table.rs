//! Tables and their entries, in few words.

use std::sync::Arc;

use stick_table::{Column, DataType, KeyType, Lifetime, Origin, TableDefinition, Value};

use super::World;

fn column(word: &str) -> Column {
    word.parse().unwrap()
}

pub(crate) fn table(name: &str, key_type: KeyType, expire_ms: u32, columns: &[&str]) -> TableDefinition {
    let empty = TableDefinition::new(name, key_type, 10_000).with_expire(Some(expire_ms));
    columns.iter().fold(empty, |table, word| table.with_column(column(word)).unwrap())
}

/// A table `name` of integers with a counter and a string, whose entries live for a minute.
pub(crate) fn counters(name: &str) -> TableDefinition {
    table(name, KeyType::Integer, 60_000, &["gpc0", "server_key"])
}

pub(crate) fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// A local change of the first table.
pub(crate) fn set(world: &World, node: usize, number: u32, value: u32) {
    change(world, node, number, value, Origin::LOCAL, Lifetime::Restart);
}

/// A change of the first table as if it came from a peer that is not in the world.
pub(crate) fn learn(world: &World, node: usize, number: u32, value: u32, left: u32) {
    change(world, node, number, value, Origin::peer(900).unwrap(), Lifetime::Exactly(left));
}

fn change(world: &World, node: usize, number: u32, value: u32, origin: Origin, lifetime: Lifetime) {
    let node = &world.nodes[node];
    let server: Arc<str> = format!("srv{value}").into();
    node.table(0)
        .update(&key(number), origin, lifetime, node.clock(world.now), |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(value));
            entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some(server)));
        })
        .unwrap();
}

/// Counter and remaining lifetime of an entry of the first table.
pub(crate) fn gpc0(world: &World, node: usize, number: u32) -> Option<(u32, u32)> {
    let node = &world.nodes[node];
    node.table(0)
        .get(&key(number), node.clock(world.now), |entry| match entry.value(DataType::Gpc0, 0) {
            Some(Value::Unsigned(value)) => (value, entry.remaining().unwrap_or(0)),
            other => panic!("{other:?}"),
        })
        .unwrap()
}
