//! Another configuration than the one that was stored, and time that passed.

use std::sync::Arc;

use stick_store::{Clocks, LeftOut, Loaded, Options, Writer, load};
use stick_table::{DataType, Lifetime, Millis, Origin, Table, Value};

use crate::disk::SimDisk;
use crate::tables::{clocks, contents, key, set, table};

const NOW: Millis = 1_000_000;
const STORED: &str =
    "type ip size 1k expire 100s store gpc0,gpt(3),http_req_rate(5s),conn_rate(10s),server_key";

/// A disk with one table of this definition, with three entries.
fn stored(line: &str) -> SimDisk {
    let disk = SimDisk::default();
    let mut writer = Writer::new(disk.clone(), Options::default(), &Loaded::default(), 5, &clocks(NOW));
    let table = table(line);
    for number in 0..3_u8 {
        set(&table, 0, number, u32::from(number) + 40, NOW);
        table
            .update(&[10, 0, 0, number], Origin::LOCAL, Lifetime::Restart, NOW, |entry| {
                entry.set(DataType::Gpt, 1, &Value::Unsigned(9));
                entry.count(DataType::ConnRate, 0, 30);
            })
            .unwrap();
    }
    // Only the lap writes them.
    writer.add("p/t", &table);
    writer.tick(&clocks(NOW)).unwrap();
    disk
}

fn loaded_as(disk: &SimDisk, line: &str, clocks: &Clocks) -> (Arc<Table>, Loaded) {
    let table = table(line);
    let loaded = load(disk, clocks, |name, _| (name == "p/t").then(|| Arc::clone(&table))).unwrap();
    (table, loaded)
}

fn value(table: &Table, data_type: DataType, element: u32, now: Millis) -> Option<Value> {
    table.get(&[10, 0, 0, 2], now, |entry| entry.value(data_type, element)).unwrap().unwrap()
}

fn reasons(loaded: &Loaded) -> Vec<&str> {
    loaded
        .left_out
        .iter()
        .map(|LeftOut { table, reason }| {
            assert_eq!(table, "p/t");
            reason.as_str()
        })
        .collect()
}

#[test]
fn columns_are_matched_by_type_and_element() {
    let disk = stored(STORED);
    let line =
        "type ip size 1k expire 100s store gpt(2),conn_cnt,http_req_rate(5s),conn_rate(20s),server_key";
    let (table, loaded) = loaded_as(&disk, line, &clocks(NOW));
    assert_eq!((loaded.entries, loaded.expired, loaded.refused), (3, 0, 0));
    assert_eq!(
        reasons(&loaded),
        ["gpc0 is not stored any more", "the period of conn_rate was 10000 ms, and is 20000 ms now"]
    );
    assert_eq!(value(&table, DataType::Gpt, 1, NOW), Some(Value::Unsigned(9)));
    assert_eq!(value(&table, DataType::ConnCnt, 0, NOW), Some(Value::Unsigned(0)), "it is new");
    assert_eq!(value(&table, DataType::ServerKey, 0, NOW), Some(Value::Dictionary(Some("server-2".into()))));
    let rate = |data_type, period| match value(&table, data_type, 0, NOW) {
        Some(Value::Frequency(counter)) => counter.read(period, NOW as u32),
        other => panic!("{other:?}"),
    };
    assert_eq!((rate(DataType::HttpReqRate, 5_000), rate(DataType::ConnRate, 20_000)), (42, 0));
}

#[test]
fn elements_of_arrays_stay() {
    let (table, loaded) =
        loaded_as(&stored(STORED), "type ip size 1k expire 100s store gpt(5)", &clocks(NOW));
    assert_eq!(loaded.left_out.len(), 4);
    let elements = [0, 1, 2, 3].map(|element| value(&table, DataType::Gpt, element, NOW));
    assert_eq!(elements, [0, 9, 42, 0].map(|value| Some(Value::Unsigned(value))));
}

#[test]
fn other_keys_are_said_and_left_out() {
    let disk = stored(STORED);
    for (line, reason) in [
        ("type integer size 1k store gpc0", "its keys were ip, and are integer now"),
        ("type string len 20 size 1k store gpc0", "its keys were ip, and are string of 20 bytes now"),
        ("type binary len 4 size 1k store gpc0", "its keys were ip, and are binary of 4 bytes now"),
    ] {
        let (table, loaded) = loaded_as(&disk, line, &clocks(NOW));
        assert_eq!((table.len(), reasons(&loaded)), (0, vec![reason]));
    }
    let loaded = load(&disk, &clocks(NOW), |_, _| None).unwrap();
    assert_eq!(reasons(&loaded), ["there is no such table any more"]);
    assert!(loaded.damage.is_empty());
}

#[test]
fn a_smaller_table_is_full_and_says_so() {
    let disk = stored(STORED);
    let (table, loaded) = loaded_as(&disk, "type ip size 2 nopurge expire 100s store gpc0", &clocks(NOW));
    assert_eq!((table.len(), loaded.entries, loaded.refused), (2, 2, 1));
}

#[test]
fn lives_and_rates_go_on_while_nobody_looks() {
    let disk = stored(STORED);
    let after = |clocks: Clocks| {
        let (table, loaded) = loaded_as(&disk, STORED, &clocks);
        let rate = table.get(&[10, 0, 0, 2], clocks.now, |entry| match entry.value(DataType::ConnRate, 0) {
            Some(Value::Frequency(counter)) => counter.read(10_000, clocks.now as u32),
            other => panic!("{other:?}"),
        });
        let left = table.get(&[10, 0, 0, 2], clocks.now, |entry| entry.remaining()).unwrap().flatten();
        (left, rate.unwrap(), loaded.expired)
    };
    let moment = clocks(NOW);
    let boot_id = [1; 16];
    assert_eq!(after(moment), (Some(100_000), Some(30), 0));
    // The clock of the tables is another one in each process.
    let later = |ms: u64| Clocks { now: 77, wall: moment.wall + ms, boot: moment.boot + ms, ..moment };
    assert_eq!(after(later(5_000)), (Some(95_000), Some(30), 0));
    let half = after(later(15_000));
    assert!(half.0 == Some(85_000) && half.1.is_some_and(|rate| (1..30).contains(&rate)), "{half:?}");
    assert_eq!(after(later(40_000)), (Some(60_000), Some(0), 0));
    assert_eq!(after(later(99_999)), (Some(1), Some(0), 0));
    assert_eq!(after(later(100_000)), (None, None, 3));
    assert_eq!(after(later(1 << 40)), (None, None, 3));
    // The time of day was set: within one start of the machine it does not matter.
    assert_eq!(after(Clocks { wall: 0, ..later(5_000) }).0, Some(95_000));
    // Another start.
    assert_eq!(after(Clocks { boot: 3, boot_id, ..later(5_000) }).0, Some(95_000));
    assert_eq!(
        after(Clocks { boot: 3, boot_id, wall: 12, ..later(0) }).0,
        Some(100_000),
        "set back: no life grows"
    );
}

/// An entry without an end has none, also when its table has none any more.
#[test]
fn an_expiry_that_comes_begins_now() {
    let disk = stored("type ip size 1k store gpc0,conn_rate(10s),gpt(3),server_key");
    let later = Clocks { wall: clocks(NOW).wall + 1_000_000, boot_id: [1; 16], ..clocks(NOW) };
    let (table, loaded) = loaded_as(&disk, "type ip size 1k expire 30s store gpc0", &later);
    assert_eq!(loaded.entries, 3);
    assert_eq!(contents(&table, 0, NOW).get(&(0, 2)), Some(&(42, Some(NOW + 30_000))));
    let (table, _) = loaded_as(&stored(STORED), "type ip size 1k store gpc0", &clocks(NOW));
    assert_eq!(contents(&table, 0, NOW).get(&(0, 2)), Some(&(42, None)));
}

/// In a table without an end the entry that was touched first gives way, also after a start.
#[test]
fn the_order_of_touches_stays() {
    let line = "type ip size 3 store gpc0";
    let disk = SimDisk::default();
    let first = table(line);
    let mut writer = Writer::new(disk.clone(), Options::default(), &Loaded::default(), 5, &clocks(NOW));
    writer.add("p/t", &first);
    for (number, age) in [(1, 1_000), (2, 50_000), (3, 20_000)] {
        set(&first, 0, number, number.into(), NOW - age);
    }
    writer.tick(&clocks(NOW)).unwrap();
    let later = NOW + 10_000;
    let (table, _) = loaded_as(&disk, line, &clocks(later));
    let age = |number| table.get(&key(0, number), later, |entry| entry.age()).unwrap().flatten();
    assert_eq!([age(1), age(2), age(3)], [Some(11_000), Some(60_000), Some(30_000)]);
    for (new, gone) in [(4, 2), (5, 3), (6, 1)] {
        assert!(age(gone).is_some());
        set(&table, 0, new, 1, later);
        assert_eq!(age(gone), None, "{gone}");
    }
    // Weeks later nothing comes round.
    let later = NOW + 60 * 86_400_000;
    let (table, _) = loaded_as(&disk, line, &clocks(later));
    assert_eq!(table.get(&key(0, 2), later, |entry| entry.age()).unwrap().flatten(), Some(1 << 31));
}

/// A change that shortens a life is not lost when the shorter life has ended.
#[test]
fn what_ended_early_has_ended() {
    let disk = SimDisk::default();
    let first = table("type ip size 10 expire 100s store gpc0");
    let mut writer = Writer::new(disk.clone(), Options::default(), &Loaded::default(), 5, &clocks(NOW));
    writer.add("p/t", &first);
    set(&first, 0, 1, 1, NOW);
    set(&first, 0, 2, 2, NOW);
    writer.tick(&clocks(NOW)).unwrap();
    first.update(&key(0, 1), Origin::LOCAL, Lifetime::Exactly(5_000), NOW, |_| ()).unwrap();
    writer.tick(&clocks(NOW)).unwrap();
    for (ms, count) in [(4_000, 2), (6_000, 1)] {
        let later = clocks(NOW + ms);
        let (table, loaded) = loaded_as(&disk, "type ip size 10 expire 100s store gpc0", &later);
        assert_eq!(contents(&table, 0, later.now).len(), count, "{loaded:?}");
    }
}
