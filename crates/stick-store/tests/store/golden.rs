//! Format 1, byte for byte: what was written once is read for ever, and what is written is that format.

use std::path::Path;
use std::sync::Arc;

use stick_store::{Clocks, Disk, Loaded, Options, Writer, load};
use stick_table::{DataType, Lifetime, Origin, Table, Value};

use crate::disk::SimDisk;
use crate::tables::table;

const GOLDEN: &[u8] = include_bytes!("../golden/format-1.log");
const CLOCKS: Clocks =
    Clocks { now: 500_000, wall: 1_780_000_000_000, boot: 60_000, boot_id: *b"boot-id-of-tests" };
const RATES: &str = "type ip size 100 expire 10s store gpc0,http_req_rate(5s)";
const NAMES: &str = "type string len 20 size 100 store server_key,gpt(2)";

fn tables() -> [Arc<Table>; 2] {
    [table(RATES), table(NAMES)]
}

fn written() -> Vec<u8> {
    let disk = SimDisk::default();
    let mut writer =
        Writer::new(disk.clone(), Options::default(), &Loaded::default(), 0x0123_4567_89ab_cdef, &CLOCKS);
    let [rates, names] = tables();
    writer.add("mypeers/rates", &rates);
    writer.add("names", &names);
    for (number, value) in [(1, 7), (2, 8)] {
        rates
            .update(&[192, 0, 2, number], Origin::LOCAL, Lifetime::Exactly(9_000), 499_000, |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(value));
                entry.count(DataType::HttpReqRate, 0, 30);
            })
            .unwrap();
    }
    names
        .update(b"alice", Origin::LOCAL, Lifetime::Restart, 499_000, |entry| {
            entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some("srv1".into())));
            entry.set(DataType::Gpt, 1, &Value::Unsigned(5));
        })
        .unwrap();
    writer.tick(&CLOCKS).unwrap();
    rates.remove(&[192, 0, 2, 2], CLOCKS.now).unwrap();
    writer.tick(&CLOCKS).unwrap();
    disk.read("0000000001.log").unwrap()
}

#[test]
fn what_is_written_is_format_1() {
    let written = written();
    if written != GOLDEN {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("format-1.log");
        std::fs::write(&path, &written).unwrap();
        panic!("the bytes are others, see {}: a change of the format needs another number", path.display());
    }
}

#[test]
fn format_1_is_read() {
    let disk = SimDisk::with("0000000001.log", GOLDEN);
    let [rates, names] = tables();
    let clocks = Clocks { now: 1_000, boot: CLOCKS.boot + 2_000, ..CLOCKS };
    let loaded = load(&disk, &clocks, |name, definition| {
        assert_eq!(
            definition.to_string(),
            if name == "names" { table_line(NAMES) } else { table_line(RATES) }
        );
        Some(Arc::clone(if name == "names" { &names } else { &rates }))
    });
    let loaded = loaded.unwrap();
    assert_eq!(
        (&loaded.damage, &loaded.left_out, loaded.seed),
        (&vec![], &vec![], Some(0x0123_4567_89ab_cdef))
    );
    assert_eq!((rates.len(), names.len()), (1, 1));
    let read = |table: &Table, key: &[u8], data_type, element| {
        table
            .get(key, clocks.now, |entry| (entry.value(data_type, element).unwrap(), entry.remaining()))
            .unwrap()
            .unwrap()
    };
    assert_eq!(read(&rates, &[192, 0, 2, 1], DataType::Gpc0, 0), (Value::Unsigned(7), Some(6_000)));
    let (Value::Frequency(rate), _) = read(&rates, &[192, 0, 2, 1], DataType::HttpReqRate, 0) else {
        panic!("no rate")
    };
    assert_eq!(rate.read(5_000, clocks.now as u32), 30, "counted 3 s ago");
    assert_eq!(
        read(&names, b"alice", DataType::ServerKey, 0),
        (Value::Dictionary(Some("srv1".into())), None)
    );
    assert_eq!(read(&names, b"alice", DataType::Gpt, 1), (Value::Unsigned(5), None));
}

fn table_line(arguments: &str) -> String {
    table(arguments).definition().clone().to_string().replacen("table t ", "stick-table ", 1)
}

/// A log of a later format stays as it is.
#[test]
fn a_later_format_is_set_aside() {
    let mut later = GOLDEN.to_vec();
    for header in [0, 128] {
        later[header + 10..header + 12].copy_from_slice(&2_u16.to_le_bytes());
        let hash = xxhash_rust::xxh3::xxh3_64(&later[header..header + 56]);
        later[header + 56..header + 64].copy_from_slice(&hash.to_le_bytes());
    }
    let disk = SimDisk::with("0000000007.log", &later);
    let loaded = load(&disk, &CLOCKS, |_, _| panic!("nothing of it is read")).unwrap();
    assert_eq!(loaded.set_aside[0].reason, "it needs a reader of format 2, and this one reads format 1");
    assert_eq!(disk.list().unwrap(), ["0000000007.log.unreadable"]);
    // The number is not used again.
    let mut writer = Writer::new(disk.clone(), Options::default(), &loaded, 5, &CLOCKS);
    writer.add("t", &tables()[0]);
    writer.tick(&CLOCKS).unwrap();
    assert_eq!(disk.list().unwrap(), ["0000000007.log.unreadable", "0000000008.log"]);
}
