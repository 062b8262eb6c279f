//! Keys that find no room.

use std::ops::Range;
use std::sync::Arc;

use stick_aggregate::{Absorbed, Aggregate, CarryWalk, LeftOutReason, Room, Rules, Told};
use stick_table::{DataType, KeyType, Lifetime, Origin, Table, TableDefinition};

use crate::hub::{EXPIRE, Hub, definition};

/// An aggregate of counters with room for some keys.
pub(crate) fn full_at(size: u32) -> Hub {
    let output = Arc::new(Table::new(definition("c.agg", 2 * size, &["gpc0"]), 1).unwrap());
    let aggregate = Aggregate::new(definition("c", size, &["gpc0"]), output, &Rules::default(), 2).unwrap();
    Hub { aggregate: aggregate.into(), now: 1_000_000 }
}

/// A node tells a number of some keys.
pub(crate) fn tell(hub: &Hub, node: u16, keys: Range<u32>, number: u32) -> Absorbed {
    tell_keys(hub, node, &keys.collect::<Vec<_>>(), number)
}

fn tell_keys(hub: &Hub, node: u16, keys: &[u32], number: u32) -> Absorbed {
    let mut batch = hub.aggregate.batch();
    batch.set_columns(std::iter::once(0..1)).unwrap();
    for &key in keys {
        batch.push(&Hub::key(key), Lifetime::Restart).unwrap()[0] = number;
    }
    hub.aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), Told::Live, hub.now)
}

/// What is published of a key.
fn published(hub: &Hub, key: u32) -> Option<u32> {
    hub.aggregate.output().get(&Hub::key(key), hub.now, |entry| entry.words()[0]).unwrap()
}

/// Two nodes tell 250 keys where 100 have room: the second one's used to take the places of the first one's.
#[test]
fn no_key_takes_the_place_of_another_one() {
    let hub = full_at(100);
    assert_eq!(tell(&hub, 1, 0..250, 10).created, 100);
    let second = tell(&hub, 2, 0..250, 1);
    assert_eq!((second.created, second.refused), (100, 150));
    let sums: Vec<_> = (0..250).filter_map(|key| published(&hub, key)).collect();
    assert_eq!(sums, [11; 100]);
    assert!(!hub.aggregate.is_whole());
    let left_out = hub.aggregate.left_out();
    let refused: Vec<_> = left_out.iter().map(|left| (left.node.number(), left.refused)).collect();
    assert_eq!(refused, [(1, 150), (2, 150)]);
}

#[test]
fn a_node_without_room_is_left_out_until_what_was_refused_has_ended() {
    let mut hub = full_at(10);
    let left_out = |hub: &Hub| -> Vec<_> {
        let all = hub.aggregate.left_out();
        all.iter().map(|left| (left.node.number(), left.reason, left.refused, left.since)).collect()
    };
    assert!(hub.aggregate.is_whole());
    tell(&hub, 1, 0..10, 7);
    assert_eq!((left_out(&hub), hub.aggregate.is_whole()), (vec![], true));
    let since = hub.now;
    tell(&hub, 2, 5..13, 1);
    hub.pass(1_000);
    tell(&hub, 2, 10..13, 2);
    assert_eq!(left_out(&hub), [(2, LeftOutReason::NoRoom, 6, since)]);
    assert_eq!((hub.aggregate.is_whole(), hub.aggregate.refused_updates()), (false, 6));
    hub.pass(u64::from(EXPIRE) - 1);
    hub.refresh();
    assert!(!hub.aggregate.is_whole());
    hub.pass(1);
    hub.refresh();
    assert_eq!((left_out(&hub), hub.aggregate.refused_updates()), (vec![], 6), "what was refused has ended");
    // One that is gone is left out no more.
    tell(&hub, 1, 0..10, 7);
    tell(&hub, 2, 10..11, 1);
    assert!(!hub.aggregate.is_whole());
    hub.aggregate.forget(Origin::peer(2).unwrap());
    assert!(hub.aggregate.is_whole());
}

/// A room that both nodes' contributions do not fit in: what is published is never less than a node's own value, and when there
/// is room again all is asked for and right.
#[test]
fn a_key_that_lacks_a_contribution_is_no_sum_and_is_made_whole_later() {
    const KEYS: u32 = 4_000;
    let room = Arc::new(Room::new(300_000));
    let mut hub = full_at(1 << 20);
    hub.aggregate = Arc::into_inner(hub.aggregate).unwrap().within(Arc::clone(&room)).into();
    let first = tell(&hub, 1, 0..KEYS, 10);
    assert!(first.created > 1_000 && first.refused > 0, "{first:?}");
    assert!(room.used() < room.limit() + 20_000, "{} of {}", room.used(), room.limit());
    let keys: Vec<u32> = (0..KEYS).filter(|&key| published(&hub, key).is_some()).collect();
    // Contributions to keys that are there find the room that is kept for them, until that is taken as well.
    let second = tell_keys(&hub, 2, &keys, 50);
    assert!(second.created > 0 && second.refused > 0, "{second:?}");
    let sums = |hub: &Hub, keys: &[u32]| -> Vec<_> { keys.iter().map(|&key| published(hub, key)).collect() };
    let mut all = sums(&hub, &keys);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, [Some(50), Some(60)], "a sum, or the larger one");
    assert_eq!(hub.aggregate.partial_keys(), second.refused as u32);
    // What the nodes count on raises it, or leaves it.
    assert_eq!(tell_keys(&hub, 1, &keys, 20).updated, keys.len() as u64);
    assert!(sums(&hub, &keys).iter().all(|&sum| sum == Some(50) || sum == Some(70)));
    tell_keys(&hub, 2, &keys, 90);
    assert!(sums(&hub, &keys).iter().all(|&sum| sum == Some(90) || sum == Some(110)));
    assert_eq!(tell(&hub, 3, KEYS..KEYS + 1, 5).refused, 1);
    assert_eq!(published(&hub, KEYS), None, "of a new key nothing is published");
    // Half of the keys end by themselves.
    let half = &keys[..keys.len() / 2];
    hub.pass(u64::from(EXPIRE) / 2);
    tell_keys(&hub, 1, half, 21);
    tell_keys(&hub, 2, half, 91);
    hub.pass(u64::from(EXPIRE) / 2);
    assert!(!hub.aggregate.wants_lessons());
    (0..20).for_each(|_| _ = hub.refresh());
    let wanted = |hub: &Hub| {
        (1..5).filter(|&node| hub.aggregate.wants_lesson(Origin::peer(node).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&hub), [2], "what was refused of the others has ended; {} are used", room.used());
    // A key that comes meanwhile may lack what is asked for.
    tell(&hub, 1, KEYS..KEYS + 1, 30);
    assert_eq!(published(&hub, KEYS), None);
    hub.aggregate.asked(Origin::peer(2).unwrap());
    assert_eq!(wanted(&hub), [0; 0]);
    assert_eq!(tell_keys(&hub, 2, half, 91).refused, 0);
    assert_eq!(tell(&hub, 2, KEYS..KEYS + 1, 7).created, 1);
    assert!(!hub.aggregate.is_whole());
    hub.aggregate.told_all(Origin::peer(2).unwrap());
    assert!(hub.aggregate.is_whole());
    while hub.aggregate.is_behind() {
        hub.refresh();
    }
    assert_eq!(sums(&hub, half), vec![Some(112); half.len()]);
    assert_eq!((published(&hub, KEYS), hub.aggregate.partial_keys()), (Some(37), 0));
    assert_eq!(hub.aggregate.left_out(), []);
}

/// What is counted is what is there, whoever tells it; and an aggregate that is not used any more takes nothing.
#[test]
fn a_room_knows_what_is_taken_by_all_who_share_it() {
    let room = Arc::new(Room::new(0));
    let aggregate = |max_len| {
        let strings = |name: &str| {
            let empty = TableDefinition::new(name, KeyType::String { max_len }, 1 << 27);
            let columns = ["server_key", "http_req_rate(10s)"];
            columns.iter().fold(empty.with_expire(Some(EXPIRE)), |table, column| {
                table.with_column(column.parse().unwrap()).unwrap()
            })
        };
        let output = Arc::new(Table::new(strings("o"), 1).unwrap());
        let aggregate = Aggregate::new(strings("s"), output, &Rules::default(), 1).unwrap();
        aggregate.within(Arc::clone(&room))
    };
    let all = [aggregate(200), aggregate(20)];
    assert_eq!(room.used(), 0, "nothing is taken in advance");
    let mut before = 0;
    for node in 1..=40 {
        for aggregate in &all {
            let mut batch = aggregate.batch();
            let width = aggregate.layout().data_words();
            let string = aggregate.layout().offset(DataType::ServerKey, 0).unwrap();
            let columns = [0..string, string..string + 1, string + 1..width];
            batch.set_columns(columns.into_iter().filter(|range| !range.is_empty())).unwrap();
            for key in 0..500 {
                batch.push(format!("{key:020}").as_bytes(), Lifetime::Restart).unwrap();
                batch.set_string(&format!("server {key}").into());
            }
            assert_eq!(aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), Told::Live, 1).created, 500);
        }
        assert!(room.used() >= before + 1_000 * 24, "each contribution counts: {}", room.used());
        before = room.used();
    }
    let usage = all.each_ref().map(Aggregate::usage);
    let held: u64 = usage.iter().map(|usage| usage.bytes + usage.result_bytes).sum();
    assert!(held.abs_diff(room.used()) < 64 * 2 * 1_024, "{held} {}", room.used());
    let [one, other] = all;
    drop(one);
    assert!(room.used() > 0 && room.used() < before);
    other.clear_all(Lifetime::Exactly(0), 1);
    assert!(room.used() < before / 4, "{} of {before}", room.used());
    drop(other);
    assert_eq!(room.used(), 0);
}

/// A table that changes its definition takes its memory twice for a moment, also above the limit: nothing that was there is dropped.
#[test]
fn a_change_needs_as_much_room_as_the_table_takes() {
    const KEYS: u32 = 4_000;
    let new = |room: &Arc<Room>| {
        let hub = full_at(1 << 20);
        let aggregate = Arc::into_inner(hub.aggregate).unwrap().within(Arc::clone(room));
        Hub { aggregate: aggregate.into(), ..hub }
    };
    let measured = Arc::new(Room::new(0));
    let hub = new(&measured);
    (1..=3).for_each(|node| assert_eq!(tell(&hub, node, 0..KEYS, 7).refused, 0));
    let whole = measured.used();
    // One that is nearly used up.
    let room = Arc::new(Room::new(whole + whole / 8));
    let hub = new(&room);
    (1..=3).for_each(|node| assert_eq!(tell(&hub, node, 0..KEYS, 7).refused, 0));
    let before = room.used();
    let next = new(&room);
    assert!(hub.aggregate.replace_by(Arc::clone(&next.aggregate)));
    let mut walk = CarryWalk::default();
    while hub.aggregate.carry_over(&mut walk, 100, hub.now) {}
    let both = room.used();
    assert!(both > room.limit(), "{both} of {}", room.limit());
    assert!((before * 17 / 10..=before * 21 / 10).contains(&both), "{both} with both, {before} before");
    assert!((0..KEYS).all(|key| published(&next, key) == Some(21)));
    // New keys are refused as long as the former table is there.
    assert_eq!(tell(&next, 1, KEYS..KEYS + 1, 7).refused, 1);
    drop(hub);
    assert!(room.used() <= before * 11 / 10, "{} after, {before} before", room.used());
}
