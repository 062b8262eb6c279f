//! Receivers with feeds of one table against a naive twin, under random operations.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::defect::Defect;
use crate::{
    Change, DataType, Feed, Follow, KeyType, Lifetime, Millis, Origin, Position, Table, TableDefinition,
    Value,
};

const EXPIRE: u32 = 1_000;

#[derive(Clone, Debug)]
enum Operation {
    Set { key: u8, value: u32 },
    Remove { key: u8 },
    RemoveWhere { remainder: u32 },
    Pass { ms: u64 },
    Sweep,
    Read { receiver: usize, limit: usize },
    EndBatch { receiver: usize },
    Acknowledge { receiver: usize, batches: u32 },
    Resume { receiver: usize },
    Leave { receiver: usize },
    Return { receiver: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let receiver = || 0usize..3;
    prop_oneof![
        6 => (0u8..60, any::<u32>()).prop_map(|(key, value)| Operation::Set { key, value }),
        3 => (0u8..60).prop_map(|key| Operation::Remove { key }),
        1 => (0u32..4).prop_map(|remainder| Operation::RemoveWhere { remainder }),
        1 => (0u64..300).prop_map(|ms| Operation::Pass { ms }),
        1 => Just(Operation::Sweep),
        6 => (receiver(), 1usize..12).prop_map(|(receiver, limit)| Operation::Read { receiver, limit }),
        3 => receiver().prop_map(|receiver| Operation::EndBatch { receiver }),
        2 => (receiver(), 0u32..3).prop_map(|(receiver, batches)| Operation::Acknowledge { receiver, batches }),
        1 => receiver().prop_map(|receiver| Operation::Resume { receiver }),
        1 => receiver().prop_map(|receiver| Operation::Leave { receiver }),
        2 => receiver().prop_map(|receiver| Operation::Return { receiver }),
    ]
}

/// An entry of a copy or of the twin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    value: u32,
    end: Millis,
    /// The number of the operation that made it: in a copy, the one in which it was visited.
    at: u32,
}

type Entries = BTreeMap<Vec<u8>, Entry>;

/// Who keeps a copy, and all of it only up to what it acknowledged.
struct Receiver {
    feed: Option<Feed<u32>>,
    copy: Entries,
    batch: u32,
    /// The copy after each batch that was not acknowledged.
    in_flight: VecDeque<(u32, Entries)>,
    kept: Entries,
    position: Position,
}

struct Model {
    table: Arc<Table>,
    twin: Entries,
    /// By key, the number of the operation that removed it last.
    removed: BTreeMap<Vec<u8>, u32>,
    receivers: Vec<Receiver>,
    now: Millis,
    operation: u32,
}

fn key(number: u8) -> Vec<u8> {
    vec![10, 0, number, number]
}

impl Model {
    fn new() -> Self {
        // Larger than the number of keys, so that nothing is purged.
        let definition = TableDefinition::new("t", KeyType::Ip, 128).with_expire(Some(EXPIRE));
        let table = Table::new(definition.with_column("gpc0".parse().unwrap()).unwrap(), 7).unwrap();
        let table = Arc::new(table);
        let receiver = || Receiver {
            feed: Some(Feed::new(Arc::clone(&table), Follow::AllAndRemovals, table.start())),
            copy: Entries::new(),
            batch: 0,
            in_flight: VecDeque::new(),
            kept: Entries::new(),
            position: table.start(),
        };
        let receivers = [(); 3].map(|()| receiver()).into();
        Self { table, twin: Entries::new(), removed: BTreeMap::new(), receivers, now: 5_000, operation: 0 }
    }

    fn remove(&mut self, key: &[u8]) {
        if self.twin.remove(key).is_some_and(|entry| entry.end > self.now) {
            self.removed.insert(key.to_vec(), self.operation);
        }
    }

    fn read(&mut self, receiver: usize, limit: usize) -> TestCaseResult {
        let Self { receivers, removed, now, operation, .. } = self;
        let Receiver { feed: Some(feed), copy, .. } = &mut receivers[receiver] else { return Ok(()) };
        let mut result = Ok(());
        let mut visited = 0;
        let count = feed.read(limit, *now, |change| {
            visited += 1;
            match change {
                Change::StartOver => copy.clear(),
                Change::Removed(key) => _ = copy.remove(key),
                Change::Entry(entry) => {
                    let key = entry.key().to_vec();
                    let end = *now + u64::from(entry.remaining().unwrap());
                    let value = entry.words()[0];
                    if let Some(before) = copy.get(&key)
                        && removed.get(&key).is_some_and(|&removed| removed > before.at)
                    {
                        result = Err(TestCaseError::fail(format!("{key:?} came back unseen")));
                    }
                    copy.insert(key, Entry { value, end, at: *operation });
                }
            }
        });
        prop_assert_eq!(visited, count);
        prop_assert!(count <= limit);
        result
    }

    fn run(&mut self, operation: &Operation) -> TestCaseResult {
        self.operation += 1;
        match *operation {
            Operation::Set { key: number, value } => {
                let set =
                    self.table.update(&key(number), Origin::LOCAL, Lifetime::Restart, self.now, |entry| {
                        entry.set(DataType::Gpc0, 0, &Value::Unsigned(value))
                    });
                prop_assert_eq!(set, Ok(true));
                let entry = Entry { value, end: self.now + u64::from(EXPIRE), at: self.operation };
                self.twin.insert(key(number), entry);
            }
            Operation::Remove { key: number } => {
                self.table.remove(&key(number), self.now).unwrap();
                self.remove(&key(number));
            }
            Operation::RemoveWhere { remainder } => {
                self.table.remove_where(self.now, |entry| entry.words()[0] % 4 == remainder);
                let gone: Vec<_> =
                    self.twin.iter().filter(|(_, entry)| entry.value % 4 == remainder).collect();
                let gone: Vec<_> = gone.into_iter().map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| self.remove(key));
            }
            Operation::Pass { ms } => self.now += ms,
            Operation::Sweep => _ = self.table.sweep(1_000, self.now),
            Operation::Read { receiver, limit } => self.read(receiver, limit)?,
            Operation::EndBatch { receiver } => self.receivers[receiver].end_batch(),
            Operation::Acknowledge { receiver, batches } => self.receivers[receiver].acknowledge(batches),
            Operation::Resume { receiver } => self.receivers[receiver].resume(),
            Operation::Leave { receiver } => self.receivers[receiver].leave(),
            Operation::Return { receiver } => self.receivers[receiver].come_back(&self.table),
        }
        self.table.validate();
        Ok(())
    }

    /// Lets all receivers catch up: then each has what is there.
    fn check(&mut self) -> TestCaseResult {
        self.operation += 1;
        let live: BTreeMap<_, _> = self.twin.iter().filter(|(_, entry)| entry.end > self.now).collect();
        let live: BTreeMap<_, _> =
            live.into_iter().map(|(key, entry)| (key.clone(), (entry.value, entry.end))).collect();
        for place in 0..self.receivers.len() {
            self.receivers[place].come_back(&self.table);
            while self.receivers[place].feed.as_ref().is_some_and(|feed| feed.backlog() > 0) {
                self.read(place, 5)?;
            }
            let copy = self.receivers[place].copy.iter().filter(|(_, entry)| entry.end > self.now);
            let copy: BTreeMap<_, _> =
                copy.map(|(key, entry)| (key.clone(), (entry.value, entry.end))).collect();
            prop_assert_eq!(&copy, &live, "receiver {}", place);
        }
        Ok(())
    }
}

impl Receiver {
    fn end_batch(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        self.batch += 1;
        feed.end_batch(self.batch);
        self.in_flight.push_back((self.batch, self.copy.clone()));
    }

    /// Acknowledges so many batches.
    fn acknowledge(&mut self, batches: u32) {
        let Some(feed) = &mut self.feed else { return };
        for _ in 0..batches {
            let Some((batch, copy)) = self.in_flight.pop_front() else { break };
            self.kept = copy;
            feed.acknowledge(|label| *label <= batch);
            self.position = feed.acknowledged().clone();
        }
    }

    /// Loses what it did not acknowledge.
    fn lose(&mut self) {
        self.copy = self.kept.clone();
        self.in_flight.clear();
    }

    fn resume(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        feed.resume();
        self.lose();
    }

    fn leave(&mut self) {
        self.feed = None;
        self.lose();
    }

    fn come_back(&mut self, table: &Arc<Table>) {
        if self.feed.is_none() {
            self.feed = Some(Feed::new(Arc::clone(table), Follow::AllAndRemovals, self.position.clone()));
        }
    }
}

fn run(operations: &[Operation]) -> TestCaseResult {
    let mut model = Model::new();
    operations.iter().try_for_each(|operation| model.run(operation))?;
    model.check()
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec(operation(), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn receivers_agree_with_the_naive_twin(operations in operations()) {
        run(&operations)?;
    }
}

/// Whether the twin fails with a defect.
fn finds(defect: Option<Defect>) -> bool {
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    );
    Defect::switch(defect);
    let result = runner.run(&operations(), |operations| run(&operations));
    Defect::switch(None);
    result.is_err()
}

#[test]
fn the_twin_finds_what_loses_removals() {
    assert!(!finds(None));
    // Tests of the whole workspace are built with defects.
    let there = Defect::switch(None);
    for defect in Defect::OF_REMOVALS {
        assert_eq!(finds(Some(defect)), there, "{}", defect.name());
    }
}
