//! A hub that has no room for all that its nodes tell.

use std::collections::BTreeMap;

use haproxy_peers::{Control, DynamicUsage};

use crate::hub::{join, setup, updates};
use crate::support::{Script, World, counters};

/// What a hub does every 100 ms.
fn refresh(world: &World, node: usize) {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    node.tables.aggregates().iter().for_each(|aggregate| _ = aggregate.refresh(now, 1_000));
}

/// Time passes, and nodes give signs of life.
fn pass(world: &mut World, node: usize, peers: &mut [&mut Script], seconds: u64) {
    for _ in 0..seconds {
        peers.iter_mut().for_each(|peer| peer.control(world, Control::Heartbeat));
        world.run(1_000);
        refresh(world, node);
        world.run(10);
    }
}

/// The sums that a peer was told, each key's last.
fn sums(world: &mut World, peer: &mut Script, told: &mut BTreeMap<u32, u32>) {
    for line in updates(world, peer) {
        let mut words = line.split(' ').skip(2).map_while(|word| word.parse().ok());
        if let (Some(key), Some(sum)) = (words.next(), words.next()) {
            told.insert(key, sum);
        }
    }
}

fn is_whole(world: &World, node: usize) -> bool {
    world.nodes[node].tables.aggregates().iter().all(|aggregate| aggregate.is_whole())
}

#[test]
fn sums_of_a_full_hub_are_right_or_not_there_and_come_when_there_is_room() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a", "b"]));
    let [mut a, mut b] = ["a", "b"].map(|name| join(&mut world, node, name));
    let mut told = BTreeMap::new();
    // There is room for 100 keys, of which all end in 5 s.
    for (peer, value) in [(&mut a, 10), (&mut b, 1)] {
        (1..=150).for_each(|key| {
            peer.update(&mut world, Some(key), (key <= 100).then_some(5_000), key, value);
        });
    }
    world.run(500);
    sums(&mut world, &mut a, &mut told);
    assert_eq!(told, (1..=100).map(|key| (key, 11)).collect(), "of the others nothing is told");
    let left_out = world.nodes[node].tables.aggregates()[0].left_out();
    assert_eq!(left_out.iter().map(|left| left.refused).collect::<Vec<_>>(), [50, 50]);
    assert!(!is_whole(&world, node));
    // What is left when they have ended has room, and is asked for: nobody tells it again by itself.
    b.heard(&mut world);
    pass(&mut world, node, &mut [&mut a, &mut b], 7);
    assert!(a.news(&mut world).contains(&"request".to_owned()));
    assert!(b.news(&mut world).contains(&"request".to_owned()), "both at once");
    told.clear();
    for (peer, value) in [(&mut a, 12), (&mut b, 1)] {
        assert!(!is_whole(&world, node));
        peer.define(&mut world, 1, &counters("t"));
        (101..=150).for_each(|key| peer.update(&mut world, Some(key + 100), Some(40_000), key, value));
        world.run(10);
        peer.control(&mut world, Control::ResyncFinished);
        world.run(10);
    }
    assert!(is_whole(&world, node));
    pass(&mut world, node, &mut [&mut a, &mut b], 1);
    sums(&mut world, &mut a, &mut told);
    assert_eq!(told, (101..=150).map(|key| (key, 13)).collect());
}

/// Nodes that are not configured count as the others do: what they tell is there, whoever they are.
#[test]
fn the_memory_of_a_hub_is_what_its_nodes_told() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]).dynamic_peers(40));
    let usage = |world: &World| world.nodes[node].tables.dynamic_usage();
    let mut a = join(&mut world, node, "a");
    assert_eq!(usage(&world), DynamicUsage { tables: 2, ..usage(&world) });
    let empty = usage(&world).bytes;
    assert!(empty < 10_000, "{empty} bytes for nothing");
    let tell = |world: &mut World, peer: &mut Script| {
        (1..=80).for_each(|key| peer.update(world, Some(key), None, key, 3));
        world.run(10);
    };
    tell(&mut world, &mut a);
    let of_one = usage(&world).bytes;
    // Of each contribution 8 bytes and its data, and the key and its result once.
    assert!((80 * 40..80 * 200 + 10_000).contains(&of_one), "{of_one} bytes for 80 keys");
    for number in 0..30 {
        let mut peer = join(&mut world, node, &format!("d{number}"));
        tell(&mut world, &mut peer);
    }
    let of_all = usage(&world).bytes;
    assert!(of_all >= of_one + 30 * 80 * 12, "{of_all} bytes for 31 nodes, {of_one} for one");
    let sums = world.nodes[node].tables.aggregates()[0].usage();
    assert!(of_all.abs_diff(sums.bytes + sums.result_bytes) < 1_000, "{of_all} {sums:?}");
}
