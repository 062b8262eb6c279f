use super::*;
use crate::table::all::ROWS_PER_HOLD;
use crate::{DataType, Follow, KeyType, Value, Walk};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const NOW: Millis = 1_000;

fn table(key_type: KeyType, size: u32) -> Table {
    let definition = TableDefinition::new("t", key_type, size).with_expire(Some(10_000));
    Table::new(definition.with_column("gpc0".parse().unwrap()).unwrap(), 1).unwrap()
}

fn set(table: &Table, number: u32, value: u32, now: Millis) {
    let set = table.update(&number.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, now, |entry| {
        entry.set(DataType::Gpc0, 0, &Value::Unsigned(value))
    });
    assert_eq!(set, Ok(true));
}

#[test]
fn entries_that_match_are_removed_in_all_stripes() {
    let table = table(KeyType::Integer, 500);
    assert!(table.stripes.len() > 1 && table.is_empty());
    for number in 0..300 {
        set(&table, number, number % 3, NOW + u64::from(number));
    }
    assert!(!table.is_empty());
    assert_eq!(table.remove_where(NOW + 300, |entry| entry.words()[0] == 1), 100);
    table.validate();
    for number in 0..300_u32 {
        let there = table.get(&number.to_be_bytes(), NOW + 300, |_| ()).unwrap().is_some();
        assert_eq!(there, number % 3 != 1, "{number}");
    }
    let mut seen = 0;
    let later = NOW + 10_200;
    table.remove_where(later, |entry| {
        seen += 1;
        assert!(entry.remaining().unwrap() > 0);
        false
    });
    assert_eq!(seen, 66, "what is over is not shown");
    assert_eq!(table.remove_where(later, |_| true), 66);
    assert_eq!(table.len(), 134, "what is over is left to the sweep");
    table.sweep(10_000, later);
    assert!(table.is_empty());
}

/// More rows of a stripe than are looked at in one hold of its lock.
#[test]
fn entries_that_match_are_removed_in_a_large_stripe() {
    let count = 2 * ROWS_PER_HOLD * MAX_STRIPES as u32;
    let table = table(KeyType::Integer, count);
    for number in 0..count {
        set(&table, number, number % 2, NOW);
    }
    assert!(table.rows() >= count);
    assert_eq!(table.remove_where(NOW, |entry| entry.words()[0] == 1), count / 2);
    assert_eq!(table.len(), count / 2);
}

#[test]
fn a_key_that_is_none_of_the_table_s_is_refused_by_all() {
    let of = |key_type: KeyType, right: &[u8], wrong: &[u8]| {
        let table = table(key_type, 10);
        table.update(right, Origin::LOCAL, Lifetime::Restart, NOW, |_| ()).unwrap();
        let error = key_type.check(wrong).unwrap_err();
        assert_eq!(table.get(wrong, NOW, |_| ()), Err(error));
        assert_eq!(table.remove(wrong, NOW), Err(error));
        assert_eq!(table.expire(wrong, NOW), Err(error));
        let updated = table.update(wrong, Origin::LOCAL, Lifetime::Restart, NOW, |_| ());
        assert_eq!(updated, Err(UpdateError::Key(error)));
        let mut batch = Batch::new(&table);
        assert_eq!(batch.push(wrong, Lifetime::Restart).err(), Some(error));
        assert!(batch.is_empty());
        assert_eq!(table.len(), 1);
        assert_eq!(table.get(right, NOW, |_| ()), Ok(Some(())));
        assert_eq!(table.remove(right, NOW), Ok(true));
        assert_eq!(table.remove(right, NOW), Ok(false));
    };
    for max_len in [5, 200] {
        let key = vec![b'a'; max_len as usize];
        of(KeyType::String { max_len }, &key, &[&key[..], b"a"].concat());
        of(KeyType::String { max_len }, b"a", b"a\0");
        of(KeyType::Binary { len: max_len }, &key, &key[1..]);
        of(KeyType::Binary { len: max_len }, &key, &[&key[..], b"a"].concat());
    }
    of(KeyType::Ip, &[1, 2, 3, 0], &[1, 2, 3]);
    of(KeyType::Ip, &[0; 4], &[]);
    of(KeyType::Ipv6, &[0; 16], &[0; 4]);
    of(KeyType::Integer, &[0; 4], b"1");
}

#[test]
fn a_read_visits_no_more_than_its_limit() {
    let table = table(KeyType::Integer, 500);
    assert!(table.stripes.len() > 1);
    for limit in [1, 2, 5, 17] {
        let mut cursor = table.follow(Follow::All, &table.position());
        (0..60).for_each(|number| set(&table, number, limit as u32, NOW));
        let mut seen = std::collections::BTreeSet::new();
        while table.has_news(&cursor) {
            let mut visited = 0;
            let count = table.read(&mut cursor, limit, NOW, |entry| {
                visited += 1;
                assert!(seen.insert(entry.key().to_vec()));
            });
            assert_eq!(visited, count);
            assert!(count <= limit, "{count} of {limit}");
        }
        assert_eq!(seen.len(), 60);
        table.unfollow(cursor);
    }
}

#[test]
fn a_walk_visits_no_more_than_its_limit_and_all_in_the_end() {
    let table = table(KeyType::Integer, 500);
    (0..60).for_each(|number| set(&table, number, 1, NOW));
    for limit in [1, 3, 7] {
        let (mut walk, mut seen, mut goes_on) = (Walk::default(), std::collections::BTreeSet::new(), true);
        while goes_on {
            let before = seen.len();
            goes_on = table.walk(&mut walk, limit, NOW, |entry| assert!(seen.insert(entry.key().to_vec())));
            assert!(seen.len() - before <= limit, "{} of {limit}", seen.len() - before);
        }
        assert_eq!(seen.len(), 60);
    }
}

/// A session without news takes no lock for it.
#[test]
fn a_cursor_is_due_when_there_is_something_to_read() {
    let table = table(KeyType::Integer, 10);
    set(&table, 1, 1, NOW);
    let mut cursor = table.follow(Follow::All, &table.position());
    assert!(!table.is_due(&cursor), "what was there before is not followed");
    set(&table, 2, 1, NOW);
    assert!(table.is_due(&cursor));
    while table.has_news(&cursor) {
        table.read(&mut cursor, 10, NOW, |_| ());
    }
    assert!(!table.is_due(&cursor));
    table.unfollow(cursor);
}

#[test]
fn a_reader_of_local_changes_sees_no_others_and_nothing_that_has_expired() {
    let table = table(KeyType::Integer, 10);
    let mut cursor = table.follow(Follow::Local, &table.position());
    let touch = |number: u32, origin, lifetime| {
        table.update(&number.to_be_bytes(), origin, lifetime, NOW, |_| ()).unwrap();
    };
    touch(1, Origin::LOCAL, Lifetime::Restart);
    touch(2, Origin::peer(1).unwrap(), Lifetime::Restart);
    touch(3, Origin::LOCAL, Lifetime::Exactly(5));
    touch(4, Origin::LOCAL, Lifetime::Exactly(6));
    touch(5, Origin::peer(1).unwrap(), Lifetime::Restart);
    let mut seen = Vec::new();
    table.read(&mut cursor, 10, NOW + 5, |entry| seen.push(entry.key()[3]));
    assert_eq!(seen, [1, 4]);
    assert!(!table.has_news(&cursor));
    touch(2, Origin::LOCAL, Lifetime::Restart);
    seen.clear();
    table.read(&mut cursor, 10, NOW + 5, |entry| seen.push(entry.key()[3]));
    assert_eq!(seen, [2]);
}

/// A reader that follows local changes is told zeros that end soon, also of an entry that has less to live.
#[test]
fn an_entry_that_is_to_end_is_told_before_it_does() {
    let table = table(KeyType::Integer, 100);
    let mut cursor = table.follow(Follow::Local, &table.position());
    set(&table, 1, 7, NOW);
    set(&table, 2, 8, NOW);
    let mut told = |now| {
        let mut told = Vec::new();
        table.read(&mut cursor, 10, now, |entry| {
            told.push((entry.key()[3], entry.words()[0], entry.remaining(), entry.origin()));
        });
        told.sort_by_key(|entry| entry.0);
        told
    };
    assert_eq!(told(NOW).len(), 2);
    assert_eq!(table.expire(&[0, 0, 0, 1], NOW + 100), Ok(true));
    assert_eq!(table.expire(&[0, 0, 0, 3], NOW), Ok(false), "it is not there");
    assert_eq!(told(NOW + 6_099), [(1, 0, Some(1), Origin::LOCAL)]);
    assert_eq!(table.expire(&[0, 0, 0, 1], NOW + 6_100), Ok(false), "it is over");
    assert_eq!(table.get(&[0, 0, 0, 1], NOW + 6_100, |_| ()), Ok(None));
    assert_eq!(table.expire(&[0, 0, 0, 2], NOW + 9_999), Ok(true));
    assert_eq!(told(NOW + 15_000), [(2, 0, Some(999), Origin::LOCAL)]);
}

/// Rows stay, so the time of a sweep is that of the most entries there ever were.
#[test]
fn rows_grow_with_the_entries_and_are_used_again() {
    let table = table(KeyType::Integer, 1_000);
    assert_eq!(table.rows(), 0);
    (0..500).for_each(|number| set(&table, number, 1, NOW));
    let rows = table.rows();
    assert!((500..=2_000).contains(&rows), "{rows}");
    assert_eq!(table.remove_where(NOW, |_| true), 500);
    assert!(table.is_empty());
    (0..500).for_each(|number| set(&table, number, 1, NOW));
    assert_eq!(table.rows(), rows);
}

/// In a table of more stripes than a batch keeps in mind.
#[test]
fn a_batch_waits_for_stripes_that_are_busy() {
    let table = table(KeyType::Integer, 65 * MAX_ENTRIES_PER_STRIPE);
    assert_eq!(table.stripes.len(), 128);
    let stripe = |number: &u32| table.with_key(&number.to_be_bytes(), |stripe, _, _| stripe).unwrap();
    let free = (0..).find(|number| stripe(number) == 1).unwrap();
    let early = (0..).find(|number| stripe(number) == 60).unwrap();
    let late = (0..).find(|number| stripe(number) == 100).unwrap();
    for busy in [early, late] {
        let (let_go, wait) = mpsc::channel();
        std::thread::scope(|scope| {
            let (locked, is_locked) = mpsc::channel();
            let table = &table;
            scope.spawn(move || {
                table.update(&busy.to_be_bytes(), Origin::LOCAL, Lifetime::Restart, NOW, |_| {
                    locked.send(()).unwrap();
                    wait.recv().unwrap();
                })
            });
            is_locked.recv().unwrap();
            let applied = scope.spawn(move || {
                let mut batch = Batch::new(table);
                batch.set_columns(std::iter::once(0..1)).unwrap();
                batch.push(&busy.to_be_bytes(), Lifetime::Restart).unwrap()[0] = busy + 1;
                batch.push(&free.to_be_bytes(), Lifetime::Restart).unwrap()[0] = busy + 2;
                table.apply(&mut batch, Origin::peer(1).unwrap(), Precedence::Newest, NOW)
            });
            let value =
                |number: u32| table.get(&number.to_be_bytes(), NOW, |entry| entry.words()[0]).unwrap();
            let deadline = Instant::now() + Duration::from_secs(30);
            while value(free) != Some(busy + 2) {
                assert!(Instant::now() < deadline, "the stripe that is free is not changed first");
                std::thread::yield_now();
            }
            assert!(!applied.is_finished());
            let_go.send(()).unwrap();
            let applied = applied.join().unwrap();
            assert_eq!(applied.created + applied.updated, 2);
            assert_eq!(value(busy), Some(busy + 1));
        });
    }
}

/// What is read from disk fills what is not there, and gives way to whatever anybody says.
#[test]
fn what_was_stored_is_overwritten_by_everybody() {
    let table = table(KeyType::Integer, 10);
    let mut followed = table.follow(Follow::Local, &table.position());
    let apply = |number: u32, value, origin, precedence| {
        let mut batch = Batch::new(&table);
        batch.set_columns(std::iter::once(0..1)).unwrap();
        batch.push(&number.to_be_bytes(), Lifetime::Exactly(1_000 * value)).unwrap()[0] = value;
        table.apply(&mut batch, origin, precedence, NOW);
        table.get(&number.to_be_bytes(), NOW, |entry| (entry.words()[0], entry.origin())).unwrap().unwrap()
    };
    let store = |number, value| apply(number, value, Origin::STORE, Precedence::FillGaps);
    let peer = Origin::peer(1).unwrap();
    for (number, origin, precedence) in
        [(1, peer, Precedence::Newest), (2, peer, Precedence::FillGaps), (3, peer, Precedence::Repeated)]
    {
        assert_eq!(store(number, 8), (8, Origin::STORE));
        assert_eq!(store(number, 7), (7, Origin::STORE), "a later block");
        assert_eq!(apply(number, 5, origin, precedence), (5, origin), "{precedence:?}");
        assert_eq!(store(number, 9), (5, origin), "a block that is read late");
    }
    assert!(!table.has_news(&followed), "nothing of it is pushed");
    set(&table, 1, 4, NOW);
    assert_eq!(store(1, 9), (4, Origin::LOCAL));
    let mut pushed = 0;
    table.read(&mut followed, 10, NOW, |_| pushed += 1);
    assert_eq!(pushed, 1);
}
