//! Hubs of the same nodes: what one of them taught a node, the other knows.

use haproxy_peers::{Control, EndReason, LevelsError, PeerLevel, SessionError, SessionEvent};

use crate::hub::{hub, join, setup, updates};
use crate::support::{Script, Setup, World, counters};

/// Two hubs of node `a`.
fn hubs(world: &mut World) -> [usize; 2] {
    let setup = |name: &str, other: &str| Setup::new(name).hub(hub()).peer("a").hub_beside(other);
    [("h", "g"), ("g", "h")].map(|(name, other)| world.add(setup(name, other)))
}

/// What a hub publishes of key 1.
fn sum(world: &World, node: usize) -> Option<u64> {
    let aggregate = &world.nodes[node].tables.aggregates()[0];
    let now = world.nodes[node].clock(world.now);
    aggregate.refresh(now, 1_000);
    let value =
        aggregate.output().get(&[0, 0, 0, 1], now, |entry| entry.value(stick_table::DataType::Gpc0, 0));
    match value.unwrap().flatten() {
        Some(stick_table::Value::Unsigned(value)) => Some(value.into()),
        _ => None,
    }
}

/// A node that told one hub 42 and the other 38 begins again, tells both 30, and is taught by the first.
fn taught_by_one(world: &mut World, hubs: [usize; 2]) -> [Script; 2] {
    let mut before = hubs.map(|hub| join(world, hub, "a"));
    world.run(6_000);
    before[0].update(world, Some(1), None, 1, 42);
    before[1].update(world, Some(1), None, 1, 38);
    world.run(10);
    assert_eq!(hubs.map(|hub| sum(world, hub)), [Some(42), Some(38)]);
    before.iter_mut().for_each(|peer| peer.close(world));
    world.run(500);
    let mut peers = hubs.map(|hub| join(world, hub, "a"));
    peers.iter_mut().for_each(|peer| peer.update(world, Some(1), None, 1, 30));
    world.run(10);
    assert_eq!(hubs.map(|hub| sum(world, hub)), [Some(72), Some(68)]);
    peers[0].control(world, Control::ResyncRequest);
    peers[0].control(world, Control::ResyncFinished);
    world.run(10);
    assert!(peers[0].heard(world).iter().any(|line| line.starts_with("t 1 1 72")));
    peers
}

#[test]
fn a_node_that_one_hub_taught_counts_once_at_the_other() {
    let mut world = World::new(1);
    let hubs = hubs(&mut world);
    let mut peers = taught_by_one(&mut world, hubs);
    // It tells the other hub before that hears of the lesson: 72 is no leap from less than half.
    peers[1].update(&mut world, Some(2), None, 1, 72);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(110));
    peers[0].control(&mut world, Control::ResyncConfirm);
    world.run(100);
    assert_eq!(hubs.map(|hub| sum(&world, hub)), [Some(72), Some(72)]);
    peers.iter_mut().for_each(|peer| peer.update(&mut world, Some(3), None, 1, 75));
    world.run(10);
    assert_eq!(hubs.map(|hub| sum(&world, hub)), [Some(75), Some(75)]);
}

#[test]
fn what_crossed_a_lesson_is_no_sign_of_it_at_the_other_hub() {
    let mut world = World::new(1);
    let hubs = hubs(&mut world);
    let mut peers = taught_by_one(&mut world, hubs);
    peers[0].control(&mut world, Control::ResyncConfirm);
    world.run(100);
    let count = |event: &SessionEvent| matches!(event, SessionEvent::TaughtElsewhere(_));
    assert_eq!(hubs.map(|hub| world.nodes[hub].count(count)), [0, 1]);
    // On its way since before the lesson.
    peers[1].update(&mut world, Some(2), None, 1, 31);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(69));
    peers[1].update(&mut world, Some(3), None, 1, 73);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(73));
}

#[test]
fn a_session_that_begins_after_the_lesson_is_meant_as_well() {
    let mut world = World::new(1);
    let hubs = hubs(&mut world);
    let mut before = hubs.map(|hub| join(&mut world, hub, "a"));
    world.run(6_000);
    before.iter_mut().for_each(|peer| peer.update(&mut world, Some(1), None, 1, 42));
    world.run(10);
    before[0].close(&mut world);
    world.run(500);
    let mut again = join(&mut world, hubs[0], "a");
    again.update(&mut world, Some(1), None, 1, 30);
    again.control(&mut world, Control::ResyncRequest);
    again.control(&mut world, Control::ResyncFinished);
    world.run(10);
    again.control(&mut world, Control::ResyncConfirm);
    world.run(100);
    // The second hub has not noticed yet that the former process is gone.
    before[1].close(&mut world);
    let mut other = join(&mut world, hubs[1], "a");
    other.update(&mut world, Some(1), None, 1, 31);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(73), "told before the lesson");
    other.update(&mut world, Some(2), None, 1, 72);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(72));
    // The next process is in doubt again.
    other.close(&mut world);
    let mut next = join(&mut world, hubs[1], "a");
    next.update(&mut world, Some(1), None, 1, 5);
    world.run(10);
    assert_eq!(sum(&world, hubs[1]), Some(77));
}

#[test]
fn a_hub_that_does_not_know_all_of_a_node_says_nothing_of_its_lessons() {
    let mut world = World::new(1);
    let hubs = hubs(&mut world);
    let mut second = join(&mut world, hubs[1], "a");
    world.run(6_000);
    second.update(&mut world, Some(1), None, 1, 42);
    world.run(10);
    second.close(&mut world);
    let mut second = join(&mut world, hubs[1], "a");
    // The first hub never had a session with the node before.
    let mut first = join(&mut world, hubs[0], "a");
    first.control(&mut world, Control::ResyncRequest);
    world.run(10);
    first.control(&mut world, Control::ResyncConfirm);
    second.update(&mut world, Some(1), None, 1, 1);
    world.run(100);
    assert_eq!(sum(&world, hubs[1]), Some(43), "no limit begins again");
}

#[test]
fn no_value_crosses_between_hubs_side_by_side() {
    let mut world = World::new(1);
    let node = world.add(setup(&["a"]).hub_beside("g"));
    let mut a = join(&mut world, node, "a");
    let mut g = Script::call(&mut world, node, "g", "2.1");
    world.run(6_000);
    a.update(&mut world, Some(1), None, 1, 7);
    g.define(&mut world, 1, &counters("t"));
    g.update(&mut world, Some(1), None, 1, 100);
    g.define(&mut world, 2, &counters("t.agg"));
    g.update(&mut world, Some(1), None, 1, 100);
    g.define(&mut world, 3, &counters("u"));
    g.update(&mut world, Some(1), None, 1, 100);
    g.control(&mut world, Control::ResyncRequest);
    world.run(100);
    assert_eq!(sum(&world, node), Some(7));
    assert_eq!(updates(&mut world, &mut g), [""; 0]);
    assert!(world.nodes[node].tables.by_network_name(b"u").is_none());
    let state = world.nodes[node].section.hub_state(true);
    assert_eq!((state.nodes, state.expected, state.left_out.len()), (1, 1, 0), "{state:?}");
}

#[test]
fn both_hubs_have_to_say_that_they_are_side_by_side() {
    for other in [PeerLevel::Below, PeerLevel::Lower, PeerLevel::Above] {
        let mut world = World::new(1);
        let one = world.add(Setup::new("h").hub(hub()).peer("a").hub_beside("g"));
        let setup = Setup::new("g").hub(hub());
        let two = world.add(match other {
            PeerLevel::Below => setup.peer("h"),
            PeerLevel::Lower => setup.lower_hub("h"),
            _ => setup.peer_above("h"),
        });
        world.run(20_000);
        let is_it = |end: &EndReason| *end == EndReason::Error(SessionError::Levels(LevelsError::BesideOne));
        let ends = [one, two].map(|node| world.nodes[node].ended.iter().filter(|end| is_it(end)).count());
        assert!(ends.iter().sum::<usize>() > 0, "{other:?}: {ends:?}");
    }
}
