//! Acknowledgements and where a later session goes on (peers-protocol §11.1, §12.3).

use haproxy_peers::{Control, Decoder, Message, UpdateIds};

use crate::support::{Script, Setup, World, counters, gpc0, learn, set};

fn connected() -> (World, usize, Script) {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.heard(&mut world);
    (world, node, peer)
}

fn reconnect(world: &mut World, node: usize, mut peer: Script) -> Vec<String> {
    peer.close(world);
    world.run(2);
    Script::call(world, node, "h", "2.1").news(world)
}

#[test]
fn a_new_session_pushes_what_was_not_acknowledged_and_asks_for_no_lesson() {
    let (mut world, node, mut peer) = connected();
    for number in 1..=3 {
        set(&world, node, number, number);
        world.run(2);
    }
    assert_eq!(peer.news(&mut world), ["t 1 1 1 srv1", "t 2 2 2 srv2", "t 3 3 3 srv3"]);
    peer.ack(&mut world, 1, 2);
    set(&world, node, 4, 4);
    learn(&world, node, 5, 5, 1_000);
    assert_eq!(reconnect(&mut world, node, peer), ["t 1 3 3 srv3", "t 2 4 4 srv4"]);
    assert_eq!(world.sessions(node).next().unwrap().view().tables[0].last_acked, 0);
}

/// peers-protocol §18.1: HAProxy 3.3 to 3.5 swap the bytes of some.
#[test]
fn acknowledgements_of_what_was_not_sent_are_ignored() {
    for nonsense in [0x0100_0000, 0x0200_0000, 3, 0, u32::MAX, 0x8000_0000] {
        let (mut world, node, mut peer) = connected();
        set(&world, node, 1, 1);
        world.run(2);
        set(&world, node, 2, 2);
        world.run(2);
        peer.ack(&mut world, 1, nonsense);
        peer.ack(&mut world, 9, 1);
        peer.ack(&mut world, 0, 1);
        assert!(!peer.is_closed(&world));
        assert_eq!(reconnect(&mut world, node, peer), ["t 1 1 1 srv1", "t 2 2 2 srv2"], "{nonsense:#x}");
    }
}

/// peers-protocol §18.1: HAProxy 3.3 to 3.5-dev acknowledge wrong ids after updates whose id is implied.
#[test]
fn every_update_is_sent_with_its_id() {
    let (mut world, node, mut peer) = connected();
    for number in 1..=5 {
        set(&world, node, number, number);
    }
    world.run(2);
    let (bytes, mut decoder) = (peer.take(&mut world), Decoder::new());
    let (mut rest, mut updates) = (&bytes[..], 0);
    while let Some((message, size)) = decoder.decode(rest).unwrap() {
        if let Message::Update(update) = message {
            assert!(update.update.header.id.is_some());
            updates += 1;
        }
        rest = &rest[size..];
    }
    assert_eq!(updates, 5);
}

/// An older acknowledgement does not move the position back.
#[test]
fn acknowledgements_only_move_forward() {
    let (mut world, node, mut peer) = connected();
    for number in 1..=2 {
        set(&world, node, number, number);
        world.run(2);
    }
    peer.ack(&mut world, 1, 2);
    peer.ack(&mut world, 1, 1);
    assert_eq!(reconnect(&mut world, node, peer), [""; 0]);
}

/// More batches wait than are told apart.
#[test]
fn a_long_backlog_of_unacknowledged_batches_loses_nothing() {
    let (mut world, node, mut peer) = connected();
    for number in 1..=200 {
        set(&world, node, number, 1);
        world.run(1);
    }
    world.run(2);
    peer.ack(&mut world, 1, 150);
    let pushed = reconnect(&mut world, node, peer);
    assert!((50..=140).contains(&pushed.len()), "{}", pushed.len());
    for number in 151..=200 {
        assert!(pushed.iter().any(|line| line.contains(&format!(" {number} 1 "))), "{number}");
    }
}

/// peers-protocol §11.1: one for all since the last, of the last received; none for the first id 0.
#[test]
fn updates_are_acknowledged_together_under_the_sender_s_table_id() {
    let (mut world, _, mut peer) = connected();
    let mut bytes = crate::support::update(Some(0), None, 1, 1);
    peer.define(&mut world, 77, &counters("t"));
    peer.say(&mut world, &bytes);
    assert_eq!(peer.heard(&mut world), [""; 0]);
    world.split = false;
    bytes = [Some(5), None, None, Some(3)].map(|id| crate::support::update(id, None, 1, 1)).concat();
    peer.say(&mut world, &bytes);
    assert_eq!(peer.heard(&mut world), ["ack 77 3"], "the last, not the highest");
}

/// peers-protocol §8.1: ids wrap.
#[test]
fn incremental_ids_wrap_at_2_to_the_32() {
    let (mut world, node, mut peer) = connected();
    world.split = false;
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(u32::MAX), None, 1, 1);
    assert_eq!(peer.heard(&mut world), [format!("ack 1 {}", u32::MAX)]);
    peer.update(&mut world, None, None, 2, 2);
    peer.update(&mut world, None, None, 3, 3);
    assert_eq!(peer.heard(&mut world), ["ack 1 0", "ack 1 1"]);
    assert_eq!(gpc0(&world, node, 3).unwrap().0, 3);
}

/// peers-protocol §11.1: nothing of a lesson is acknowledged, so its updates come again as live ones.
#[test]
fn a_lesson_is_not_acknowledged() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), Some(500), 1, 1);
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(peer.heard(&mut world), ["request", "confirm"]);
    peer.update(&mut world, Some(1), None, 1, 1);
    assert_eq!(peer.heard(&mut world), ["ack 1 1"]);
}

/// peers-protocol §11.1: HAProxy pushes at once when it is connected, and does not count what is acknowledged while it
/// teaches. If its repetition after the lesson were taken as acknowledged already, each later session would begin with
/// all of it, untimed.
#[test]
fn what_came_before_a_lesson_is_acknowledged_again_after_it() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), None, 1, 1);
    assert_eq!(peer.heard(&mut world), ["request", "ack 1 1"]);
    peer.update(&mut world, Some(1), Some(500), 1, 1);
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(peer.heard(&mut world), ["confirm"]);
    peer.update(&mut world, Some(1), None, 1, 1);
    assert_eq!(peer.heard(&mut world), ["ack 1 1"]);
    peer.update(&mut world, None, None, 2, 1);
    assert_eq!(peer.heard(&mut world), ["ack 1 2"]);
}

/// Node to node: nothing is lost across many cuts, and nothing comes twice once it was acknowledged.
#[test]
fn nothing_is_lost_when_connections_break() {
    let mut world = World::new(6);
    world.add(Setup::new("a").peer("b").table(counters("t")));
    world.run(20);
    world.add(Setup::new("b").peer("a").table(counters("t")));
    world.delay = 3;
    for round in 0..30 {
        for number in 0..20 {
            set(&world, 0, round * 20 + number, round + 1);
            world.run(u64::from(number % 5));
        }
        world.cut();
        world.run(200);
    }
    assert!(world.run_until(20_000, |world| {
        (0..600).all(|number| gpc0(world, 1, number).is_some_and(|(value, _)| value == number / 20 + 1))
    }));
    let pushed = world.sessions(0).next().unwrap().sent().live_updates;
    world.run(10);
    world.cut();
    world.run(6_000);
    assert_eq!(world.sessions(0).next().unwrap().sent().live_updates, 0, "after {pushed}, all acknowledged");
}

/// peers-protocol §8.1: ids wrap, also those that are acknowledged.
#[test]
fn sent_ids_wrap_at_2_to_the_32() {
    let mut world = World::new(1);
    let ids = UpdateIds { after: u32::MAX - 2, stride: 1 };
    let setup = Setup::new("n").peer("h").table(counters("t")).update_ids(ids);
    let node = world.add(setup);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.heard(&mut world);
    for number in 1..=4 {
        set(&world, node, number, 7);
        world.run(2);
    }
    let ids = [u32::MAX - 1, u32::MAX, 0, 1];
    let expected: Vec<_> = (1..=4).zip(ids).map(|(number, id)| format!("t {id} {number} 7 srv7")).collect();
    assert_eq!(peer.news(&mut world), expected);
    peer.ack(&mut world, 1, 0);
    assert_eq!(world.sessions(node).next().unwrap().view().tables[0].last_acked, 0);
    // Each session counts anew.
    assert_eq!(reconnect(&mut world, node, peer), [format!("t {} 4 7 srv7", u32::MAX - 1)]);
}

/// A peer that takes everything and acknowledges nothing.
#[test]
fn what_waits_for_an_acknowledgement_is_bounded() {
    let (mut world, node, mut peer) = connected();
    let held = |world: &World| {
        let session = world.sessions(node).next().unwrap();
        assert_eq!(session.memory(), session.memory_within_bounds());
        session.memory()
    };
    assert_eq!(held(&world), 0);
    let mut after = Vec::new();
    for number in 1..=300 {
        set(&world, node, number, 1);
        world.run(2);
        after.push(held(&world));
    }
    assert!(after[0] > 0 && after[10] > after[0]);
    assert_eq!(after[299], after[99], "more are merged");
    assert_eq!(after.iter().max(), after.last());
    peer.ack(&mut world, 1, 300);
    assert!(held(&world) <= after[299]);
}
