//! What becomes of several nodes' values.

use std::sync::Arc;

use stick_aggregate::{Absorbed, Aggregate, AggregateError, Rule, Rules, Told};
use stick_table::{DataType, Follow, KeyType, Lifetime, Origin, Table, TableDefinition, Value};

use crate::hub::{EXPIRE, Hub, definition};

#[test]
fn counters_are_summed_and_live_as_long_as_the_longest() {
    let mut hub = Hub::new(&["gpc0"]);
    assert_eq!(hub.tell_number(1, 5).created, 1);
    hub.pass(10_000);
    assert_eq!(hub.tell_number(2, 7).created, 1);
    assert_eq!(hub.tell_number(2, 8).updated, 1);
    assert_eq!((hub.number(), hub.remaining()), (Some(13), Some(EXPIRE)));
    hub.pass(49_999);
    hub.refresh();
    assert_eq!(hub.number(), Some(13));
    hub.pass(1);
    assert_eq!(hub.refresh(), 1, "the first one's has ended");
    assert_eq!((hub.number(), hub.remaining()), (Some(8), Some(10_000)));
    hub.pass(10_000);
    assert_eq!(hub.number(), None, "ends with the last one, by itself");
    assert_eq!(hub.refresh(), 0);
    assert_eq!(hub.aggregate.usage().keys, 0);
}

#[test]
fn lifetimes_are_those_that_are_told() {
    let mut hub = Hub::new(&["gpc0"]);
    let gpc0 = |number| [(DataType::Gpc0, 0, Value::Unsigned(number))];
    let tell = |hub: &Hub, lifetime, number| hub.tell_as(1, Told::Live, lifetime, &gpc0(number));
    let skipped = Absorbed { skipped: 1, ..Absorbed::default() };
    assert_eq!(tell(&hub, Lifetime::Keep, 1), skipped);
    assert_eq!(tell(&hub, Lifetime::Exactly(0), 1), skipped);
    tell(&hub, Lifetime::Exactly(700), 1);
    hub.pass(100);
    tell(&hub, Lifetime::Keep, 2);
    assert_eq!((hub.number(), hub.remaining()), (Some(2), Some(600)));
    tell(&hub, Lifetime::Exactly(EXPIRE + 9), 3);
    assert_eq!(hub.remaining(), Some(EXPIRE));
    hub.tell_number(2, 40);
    assert_eq!(tell(&hub, Lifetime::Exactly(0), 4).updated, 1);
    assert_eq!(hub.number(), Some(40), "what has ended does not count");
    let ended = hub.tell_as(2, Told::Live, Lifetime::Exactly(0), &gpc0(41));
    assert_eq!((ended.updated, hub.number()), (1, Some(0)), "told to be over: zeros that end soon");
    assert!(hub.remaining().is_some_and(|remaining| remaining <= 6_000));
}

/// In a table that keeps the order in which nodes told a key.
#[test]
fn an_end_is_seen_at_once_whoever_told_last() {
    let hub = Hub::new(&["server_id", "gpc0"]);
    let gpc0 = |number| [(DataType::Gpc0, 0, Value::Unsigned(number))];
    for node in 1..=3 {
        hub.tell(node, &gpc0(10));
    }
    hub.tell_as(1, Told::Live, Lifetime::Exactly(0), &gpc0(11));
    assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(20)));
    assert_eq!(hub.aggregate.usage().contributions, 2);
}

#[test]
fn sums_saturate() {
    let hub = Hub::new(&["gpc0", "bytes_in_cnt", "conn_cur", "http_req_rate(10s)"]);
    for node in 1..=3 {
        hub.tell(
            node,
            &[
                (DataType::Gpc0, 0, Value::Unsigned(u32::MAX / 2)),
                (DataType::BytesInCnt, 0, Value::Unsigned64(u64::MAX / 2)),
                (DataType::ConnCur, 0, Value::Unsigned(u32::MAX - 1)),
                (
                    DataType::HttpReqRate,
                    0,
                    Value::Frequency(stick_table::FrequencyCounter {
                        tick: hub.now as u32,
                        current: u32::MAX / 2,
                        previous: u32::MAX / 3,
                    }),
                ),
            ],
        );
    }
    assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(u32::MAX)));
    assert_eq!(hub.value(DataType::BytesInCnt, 0), Some(Value::Unsigned64(u64::MAX)));
    assert_eq!(hub.value(DataType::ConnCur, 0), Some(Value::Unsigned(u32::MAX)));
    let Some(Value::Frequency(rate)) = hub.value(DataType::HttpReqRate, 0) else { panic!("no rate") };
    assert_eq!(rate.read(10_000, hub.now as u32), u32::MAX);
}

#[test]
fn each_rule_does_what_it_says() {
    for (rule, expected) in [(Rule::Sum, 18), (Rule::Last, 5), (Rule::Max, 9), (Rule::Min, 4), (Rule::Or, 13)]
    {
        let mut rules = Rules::default();
        rules.set(DataType::Gpt0, rule).unwrap();
        let hub = Hub::with_rules(&["gpt0"], &rules);
        for (node, number) in [(3, 9), (1, 2), (2, 4), (1, 5)] {
            hub.tell_number(node, number);
        }
        assert_eq!(hub.number(), Some(expected), "{rule}");
    }
}

#[test]
fn a_lesson_does_not_say_what_was_told_last() {
    let hub = Hub::new(&["server_id", "server_key"]);
    let tell = |node, told, id, name: &str| {
        let values = [
            (DataType::ServerId, 0, Value::Signed(id)),
            (DataType::ServerKey, 0, Value::Dictionary(Some(name.into()))),
        ];
        hub.tell_as(node, told, Lifetime::Restart, &values);
        (hub.value(DataType::ServerId, 0).unwrap(), hub.value(DataType::ServerKey, 0).unwrap())
    };
    let server = |id, name: &str| (Value::Signed(id), Value::Dictionary(Some(Arc::from(name))));
    assert_eq!(tell(1, Told::Live, -1, "a"), server(-1, "a"));
    assert_eq!(tell(2, Told::Lesson, 2, "b"), server(-1, "a"));
    assert_eq!(tell(3, Told::Live, 3, "c"), server(3, "c"));
    assert_eq!(tell(1, Told::Lesson, 4, "d"), server(3, "c"));
    assert_eq!(tell(3, Told::Lesson, 5, "e"), server(5, "e"), "its own newer value");
    hub.aggregate.forget(Origin::peer(3).unwrap());
    hub.refresh();
    assert_eq!(hub.value(DataType::ServerId, 0), Some(Value::Signed(4)));
}

#[test]
fn a_node_without_a_column_does_not_count_for_it() {
    let mut rules = Rules::default();
    rules.set(DataType::Gpc0, Rule::Min).unwrap();
    let hub = Hub::with_rules(&["gpc0", "gpt0", "server_id"], &rules);
    let id = |id| (DataType::ServerId, 0, Value::Signed(id));
    hub.tell(1, &[(DataType::Gpc0, 0, Value::Unsigned(7)), (DataType::Gpt0, 0, Value::Unsigned(3)), id(-8)]);
    hub.tell(2, &[id(9)]);
    assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(7)));
    assert_eq!(hub.value(DataType::Gpt0, 0), Some(Value::Unsigned(3)));
    assert_eq!(hub.value(DataType::ServerId, 0), Some(Value::Signed(9)));
    let mut told = hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap();
    told.sort_by_key(|told| told.node.number());
    assert_eq!(told[1].values, [id(9)]);
    assert_eq!(told[0].values.len(), 3);
}

/// More sets of columns than a node may have at a time, one after the other.
#[test]
fn a_node_may_change_its_columns_again_and_again() {
    let hub = Hub::new(&["gpt(100)"]);
    for element in 0..100 {
        let told = hub.tell(1, &[(DataType::Gpt, element, Value::Unsigned(element + 1))]);
        assert_eq!(told.refused, 0);
        assert_eq!(hub.value(DataType::Gpt, element), Some(Value::Unsigned(element + 1)));
        let before = element.checked_sub(1).and_then(|before| hub.value(DataType::Gpt, before));
        assert!(before.is_none_or(|before| before == Value::Unsigned(0)), "no longer told");
    }
}

#[test]
fn a_column_that_the_output_lacks_is_kept_apart_only() {
    let output = Arc::new(Table::new(definition("o", 10, &["gpc(2)", "conn_cnt"]), 1).unwrap());
    let source = definition("s", 10, &["gpc(4)", "gpt0"]);
    let aggregate = Aggregate::new(source, output, &Rules::default(), 1).unwrap();
    let hub = Hub { aggregate: aggregate.into(), now: 5 };
    let values: Vec<_> =
        (0..4).map(|element| (DataType::Gpc, element, Value::Unsigned(element + 1))).collect();
    hub.tell(1, &values);
    hub.tell(2, &values);
    assert_eq!(hub.value(DataType::Gpc, 1), Some(Value::Unsigned(4)));
    assert_eq!(hub.value(DataType::ConnCnt, 0), Some(Value::Unsigned(0)));
    assert_eq!(hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap()[0].values, values);
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let attempt = |source: TableDefinition, output: TableDefinition| {
        Aggregate::new(source, Arc::new(Table::new(output, 1).unwrap()), &Rules::default(), 1).err()
    };
    let names = || ("s".to_owned(), "o".to_owned());
    let (s, o) = names();
    let string = TableDefinition::new("o", KeyType::DEFAULT_STRING, 9).with_expire(Some(1));
    assert_eq!(attempt(definition("s", 9, &["gpc0"]), string), Some(AggregateError::KeyType(s, o)));
    assert_eq!(
        attempt(definition("s", 9, &["conn_rate(1s)"]), definition("o", 9, &["conn_rate(2s)"])),
        Some(AggregateError::Period(DataType::ConnRate, 1_000, 2_000))
    );
    let mut factor = definition("s", 9, &["bytes_in_rate(1s)"]);
    factor.brates_factor = 8;
    assert_eq!(
        attempt(factor, definition("o", 9, &["bytes_in_rate(1s)"])),
        Some(AggregateError::BratesFactor(DataType::BytesInRate, 8, 1))
    );
    let (s, o) = names();
    let endless = definition("o", 9, &["gpc0"]).with_expire(None);
    assert_eq!(attempt(definition("s", 9, &["gpc0"]), endless), Some(AggregateError::NoExpire(s, o)));
    let (s, o) = names();
    let other = definition("o", 9, &["gpc1"]);
    assert_eq!(attempt(definition("s", 9, &["gpc0"]), other), Some(AggregateError::NothingInCommon(s, o)));
}

#[test]
fn a_forgotten_node_does_not_count() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 5);
    hub.tell_number(2, 7);
    hub.aggregate.forget(Origin::peer(1).unwrap());
    assert!(hub.aggregate.is_behind());
    assert_eq!((hub.refresh(), hub.number()), (1, Some(7)));
    assert!(!hub.aggregate.is_behind());
    hub.tell_number(1, 5);
    hub.aggregate.forget(Origin::peer(1).unwrap());
    assert_eq!(hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap().len(), 1, "at once");
    assert_eq!(hub.number(), Some(7), "who looks at a key settles it");
    hub.aggregate.forget(Origin::peer(1).unwrap());
    assert_eq!(hub.refresh(), 0);
    hub.aggregate.forget(Origin::peer(2).unwrap());
    assert_eq!(hub.refresh(), 1);
    assert_eq!((hub.number(), hub.remaining()), (Some(0), Some(6_000)), "zeros, for some seconds");
    assert_eq!(hub.aggregate.usage().contributions, 0);
}

#[test]
fn without_an_expiry_contributions_stay_until_they_are_forgotten() {
    let output = Arc::new(Table::new(definition("o", 10, &["gpc0"]), 1).unwrap());
    let source = definition("s", 10, &["gpc0"]).with_expire(None);
    let aggregate = Aggregate::new(source, output, &Rules::default(), 1).unwrap();
    let mut hub = Hub { aggregate: aggregate.into(), now: 77 };
    hub.tell_as(1, Told::Live, Lifetime::Exactly(0), &[(DataType::Gpc0, 0, Value::Unsigned(3))]);
    for _ in 0..100 {
        hub.pass(u64::from(EXPIRE) / 4);
        hub.refresh();
        assert_eq!(hub.number(), Some(3), "renewed before the output's entry ends");
    }
    let told = hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap();
    assert_eq!((told[0].remaining, told[0].age), (None, 25 * EXPIRE));
}

#[test]
fn results_reach_those_who_follow_local_changes() {
    let hub = Hub::new(&["gpc0"]);
    let output = hub.aggregate.output();
    let mut cursor = output.follow(Follow::Local, &output.start());
    let mut read = |hub: &Hub| {
        let mut seen = Vec::new();
        output.read(&mut cursor, 10, hub.now, |entry| seen.push(entry.words()[0]));
        seen
    };
    hub.tell_number(1, 5);
    assert_eq!(read(&hub), [5]);
    hub.tell_number(2, 7);
    hub.tell_number(2, 8);
    assert_eq!(read(&hub), [13]);
    hub.aggregate.forget(Origin::peer(1).unwrap());
    hub.refresh();
    assert_eq!(read(&hub), [8]);
}

/// A node that comes back before its former contributions are collected has nothing to do with them.
#[test]
fn a_node_that_was_forgotten_begins_again_at_once() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 50);
    hub.tell_number(2, 7);
    hub.aggregate.forget(Origin::peer(1).unwrap());
    assert_eq!(hub.tell_number(1, 3).created, 1);
    assert_eq!(hub.number(), Some(10));
    hub.aggregate.forget(Origin::peer(2).unwrap());
    assert_eq!(hub.tell_number(1, 4).updated, 1);
    assert_eq!(hub.number(), Some(4), "also without a refresh, where anything is told of the key");
    hub.refresh();
    assert_eq!((hub.number(), hub.aggregate.usage().contributions), (Some(4), 1));
}
