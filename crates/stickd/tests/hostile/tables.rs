//! Tables without end, definitions without end, and entries as large as they can be made.

use std::io::Write;

use haproxy_peers::{Definition, Padding, UpdateHeader, encode_key, encode_unsigned};
use stick_table::{KeyType, TableDefinition};
use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Config, HaproxyProcess, Release, ports};

use crate::attack::{LONG, flood, join};
use crate::honest::{Honest, update};
use crate::node::Node;
use crate::sessions::define;

/// Memory of a session with all its tables, at most, in KiB.
const PER_SESSION: u64 = 8 * 1024;

pub(crate) fn table(name: &str, key_type: KeyType, columns: &[&str]) -> TableDefinition {
    columns
        .iter()
        .fold(TableDefinition::new(name, key_type, 1).with_expire(Some(3_600_000)), |table, column| {
            table.with_column(column.parse().unwrap()).unwrap()
        })
}

pub(crate) fn defined(id: u32, table: &TableDefinition) -> Vec<u8> {
    let mut bytes = Vec::new();
    let definition = Definition { id, ..Definition::from_table(1, table).unwrap() };
    definition.encode_unchecked(Padding::None, &mut bytes);
    bytes
}

/// A HAProxy is one of the peers meanwhile, and its table is made from its definition.
#[test]
fn tables_without_end() {
    let node = Node::start("", "  dynamic-peers\n  dynamic-tables size 10k max 20 memory 50m\n");
    let own = ports::free_address();
    let config = Config::new("lb1").peer("lb1", own).peer("stickd", node.bind);
    let haproxy = HaproxyProcess::start(
        &Release::newest(),
        config.table("clicks", "type ip size 1k expire 1h store gpc0"),
    );
    wait::until(SOON, "HAProxy's table", || {
        node.stickd.cli().run("show table").contains("table: clicks").then_some(())
    });
    let honest = Honest::start(&node);
    let before = node.memory();
    honest.unharmed_by(&node, "tables without end", || {
        let mut bytes = Vec::new();
        for number in 0..5_000 {
            let narrow = number % 2 == 0;
            let columns: &[&str] = if narrow { &["gpc0"] } else { &["gpt(100)", "gpc_rate(100,10s)"] };
            bytes.extend(defined(number * 1_000, &table(&format!("t{number}"), KeyType::Integer, columns)));
            if narrow {
                bytes.extend(update(number, 1));
            }
        }
        assert!(flood(join(node.bind, "evil"), &bytes, LONG) > 1);
        haproxy.cli().quiet("set table clicks key 192.0.2.1 data.gpc0 3");
        wait::until(SOON, "what HAProxy counted", || {
            node.stickd.cli().run("show table clicks").contains("gpc0=3").then_some(())
        });
    });
    assert_eq!((node.info("Stickd_dynamic_tables"), node.info("Stickd_dynamic_tables_limit")), (20, 20));
    assert!(node.info("Stickd_dynamic_table_bytes") <= 50 << 20);
    assert_eq!(node.info("Stickd_dynamic_table_bytes_limit"), 50 << 20);
    node.wait_info("Stickd_dynamic_tables_refused", |count| count > 1_000);
    assert!(node.logged("updates of table t") <= 100, "{}", node.logged("updates of table t"));
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} KiB more");
}

/// The same table under other ids and in other shapes, so that nothing known can be kept.
#[test]
fn definitions_without_end() {
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    let mut bytes = Vec::new();
    for id in 0..4_000_u32 {
        let columns: &[&str] = if id % 2 == 0 { &[] } else { &["gpc(90)", "gpc_rate(90,5s)"] };
        bytes.extend(define(id.wrapping_mul(77_777)));
        bytes.extend(defined(id, &table("t", KeyType::Integer, columns)));
    }
    let before = node.memory();
    honest.unharmed_by(&node, "definitions without end", || {
        assert!(flood(join(node.bind, "evil"), &bytes, LONG) > 1);
    });
    let grown = node.memory().saturating_sub(before);
    assert!(grown < PER_SESSION, "{grown} KiB more");
    node.logged_once("is defined differently");
}

/// An update of `t` with a string under a dictionary id.
pub(crate) fn naming(key: u32, id: u32, text: &[u8]) -> Vec<u8> {
    let mut item = Vec::new();
    encode_unsigned(id, &mut item);
    encode_unsigned(text.len() as u32, &mut item);
    item.extend_from_slice(text);
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id: Some(key), lifetime_ms: None }.begin(&mut bytes);
    encode_key(KeyType::Integer, &key.to_be_bytes(), frame.payload());
    encode_unsigned(1, frame.payload());
    encode_unsigned(item.len() as u32, frame.payload());
    frame.payload().extend_from_slice(&item);
    frame.finish(Padding::None);
    bytes
}

#[test]
fn strings_without_end() {
    const MANY: u32 = 20_000;
    let node = Node::start("", "");
    let honest = Honest::start(&node);
    let mut evil = join(node.bind, "evil");
    evil.write_all(&define(1)).unwrap();
    let before = node.memory();
    honest.unharmed_by(&node, "strings of 16 KB", || {
        let mut text = vec![b'x'; 16_000];
        for key in 0..MANY {
            text[..4].copy_from_slice(&(key | 0x4040_4040).to_be_bytes());
            evil.write_all(&naming(key, 1 + key % 128, &text)).unwrap();
        }
        node.wait_info("Stickd_server_keys_ignored", |count| count >= u64::from(MANY));
    });
    // The entries are there, the strings are not: those would be 300 MB.
    node.wait_info("Stickd_entries", |count| count >= u64::from(MANY));
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} KiB more");
    assert_eq!(node.info("Stickd_server_key_bytes_limit"), 256);
    // Ids that cannot be end the session.
    for id in [0, 129, 70_000] {
        let mut evil = join(node.bind, "evil");
        let errors = node.info("Stickd_protocol_errors");
        evil.write_all(&[define(1), naming(1, id, b"srv")].concat()).unwrap();
        node.wait_info("Stickd_protocol_errors", |count| count > errors);
    }
}

/// Keys longer than the table's are cut; a message may be filled with one.
#[test]
fn keys_of_sixteen_kilobytes() {
    let node = Node::start("", "  table long type string len 40 size 1k expire 1h store gpc0\n");
    let honest = Honest::start(&node);
    let strings = table("p/long", KeyType::String { max_len: 40 }, &["gpc0"]);
    let mut bytes = defined(9, &strings);
    for number in 0..200_u32 {
        let mut frame = UpdateHeader { id: Some(number), lifetime_ms: None }.begin(&mut bytes);
        let key = format!("{number:08}{}", "k".repeat(16_000));
        encode_key(KeyType::String { max_len: 16_384 }, key.as_bytes(), frame.payload());
        encode_unsigned(1, frame.payload());
        frame.finish(Padding::None);
    }
    let before = node.memory();
    let times = honest.unharmed_by(&node, "keys of 16 KB", || flood(join(node.bind, "evil"), &bytes, LONG));
    assert!(times > 1);
    let shown = node.stickd.cli().run("show table p/long key 00000007kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    assert!(shown.contains("gpc0=1"), "{shown}");
    let grown = node.memory().saturating_sub(before);
    assert!(grown < PER_SESSION, "{grown} KiB more");
    assert_eq!(node.info("Stickd_protocol_errors"), 0);
}
