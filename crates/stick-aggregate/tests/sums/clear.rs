//! Contributions that are dropped by command.

use stick_aggregate::{OwnWalk, Told};
use stick_table::{DataType, Follow, Lifetime, Origin, Value};

use crate::hub::{EXPIRE, Hub};
use crate::room::{full_at, tell};

const LAST: Lifetime = Lifetime::Exactly(6_000);

fn gpc0(number: u32) -> [(DataType, u32, Value); 1] {
    [(DataType::Gpc0, 0, Value::Unsigned(number))]
}

#[test]
fn a_cleared_key_reads_zero_and_begins_anew() {
    let mut hub = Hub::new(&["gpc0", "http_req_rate(10s)", "server_key"]);
    let rate = stick_table::FrequencyCounter::set(9, hub.now as u32);
    let server = Value::Dictionary(Some("s1".into()));
    for node in 1..=3 {
        let rate = (DataType::HttpReqRate, 0, Value::Frequency(rate));
        hub.tell(node, &[gpc0(10)[0].clone(), rate, (DataType::ServerKey, 0, server.clone())]);
    }
    let output = hub.aggregate.output();
    let mut cursor = output.follow(Follow::Local, &output.position());
    assert_eq!(hub.aggregate.clear(&Hub::key(1), LAST, hub.now).unwrap(), 0, "nobody told it");
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now).unwrap(), 3);
    assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(0)));
    let read = output.read(&mut cursor, 9, hub.now, |entry| {
        assert_eq!(entry.remaining(), Some(6_000));
        assert_eq!(entry.value(DataType::HttpReqRate, 0), Some(Value::Frequency(Default::default())));
    });
    assert_eq!(read, 1, "nodes are told, and of nothing else");
    let usage = hub.aggregate.usage();
    assert_eq!((usage.keys, usage.contributions), (0, 0));
    assert_eq!(hub.aggregate.contributions(&Hub::key(0), hub.now).unwrap(), []);
    hub.pass(1_000);
    assert_eq!(hub.refresh(), 0, "nothing comes back by itself");
    assert_eq!((hub.value(DataType::Gpc0, 0), hub.remaining()), (Some(Value::Unsigned(0)), Some(5_000)));
    assert_eq!(hub.tell(2, &gpc0(1)).created, 1);
    assert_eq!((hub.value(DataType::Gpc0, 0), hub.remaining()), (Some(Value::Unsigned(1)), Some(EXPIRE)));
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now).unwrap(), 1);
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now).unwrap(), 0);
    hub.pass(6_000);
    assert_eq!(hub.number(), None);
}

/// A zero that a node is taken to have told would not do: it looks like a process that begins anew.
#[test]
fn nothing_of_former_processes_is_left() {
    let hub = Hub::new(&["gpc0"]);
    hub.tell_number(1, 80);
    hub.tell_number(2, 7);
    hub.restart(1);
    hub.tell_number(1, 3);
    hub.restart(2);
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now).unwrap(), 3);
    assert_eq!(hub.number(), Some(0));
    let mut walk = OwnWalk::default();
    for node in [1, 2] {
        hub.aggregate
            .own_values(Origin::peer(node).unwrap(), &mut walk, 10, hub.now, |_| panic!("nothing is taught"));
    }
    hub.tell_number(1, 4);
    hub.tell_number(2, 1);
    assert_eq!(hub.number(), Some(5));
}

#[test]
fn what_is_over_is_not_cleared() {
    let mut hub = Hub::new(&["gpc0"]);
    hub.tell_as(1, Told::Live, Lifetime::Exactly(100), &gpc0(5));
    hub.pass(100);
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now).unwrap(), 0);
    assert_eq!((hub.number(), hub.aggregate.usage().keys), (None, 0));
    hub.tell_as(1, Told::Live, Lifetime::Exactly(100), &gpc0(5));
    hub.tell_number(2, 6);
    hub.pass(100);
    assert_eq!(hub.aggregate.clear_all(LAST, hub.now), 1);
    assert_eq!(hub.number(), Some(0));
}

#[test]
fn all_keys_are_cleared() {
    let hub = Hub::new(&["gpc0"]);
    let mut batch = hub.aggregate.batch();
    batch.set_columns(std::iter::once(0..1)).unwrap();
    for node in 1..=2 {
        for key in 0..900 {
            batch.push(&Hub::key(key), Lifetime::Restart).unwrap()[0] = key + 1;
        }
        hub.aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), Told::Live, hub.now);
    }
    assert_eq!(hub.aggregate.clear_all(Lifetime::Keep, hub.now), 1_800);
    let usage = hub.aggregate.usage();
    assert_eq!((usage.keys, usage.contributions), (0, 0));
    for key in 0..900 {
        let read = |entry: stick_table::EntryRef<'_>| (entry.words()[0], entry.remaining());
        let entry = hub.aggregate.output().get(&Hub::key(key), hub.now, read).unwrap();
        assert_eq!(entry, Some((0, Some(EXPIRE))), "its lifetime is kept");
    }
    assert_eq!(hub.aggregate.clear_all(Lifetime::Keep, hub.now), 0);
}

/// More keys of a stripe than are looked at in one hold of its lock.
#[test]
fn all_keys_of_a_large_stripe_are_cleared() {
    let hub = full_at(10_000);
    tell(&hub, 1, 0..9_000, 3);
    assert_eq!(hub.aggregate.clear_all(LAST, hub.now), 9_000);
    assert_eq!((hub.aggregate.usage().keys, hub.aggregate.clear_all(LAST, hub.now)), (0, 0));
}

/// Also of a stripe with more keys than are looked at in one hold of its lock.
#[test]
fn own_values_are_visited_once_each_within_the_limit() {
    for limit in [1_000, 7_777, 20_000] {
        let hub = full_at(10_000);
        tell(&hub, 1, 0..9_000, 3);
        hub.restart(1);
        let (mut walk, mut seen) = (OwnWalk::default(), std::collections::BTreeSet::new());
        loop {
            let mut count = 0;
            let more = hub.aggregate.own_values(Origin::peer(1).unwrap(), &mut walk, limit, hub.now, |own| {
                count += 1;
                assert!(seen.insert(own.key().to_vec()) && own.words() == [3]);
            });
            assert!(count <= limit, "{count} of {limit}");
            if !more {
                break;
            }
            assert!(count > 0, "a call that comes to nothing is not followed by another one here");
        }
        assert_eq!(seen.len(), 9_000);
    }
}
