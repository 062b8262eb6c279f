//! Which tables are shared, and what of their values (peers-protocol §7, §8.3, §9, §10, §15, §16).

use std::sync::Arc;

use haproxy_peers::{Control, Definition, DefinitionTail, Padding, SessionEvent, TableShards, WireColumn};
use stick_table::{DataType, KeyType, Lifetime, Origin, TableDefinition, Value};

use crate::support::{Script, Setup, World, counters, gpc0, key, set, table, with_payload};

pub(crate) fn connected(setup: Setup) -> (World, Script) {
    let mut world = World::new(1);
    let node = world.add(setup);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.take(&mut world);
    (world, peer)
}

fn node(definition: TableDefinition) -> Setup {
    Setup::new("n").peer("h").table(definition)
}

pub(crate) fn integers(name: &str, columns: &[&str]) -> TableDefinition {
    table(name, KeyType::Integer, 60_000, columns)
}

/// The values of an element of each key of the first table.
pub(crate) fn values(
    world: &World,
    place: usize,
    data_type: DataType,
    element: u32,
    keys: &[u32],
) -> Vec<Option<Value>> {
    let node = &world.nodes[0];
    let now = node.clock(world.now);
    let get = |&number: &u32| {
        node.table(place).get(&key(number), now, |entry| entry.value(data_type, element)).unwrap()
    };
    keys.iter().map(get).map(Option::flatten).collect()
}

pub(crate) fn say_update(world: &mut World, peer: &mut Script, id: u8, number: u8, values: &[u8]) {
    peer.say(world, &with_payload(10, 0x80, &[&[0, 0, 0, id, 0, 0, 0, number], values].concat()));
}

/// peers-protocol §7.3: reported once, however often it is defined.
#[test]
fn a_table_in_disagreement_is_reported_once() {
    let (mut world, mut peer) = connected(node(counters("t")).table(counters("u")));
    let strings = table("t", KeyType::DEFAULT_STRING, 60_000, &["gpc0"]);
    let longer = table("u", KeyType::Integer, 90_000, &["gpc0", "server_key"]);
    for _ in 0..3 {
        peer.define(&mut world, 1, &strings);
        peer.update(&mut world, Some(1), None, 1, 5);
        peer.define(&mut world, 2, &longer);
        peer.update(&mut world, Some(1), None, 2, 6);
        peer.define(&mut world, 3, &counters("elsewhere"));
    }
    let texts: Vec<_> = world.nodes[0].events.iter().skip(1).map(ToString::to_string).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[0].starts_with("updates of table t are ignored: key type string"), "{texts:?}");
    assert!(texts[1].starts_with("table u is defined differently by the peer: expire 90000 ms"), "{texts:?}");
    assert_eq!(
        texts[2],
        "updates of table elsewhere are ignored: no table of this name is configured: declare it here, or let \
         \"dynamic-tables\" make it"
    );
    assert_eq!(
        (gpc0(&world, 0, 1), values(&world, 1, DataType::Gpc0, 0, &[2])),
        (None, vec![Some(Value::Unsigned(6))])
    );
    let reason = world.nodes[0].section.view(world.now).peers[1].last_reason.clone();
    assert_eq!(reason.as_ref(), texts.last());
    let mismatched = |world: &World| world.sessions(0).next().unwrap().mismatched_tables();
    assert_eq!(mismatched(&world), 3, "the unknown one as well");
    peer.define(&mut world, 2, &counters("u"));
    assert_eq!(mismatched(&world), 2);
}

/// peers-protocol §7.6: HAProxy defines a table each time it changes to another.
#[test]
fn several_tables_are_shared_at_once() {
    let (mut world, mut peer) = connected(node(counters("t")).table(counters("p/u")));
    for round in 0..5 {
        peer.define(&mut world, 4, &counters("t"));
        peer.update(&mut world, Some(round + 1), None, round, 1);
        peer.define(&mut world, 9, &counters("x/u"));
        peer.update(&mut world, Some(round + 100), None, round, 2);
    }
    let keys: Vec<_> = (0..5).collect();
    assert_eq!(values(&world, 0, DataType::Gpc0, 0, &keys), vec![Some(Value::Unsigned(1)); 5]);
    assert_eq!(values(&world, 1, DataType::Gpc0, 0, &keys), vec![Some(Value::Unsigned(2)); 5]);
    let acks = peer.news(&mut world);
    assert_eq!((acks.len(), acks[8].as_str(), acks[9].as_str()), (10, "ack 4 5", "ack 9 104"));
    // A definition does not start ids anew within a session.
    peer.define(&mut world, 4, &counters("t"));
    peer.update(&mut world, None, None, 1, 1);
    assert_eq!(peer.news(&mut world), ["ack 4 6"]);
    let view = world.sessions(0).next().unwrap().view();
    assert_eq!((view.tables[0].remote_id, view.tables[0].last_get, view.tables[1].last_get), (4, 6, 104));
    assert_eq!(view.remote_table.as_deref(), Some("t"));
    set(&world, 0, 7, 7);
    world.run(2);
    assert_eq!(peer.heard(&mut world), ["define 1 t", "t 1 7 7 srv7"]);
}

/// Tables of peers' definitions, and their limits.
#[test]
fn tables_are_made_after_definitions_within_the_limit() {
    let (mut world, mut peer) = connected(node(counters("t")).dynamic_tables(2));
    for (id, name) in [(1, "t"), (2, "x/u"), (3, "v"), (4, "w"), (5, "v")] {
        peer.define(&mut world, id, &counters(name));
        peer.update(&mut world, Some(1), None, id, 1);
    }
    let names: Vec<_> =
        world.nodes[0].tables.all().iter().map(|shared| shared.definition().name.clone()).collect();
    assert_eq!(names, ["t", "p/u", "v"]);
    assert_eq!(world.nodes[0].count(|event| matches!(event, SessionEvent::TableCreated { .. })), 2);
    assert_eq!(values(&world, 2, DataType::Gpc0, 0, &[3, 5]), vec![Some(Value::Unsigned(1)); 2]);
    assert!(world.nodes[0].events.last().unwrap().to_string().contains("limit of 2 tables"));
    // What is learned of such a table is taught, and what is changed is pushed, under this side's id.
    peer.control(&mut world, Control::ResyncRequest);
    let lesson = peer.heard(&mut world);
    assert_eq!(
        lesson.iter().filter(|line| line.starts_with("define")).collect::<Vec<_>>(),
        ["define 1 t", "define 2 /u", "define 3 v"]
    );
}

/// peers-protocol §7.3: 1.6 and 1.7 send no tail.
#[test]
fn definitions_without_a_tail_are_taken_unless_they_have_arrays() {
    let (mut world, mut peer) =
        connected(node(counters("t")).table(integers("a", &["gpt(2)"])).dynamic_tables(9));
    for (id, of) in [(1, counters("t")), (2, integers("a", &["gpt(2)"])), (3, counters("new"))] {
        let mut definition = Definition::from_table(id, &of).unwrap();
        definition.tail = None;
        let mut bytes = Vec::new();
        definition.encode_unchecked(Padding::None, &mut bytes);
        peer.say(&mut world, &bytes);
        peer.update(&mut world, Some(1), None, id, 5);
    }
    assert_eq!(gpc0(&world, 0, 1).unwrap().0, 5);
    assert_eq!(world.nodes[0].tables.len(), 2);
    assert_eq!(world.sessions(0).next().unwrap().received().ignored_updates, 2);
}

/// peers-protocol §8.3.6: extra elements are dropped, missing ones left as they are; unknown types are skipped.
#[test]
fn arrays_of_other_lengths_and_unknown_types_are_taken_as_far_as_they_fit() {
    let local = integers("t", &["gpt(3)", "gpc(2)", "glitch_cnt"]);
    let (mut world, mut peer) = connected(node(local));
    let table = world.nodes[0].table(0);
    table
        .update(&key(1), Origin::LOCAL, Lifetime::Restart, world.now, |entry| {
            entry.set(DataType::Gpt, 2, &Value::Unsigned(77))
        })
        .unwrap();
    let mut definition = Definition::from_table(1, &integers("t", &["gpt(2)", "gpc(4)"])).unwrap();
    definition.data_types |= 1 << 40;
    let mut bytes = Vec::new();
    definition.encode(Padding::None, &mut bytes).unwrap();
    peer.say(&mut world, &bytes);
    say_update(&mut world, &mut peer, 1, 1, &[10, 11, 20, 21, 22, 23, 99, 99]);
    let row = |data_type, count| -> Vec<_> {
        (0..count).map(|element| values(&world, 0, data_type, element, &[1])[0].clone().unwrap()).collect()
    };
    assert_eq!(row(DataType::Gpt, 3), [10, 11, 77].map(Value::Unsigned));
    assert_eq!(row(DataType::Gpc, 2), [20, 21].map(Value::Unsigned));
    assert_eq!(row(DataType::GlitchCnt, 1), [0].map(Value::Unsigned));
}

/// peers-protocol §16.
#[test]
fn conn_cur_is_learned_by_recv_only_tables_only() {
    for recv_only in [false, true] {
        let mut definition = integers("t", &["gpc0", "conn_cur", "sess_cnt"]);
        definition.recv_only = recv_only;
        let (mut world, mut peer) = connected(node(definition.clone()));
        peer.define(&mut world, 1, &definition);
        say_update(&mut world, &mut peer, 1, 1, &[1, 2, 3]);
        let conn_cur = if recv_only { 2 } else { 0 };
        for (data_type, value) in [(DataType::Gpc0, 1), (DataType::ConnCur, conn_cur), (DataType::SessCnt, 3)]
        {
            assert_eq!(values(&world, 0, data_type, 0, &[1]), [Some(Value::Unsigned(value))], "{data_type}");
        }
    }
}

/// peers-protocol §16: HAProxy up to 2.4 takes the type from anybody, and would set to 0 what it counts itself.
#[test]
fn conn_cur_is_told_by_recv_only_tables_only() {
    for recv_only in [false, true] {
        let mut definition = integers("t", &["gpc0", "conn_cur", "sess_rate(10s)"]);
        definition.recv_only = recv_only;
        let (mut world, mut peer) = connected(node(definition.clone()).relay().peer("i"));
        let mut other = Script::call(&mut world, 0, "i", "2.1");
        other.control(&mut world, Control::ResyncFinished);
        // A peer of 2.4 counts 3 connections.
        peer.define(&mut world, 1, &definition);
        say_update(&mut world, &mut peer, 1, 1, &[1, 3, 0, 0, 0]);
        let table = world.nodes[0].table(0);
        table
            .update(&key(2), Origin::LOCAL, Lifetime::Restart, world.now, |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(9))
            })
            .unwrap();
        world.run(1_100);
        let told = |conn_cur: &str| if recv_only { conn_cur.to_owned() } else { String::new() };
        let (relayed, pushed) = (told(" 3"), told(" 0"));
        let news = other.news(&mut world);
        assert_eq!(
            news[news.len() - 2..],
            [format!("t 1 1 1{relayed} 0+0@0ms"), format!("t 2 2 9{pushed} 0+0@0ms")]
        );
        assert_eq!(peer.news(&mut world).last().unwrap(), &format!("t 1 2 9{pushed} 0+0@0ms"));
        other.control(&mut world, Control::ResyncRequest);
        let taught = other.news(&mut world).join(", ");
        assert!(taught.contains(&format!(" 1 1{relayed} 0+0@0ms left=")), "{taught}");
    }
}

/// peers-protocol §18.2: payloads of 128 to 239 bytes are misread by 2.0 to 2.3.
#[test]
fn payloads_are_padded_until_the_peer_defines_a_type_of_2_4() {
    let long = |name: &str| table(name, KeyType::Binary { len: 150 }, 60_000, &["http_fail_cnt"]);
    let (mut world, mut peer) = connected(node(long("t")));
    let change = |world: &World, first: u8| {
        let mut bytes = [0; 150];
        bytes[0] = first;
        world.nodes[0].table(0).update(&bytes, Origin::LOCAL, Lifetime::Restart, world.now, |_| ()).unwrap();
    };
    change(&world, 1);
    world.run(2);
    let bytes = peer.take(&mut world);
    assert_eq!(bytes[bytes.len() - 244..][..4], [10, 0x80, 0xf0, 0], "240 bytes");
    peer.define(&mut world, 1, &long("t"));
    change(&world, 2);
    world.run(2);
    let bytes = peer.take(&mut world);
    assert_eq!(bytes[..3], [10, 0x80, 155]);
    assert_eq!(bytes.len(), 3 + 155);
}

/// peers-protocol §18.4: 2.0 sends nothing for an unset `server_key`.
#[test]
fn an_absent_server_key_at_the_end_is_unset() {
    let (mut world, mut peer) = connected(node(counters("t")));
    peer.define(&mut world, 1, &counters("t"));
    say_update(&mut world, &mut peer, 1, 1, &[5, 6, 1, 4, b's', b'r', b'v', b'1']);
    say_update(&mut world, &mut peer, 2, 1, &[6]);
    say_update(&mut world, &mut peer, 3, 2, &[7]);
    say_update(&mut world, &mut peer, 4, 3, &[8, 1, 1]);
    say_update(&mut world, &mut peer, 5, 4, &[9, 1, 77]);
    assert!(!peer.is_closed(&world));
    let string = Some(Value::Dictionary(Some("srv1".into())));
    let unset = Some(Value::Dictionary(None));
    assert_eq!(
        values(&world, 0, DataType::ServerKey, 0, &[1, 2, 3, 4]),
        [string.clone(), unset.clone(), string, unset]
    );
    assert_eq!(gpc0(&world, 0, 1).unwrap().0, 6);
}

/// peers-protocol §10: 128 slots, the oldest is overwritten.
#[test]
fn more_strings_than_the_dictionary_has_slots_go_both_ways() {
    let mut world = World::new(9);
    world.add(Setup::new("a").peer("b").table(counters("t")));
    world.run(20);
    world.add(Setup::new("b").peer("a").table(counters("t")));
    world.delay = 2;
    for number in 0..400 {
        // Strings come again while they are in a slot, and after.
        set(&world, 0, number, number % 150);
        set(&world, 1, 10_000 + number, number % 170);
        world.run(u64::from(number % 3 == 0));
    }
    assert!(
        world.run_until(6_000, |world| gpc0(world, 1, 399).is_some() && gpc0(world, 0, 10_399).is_some())
    );
    for (node, first, modulus) in [(1, 0, 150), (0, 10_000, 170)] {
        let owner = &world.nodes[node];
        for number in 0..400 {
            let now = owner.clock(world.now);
            let text = owner
                .table(0)
                .get(&key(first + number), now, |entry| entry.value(DataType::ServerKey, 0))
                .unwrap();
            let wanted = format!("srv{}", number % modulus);
            assert_eq!(text, Some(Some(Value::Dictionary(Some(wanted.as_str().into())))), "{number}");
        }
    }
    let view = world.sessions(0).next().unwrap().view();
    assert_eq!((view.sent_strings.len(), view.received_strings.len()), (128, 128));
}

/// peers-protocol §8.3: a sender without expiry teaches 0 ms, which means nothing.
#[test]
fn entries_of_a_sender_without_expiry_get_the_whole_lifetime() {
    let (mut world, mut peer) = connected(node(counters("t")));
    let endless = counters("t").with_expire(None);
    peer.define(&mut world, 1, &endless);
    peer.update(&mut world, Some(1), Some(0), 1, 5);
    peer.update(&mut world, Some(2), Some(700), 2, 6);
    assert!(gpc0(&world, 0, 1).unwrap().1 > 59_900);
    assert!(gpc0(&world, 0, 2).unwrap().1 < 700);
}

/// peers-protocol §15.
#[test]
fn a_peer_of_a_shard_is_sent_the_keys_of_its_shard_only() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer_of_shard("h", 2).shards(3).table(counters("t")));
    for number in 0..300 {
        set(&world, node, number, 1);
    }
    let shards = TableShards::new("t", 3.try_into().unwrap());
    let mine: Vec<u32> =
        (0..300).filter(|&number| shards.shard_of(KeyType::Integer, &key(number)) == 2).collect();
    assert!((60..140).contains(&mine.len()));
    let numbers = |lines: Vec<String>| {
        let keys = lines.iter().filter(|line| line.starts_with("t "));
        let mut keys: Vec<u32> = keys.map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        keys.sort_unstable();
        keys
    };
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    assert_eq!(numbers(peer.news(&mut world)), mine);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(numbers(peer.news(&mut world)), mine);
    peer.control(&mut world, Control::ResyncConfirm);
    peer.take(&mut world);
    let foreign = (0..300).find(|number| !mine.contains(number)).unwrap();
    set(&world, node, foreign, 2);
    world.run(5);
    assert!(peer.take(&mut world).is_empty(), "not even a definition");
}

/// peers-protocol §15: a lesson of one shard is not everything.
#[test]
fn a_section_with_shards_learns_from_a_peer_of_each() {
    let mut world = World::new(1);
    let setup = Setup::new("n").peer_of_shard("h", 1).peer_of_shard("i", 2).shards(2).table(counters("t"));
    let node = world.add(setup);
    let mut first = Script::call(&mut world, node, "h", "2.1");
    first.control(&mut world, Control::ResyncFinished);
    assert!(!world.nodes[node].section.is_up_to_date());
    let mut second = Script::call(&mut world, node, "i", "2.1");
    assert_eq!(second.news(&mut world), ["request"]);
    second.control(&mut world, Control::ResyncFinished);
    assert!(world.nodes[node].section.is_up_to_date());
}

/// A definition may announce any number of elements; a payload bounds what is decoded.
#[test]
fn a_definition_of_absurd_numbers_costs_nothing() {
    let (mut world, mut peer) = connected(node(integers("t", &["gpt(2)"])));
    let mut definition = Definition::from_table(1, &integers("t", &["gpt(2)"])).unwrap();
    definition.tail = Some(DefinitionTail {
        expire_ms: u64::MAX,
        parameters: vec![WireColumn { data_type: DataType::Gpt, count: u64::MAX, period: 0 }],
    });
    let mut bytes = Vec::new();
    definition.encode(Padding::None, &mut bytes).unwrap();
    peer.say(&mut world, &bytes);
    say_update(&mut world, &mut peer, 1, 1, &[1; 200]);
    assert!(peer.is_closed(&world));
}

/// peers-protocol §7.6: HAProxy defines a table each time it changes to another, also within one read.
#[test]
fn updates_survive_a_second_definition_in_the_same_read() {
    let (mut world, mut peer) = connected(node(counters("t")).table(counters("u")));
    world.split = false;
    let mut bytes = Vec::new();
    for number in 0..4 {
        for (id, name) in [(1, "t"), (2, "u")] {
            Definition::from_table(id, &counters(name)).unwrap().encode(Padding::None, &mut bytes).unwrap();
            bytes.extend(crate::support::update(Some(number + 1), None, number, 9));
        }
    }
    peer.say(&mut world, &bytes);
    for place in 0..2 {
        let all = values(&world, place, DataType::Gpc0, 0, &[0, 1, 2, 3]);
        assert_eq!(all, vec![Some(Value::Unsigned(9)); 4], "table {place}");
    }
    // One that says something else of the table.
    let mut bytes = crate::support::update(Some(9), None, 7, 3);
    let longer = table("u", KeyType::Integer, 90_000, &["gpc0", "server_key"]);
    Definition::from_table(2, &longer).unwrap().encode(Padding::None, &mut bytes).unwrap();
    bytes.extend(crate::support::update(Some(10), None, 8, 4));
    peer.say(&mut world, &bytes);
    assert_eq!(values(&world, 1, DataType::Gpc0, 0, &[7, 8]), [3, 4].map(|it| Some(Value::Unsigned(it))));
}

/// peers-protocol §7.3: a table is known by the id of its newest definition only.
#[test]
fn a_definition_takes_the_table_s_old_id_away() {
    let (mut world, mut peer) = connected(node(counters("t")));
    peer.define(&mut world, 1, &counters("t"));
    peer.define(&mut world, 2, &counters("t"));
    peer.say(&mut world, &with_payload(10, 0x83, &[1]));
    peer.update(&mut world, Some(1), None, 1, 5);
    assert_eq!(gpc0(&world, 0, 1), None);
    peer.say(&mut world, &with_payload(10, 0x83, &[2]));
    peer.update(&mut world, Some(2), None, 1, 6);
    assert_eq!(gpc0(&world, 0, 1).unwrap().0, 6);
    assert_eq!(peer.heard(&mut world), ["ack 2 2"]);
}

/// peers-protocol §14.2: a string that one peer could send may be too long for another.
#[test]
fn a_string_too_long_for_other_peers_is_left_out() {
    let (mut world, mut peer) = connected(node(counters("t")));
    for (number, length) in [(1, 12_000), (2, 13_000)] {
        let text: Arc<str> = "s".repeat(length).into();
        world.nodes[0]
            .table(0)
            .update(&key(number), Origin::LOCAL, Lifetime::Restart, world.now, |entry| {
                entry.set(DataType::ServerKey, 0, &Value::Dictionary(Some(text)))
            })
            .unwrap();
    }
    world.run(2);
    let lengths: Vec<_> = peer.news(&mut world).iter().map(String::len).collect();
    assert_eq!(lengths, ["t 1 1 0 ".len() + 12_000, "t 2 2 0".len()]);
}

/// A name with a slash inside would be that of a table of another section, and never be found again.
#[test]
fn tables_are_made_under_proper_names_only() {
    let (mut world, mut peer) = connected(Setup::new("n").peer("h").dynamic_tables(9));
    for (id, name) in ["a/b", "/", "//a", "/a/", "a b", "a\u{e9}", &"a".repeat(256)].into_iter().enumerate() {
        let mut definition = Definition::from_table(id as u32 + 1, &counters("x")).unwrap();
        definition.name = name.into();
        let mut bytes = Vec::new();
        definition.encode(Padding::None, &mut bytes).unwrap();
        peer.say(&mut world, &bytes);
    }
    assert_eq!(world.nodes[0].tables.len(), 0);
    assert_eq!(world.nodes[0].count(|event| matches!(event, SessionEvent::TableIgnored { .. })), 7);
}

/// Nothing but keys, which are too long for messages that are put together in a fixed buffer.
#[test]
fn long_keys_without_any_value_are_pushed_and_taught() {
    for len in [200, 228, 229, 230, 300, 1_000] {
        let keys_only = table("t", KeyType::String { max_len: len }, 60_000, &[]);
        let mut world = World::new(1);
        let node = world.add(node(keys_only.clone()));
        let long = vec![b'k'; len as usize];
        let table = world.nodes[node].table(0);
        table
            .update(&long, Origin::LOCAL, Lifetime::Restart, world.nodes[node].clock(world.now), |_| ())
            .unwrap();
        let other = world.add(Setup::new("h").peer("n").table(keys_only));
        world.run(3_000);
        let other = &world.nodes[other];
        let learned = other.table(0).get(&long, other.clock(world.now), |_| ()).unwrap();
        assert_eq!(learned, Some(()), "a key of {len} bytes");
    }
}

/// More than 32 bits, in messages that are made the quick way and those that are not, pushed and taught.
#[test]
fn counters_of_64_bits_are_shared_whole() {
    for columns in [&["bytes_in_cnt", "bytes_out_cnt"][..], &["bytes_in_cnt", "bytes_out_cnt", "server_key"]]
    {
        let definition = || integers("t", columns);
        let mut world = World::new(1);
        for (name, peer) in [("a", "b"), ("b", "a")] {
            world.add(Setup::new(name).peer(peer).peer("c").table(definition()));
            world.run(20);
        }
        let numbers = [(1, u64::MAX, 0), (2, 1 << 32 | 7, 0xffff_ffff_0000_0000), (3, 239, 240)];
        for (number, bytes_in, bytes_out) in numbers {
            let set = world.nodes[0].table(0).update(
                &key(number),
                Origin::LOCAL,
                Lifetime::Restart,
                world.nodes[0].clock(world.now),
                |entry| {
                    entry.set(DataType::BytesInCnt, 0, &Value::Unsigned64(bytes_in))
                        && entry.set(DataType::BytesOutCnt, 0, &Value::Unsigned64(bytes_out))
                },
            );
            assert_eq!(set, Ok(true));
        }
        world.run(5_000);
        let learner = world.add(Setup::new("c").peer("a").peer("b").table(definition()));
        world.run(5_000);
        for node in [1, learner] {
            let node = &world.nodes[node];
            for (number, bytes_in, bytes_out) in numbers {
                let get = |data_type| {
                    node.table(0)
                        .get(&key(number), node.clock(world.now), |entry| entry.value(data_type, 0))
                        .unwrap()
                };
                let stored = [DataType::BytesInCnt, DataType::BytesOutCnt].map(get).map(Option::flatten);
                let expected = [bytes_in, bytes_out].map(|it| Some(Value::Unsigned64(it)));
                assert_eq!(stored, expected, "{} of {}, {columns:?}", number, node.name);
            }
        }
    }
}

/// So many at once that the fixed buffer they are put together in is full several times.
#[test]
fn many_long_messages_are_pushed_and_taught() {
    const COUNT: u32 = 300;
    let definition =
        || table("t", KeyType::String { max_len: 60 }, 60_000, &["gpc0", "gpc1", "gpt0", "http_req_cnt"]);
    let name = |number: u32| format!("{number:0>60}");
    let mut world = World::new(1);
    for (name, peer) in [("a", "b"), ("b", "a")] {
        world.add(Setup::new(name).peer(peer).peer("c").table(definition()));
        world.run(20);
    }
    let now = world.nodes[0].clock(world.now);
    for number in 0..COUNT {
        let set = world.nodes[0].table(0).update(
            name(number).as_bytes(),
            Origin::LOCAL,
            Lifetime::Restart,
            now,
            |entry| {
                entry.set(DataType::Gpc0, 0, &Value::Unsigned(u32::MAX - number))
                    && entry.set(DataType::HttpReqCnt, 0, &Value::Unsigned(number))
            },
        );
        assert_eq!(set, Ok(true));
    }
    world.run(5_000);
    let learner = world.add(Setup::new("c").peer("a").peer("b").table(definition()));
    world.run(5_000);
    for node in [1, learner] {
        let node = &world.nodes[node];
        assert_eq!(node.table(0).len(), COUNT, "{}", node.name);
        for number in 0..COUNT {
            let words = node
                .table(0)
                .get(name(number).as_bytes(), node.clock(world.now), |entry| {
                    [DataType::Gpc0, DataType::HttpReqCnt].map(|it| entry.value(it, 0).unwrap())
                })
                .unwrap();
            let expected = [u32::MAX - number, number].map(Value::Unsigned);
            assert_eq!(words, Some(expected), "{number} of {}", node.name);
        }
    }
}
