//! Peers that come back as another process: the process id of their hello shows it, a request, or update ids that start over.

use haproxy_peers::Control;

use crate::support::{Script, Setup, World, counters, gpc0};

/// A new process does not push what it learned, and the one before it may not have pushed that to this side (peers-protocol §12.2).
#[test]
fn a_peer_that_comes_back_as_another_process_is_asked_again() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut first = Script::call_as(&mut world, node, "h", 7, "2.1");
    first.control(&mut world, Control::ResyncFinished);
    assert_eq!(first.news(&mut world), ["request", "confirm"]);
    first.close(&mut world);
    world.run(2);
    // The link broke, and the process is the same.
    let mut same = Script::call_as(&mut world, node, "h", 7, "2.1");
    stay(&mut world, &mut same);
    assert_eq!(same.news(&mut world), [""; 0]);
    same.close(&mut world);
    world.run(2);
    let mut next = Script::call_as(&mut world, node, "h", 8, "2.1");
    stay(&mut world, &mut next);
    assert_eq!(next.news(&mut world), ["request"]);
    next.define(&mut world, 1, &counters("t"));
    next.update(&mut world, Some(1), Some(30_000), 1, 5);
    next.control(&mut world, Control::ResyncPartial);
    assert_eq!(gpc0(&world, node, 1).map(|(value, _)| value), Some(5));
    // It was still learning itself: once more, as at the start of this side.
    stay(&mut world, &mut next);
    assert_eq!(next.news(&mut world), ["confirm", "request"]);
    next.control(&mut world, Control::ResyncPartial);
    stay(&mut world, &mut next);
    assert_eq!(next.news(&mut world), ["confirm"]);
    next.close(&mut world);
    world.run(2);
    // Lessons at 2.0 start lifetimes again, so it is asked later. A hello without a process id says nothing.
    for (pid, version, asked) in [(9, "2.0", 0), (9, "2.1", 1), (0, "2.1", 0), (9, "2.1", 0), (10, "2.1", 1)]
    {
        let mut other = Script::call_as(&mut world, node, "h", pid, version);
        stay(&mut world, &mut other);
        assert_eq!(other.news(&mut world), vec!["request"; asked], "{pid} {version}");
        other.control(&mut world, Control::ResyncFinished);
        other.close(&mut world);
        world.run(2);
    }
}

/// The answer to this side's hello names no process, so the first hello of the peer may be another one's.
#[test]
fn a_peer_that_was_called_first_is_asked_again_when_it_calls() {
    let mut world = World::new(1);
    world.scripted.push("h");
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut called = Script::answer(&mut world, 6_000, "200");
    called.control(&mut world, Control::ResyncFinished);
    assert_eq!(called.news(&mut world), ["request", "confirm"]);
    called.close(&mut world);
    world.run(2);
    for asked in [1, 0] {
        let mut calls = Script::call_as(&mut world, node, "h", 8, "2.1");
        stay(&mut world, &mut calls);
        assert_eq!(calls.news(&mut world), vec!["request"; asked]);
        calls.control(&mut world, Control::ResyncFinished);
        calls.close(&mut world);
        world.run(2);
    }
}

/// Lets a peer say that it is alive for longer than any pause between two requests.
fn stay(world: &mut World, peer: &mut Script) {
    for _ in 0..8 {
        world.run(1_000);
        peer.control(world, Control::Heartbeat);
    }
}

/// A process in a container has the process id 1, as the one before it.
#[test]
fn a_request_or_ids_that_start_over_show_another_process_of_the_same_id() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut first = Script::call(&mut world, node, "h", "2.1");
    first.control(&mut world, Control::ResyncFinished);
    stay(&mut world, &mut first);
    first.news(&mut world);
    first.define(&mut world, 1, &counters("t"));
    first.update(&mut world, Some(500), None, 1, 1);
    first.close(&mut world);
    world.run(2);
    for (id, asked) in
        [(501, 0), (502, 0), (1, 1), (2, 0), (2_000_000_000, 0), (4_000_000_000, 0), (5, 0), (4, 1)]
    {
        let mut next = Script::call(&mut world, node, "h", "2.1");
        next.define(&mut world, 1, &counters("t"));
        next.update(&mut world, Some(id), None, 1, 1);
        stay(&mut world, &mut next);
        let asks = next.news(&mut world).iter().filter(|it| *it == "request").count();
        assert_eq!(asks, asked, "{id}");
        next.control(&mut world, Control::ResyncFinished);
        next.close(&mut world);
        world.run(2);
    }
    let mut asks = Script::call(&mut world, node, "h", "2.1");
    asks.control(&mut world, Control::ResyncRequest);
    stay(&mut world, &mut asks);
    assert!(
        !asks.news(&mut world).contains(&"request".to_owned()),
        "it pushes nothing before its lesson ends"
    );
    asks.control(&mut world, Control::ResyncConfirm);
    stay(&mut world, &mut asks);
    assert_eq!(asks.news(&mut world), ["request"]);
}

/// The new process may have been taught by a peer that missed the last touch, and no lifetime tells touches apart that are close.
/// What it changed itself is newer than all that the process before it told.
#[test]
fn a_new_process_does_not_set_back_what_the_one_before_told() {
    // Eight seconds after the touch that the first process told.
    for (left, value) in [(51_900, 20), (50_900, 20), (1_000, 20), (58_000, 10)] {
        let mut world = World::new(1);
        let node = world.add(Setup::new("n").peer("h").table(counters("t")));
        let mut first = Script::call_as(&mut world, node, "h", 7, "2.1");
        first.control(&mut world, Control::ResyncFinished);
        stay(&mut world, &mut first);
        first.define(&mut world, 1, &counters("t"));
        first.update(&mut world, Some(1), None, 1, 20);
        first.close(&mut world);
        world.run(10);
        let mut next = Script::call_as(&mut world, node, "h", 8, "2.1");
        stay(&mut world, &mut next);
        assert!(next.news(&mut world).contains(&"request".to_owned()));
        next.define(&mut world, 1, &counters("t"));
        next.update(&mut world, Some(1), Some(left), 1, 10);
        assert_eq!(gpc0(&world, node, 1).map(|(value, _)| value), Some(value), "{left} ms left");
    }
}

/// What the peer says later in one session is newer, also of what waited for the session and was pushed as if it were new.
#[test]
fn a_new_process_sets_the_lifetimes_of_what_it_pushed_itself() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut first = Script::call_as(&mut world, node, "h", 7, "2.1");
    first.control(&mut world, Control::ResyncFinished);
    first.close(&mut world);
    world.run(7_000);
    let mut next = Script::call_as(&mut world, node, "h", 8, "2.1");
    next.define(&mut world, 1, &counters("t"));
    next.update(&mut world, Some(1), None, 1, 20);
    stay(&mut world, &mut next);
    next.update(&mut world, Some(2), Some(51_000), 1, 20);
    let (value, left) = gpc0(&world, node, 1).unwrap();
    assert!(value == 20 && left <= 51_000, "{left}");
}
