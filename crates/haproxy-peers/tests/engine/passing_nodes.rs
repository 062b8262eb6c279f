//! The nodes of a hub that have no line: how long what they told counts.

use haproxy_peers::{Control, Hub};

use crate::hub::{hub, join, setup, updates};
use crate::support::{FORGET_MS, Script, Setup, World, counters};

/// How many nodes told of key 1.
fn contributions(world: &World, node: usize) -> usize {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    let of = node.tables.aggregates();
    of.iter().map(|aggregate| aggregate.contributions(&1_u32.to_be_bytes(), now).unwrap().len()).sum()
}

/// What a hub does every 100 ms.
fn refresh(world: &World, node: usize) {
    let (node, now) = (&world.nodes[node], world.nodes[node].clock(world.now));
    node.tables.aggregates().iter().for_each(|aggregate| _ = aggregate.refresh(now, 1_000));
}

/// A hub with the nodes `a`, which is configured, and `b`, which a name service lists; both told of key 1.
fn with_discovered(node_timeout: u64) -> (World, usize, [Script; 2]) {
    let mut world = World::new(1);
    let hub = Hub { node_timeout, ..hub() };
    let node = world.add(Setup::new("h").hub(hub).peer("a").discovers());
    let now = world.nodes[node].clock(world.now);
    assert!(world.nodes[node].section.discover(now, "b", 0));
    let [mut a, mut b] = ["a", "b"].map(|name| join(&mut world, node, name));
    // Entries that live longer than members are remembered.
    for peer in [&mut a, &mut b] {
        peer.define(&mut world, 1, &counters("u").with_expire(Some(20 * FORGET_MS as u32)));
        peer.heard(&mut world);
    }
    // What is published waits until all that may come had the time for it.
    world.run(4_000);
    [&mut a, &mut b].into_iter().for_each(|peer| peer.control(&mut world, Control::Heartbeat));
    world.run(2_000);
    a.update(&mut world, Some(1), None, 1, 20);
    b.update(&mut world, Some(1), None, 1, 30);
    world.run(10);
    assert_eq!(updates(&mut world, &mut a).last().unwrap(), "u.agg 2 1 50");
    (world, node, [a, b])
}

/// The node leaves for good; how long until it counts no more, and until it is forgotten.
fn leaves_for_good(node_timeout: u64) -> (u64, u64) {
    let (mut world, node, [mut a, mut b]) = with_discovered(node_timeout);
    let now = world.nodes[node].clock(world.now);
    world.nodes[node].section.withdraw(now, "b");
    world.run(1_000);
    assert_eq!(contributions(&world, node), 2, "not listed, and connected all the same");
    b.close(&mut world);
    let (left, mut counted) = (world.now, None);
    while world.nodes[node].forgotten.is_empty() {
        a.control(&mut world, Control::Heartbeat);
        world.run(1_000);
        if contributions(&world, node) == 1 {
            counted.get_or_insert(world.now - left);
        }
        assert!(world.now < left + 2 * FORGET_MS);
    }
    let forgotten = world.now - left;
    assert_eq!(world.nodes[node].forgotten, ["b"]);
    refresh(&world, node);
    world.run(1_000);
    let told = updates(&mut world, &mut a);
    assert!(told.last().unwrap().starts_with("u.agg 3 1 20"), "{told:?}");
    (counted.expect("it counts no more when it is forgotten") / 1_000, forgotten / 1_000)
}

#[test]
fn a_discovered_node_that_leaves_counts_until_its_time_is_over_or_it_is_forgotten() {
    let forgotten = FORGET_MS / 1_000;
    assert_eq!(leaves_for_good(10_000), (10, forgotten));
    assert_eq!(leaves_for_good(10 * FORGET_MS), (forgotten, forgotten));
}

/// A dynamic node that is away makes room for another: at the limit that is the end of what it told.
#[test]
fn a_node_that_makes_room_counts_no_more() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]).dynamic_peers(1));
    let mut b = join(&mut world, node, "b");
    b.update(&mut world, Some(1), None, 1, 30);
    world.run(10);
    b.close(&mut world);
    world.run(10);
    assert_eq!(contributions(&world, node), 1);
    join(&mut world, node, "c");
    assert_eq!(contributions(&world, node), 0);
}
