//! A table, several cursors and lessons against a naive twin, under random operations.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    Applied, Batch, Cursor, DataType, Follow, Lifetime, Millis, Origin, Precedence, Table, TableDefinition,
    Value, Walk,
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
        let table = Table::new(definition, 7).unwrap();
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
        batch.set_columns(std::iter::once(0..1)).unwrap();
        let lifetime = lifetime.map_or(Lifetime::Restart, Lifetime::Exactly);
        for &(number, value) in changes {
            batch.push(&key(number), lifetime).unwrap()[0] = value;
            let left = match lifetime {
                Lifetime::Exactly(ms) => ms.min(EXPIRE),
                Lifetime::Touched(age) => EXPIRE.saturating_sub(age),
                _ => EXPIRE,
            };
            let end = end(self.now, left);
            let before = self.twin.insert(key(number), Entry { value, end, local: false });
            if before.is_none_or(|before| before.end <= self.now) {
                // A local change dies with its entry; on a living one it must not be hidden by a learned one.
                self.forget(number);
            }
        }
        self.table.apply(&mut batch, Origin::peer(peer).unwrap(), Precedence::Newest, self.now);
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
                self.table.remove(&key(*number), self.now).unwrap();
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
        let table = Table::new(definition, 3).unwrap();
        let mut now = 0;
        for (number, pause) in steps {
            now += pause;
            let key = format!("key-{number}");
            let there = table.get(key.as_bytes(), now, |_| ()).unwrap().is_some();
            let server: std::sync::Arc<str> = format!("srv{}", number % 5).into();
            let set = table.update(key.as_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
                entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some(server.clone())))
            });
            if set.is_ok() {
                let stored = table.get(key.as_bytes(), now, |entry| entry.value(DataType::ServerKey, 0)).unwrap();
                prop_assert_eq!(stored, Some(Some(Value::Dictionary(Some(server)))));
            } else {
                prop_assert!(!there && no_purge && table.len() == size);
            }
            prop_assert!(table.len() <= size);
            table.validate();
        }
    }
}

/// One change of a batch.
#[derive(Clone, Debug)]
struct Change {
    key: u16,
    value: u32,
    lifetime: Lifetime,
}

fn change() -> impl Strategy<Value = Change> {
    let lifetime = prop_oneof![
        4 => Just(Lifetime::Restart),
        4 => (0..2 * EXPIRE).prop_map(Lifetime::Exactly),
        1 => Just(Lifetime::Exactly(0)),
        1 => Just(Lifetime::Keep),
    ];
    (0..300u16, any::<u32>(), lifetime).prop_map(|(key, value, lifetime)| Change { key, value, lifetime })
}

/// A table with values, some with strings as well, of keys that stand in the rows or not.
fn wide_table(size: u32, long_keys: bool, strings: bool, no_purge: bool) -> Table {
    let key_type = crate::KeyType::String { max_len: if long_keys { 200 } else { 20 } };
    let columns = ["gpc0", "gpt0"].into_iter().chain(strings.then_some("server_key"));
    let definition = TableDefinition::new("t", key_type, size).with_expire(Some(EXPIRE));
    let mut definition = columns
        .fold(definition, |definition, column| definition.with_column(column.parse().unwrap()).unwrap());
    definition.no_purge = no_purge;
    Table::new(definition, 5).unwrap()
}

/// Applies changes in batches of `at_once`, all to `gpc0`, and to `server_key` where there is one.
fn apply(
    table: &Table,
    changes: &[Change],
    at_once: usize,
    (origin, precedence): (u16, Precedence),
    now: Millis,
) -> Applied {
    let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
    let server = table.layout().offset(DataType::ServerKey, 0);
    let servers: Vec<std::sync::Arc<str>> = (0..4).map(|number| format!("srv{number}").into()).collect();
    let mut batch = Batch::new(table);
    batch.set_columns([gpc0].into_iter().chain(server).map(|offset| offset..offset + 1)).unwrap();
    let mut total = Applied::default();
    for changes in changes.chunks(at_once) {
        for change in changes {
            batch.push(format!("key-{}", change.key).as_bytes(), change.lifetime).unwrap()[gpc0] =
                change.value;
            batch.set_string(&servers[change.value as usize % 4]);
        }
        total += table.apply(&mut batch, Origin::peer(origin).unwrap(), precedence, now);
        table.validate();
    }
    total
}

/// By key the values, what is left of the lifetime, and who changed the entry last.
type Content = BTreeMap<Vec<u8>, (Vec<Option<Value>>, Option<u32>, Origin)>;

fn content(table: &Table, now: Millis) -> Content {
    let mut content = BTreeMap::new();
    let mut walk = Walk::default();
    while table.walk(&mut walk, 50, now, |entry| {
        let values =
            [DataType::Gpc0, DataType::Gpt0, DataType::ServerKey].map(|it| entry.value(it, 0)).to_vec();
        content.insert(entry.key().to_vec(), (values, entry.remaining(), entry.origin()));
    }) {}
    content
}

proptest! {
    /// The changes of a batch are looked up before the first of them is made.
    #[test]
    fn a_batch_does_what_its_changes_do_one_by_one(
        rounds in proptest::collection::vec(
            (proptest::collection::vec(change(), 1..500), 1u16..3, 0..3usize, 0..EXPIRE),
            1..5,
        ),
        long_keys: bool,
        strings: bool,
    ) {
        let [together, alone] = [(); 2].map(|()| wide_table(320, long_keys, strings, false));
        let mut now = u64::from(u32::MAX) - 1_500;
        for (changes, origin, precedence, pause) in rounds {
            let precedence = [Precedence::Newest, Precedence::FillGaps, Precedence::Repeated][precedence];
            let applied = [(&together, 500), (&alone, 1)]
                .map(|(table, at_once)| apply(table, &changes, at_once, (origin, precedence), now));
            prop_assert_eq!(applied[0], applied[1]);
            prop_assert_eq!(content(&together, now), content(&alone, now));
            prop_assert_eq!(together.len(), alone.len());
            now += u64::from(pause);
        }
    }

    /// With more keys than places: what a batch adds is there, places are counted right, and no more is purged than needed.
    /// One stripe, as each purges for itself.
    #[test]
    fn a_batch_into_a_full_table_keeps_the_count(
        rounds in proptest::collection::vec((proptest::collection::vec(change(), 1..300), 0..EXPIRE), 1..5),
        size in 1u32..64,
        long_keys: bool,
        strings: bool,
        no_purge: bool,
    ) {
        let table = wide_table(size, long_keys, strings, no_purge);
        let mut now = 0;
        for (changes, pause) in rounds {
            let before = table.len();
            let applied = apply(&table, &changes, 300, (1, Precedence::Newest), now);
            let all = applied.created + applied.updated + applied.refused + applied.skipped;
            prop_assert_eq!(all, changes.len() as u64);
            prop_assert!(table.len() <= size);
            if !no_purge {
                prop_assert_eq!(applied.refused, 0);
                prop_assert!(table.len() >= before, "purged one more than it needed");
            }
            let last = changes.last().unwrap();
            let creates = matches!(last.lifetime, Lifetime::Restart | Lifetime::Exactly(1..));
            if creates && !no_purge {
                let found = table.get(format!("key-{}", last.key).as_bytes(), now, |entry| entry.value(DataType::Gpc0, 0)).unwrap();
                prop_assert_eq!(found, Some(Some(Value::Unsigned(last.value))));
            }
            now += u64::from(pause);
        }
        table.sweep(10_000, now + u64::from(EXPIRE));
        prop_assert_eq!(table.len(), 0, "no place is lost");
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

/// Two threads at the same stripes: each waits for the other at times, and for every key the changes keep their order.
#[test]
fn threads_that_meet_at_stripes_lose_nothing() {
    const ROUNDS: u32 = 200;
    let table = wide_table(320, false, false, false);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let table = &table;
            scope.spawn(move || {
                for value in 0..ROUNDS {
                    let keys = (half * 150..(half + 1) * 150).chain(half * 150..half * 150 + 20);
                    let changes: Vec<_> = keys
                        .enumerate()
                        .map(|(place, key)| Change {
                            key,
                            // The second change of a key is to stay.
                            value: if place < 150 { value } else { value + 1_000 },
                            lifetime: Lifetime::Restart,
                        })
                        .collect();
                    let applied = {
                        let gpc0 = table.layout().offset(DataType::Gpc0, 0).unwrap();
                        let mut batch = Batch::new(table);
                        batch.set_columns(std::iter::once(gpc0..gpc0 + 1)).unwrap();
                        for change in &changes {
                            batch.push(format!("key-{}", change.key).as_bytes(), change.lifetime).unwrap()
                                [gpc0] = change.value;
                        }
                        table.apply(&mut batch, Origin::peer(half + 1).unwrap(), Precedence::Newest, 0)
                    };
                    assert_eq!(applied.created + applied.updated, 170);
                }
            });
        }
    });
    table.validate();
    let content = content(&table, 0);
    assert_eq!((content.len(), table.len()), (300, 300));
    for key in 0..300 {
        let value = if key % 150 < 20 { ROUNDS - 1 + 1_000 } else { ROUNDS - 1 };
        let (values, _, origin) = &content[format!("key-{key}").as_bytes()];
        assert_eq!(
            (&values[0], *origin),
            (&Some(Value::Unsigned(value)), Origin::peer(key / 150 + 1).unwrap()),
            "{key}"
        );
    }
}
