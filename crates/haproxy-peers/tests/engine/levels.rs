//! Hubs above hubs, and cycles of them.

use haproxy_peers::{EndReason, Hub, LevelsError, Mapping, SessionError};

use crate::hub::{join, updates};
use crate::support::{Setup, World, counters};

/// A hub of one level: what ends with `from` is summed into `to`.
fn level(name: &str, from: &str, to: &str) -> Setup {
    let mappings = vec![Mapping { from: Some(from.to_owned()), to: to.to_owned() }];
    Setup::new(name).hub(Hub { mappings, node_timeout: 30_000, ..Hub::default() })
}

fn refusals(world: &World, node: usize) -> Vec<LevelsError> {
    let of = |end: &EndReason| match end {
        EndReason::Error(SessionError::Levels(error)) => Some(*error),
        _ => None,
    };
    world.nodes[node].ended.iter().filter_map(of).collect()
}

#[test]
fn two_levels_sum_all_nodes_and_nobody_is_refused() {
    let mut world = World::new(1);
    let top = world.add(level("top", ".x", ".y").lower_hub("low1").lower_hub("low2"));
    let low1 = world.add(level("low1", ".l", ".x").peer_above("top").peer("a"));
    let low2 = world.add(level("low2", ".l", ".x").peer_above("top").peer("b"));
    let mut a = join(&mut world, low1, "a");
    let mut b = join(&mut world, low2, "b");
    world.run(6_000);
    for (peer, count) in [(&mut a, 3), (&mut b, 4)] {
        peer.define(&mut world, 1, &counters("t.l"));
        peer.update(&mut world, Some(1), None, 1, count);
    }
    world.run(500);
    for peer in [&mut a, &mut b] {
        let lines = updates(&mut world, peer);
        let last = lines.iter().rfind(|line| line.starts_with("t.y")).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(last.contains(" 1 7"), "{lines:?}");
    }
    assert_eq!([top, low1, low2].map(|node| refusals(&world, node).len()), [0; 3]);
}

#[test]
fn two_hubs_that_sum_each_other_refuse_each_other_before_anything_is_counted() {
    let mut world = World::new(1);
    let one = world.add(level("one", ".x", ".y").lower_hub("two").peer("a"));
    let two = world.add(level("two", ".y", ".x").lower_hub("one"));
    let mut a = join(&mut world, one, "a");
    a.define(&mut world, 1, &counters("t.x"));
    for _ in 0..40 {
        a.update(&mut world, Some(1), None, 1, 3);
        world.run(500);
    }
    let found = [one, two].map(|node| refusals(&world, node));
    assert!(found.iter().flatten().count() > 0, "{found:?}");
    assert!(found.iter().flatten().all(|error| *error == LevelsError::BothBelow), "{found:?}");
    // Seldom, as it helps nothing to try.
    assert!(found.iter().flatten().count() < 12, "{found:?}");
    assert!(world.nodes[two].tables.aggregates().is_empty(), "it was told nothing");
    let lines = updates(&mut world, &mut a);
    assert!(
        lines.iter().filter(|line| line.starts_with("t.y")).all(|line| line.contains(" 1 3")),
        "{lines:?}"
    );
}

#[test]
fn a_cycle_of_three_is_broken_where_it_closes() {
    let mut world = World::new(1);
    let one = world.add(level("one", ".a", ".b").lower_hub("three").peer_above("two").peer("n"));
    let two = world.add(level("two", ".b", ".c").lower_hub("one").peer_above("three"));
    let three = world.add(level("three", ".c", ".a").lower_hub("two").peer_above("one"));
    let mut node = join(&mut world, one, "n");
    node.define(&mut world, 1, &counters("t.a"));
    for count in 1..=60_u8 {
        node.update(&mut world, Some(count.into()), None, 1, count);
        world.run(500);
    }
    let found: Vec<_> = [one, two, three].iter().flat_map(|&node| refusals(&world, node)).collect();
    assert!(!found.is_empty() && found.iter().all(|error| *error == LevelsError::Cycle), "{found:?}");
    // Nothing goes round: what the node counts is all there is.
    let lines = updates(&mut world, &mut node);
    let last = lines.iter().rfind(|line| line.starts_with("t.b")).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(last.contains(" 1 60"), "{last}");
}
