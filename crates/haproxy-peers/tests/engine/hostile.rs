//! Peers that speak the protocol to do harm: what they can make a node hold is bounded.

use haproxy_peers::{Control, DynamicUsage, SessionEvent};
use stick_table::{DataType, KeyType, Value};

use crate::support::{Script, Setup, World, counters, gpc0, key, table, with_payload};

fn connected(setup: Setup) -> (World, Script) {
    let mut world = World::new(1);
    let node = world.add(setup);
    let peer = Script::call(&mut world, node, "h", "2.1");
    (world, peer)
}

/// `show peers` and the log have names among other words.
#[test]
fn a_stranger_joins_under_a_proper_name_only() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").dynamic_peers(9).table(counters("t")));
    for name in ["a\tb", "\u{1b}[31mred", "a\u{a0}b", &"x".repeat(256)] {
        let mut peer = Script::hello(&mut world, node, name, "2.1");
        assert_eq!(peer.take(&mut world), b"504\n", "{name:?}");
    }
    for name in ["lb-1.example", "kn\u{f6}ten", &"x".repeat(255)] {
        Script::call(&mut world, node, name, "2.1");
    }
    assert_eq!(world.nodes[node].section.view(world.now).peers.len(), 1 + 3);
}

/// An update of `counters` that announces a string under id 1, or repeats it.
fn naming(number: u32, value: u8, text: Option<&[u8]>) -> Vec<u8> {
    let mut payload = [&[0, 0, 0, 1][..], &key(number), &[value]].concat();
    let mut item = vec![1];
    if let Some(text) = text {
        haproxy_peers::encode_unsigned(text.len() as u32, &mut item);
        item.extend_from_slice(text);
    }
    haproxy_peers::encode_unsigned(item.len() as u32, &mut payload);
    with_payload(10, 0x80, &[payload, item].concat())
}

/// Each entry may have a `server_key` of its own, and each session remembers 128.
#[test]
fn a_long_server_key_is_passed_over_and_its_id_means_nothing() {
    let (mut world, mut peer) = connected(Setup::new("n").peer("h").table(counters("t")));
    peer.define(&mut world, 1, &counters("t"));
    let server = |world: &World, number| {
        let value = world.nodes[0]
            .table(0)
            .get(&key(number), world.nodes[0].clock(world.now), |entry| entry.value(DataType::ServerKey, 0))
            .unwrap();
        match value {
            Some(Some(Value::Dictionary(text))) => text.map(|text| text.len()),
            other => panic!("{other:?}"),
        }
    };
    for (number, text, kept) in [
        (1, Some(256), Some(256)),
        (2, None, Some(256)),
        (3, Some(257), None),
        (4, None, None),
        (1, Some(16_000), Some(256)),
        (5, Some(10), Some(10)),
        (6, None, Some(10)),
    ] {
        let text = text.map(|length| vec![b'a'; length]);
        peer.say(&mut world, &naming(number, 9, text.as_deref()));
        assert_eq!(server(&world, number), kept, "{number}");
        assert_eq!(gpc0(&world, 0, number).unwrap().0, 9);
    }
    assert_eq!(world.sessions(0).next().unwrap().received().ignored_strings, 2);
}

/// A name may fill a message, and 256 tables are reported in a session.
#[test]
fn names_of_tables_are_cut_where_they_are_told() {
    let (mut world, mut peer) = connected(Setup::new("n").peer("h").table(counters("t")));
    for number in 0..300 {
        let mut name = counters("x");
        name.name = format!("{number}{}", "y".repeat(16_000));
        peer.define(&mut world, 1, &name);
    }
    let events = &world.nodes[0].events;
    let told = events.iter().filter(|event| matches!(event, SessionEvent::TableIgnored { .. }));
    let lengths: Vec<_> = told.map(|event| event.to_string().len()).collect();
    assert_eq!(lengths.len(), 256);
    assert!(lengths.iter().all(|&length| length < 400), "{lengths:?}");
}

/// A definition tells no size. The memory of its first entries, here all of them, is taken when a table is made.
#[test]
fn tables_are_made_within_a_limit_of_memory() {
    let (mut world, mut peer) = connected(Setup::new("n").peer("h").dynamic_tables(100));
    let wide = |name: &str| table(name, KeyType::Integer, 60_000, &["gpc(100)", "gpc_rate(100,10s)"]);
    // 100 entries of 4 x (3 + 400) bytes and what stands beside.
    let full = 100 * (4 * 403 + 32);
    for number in 0..20 {
        peer.define(&mut world, number + 1, &wide(&format!("w{number}")));
    }
    let usage = world.nodes[0].tables.dynamic_usage();
    assert_eq!(usage, DynamicUsage { tables: 6, bytes: 6 * full, refused: 14, shortages: 0 });
    assert_eq!(wide("w").full_bytes(), full * 100, "for 10 000 entries");
    let told = world.nodes[0].events.iter().any(|event| {
        event
            .to_string()
            .contains("its first entries need 164400 bytes, and 62176 are left for tables that peers define")
    });
    assert!(told, "{:?}", world.nodes[0].events);
    // However often they are defined, and by how many peers.
    for number in 0..20 {
        peer.define(&mut world, number + 1, &wide(&format!("w{number}")));
    }
    assert_eq!(world.nodes[0].tables.dynamic_usage(), usage);
    // A small one still fits, a string for each entry does not.
    peer.define(&mut world, 90, &table("s", KeyType::Ip, 60_000, &["gpc0"]));
    assert_eq!(world.nodes[0].tables.dynamic_usage().tables, 7);
    let keys = |name: &str, max_len| table(name, KeyType::String { max_len }, 60_000, &[]);
    peer.define(&mut world, 91, &keys("long", 12_000));
    assert_eq!(world.nodes[0].tables.dynamic_usage().tables, 7);
}

/// Who says the section's own name on the network is another node: with a copied name, or with bad intent.
#[test]
fn a_stranger_with_the_section_s_own_name_is_refused_and_changes_nothing() {
    for expects in [true, false] {
        let setup = Setup::new("n").peer("h").dynamic_peers(5).table(counters("t"));
        let mut world = World::new(1);
        let node = world.add(if expects { setup.expects_predecessor() } else { setup });
        let flags = |world: &World| world.nodes[node].section.view(world.now).flags;
        let before = flags(&world);
        let mut stranger = Script::hello(&mut world, node, "n", "2.1");
        stranger.define(&mut world, 1, &counters("t"));
        stranger.update(&mut world, Some(1), Some(8_000), 1, 9);
        stranger.control(&mut world, Control::ResyncFinished);
        assert_eq!(stranger.take(&mut world), b"504\n");
        assert!(stranger.is_closed(&world));
        assert_eq!((gpc0(&world, node, 1), flags(&world)), (None, before));
        assert!(!world.nodes[node].section.is_up_to_date());
        // Those who know something are asked as ever.
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        world.run(6_000);
        assert!(peer.news(&mut world).contains(&"request".to_owned()));
    }
}

/// Nor is another name taken for the process before this one, wherever it comes from.
#[test]
fn a_predecessor_has_the_section_s_own_name() {
    use haproxy_peers::{Greeting, Hello, ProtocolVersion, Status};
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    let hello = Hello {
        version: ProtocolVersion::V2_1,
        target: "n".into(),
        sender: "h".into(),
        pid: 1,
        relative_pid: 1,
    };
    let now = world.nodes[node].clock(world.now);
    let greeting = world.nodes[node].section.greet_predecessor(now, &hello);
    assert!(matches!(greeting, Greeting::Refuse(Status::UnknownPeer)));
}
