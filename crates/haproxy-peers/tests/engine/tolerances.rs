//! The bugs of HAProxys that a peer has to live with (peers-protocol §18), one test for each that is not told elsewhere:
//!
//! | §18 | where |
//! | --- | --- |
//! | 1 byte-swapped acknowledgements | `acks::acknowledgements_of_what_was_not_sent_are_ignored` |
//! | 2 payload lengths 128 to 239 | `sharing::payloads_are_padded_until_the_peer_defines_a_type_of_2_4` |
//! | 3 continuation byte 0x80 | unit test `ages_for_1_6_avoid_the_byte_it_stops_at`, and here |
//! | 4 absent server_key | `sharing::an_absent_server_key_at_the_end_is_unset` |
//! | 6 lessons that always end as partial | `lessons::a_partial_lesson_is_asked_for_once_more_and_then_given_up` |
//! | 8 statuses that are final | `connecting::a_refusal_is_followed_by_attempts_with_back_off`, and here |
//! | 9 split hello | the driver writes it at once; `HelloParser` takes it split in any way |

use haproxy_peers::{Control, class, kind};
use stick_table::{DataType, KeyType, Value};

use crate::support::{Script, Setup, World, counters, gpc0, key, learn, set, table, update, with_payload};

fn connected() -> (World, usize, Script) {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.define(&mut world, 1, &counters("t"));
    peer.heard(&mut world);
    (world, node, peer)
}

/// §18.3: what 1.6 (protocol 2.0) is told of a rate has no byte it stops at; what later ones are told is exact.
#[test]
fn rates_for_a_2_0_peer_avoid_the_byte_that_1_6_stops_at() {
    for version in ["2.0", "2.1"] {
        let mut world = World::new(1);
        let rates = table("t", KeyType::Integer, 3_600_000, &["gpc0_rate(1h)"]);
        let node = world.add(Setup::new("n").peer("h").table(rates));
        let now = world.nodes[node].clock(world.now);
        let counter = stick_table::FrequencyCounter::set(5, now as u32);
        let shared = world.nodes[node].table(0);
        let set = shared.update(
            &key(1),
            stick_table::Origin::peer(9).unwrap(),
            stick_table::Lifetime::Restart,
            now,
            |entry| entry.set(DataType::Gpc0Rate, 0, &Value::Frequency(counter)),
        );
        assert_eq!(set, Ok(true));
        // So old that its age, 2288 to 2303 ms, is written with that byte.
        world.run(2_294 - world.delay * 4);
        let mut peer = Script::call(&mut world, node, "h", version);
        peer.say(&mut world, &[0, 0]);
        let bytes = peer.take(&mut world);
        let stops = bytes.windows(2).any(|pair| pair[0] >= 0xf0 && pair[1] == 0x80);
        assert_eq!(stops, version == "2.1", "{version}: {bytes:02x?}");
    }
}

/// §18.5: the values after conn_cur, which is not learned, stay in their places.
#[test]
fn values_after_conn_cur_are_not_shifted() {
    let mut world = World::new(1);
    let definition = table("t", KeyType::Integer, 60_000, &["gpc0", "conn_cur", "http_req_cnt"]);
    let node = world.add(Setup::new("n").peer("h").table(definition.clone()));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &definition);
    peer.say(
        &mut world,
        &with_payload(class::STICK_TABLE, kind::UPDATE, &[0, 0, 0, 1, 0, 0, 0, 7, 11, 12, 13]),
    );
    let node = &world.nodes[node];
    let read = |data_type| {
        node.table(0)
            .get(&key(7), node.clock(world.now), |entry| entry.value(data_type, 0))
            .unwrap()
            .flatten()
    };
    assert_eq!(read(DataType::Gpc0), Some(Value::Unsigned(11)));
    assert_eq!(read(DataType::ConnCur), Some(Value::Unsigned(0)));
    assert_eq!(read(DataType::HttpReqCnt), Some(Value::Unsigned(13)));
}

/// §18.7: 1.6 to 2.4-dev17 send a lesson's updates out of order, again, or with gaps.
#[test]
fn a_lesson_out_of_order_and_with_gaps_is_learned() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    for (id, number) in [(900, 1), (12, 2), (0x8000_0001, 3), (12, 2), (4_000_000_000, 4)] {
        peer.update(&mut world, Some(id), Some(30_000), number, number as u8);
    }
    peer.control(&mut world, Control::ResyncFinished);
    for number in 1..=4 {
        assert_eq!(gpc0(&world, node, number).map(|(value, _)| value), Some(number));
    }
    assert!(world.nodes[node].section.is_up_to_date());
}

/// §18.8: a configured peer never gets an error status for a passing reason. A stopping process closes instead.
#[test]
fn a_configured_peer_is_not_refused_by_a_stopping_process() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.stop(now);
    let mut peer = Script::hello(&mut world, node, "h", "2.1");
    assert_eq!(peer.take(&mut world), b"");
    assert!(peer.is_closed(&world));
}

/// §18.10: 1.6 sends what it learned back as if it were its own; that is not passed on, so it ends there.
#[test]
fn an_echo_of_a_pushed_entry_is_not_pushed_again() {
    let (mut world, node, mut peer) = connected();
    set(&world, node, 1, 5);
    world.run(2);
    assert_eq!(peer.news(&mut world), ["t 1 1 5 srv5"]);
    peer.update(&mut world, Some(70), None, 1, 5);
    world.run(2_000);
    assert_eq!(peer.news(&mut world), ["ack 1 70"]);
}

/// §18.10, §9.3: a rate of 1.6 looks as if it began in the future, and one never used has any age.
#[test]
fn rates_of_any_age_are_learned() {
    let mut world = World::new(1);
    let definition = table("t", KeyType::Integer, 60_000, &["gpc0_rate(10s)"]);
    let node = world.add(Setup::new("n").peer("h").table(definition.clone()));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &definition);
    for (number, age) in [0u64, 5, 4_294_948_591, u64::from(u32::MAX)].into_iter().enumerate() {
        let mut payload = vec![0, 0, 0, 1 + number as u8, 0, 0, 0, number as u8];
        haproxy_peers::varint::encode(age, &mut payload);
        payload.extend([9, 0]);
        peer.say(&mut world, &with_payload(class::STICK_TABLE, kind::UPDATE, &payload));
    }
    let node = &world.nodes[node];
    let now = node.clock(world.now);
    let read = |number| match node
        .table(0)
        .get(&key(number), now, |entry| entry.value(DataType::Gpc0Rate, 0))
        .unwrap()
    {
        Some(Some(Value::Frequency(counter))) => counter.read(10_000, now as u32),
        other => panic!("{other:?}"),
    };
    assert_eq!((read(0), read(1)), (9, 9));
    // The others are in the past or the future of the period: any number, no panic.
    let _ = (read(2), read(3));
}

/// §18.11: 2.0 to 2.7-dev8 do not count updates of tables they do not share as a sign of life, heartbeats do.
#[test]
fn heartbeats_flow_between_peers_that_share_no_table() {
    let (mut world, _, mut peer) = connected();
    peer.define(&mut world, 1, &counters("other"));
    for round in 1..=4 {
        world.run(2_900);
        // Updates of unknown tables count as a sign of life here.
        peer.update(&mut world, Some(round), None, 1, 1);
        world.run(200);
        assert!(!peer.is_closed(&world));
    }
    assert!(peer.heard(&mut world).iter().filter(|line| *line == "heartbeat").count() >= 3);
}

/// §18.12: 3.0 to 3.1-dev7 do not push what they learned and then changed; a lesson brings it.
#[test]
fn what_was_never_pushed_comes_with_a_lesson() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 3, 60_000);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(0x8000_0001), Some(20_000), 2, 8);
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(gpc0(&world, node, 2).map(|(value, _)| value), Some(8));
}

/// §18.13: 1.6 to 1.8-dev2 with several sections may end a lesson that nobody asked for; it is confirmed all the same.
#[test]
fn the_end_of_a_lesson_nobody_asked_for_is_confirmed() {
    let (mut world, _, mut peer) = connected();
    peer.control(&mut world, Control::ResyncPartial);
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(peer.news(&mut world), ["confirm", "confirm"]);
}

/// §18.14: 1.6-dev2 and dev3 acknowledge with the type of a definition.
#[test]
fn an_acknowledgement_under_the_type_of_a_definition_is_taken() {
    let (mut world, node, mut peer) = connected();
    set(&world, node, 1, 1);
    world.run(2);
    peer.say(&mut world, &with_payload(class::STICK_TABLE, kind::DEFINE, &[1, 0, 0, 0, 1]));
    assert!(!peer.is_closed(&world));
    let acked = world.sessions(node).next().map(|session| session.view().tables[0].last_acked);
    assert_eq!(acked, Some(1));
    // Updates go on for the table that was selected before.
    peer.say(&mut world, &update(Some(1), None, 5, 6));
    assert_eq!(gpc0(&world, node, 5).map(|(value, _)| value), Some(6));
}
