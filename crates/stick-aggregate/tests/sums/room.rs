//! Keys that find no room.

use std::ops::Range;
use std::sync::Arc;

use stick_aggregate::{Absorbed, Aggregate, LeftOutReason, Rules, Told};
use stick_table::{Lifetime, Origin, Table};

use crate::hub::{EXPIRE, Hub, definition};

/// An aggregate of counters with room for some keys.
fn full_at(size: u32) -> Hub {
    let output = Arc::new(Table::new(definition("c.agg", 2 * size, &["gpc0"]), 1));
    let aggregate = Aggregate::new(definition("c", size, &["gpc0"]), output, &Rules::default(), 2).unwrap();
    Hub { aggregate, now: 1_000_000 }
}

/// A node tells a number of some keys.
fn tell(hub: &Hub, node: u16, keys: Range<u32>, number: u32) -> Absorbed {
    let mut batch = hub.aggregate.batch();
    batch.set_columns(std::iter::once(0..1));
    for key in keys {
        batch.push(&Hub::key(key), Lifetime::Restart)[0] = number;
    }
    hub.aggregate.absorb(&mut batch, Origin::peer(node), Told::Live, hub.now)
}

/// What is published of a key.
fn published(hub: &Hub, key: u32) -> Option<u32> {
    hub.aggregate.output().get(&Hub::key(key), hub.now, |entry| entry.words()[0])
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
    hub.aggregate.forget(Origin::peer(2));
    assert!(hub.aggregate.is_whole());
}
