//! `set table`: creates or changes an entry.

use std::sync::Arc;

use haproxy_peers::Order;
use stick_aggregate::Aggregate;
use stick_table::{
    DataType, FrequencyCounter, Lifetime, Millis, Origin, Storage, TableDefinition, UpdateError, Value,
};
use thiserror::Error;

use crate::config::Level;

use super::Context;
use super::cluster_wide;
use super::filter::{DataName, NameError, parse_value};
use super::level::DENIED;
use super::reply::Reply;
use super::table_command::{Action, Target, TargetError};

/// Why a value is refused, in HAProxy's words. Values set before it stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum SetError {
    #[error("\"data.<type>\" followed by a value expected")]
    NotData,
    #[error("Unknown data type")]
    UnknownType,
    #[error("Data type not stored in this table")]
    NotStored,
    #[error("index out of range in this data array")]
    Index,
    #[error("Require a valid integer value to store")]
    Value,
    #[error("Unable to allocate a new entry")]
    Full,
    #[error(
        "The table holds sums, which nodes tell again at any time; add \"cluster\" to set the values of all nodes, or clear them"
    )]
    Sum,
}

/// Runs `set table` with its arguments.
///
/// The entry is touched even when a value is refused (stick-tables §5.2): it lives on and peers are told.
pub(crate) fn run(context: &Arc<dyn Context>, level: Level, arguments: &[Vec<u8>]) -> Reply {
    set(&**context, level, arguments).unwrap_or_else(Reply::line)
}

fn set(context: &dyn Context, level: Level, arguments: &[Vec<u8>]) -> Result<Reply, TargetError> {
    let (words, cluster) = cluster_wide::take_word_of_set(arguments.get(1..).unwrap_or_default());
    let sum = arguments.first().and_then(|name| cluster_wide::sum_of(context, name));
    let table = match &sum {
        Some(sum) => Arc::clone(sum.output()),
        None => Action::Set.table(context, arguments)?,
    };
    if level < Level::Operator {
        return Ok(Reply::line(DENIED));
    }
    let Target::Key(key) = Action::Set.target(context, &table, words)? else {
        return Ok(Reply::done());
    };
    let now = context.now();
    let pairs = words.get(2..).unwrap_or_default();
    if let Some(sum) = sum {
        return Ok(if cluster {
            set_nodes(context, &sum, &key, pairs, now).map_or_else(Reply::line, |()| Reply::done())
        } else {
            Reply::line(SetError::Sum)
        });
    }
    let result = table.update(&key, Origin::LOCAL, Lifetime::Restart, now, |entry| {
        set_values(table.definition(), pairs, now, |data_type, element, value| {
            entry.set(data_type, element, &value);
        })
    });
    Ok(match result {
        Err(UpdateError::Full) => Reply::line(SetError::Full),
        Err(UpdateError::Key(error)) => Reply::line(error),
        Ok(outcome) => {
            context.changed();
            outcome.map_or_else(Reply::line, |()| Reply::done())
        }
    })
}

/// Sets the values of all nodes of a hub.
fn set_nodes(
    context: &dyn Context,
    sum: &Arc<Aggregate>,
    key: &[u8],
    pairs: &[Vec<u8>],
    now: Millis,
) -> Result<(), String> {
    let mut values = Vec::new();
    set_values(sum.source(), pairs, now, |data_type, element, value| {
        values.retain(|&(it, other, _)| (it, other) != (data_type, element));
        values.push((data_type, element, value));
    })
    .map_err(|error| error.to_string())?;
    if values.is_empty() {
        return Err(SetError::NotData.to_string());
    }
    let orders = context.orders(sum, Order::Set(&values));
    orders.and_then(|orders| orders.give(key, now)).map_err(|error| error.to_string())?;
    context.changed();
    Ok(())
}

fn set_values(
    definition: &TableDefinition,
    words: &[Vec<u8>],
    now: Millis,
    mut set: impl FnMut(DataType, u32, Value),
) -> Result<(), SetError> {
    for pair in words.chunks(2) {
        let name = pair[0].strip_prefix(b"data.").ok_or(SetError::NotData)?;
        let (name, column) = DataName::find(name, definition).map_err(|error| match error {
            NameError::Unknown => SetError::UnknownType,
            NameError::NotStored => SetError::NotStored,
        })?;
        let element = name.element_of(&column).ok_or(SetError::Index)?;
        let number = pair.get(1).and_then(|word| parse_value(word)).ok_or(SetError::Value)?;
        if let Some(value) = value_of(name.data_type.storage(), number, now) {
            set(name.data_type, element, value);
        }
    }
    Ok(())
}

/// The value of a number, truncated to the width of its storage. A rate starts its period now (stick-tables §4); the
/// number is what the counter holds, before byte rates are multiplied by the table's factor. Texts cannot be set.
fn value_of(storage: Storage, number: i64, now: Millis) -> Option<Value> {
    match storage {
        Storage::Signed => Some(Value::Signed(number as i32)),
        Storage::Unsigned => Some(Value::Unsigned(number as u32)),
        Storage::Unsigned64 => Some(Value::Unsigned64(number as u64)),
        Storage::Frequency => Some(Value::Frequency(FrequencyCounter::set(number as u32, now as u32))),
        Storage::Dictionary => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use stick_table::Follow;

    fn value(node: &Node, table: &str, key: &[u8], data_type: DataType) -> Option<Value> {
        let table = node.table(table).unwrap();
        table.get(key, node.now(), |entry| entry.value(data_type, 0)).unwrap().flatten()
    }

    #[test]
    fn values_are_cut_to_their_width() {
        let node = Node::sample();
        for (text, expected) in [("4294967299", 3), ("-1", u32::MAX), ("007", 7), ("-0", 0)] {
            assert_eq!(node.run(&format!("set table p/t1 key 10.0.0.6 data.gpc0 {text}")), "\n");
            let stored = value(&node, "p/t1", &[10, 0, 0, 6], DataType::Gpc0);
            assert_eq!(stored, Some(Value::Unsigned(expected)), "{text}");
        }
        node.run("set table p/s key a data.server_id 4294967291 data.bytes_in_cnt -1 data.server_key 3");
        assert_eq!(value(&node, "p/s", b"a", DataType::ServerId), Some(Value::Signed(-5)));
        assert_eq!(value(&node, "p/s", b"a", DataType::BytesInCnt), Some(Value::Unsigned64(u64::MAX)));
        assert_eq!(value(&node, "p/s", b"a", DataType::ServerKey), Some(Value::Dictionary(None)));
    }

    #[test]
    fn a_rate_starts_its_period_now() {
        let node = Node::sample();
        node.run("set table p/t1 key 10.0.0.6 data.conn_rate 10");
        let counter = FrequencyCounter { tick: node.now() as u32 & !1, current: 10, previous: 0 };
        let stored = value(&node, "p/t1", &[10, 0, 0, 6], DataType::ConnRate);
        assert_eq!(stored, Some(Value::Frequency(counter)));
    }

    #[test]
    fn what_is_wrong_is_said_and_what_came_before_stays() {
        let node = Node::sample();
        for (text, message) in [
            ("foo", "\"data.<type>\" followed by a value expected"),
            ("data.foo 3", "Unknown data type"),
            ("data. 3", "Unknown data type"),
            ("data.gpc0[0] 3", "Unknown data type"),
            ("data.gpc1 3", "Data type not stored in this table"),
            ("data.gpc0 abc", "Require a valid integer value to store"),
            ("data.gpc0 12abc", "Require a valid integer value to store"),
            ("data.gpc0 +7", "Require a valid integer value to store"),
            ("data.gpc0 99999999999999999999", "Require a valid integer value to store"),
            ("data.gpc0", "Require a valid integer value to store"),
            ("data.gpc0 9 data.conn_cnt x", "Require a valid integer value to store"),
        ] {
            let answer = node.run(&format!("set table p/t1 key 10.0.0.3 {text}"));
            assert_eq!(answer, format!("{message}\n\n"), "{text}");
        }
        assert_eq!(value(&node, "p/t1", &[10, 0, 0, 3], DataType::Gpc0), Some(Value::Unsigned(9)));
        for index in ["3", "-1"] {
            let answer = node.run(&format!("set table p/n key 5 data.gpt[{index}] 3"));
            assert_eq!(answer, "index out of range in this data array\n\n");
        }
        assert_eq!(
            node.run("set table p/s key abc data.server_key abc"),
            "Require a valid integer value to store\n\n"
        );
    }

    #[test]
    fn an_error_touches_the_entry_and_tells_the_peers() {
        let node = Node::sample();
        node.run("set table p/t1 key 10.0.0.3");
        let table = node.table("p/t1").unwrap();
        let mut cursor = table.follow(Follow::Local, &table.position());
        let told = node.changes();
        node.advance(5000);
        assert_eq!(node.run("set table p/t1 key 10.0.0.3 data.foo 3"), "Unknown data type\n\n");
        assert_eq!(node.changes(), told + 1);
        let remaining = table.get(&[10, 0, 0, 3], node.now(), |entry| entry.remaining()).unwrap();
        assert_eq!(remaining, Some(Some(600_000)));
        assert_eq!(table.read(&mut cursor, 10, node.now(), |_| ()), 1, "the entry is pushed");
        table.unfollow(cursor);
    }

    #[test]
    fn a_full_table_that_does_not_purge_refuses() {
        let node = Node::sample();
        for (key, answer) in [("a", "\n"), ("b", "\n"), ("c", "Unable to allocate a new entry\n\n")] {
            assert_eq!(node.run(&format!("set table p/s key {key}")), answer);
        }
        assert_eq!(node.changes(), 2, "nothing changed, nobody is told");
    }

    #[test]
    fn setting_needs_operator() {
        let node = Node::sample();
        assert_eq!(node.run_as(Level::User, "set table p/t1 key 10.0.0.1"), "Permission denied\n\n");
        assert_eq!(node.run_as(Level::User, "set table p/t1"), "Permission denied\n\n");
        assert_eq!(node.run_as(Level::User, "set table zz"), "No such table\n\n");
        assert_eq!(node.run_as(Level::Operator, "set table p/t1 key 10.0.0.1"), "\n");
        assert_eq!(node.run("set table p/t1"), "\n");
    }
}
