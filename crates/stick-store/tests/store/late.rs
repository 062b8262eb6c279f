//! A log that is read when its tables are in use.

use std::sync::Arc;

use stick_store::{Clocks, Disk, Loaded, Options, Writer, load_late};
use stick_table::{DataType, Lifetime, Millis, Origin, Table, Value};

use crate::disk::SimDisk;
use crate::tables::{clocks, contents, key, set, table};

const NOW: Millis = 1_000_000;
const LINE: &str = "type ip size 1k expire 100s store gpc0";

/// A log of keys 1 to 5, of which 4 was removed; 5 as well, and the table then started over.
fn stored() -> SimDisk {
    let disk = SimDisk::default();
    let table = table(LINE);
    let mut writer = Writer::new(disk.clone(), Options::default(), &Loaded::default(), 5, &clocks(NOW));
    writer.add("t", &table);
    (1..=5).for_each(|number| set(&table, 0, number, number.into(), NOW));
    writer.tick(&clocks(NOW)).unwrap();
    table.remove(&key(0, 4), NOW).unwrap();
    writer.tick(&clocks(NOW)).unwrap();
    // More than are remembered.
    (0..2_000_u32).for_each(|number| {
        let key = (0x0b00_0000 + number).to_be_bytes();
        table.update(&key, Origin::LOCAL, Lifetime::Restart, NOW, |_| ()).unwrap();
    });
    table.remove_where(NOW, |entry| entry.key()[0] == 11 || entry.key() == key(0, 5));
    writer.tick(&clocks(NOW)).unwrap();
    disk
}

fn late(disk: &SimDisk, table: &Arc<Table>, clocks: &Clocks) -> Loaded {
    load_late(disk, clocks, |_, _| Some(Arc::clone(table))).unwrap()
}

/// What another peer told.
fn tell(table: &Table, number: u8, value: u32) {
    table
        .update(&key(0, number), Origin::peer(1).unwrap(), Lifetime::Restart, NOW, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(value));
        })
        .unwrap();
}

#[test]
fn what_others_wrote_stays() {
    let disk = stored();
    let names = disk.list().unwrap();
    let table = table(LINE);
    set(&table, 0, 1, 100, NOW);
    tell(&table, 2, 200);
    // The log removes these two, or starts over without them.
    set(&table, 0, 4, 400, NOW);
    tell(&table, 5, 500);
    tell(&table, 6, 600);
    let loaded = late(&disk, &table, &clocks(NOW + 1_000));
    assert!(loaded.damage.is_empty() && loaded.left_out.is_empty(), "{loaded:?}");
    let values: Vec<_> =
        contents(&table, 0, NOW).into_iter().map(|((_, number), (value, _))| (number, value)).collect();
    assert_eq!(values, [(1, 100), (2, 200), (3, 3), (4, 400), (5, 500), (6, 600)]);
    let left = table.get(&key(0, 3), NOW + 1_000, |entry| entry.remaining()).unwrap();
    assert_eq!(left, Some(Some(99_000)), "time passed since");
    assert_eq!(disk.list().unwrap(), names);
    // Once more it is the same.
    late(&disk, &table, &clocks(NOW + 1_000));
    assert_eq!(table.len(), 6);
}

#[test]
fn nothing_gives_way_to_what_is_read_late() {
    let disk = stored();
    let table = table("type ip size 3 expire 100s store gpc0");
    tell(&table, 8, 1);
    tell(&table, 9, 2);
    let loaded = late(&disk, &table, &clocks(NOW));
    assert_eq!((table.len(), loaded.expired), (3, 0));
    assert!(loaded.refused > 0);
    let found = contents(&table, 0, NOW);
    assert!(found.contains_key(&(0, 8)) && found.contains_key(&(0, 9)), "{found:?}");
}
