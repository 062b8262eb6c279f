//! Peers that speak the protocol to do harm: what they can make a node hold is bounded.

use haproxy_peers::SessionEvent;

use crate::support::{Script, Setup, World, counters};

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
