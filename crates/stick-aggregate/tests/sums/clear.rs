//! Contributions that are dropped by command.

use stick_aggregate::{OwnWalk, Told};
use stick_table::{DataType, Follow, Lifetime, Origin, Value};

use crate::hub::{EXPIRE, Hub};

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
    assert_eq!(hub.aggregate.clear(&Hub::key(1), LAST, hub.now), 0, "nobody told it");
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now), 3);
    assert_eq!(hub.value(DataType::Gpc0, 0), Some(Value::Unsigned(0)));
    let read = output.read(&mut cursor, 9, hub.now, |entry| {
        assert_eq!(entry.remaining(), Some(6_000));
        assert_eq!(entry.value(DataType::HttpReqRate, 0), Some(Value::Frequency(Default::default())));
    });
    assert_eq!(read, 1, "nodes are told, and of nothing else");
    let usage = hub.aggregate.usage();
    assert_eq!((usage.keys, usage.contributions), (0, 0));
    assert_eq!(hub.aggregate.contributions(&Hub::key(0), hub.now), []);
    hub.pass(1_000);
    assert_eq!(hub.refresh(), 0, "nothing comes back by itself");
    assert_eq!((hub.value(DataType::Gpc0, 0), hub.remaining()), (Some(Value::Unsigned(0)), Some(5_000)));
    assert_eq!(hub.tell(2, &gpc0(1)).created, 1);
    assert_eq!((hub.value(DataType::Gpc0, 0), hub.remaining()), (Some(Value::Unsigned(1)), Some(EXPIRE)));
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now), 1);
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now), 0);
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
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now), 3);
    assert_eq!(hub.number(), Some(0));
    let mut walk = OwnWalk::default();
    for node in [1, 2] {
        hub.aggregate.own_values(Origin::peer(node), &mut walk, 10, hub.now, |_| panic!("nothing is taught"));
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
    assert_eq!(hub.aggregate.clear(&Hub::key(0), LAST, hub.now), 0);
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
    batch.set_columns(std::iter::once(0..1));
    for node in 1..=2 {
        for key in 0..900 {
            batch.push(&Hub::key(key), Lifetime::Restart)[0] = key + 1;
        }
        hub.aggregate.absorb(&mut batch, Origin::peer(node), Told::Live, hub.now);
    }
    assert_eq!(hub.aggregate.clear_all(Lifetime::Keep, hub.now), 1_800);
    let usage = hub.aggregate.usage();
    assert_eq!((usage.keys, usage.contributions), (0, 0));
    for key in 0..900 {
        let read = |entry: stick_table::EntryRef<'_>| (entry.words()[0], entry.remaining());
        let entry = hub.aggregate.output().get(&Hub::key(key), hub.now, read);
        assert_eq!(entry, Some((0, Some(EXPIRE))), "its lifetime is kept");
    }
    assert_eq!(hub.aggregate.clear_all(Lifetime::Keep, hub.now), 0);
}
