//! Tables with what they should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stick_store::{Clocks, Loaded, load};
use stick_table::{DataType, EntryRef, Lifetime, Millis, Origin, Table, TableDefinition, Value, Walk};

use crate::disk::SimDisk;

/// The definitions that are stored.
pub(crate) const LINES: [(&str, &str); 3] = [
    ("p/rates", "type ip size 1k expire 10s store gpc0,http_req_rate(5s)"),
    ("p/names", "type string len 40 size 1k expire 1h store server_key,gpc0"),
    ("tags", "type integer size 1k store gpc0,gpt(3)"),
];

/// What is told apart of an entry: its value, and when it ends.
pub(crate) type Version = (u32, Option<Millis>);

pub(crate) type Contents = BTreeMap<(usize, u8), Version>;

pub(crate) fn table(line: &str) -> Arc<Table> {
    let mut definition: TableDefinition = line.parse().unwrap();
    definition.name = "t".to_owned();
    Arc::new(Table::new(definition, 7).unwrap())
}

pub(crate) fn tables() -> Vec<Arc<Table>> {
    LINES.iter().map(|(_, line)| table(line)).collect()
}

pub(crate) fn key(place: usize, number: u8) -> Vec<u8> {
    match place {
        0 => vec![10, 0, 0, number],
        1 => format!("client-{number}-{}", "x".repeat(usize::from(number) % 20)).into_bytes(),
        _ => u32::from(number).to_be_bytes().to_vec(),
    }
}

/// Touches an entry and gives it a value.
pub(crate) fn set(table: &Table, place: usize, number: u8, value: u32, now: Millis) {
    table
        .update(&key(place, number), Origin::LOCAL, Lifetime::Restart, now, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(value));
            entry.set(DataType::Gpt, 2, &Value::Unsigned(value));
            entry.count(DataType::HttpReqRate, 0, value % 100);
            let server: Arc<str> = format!("server-{}", value % 5).into();
            entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some(server)));
        })
        .unwrap();
}

/// What a table holds, by the numbers of its keys; checks that each entry is whole.
pub(crate) fn contents(table: &Table, place: usize, now: Millis) -> Contents {
    let numbers: BTreeMap<_, _> = (0..=u8::MAX).map(|number| (key(place, number), number)).collect();
    let mut found = Contents::new();
    let mut walk = Walk::default();
    let mut visit = |entry: EntryRef<'_>| {
        let Some(Value::Unsigned(value)) = entry.value(DataType::Gpc0, 0) else { panic!("no value") };
        match place {
            1 => {
                let Some(Value::Dictionary(Some(server))) = entry.value(DataType::ServerKey, 0) else {
                    panic!("{value} has no server")
                };
                assert_eq!(*server, *format!("server-{}", value % 5), "of another version");
            }
            2 => {
                assert_eq!(entry.value(DataType::Gpt, 2), Some(Value::Unsigned(value)), "of another version");
            }
            _ => {}
        }
        let end = entry.remaining().map(|left| now + u64::from(left));
        assert_eq!(found.insert((place, numbers[entry.key()]), (value, end)), None);
    };
    while table.walk(&mut walk, 50, now, &mut visit) {}
    found
}

pub(crate) fn all_contents(tables: &[Arc<Table>], now: Millis) -> Contents {
    tables.iter().enumerate().flat_map(|(place, table)| contents(table, place, now)).collect()
}

/// Loads what is on a disk into new tables.
pub(crate) fn load_all(disk: &SimDisk, clocks: &Clocks) -> (Vec<Arc<Table>>, Loaded) {
    let tables = tables();
    let loaded = load(disk, clocks, |name, _| {
        LINES.iter().position(|(known, _)| *known == name).map(|place| Arc::clone(&tables[place]))
    });
    (tables, loaded.unwrap())
}

/// Clocks that agree: `now` of the tables, and a machine that never started again.
pub(crate) fn clocks(now: Millis) -> Clocks {
    Clocks { now, wall: 1_700_000_000_000 + now, boot: 50_000 + now, boot_id: [9; 16] }
}

/// What a key may be after a crash: each version since the last time that all was durable, or nothing.
#[derive(Default)]
pub(crate) struct Allowed(BTreeMap<(usize, u8), BTreeSet<Option<Version>>>);

impl Allowed {
    pub(crate) fn may_be(&mut self, key: (usize, u8), version: Option<Version>) {
        self.0.entry(key).or_insert_with(|| [None].into()).insert(version);
    }

    /// All is durable: nothing else may be found from now on.
    pub(crate) fn is_durable(&mut self, contents: &Contents) {
        self.0 = contents.iter().map(|(key, version)| (*key, [Some(*version)].into())).collect();
    }

    /// What is found that may not be, or is not found and has to be.
    pub(crate) fn faults(&self, found: &Contents, now: Millis) -> Vec<String> {
        let mut faults = Vec::new();
        let is_live = |version: &Version| version.1.is_none_or(|end| end > now);
        for (key, versions) in &self.0 {
            let found = found.get(key).copied();
            let allows = |version: &Option<Version>| match version {
                Some(version) if is_live(version) => Some(*version) == found,
                // It has ended meanwhile.
                _ => found.is_none(),
            };
            if !versions.iter().any(allows) {
                faults.push(format!("{key:?} is {found:?} and may be {versions:?} at {now}"));
            }
        }
        let unknown = found.keys().filter(|key| !self.0.contains_key(*key));
        faults.extend(unknown.map(|key| format!("{key:?} was never there")));
        faults
    }
}
