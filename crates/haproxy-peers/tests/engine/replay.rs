//! What HAProxy 2.4 and later push once more after a lesson (peers-protocol §13.2).

use haproxy_peers::Control;

use crate::support::{Script, Setup, World, counters, gpc0};

/// A node that got a lesson of two entries, ids 1 and 2, which have 8 s left.
fn taught() -> (World, usize, Script) {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").peer("i").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), Some(8_000), 1, 5);
    peer.update(&mut world, None, Some(8_000), 2, 6);
    peer.control(&mut world, Control::ResyncFinished);
    (world, node, peer)
}

fn left(world: &World, node: usize, number: u32) -> u32 {
    gpc0(world, node, number).unwrap().1
}

#[test]
fn a_replay_after_the_confirmation_does_not_restart_lifetimes() {
    let (mut world, node, mut peer) = taught();
    world.run(1_000);
    peer.update(&mut world, Some(1), None, 1, 5);
    peer.update(&mut world, None, None, 2, 7);
    assert!(left(&world, node, 1) < 7_000 && left(&world, node, 2) < 7_000);
    assert_eq!(gpc0(&world, node, 2).unwrap().0, 7, "its values are taken");
}

#[test]
fn a_newer_update_after_the_replay_restarts_the_lifetime() {
    let (mut world, node, mut peer) = taught();
    peer.update(&mut world, Some(1), None, 1, 5);
    peer.update(&mut world, None, None, 2, 6);
    peer.update(&mut world, None, None, 1, 8);
    assert!(left(&world, node, 1) > 59_900 && left(&world, node, 2) < 8_000);
    peer.update(&mut world, None, None, 3, 9);
    assert_eq!(gpc0(&world, node, 3).unwrap().0, 9);
}

/// What is over here is not brought back by a repetition.
#[test]
fn a_replay_creates_nothing() {
    let (mut world, node, mut peer) = taught();
    world.run(8_000);
    peer.update(&mut world, Some(1), None, 1, 5);
    assert_eq!(gpc0(&world, node, 1), None);
}

/// Without a lesson in this session there is nothing to repeat.
#[test]
fn a_session_without_a_lesson_takes_every_update_as_new() {
    let (mut world, node, mut peer) = taught();
    peer.close(&mut world);
    world.run(1_000);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), None, 1, 5);
    assert!(left(&world, node, 1) > 59_900);
}

/// peers-protocol §12.2: what the teacher learned itself has ids half a ring away. Those do not make the ids between
/// them a repetition.
#[test]
fn learned_entries_in_a_lesson_do_not_make_later_changes_a_replay() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    // 10 was acknowledged in an earlier session; 11 was not; the rest was learned, or acknowledged before.
    for (id, number) in [(11, 1), (0x8000_0003, 2), (0x8000_0009, 3), (0x8000_000c, 4), (7, 5), (10, 6)] {
        peer.update(&mut world, Some(id), Some(8_000), number, 1);
    }
    peer.control(&mut world, Control::ResyncFinished);
    peer.update(&mut world, Some(11), None, 1, 2);
    assert!(left(&world, node, 1) < 8_000, "repeated");
    peer.update(&mut world, Some(13), None, 7, 9);
    peer.update(&mut world, Some(14), None, 2, 9);
    assert_eq!(gpc0(&world, node, 7).expect("a new entry is not taken").0, 9);
    assert!(left(&world, node, 2) > 59_900);
}

/// A teacher repeats what it changed itself and nobody acknowledged: that is newer than what another's lesson told, but
/// perhaps not than what another pushed live.
#[test]
fn a_replay_overwrites_what_another_peer_taught_but_not_what_it_pushed_live() {
    let (mut world, node, mut first) = taught();
    let mut second = Script::call(&mut world, node, "i", "2.1");
    assert_eq!(second.heard(&mut world), ["request"]);
    second.define(&mut world, 1, &counters("t"));
    second.update(&mut world, Some(1), Some(3_000), 1, 7);
    second.update(&mut world, Some(2), Some(3_000), 2, 7);
    second.control(&mut world, Control::ResyncFinished);
    assert_eq!([1, 2].map(|number| gpc0(&world, node, number).unwrap().0), [5, 6]);
    first.update(&mut world, Some(3), None, 2, 8);
    second.update(&mut world, Some(1), None, 1, 7);
    second.update(&mut world, None, None, 2, 7);
    assert_eq!([1, 2].map(|number| gpc0(&world, node, number).unwrap().0), [7, 8]);
}

/// At 2.0 lessons tell no lifetimes, so there is none to keep: not that of an older value that another peer's lesson told
/// earlier.
#[test]
fn a_replay_at_2_0_has_a_lifetime_of_its_own() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").peer("i").table(counters("t")));
    let mut first = Script::call(&mut world, node, "h", "2.0");
    first.define(&mut world, 1, &counters("t"));
    first.update(&mut world, Some(1), None, 1, 5);
    first.control(&mut world, Control::ResyncFinished);
    world.run(4_000);
    let mut second = Script::call(&mut world, node, "i", "2.0");
    second.define(&mut world, 1, &counters("t"));
    second.update(&mut world, Some(1), None, 1, 6);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 5, "a lesson does not overwrite another's");
    second.control(&mut world, Control::ResyncFinished);
    second.update(&mut world, Some(1), None, 1, 6);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 6);
    assert!(left(&world, node, 1) > 59_900, "{}", left(&world, node, 1));
}
