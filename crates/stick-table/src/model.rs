//! A table, several cursors and lessons against a naive twin, under random operations.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    Batch, Cursor, DataType, Follow, Lifetime, Millis, Origin, Precedence, Table, TableDefinition, Value,
    Walk,
};

const EXPIRE: u32 = 1_000;

#[derive(Clone, Debug)]
enum Operation {
    Local { key: u8, value: u32 },
    Learn { changes: Vec<(u8, u32)>, peer: u16, lifetime: Option<u32> },
    Remove { key: u8 },
    Pass { ms: u64 },
    Sweep { rows: u32 },
    Read { reader: usize, limit: usize },
    Reconnect { reader: usize },
    Join { reader: usize },
    Lesson { meanwhile: Vec<(u8, u32)> },
}

fn operation() -> impl Strategy<Value = Operation> {
    let change = || (0u8..60, any::<u32>());
    prop_oneof![
        4 => change().prop_map(|(key, value)| Operation::Local { key, value }),
        4 => (proptest::collection::vec(change(), 1..12), 1u16..4, proptest::option::of(0u32..2_000))
            .prop_map(|(changes, peer, lifetime)| Operation::Learn { changes, peer, lifetime }),
        1 => (0u8..60).prop_map(|key| Operation::Remove { key }),
        1 => (0u64..400).prop_map(|ms| Operation::Pass { ms }),
        1 => (0u32..100).prop_map(|rows| Operation::Sweep { rows }),
        5 => (0usize..4, 1usize..12).prop_map(|(reader, limit)| Operation::Read { reader, limit }),
        1 => (0usize..4).prop_map(|reader| Operation::Reconnect { reader }),
        1 => (0usize..4).prop_map(|reader| Operation::Join { reader }),
        1 => proptest::collection::vec(change(), 0..6).prop_map(|meanwhile| Operation::Lesson { meanwhile }),
    ]
}

/// What the twin knows of an entry: value, end of life, whether its newest change is local.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    value: u32,
    end: Millis,
    local: bool,
}

struct Reader {
    cursor: Cursor,
    follow: Follow,
    replica: BTreeMap<Vec<u8>, u32>,
    /// Keys with a local change that a follower of local changes has not been shown since.
    owed: BTreeSet<Vec<u8>>,
}

struct Model {
    table: Table,
    twin: BTreeMap<Vec<u8>, Entry>,
    readers: Vec<Reader>,
    now: Millis,
}

/// When an entry ends: never at a time whose low 32 bits are 0, which mark a free row.
fn end(now: Millis, left: u32) -> Millis {
    let end = now + u64::from(left);
    if end as u32 == 0 { end + 1 } else { end }
}

fn key(number: u8) -> Vec<u8> {
    vec![10, 0, number, number]
}

impl Model {
    fn new() -> Self {
        // Larger than the number of keys, so that nothing is purged; the clock wraps on the way.
        let definition = TableDefinition::new("t", crate::KeyType::Ip, 128)
            .with_expire(Some(EXPIRE))
            .with_column("gpc0".parse().unwrap())
            .unwrap();
        let table = Table::new(definition, 7);
        let readers = [Follow::All, Follow::Local, Follow::All, Follow::Local].map(|follow| Reader {
            cursor: table.follow(follow, &table.start()),
            follow,
            replica: BTreeMap::new(),
            owed: BTreeSet::new(),
        });
        Self { table, twin: BTreeMap::new(), readers: readers.into(), now: u64::from(u32::MAX) - 2_000 }
    }

    fn live(&self) -> impl Iterator<Item = (&Vec<u8>, &Entry)> {
        self.twin.iter().filter(|(_, entry)| entry.end > self.now)
    }

    fn local(&mut self, number: u8, value: u32) {
        let set = self.table.update(&key(number), Origin::LOCAL, Lifetime::Restart, self.now, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(value))
        });
        assert_eq!(set, Ok(true));
        self.twin.insert(key(number), Entry { value, end: end(self.now, EXPIRE), local: true });
        for reader in &mut self.readers {
            reader.owed.insert(key(number));
        }
    }

    fn learn(&mut self, changes: &[(u8, u32)], peer: u16, lifetime: Option<u32>) {
        let mut batch = Batch::new(&self.table);
        batch.set_columns(std::iter::once(0..1));
        let lifetime = lifetime.map_or(Lifetime::Restart, Lifetime::Exactly);
        for &(number, value) in changes {
            batch.push(&key(number), lifetime)[0] = value;
            let left = match lifetime {
                Lifetime::Exactly(ms) => ms.min(EXPIRE),
                _ => EXPIRE,
            };
            let end = end(self.now, left);
            let before = self.twin.insert(key(number), Entry { value, end, local: false });
            if before.is_none_or(|before| before.end <= self.now) {
                // A local change dies with its entry; on a living one it must not be hidden by a learned one.
                self.forget(number);
            }
        }
        self.table.apply(&mut batch, Origin::peer(peer), Precedence::Newest, self.now);
    }

    fn forget(&mut self, number: u8) {
        for reader in &mut self.readers {
            reader.owed.remove(&key(number));
        }
    }

    fn read(&mut self, reader: usize, limit: usize) -> usize {
        let Reader { cursor, replica, owed, .. } = &mut self.readers[reader];
        self.table.read(cursor, limit, self.now, |entry| {
            replica.insert(entry.key().to_vec(), entry.words()[0]);
            owed.remove(entry.key());
        })
    }

    /// A walk in small steps with changes in between.
    fn lesson(&mut self, meanwhile: &[(u8, u32)]) {
        let present: Vec<Vec<u8>> = self.live().map(|(key, _)| key.clone()).collect();
        let mut walk = Walk::default();
        let mut taught: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut meanwhile = meanwhile.iter();
        while self.table.walk(&mut walk, 3, self.now, |entry| {
            assert_eq!(taught.insert(entry.key().to_vec(), entry.words()[0]), None, "visited once");
        }) {
            if let Some(&(number, value)) = meanwhile.next() {
                self.local(number, value);
            }
        }
        for key in &present {
            assert!(taught.contains_key(key), "a lesson teaches what is there for its whole length");
        }
    }

    fn reconnect(&mut self, reader: usize) {
        let Reader { cursor, follow, .. } = &mut self.readers[reader];
        let position = cursor.position();
        let new = self.table.follow(*follow, &position);
        let old = std::mem::replace(cursor, new);
        self.table.unfollow(old);
    }

    /// A new reader that knows what is there and follows from now on.
    fn join(&mut self, reader: usize) {
        let entries: BTreeMap<_, _> = self.live().map(|(key, entry)| (key.clone(), entry.value)).collect();
        let Reader { cursor, follow, replica, owed } = &mut self.readers[reader];
        let new = self.table.follow(*follow, &self.table.position());
        let old = std::mem::replace(cursor, new);
        self.table.unfollow(old);
        *replica = entries;
        owed.clear();
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Local { key, value } => self.local(*key, *value),
            Operation::Learn { changes, peer, lifetime } => self.learn(changes, *peer, *lifetime),
            Operation::Remove { key: number } => {
                self.table.remove(&key(*number), self.now);
                self.twin.remove(&key(*number));
                self.forget(*number);
            }
            Operation::Pass { ms } => self.now += ms,
            Operation::Sweep { rows } => {
                self.table.sweep(*rows, self.now);
            }
            Operation::Read { reader, limit } => {
                self.read(*reader, *limit);
            }
            Operation::Reconnect { reader } => self.reconnect(*reader),
            Operation::Join { reader } => self.join(*reader),
            Operation::Lesson { meanwhile } => self.lesson(meanwhile),
        }
        self.table.validate();
    }

    fn check(&mut self) {
        for reader in 0..self.readers.len() {
            while self.table.has_news(&self.readers[reader].cursor) {
                self.read(reader, 5);
            }
        }
        let mut found = BTreeMap::new();
        let mut walk = Walk::default();
        while self.table.walk(&mut walk, 7, self.now, |entry| {
            found.insert(
                entry.key().to_vec(),
                (entry.words()[0], self.now + u64::from(entry.remaining().unwrap())),
            );
        }) {}
        let expected: BTreeMap<_, _> =
            self.live().map(|(key, entry)| (key.clone(), (entry.value, entry.end))).collect();
        assert_eq!(found, expected, "the table holds what the twin holds");
        for Reader { replica, follow, owed, .. } in &self.readers {
            for (key, entry) in self.live() {
                assert!(!owed.contains(key), "{follow:?} was never shown the local change of {key:?}");
                if *follow == Follow::All || entry.local {
                    assert_eq!(replica.get(key), Some(&entry.value), "{follow:?} of {key:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_naive_twin(operations in proptest::collection::vec(operation(), 1..80)) {
        let mut model = Model::new();
        for operation in &operations {
            model.run(operation);
        }
        model.check();
    }

    /// More keys than places: never more entries than `size`, and the structures stay sound.
    #[test]
    fn a_full_table_purges_or_refuses(
        size in 1u32..100,
        no_purge: bool,
        long_keys: bool,
        steps in proptest::collection::vec((any::<u8>(), 0u64..50), 1..300),
    ) {
        let key_type = crate::KeyType::String { max_len: if long_keys { 200 } else { 20 } };
        let mut definition = TableDefinition::new("t", key_type, size).with_expire(Some(EXPIRE))
            .with_column("server_key".parse().unwrap()).unwrap();
        definition.no_purge = no_purge;
        let table = Table::new(definition, 3);
        let mut now = 0;
        for (number, pause) in steps {
            now += pause;
            let key = format!("key-{number}");
            let there = table.get(key.as_bytes(), now, |_| ()).is_some();
            let server: std::sync::Arc<str> = format!("srv{}", number % 5).into();
            let set = table.update(key.as_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
                entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some(server.clone())))
            });
            if set.is_ok() {
                let stored = table.get(key.as_bytes(), now, |entry| entry.value(DataType::ServerKey, 0));
                prop_assert_eq!(stored, Some(Some(Value::Dictionary(Some(server)))));
            } else {
                prop_assert!(!there && no_purge && table.len() == size);
            }
            prop_assert!(table.len() <= size);
            table.validate();
        }
    }
}

/// The rule that a scan marks everything as seen when it starts, in its smallest form.
#[test]
fn a_change_behind_a_scan_is_not_lost() {
    let mut model = Model::new();
    for number in 0..60 {
        model.local(number, 1);
    }
    // Fewer than there are: the scan stops in the middle.
    model.read(1, 30);
    for number in 0..60 {
        model.local(number, 2);
    }
    model.check();
}
