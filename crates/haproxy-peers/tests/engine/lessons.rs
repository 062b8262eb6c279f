//! Lessons: who asks whom, what is taught, and when a section is up to date (peers-protocol §13).

use haproxy_peers::{Control, Definition, Padding, ResyncState, SessionEvent};
use stick_table::{DataType, KeyType, Lifetime, Origin, Value};

use crate::support::{Script, Setup, World, counters, gpc0, key, learn, set, table, update, with_payload};

fn two_nodes(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add(Setup::new("a").peer("b").table(counters("t")));
    // Started at once both would connect at once, close both connections and pause.
    world.run(20);
    world.add(Setup::new("b").peer("a").table(counters("t")));
    world
}

/// peers-protocol §8.3, §13.2.
#[test]
fn both_nodes_teach_what_they_know_with_exact_remaining_lifetimes() {
    for seed in 0..20 {
        let mut world = two_nodes(seed);
        learn(&world, 0, 1, 10, 30_000);
        learn(&world, 1, 2, 20, 7_000);
        world.delay = 5;
        let start = world.now;
        world.run(1_000);
        for node in 0..2 {
            let elapsed = (world.now - start) as u32;
            // A connection may take several attempts, the bytes of the lesson take 5 ms.
            let (value, left) =
                gpc0(&world, node, 1).unwrap_or_else(|| panic!("seed {seed}: key 1 of {node}"));
            assert_eq!(value, 10);
            assert!((30_000 - elapsed..=30_005 - elapsed).contains(&left), "seed {seed}: {left}");
            let (_, left) = gpc0(&world, node, 2).unwrap();
            assert!((7_000 - elapsed..=7_005 - elapsed).contains(&left), "seed {seed}: {left}");
        }
        assert_eq!(gpc0(&world, 0, 1).unwrap().1, 29_000, "the teacher's own is untouched");
        world.run(6_010);
        assert_eq!((gpc0(&world, 0, 2), gpc0(&world, 1, 2)), (None, None), "seed {seed}");
        // Both ended their lessons as partial, and nobody else is there.
        assert!(world.nodes.iter().all(|node| node.section.is_up_to_date()));
    }
}

/// peers-protocol §8.3: clamped since 3.2-dev10.
#[test]
fn a_taught_lifetime_is_clamped_to_the_table_s_expire() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), Some(90_000), 1, 5);
    peer.update(&mut world, Some(2), Some(1_500), 2, 6);
    peer.update(&mut world, Some(3), Some(0x8000_0001), 3, 7);
    peer.update(&mut world, Some(4), Some(0), 4, 7);
    let left = |world: &World, number| gpc0(world, node, number).map(|(_, left)| left);
    assert!(left(&world, 1).unwrap() > 59_900);
    assert!(left(&world, 2).is_some_and(|left| (1_490..1_500).contains(&left)));
    assert_eq!((left(&world, 3), left(&world, 4)), (None, None), "negative and zero mean over");
}

/// peers-protocol §13.2: an entry near its end does not live longer for having been taught.
#[test]
fn an_entry_near_its_end_stays_near_its_end() {
    let mut world = two_nodes(3);
    set(&world, 0, 1, 10);
    world.nodes[0]
        .table(0)
        .update(&key(2), Origin::LOCAL, Lifetime::Exactly(1_200), world.now, |entry| {
            entry.set(DataType::Gpc0, 0, &Value::Unsigned(5))
        })
        .unwrap();
    assert!(world.run_until(3_000, |world| gpc0(world, 1, 2).is_some()));
    let (here, there) = (gpc0(&world, 0, 2).unwrap().1, gpc0(&world, 1, 2).unwrap().1);
    assert!(there <= here + 10, "{there} against {here}");
    world.run(1_300);
    assert_eq!(gpc0(&world, 1, 2), None);
}

/// peers-protocol §2.4: lessons at 2.0 have no lifetimes.
#[test]
fn a_lesson_to_a_2_0_peer_is_untimed_and_restarts_lifetimes() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 5, 9_000);
    let mut peer = Script::call(&mut world, node, "h", "2.0");
    assert_eq!(peer.heard(&mut world), ["request"]);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(
        peer.heard(&mut world),
        ["define 1 t", "t 1 1 5 srv5", "finished"].map(str::to_owned).map(
            // The section has not learned anything itself yet.
            |line| if line == "finished" { "partial".to_owned() } else { line }
        )
    );
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), None, 2, 6);
    assert!(gpc0(&world, node, 2).unwrap().1 > 59_900);
    assert!(gpc0(&world, node, 1).unwrap().1 < 9_000, "what others wrote is left alone");
}

/// peers-protocol §13.1: every end is confirmed, asked for or not.
#[test]
fn finished_and_partial_are_confirmed_each_time() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    assert_eq!(peer.heard(&mut world), ["request"]);
    peer.control(&mut world, Control::ResyncFinished);
    assert_eq!(peer.heard(&mut world), ["confirm"]);
    assert!(world.nodes[node].section.is_up_to_date());
    let both = [Control::ResyncPartial, Control::ResyncFinished].map(crate::support::control).concat();
    peer.say(&mut world, &both);
    assert_eq!(peer.heard(&mut world), ["confirm", "confirm"]);
    assert_eq!(world.nodes[node].count(|event| matches!(event, SessionEvent::LessonLearned { .. })), 1);
}

/// peers-protocol §13.1, §18.6.
#[test]
fn a_partial_lesson_is_asked_for_once_more_and_then_given_up() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncPartial);
    assert_eq!(peer.heard(&mut world), ["request", "confirm"]);
    assert!(!world.nodes[node].section.is_up_to_date());
    for _ in 0..5 {
        world.run(1_400);
        peer.control(&mut world, Control::Heartbeat);
    }
    assert_eq!(peer.news(&mut world), ["request"]);
    peer.control(&mut world, Control::ResyncPartial);
    for _ in 0..10 {
        world.run(1_400);
        peer.control(&mut world, Control::Heartbeat);
    }
    assert_eq!(peer.news(&mut world), ["confirm"]);
    assert!(world.nodes[node].section.is_up_to_date(), "nobody can do better");
    assert!(world.nodes[node].section.view(world.now).peers[1].not_up_to_date);
}

/// peers-protocol §13.1, and what this side does beyond: the other peers are asked once as well.
#[test]
fn the_first_complete_lesson_makes_the_section_up_to_date_and_the_others_are_asked_once() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h1").peer("h2").peer("h3").table(counters("t")));
    let mut first = Script::call(&mut world, node, "h1", "2.1");
    let mut second = Script::call(&mut world, node, "h2", "2.1");
    assert_eq!((first.heard(&mut world), second.heard(&mut world)), (vec!["request".to_owned()], vec![]));
    first.control(&mut world, Control::ResyncFinished);
    assert!(world.nodes[node].section.is_up_to_date());
    assert_eq!(second.heard(&mut world), ["request"]);
    let mut third = Script::call(&mut world, node, "h3", "2.1");
    assert_eq!(third.heard(&mut world), [""; 0], "one lesson at a time");
    second.close(&mut world);
    world.run(10);
    assert_eq!(third.heard(&mut world), ["request"]);
    third.control(&mut world, Control::ResyncFinished);
    let mut second = Script::call(&mut world, node, "h2", "2.1");
    assert_eq!(second.heard(&mut world), ["request"], "its lesson broke off");
    second.control(&mut world, Control::ResyncFinished);
    second.close(&mut world);
    first.close(&mut world);
    world.run(10);
    let mut again = Script::call(&mut world, node, "h1", "2.1");
    assert_eq!((again.news(&mut world), world.nodes[node].requests), (vec![], 4));
}

/// peers-protocol §13.1, §13.4.
#[test]
fn a_predecessor_is_waited_for_5_s_and_then_a_remote_peer_for_5_s() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    let start = world.now;
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    let flags = |world: &World| world.nodes[node].section.view(world.now).flags & 7;
    world.run(4_900);
    assert!(peer.news(&mut world).is_empty(), "the local phase");
    assert_eq!(flags(&world), 0);
    world.run(200);
    assert_eq!(peer.news(&mut world), ["request"]);
    assert_eq!(flags(&world), 1 | 4, "the remote phase, assigned");
    peer.close(&mut world);
    world.run(10);
    assert!(matches!(
        world.nodes[node].section.view(world.now).resync,
        ResyncState::FromRemote { until } if (start + 9_900..start + 10_300).contains(&until)
    ));
    world.run(4_800);
    assert!(!world.nodes[node].section.is_up_to_date());
    world.run(400);
    assert!(world.nodes[node].section.is_up_to_date());
}

/// peers-protocol §17: 3.0-dev9.
#[test]
fn a_section_without_remote_peers_is_up_to_date_at_once() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").table(counters("t")));
    assert!(world.nodes[node].section.is_up_to_date());
}

/// peers-protocol §13.4.
#[test]
fn a_predecessor_teaches_without_being_asked() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")).expects_predecessor());
    let mut remote = Script::call(&mut world, node, "h", "2.1");
    let mut old = Script::predecessor(&mut world, node).accepted(&mut world);
    assert!(old.heard(&mut world).is_empty(), "no request is sent");
    old.define(&mut world, 1, &counters("t"));
    old.update(&mut world, Some(1), Some(8_000), 1, 9);
    old.control(&mut world, Control::ResyncFinished);
    assert_eq!(old.heard(&mut world), ["confirm"], "and a lesson is not acknowledged");
    assert!(gpc0(&world, node, 1).is_some_and(|(value, left)| value == 9 && left < 8_000));
    assert!(world.nodes[node].section.is_up_to_date());
    assert!(remote.news(&mut world).is_empty(), "the predecessor knew what the others know");
    let mut other = Script::predecessor(&mut world, node);
    assert_eq!(other.take(&mut world), b"300\n", "peers-protocol §2.5");
}

/// peers-protocol §13.2: between the end of a lesson and its confirmation the teacher is silent.
#[test]
fn nothing_is_pushed_until_a_lesson_is_confirmed() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 1, 5_000);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(peer.news(&mut world), ["request", "confirm", "t 1 1 1 srv1 left=4995", "finished"]);
    set(&world, node, 2, 2);
    world.run(2_000);
    assert!(peer.news(&mut world).is_empty());
    peer.control(&mut world, Control::ResyncConfirm);
    assert_eq!(peer.news(&mut world), ["t 2 2 2 srv2 left=57999"]);
    assert_eq!(world.nodes[node].count(|event| *event == SessionEvent::LessonTaught), 1);
}

/// It says that it is alive, and acknowledges nothing: HAProxy from 3.3 on does not while it learns.
#[test]
fn a_peer_that_never_confirms_its_lesson_hears_of_changes_again() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(peer.news(&mut world).last().unwrap(), "finished");
    set(&world, node, 1, 1);
    let unconfirmed = |event: &SessionEvent| *event == SessionEvent::LessonUnconfirmed;
    for second in 1..=61 {
        peer.control(&mut world, Control::Heartbeat);
        world.run(990);
        let expected: &[&str] = if second <= 60 { &[] } else { &["t 1 1 1 srv1 left=29"] };
        let mut news = peer.news(&mut world);
        news.iter_mut().for_each(|line| line.truncate("t 1 1 1 srv1 left=29".len()));
        assert_eq!(news, expected, "after {second} s");
        assert_eq!(world.nodes[node].count(unconfirmed), usize::from(second > 60));
        if second == 30 {
            // An entry lives for a minute.
            set(&world, node, 1, 1);
        }
    }
    set(&world, node, 2, 2);
    world.run(10);
    assert_eq!(peer.news(&mut world), ["t 2 2 2 srv2"]);
    // A confirmation that comes all the same changes nothing.
    peer.control(&mut world, Control::ResyncConfirm);
    set(&world, node, 3, 3);
    world.run(10);
    assert_eq!(peer.news(&mut world), ["t 3 3 3 srv3"]);
    assert_eq!(world.nodes[node].count(|event| *event == SessionEvent::LessonTaught), 0);
}

/// A second request restarts the lesson (peers-protocol §13.2).
#[test]
fn a_lesson_can_be_asked_for_again() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    learn(&world, node, 1, 1, 5_000);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    for _ in 0..2 {
        peer.control(&mut world, Control::ResyncRequest);
        let news = peer.heard(&mut world).join("\n");
        assert!(news.contains("define 1 t\nt ") && news.ends_with("partial"), "{news}");
    }
    peer.control(&mut world, Control::ResyncConfirm);
    peer.control(&mut world, Control::ResyncConfirm);
    set(&world, node, 2, 2);
    world.run(10);
    assert_eq!(peer.news(&mut world).len(), 1);
}

/// The hand-over race: a lesson overwrites what another peer pushed live only where its own touch is surely newer.
#[test]
fn a_lesson_does_not_overwrite_what_another_peer_pushed_live() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h1").peer("h2").table(counters("t")));
    let mut teacher = Script::call(&mut world, node, "h1", "2.1");
    let mut other = Script::call(&mut world, node, "h2", "2.1");
    other.define(&mut world, 1, &counters("t"));
    other.update(&mut world, Some(1), None, 1, 50);
    teacher.define(&mut world, 1, &counters("t"));
    teacher.update(&mut world, Some(1), Some(100), 1, 49);
    teacher.update(&mut world, None, Some(100), 2, 49);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 50);
    assert!(gpc0(&world, node, 1).unwrap().1 > 59_000);
    assert_eq!(gpc0(&world, node, 2).unwrap().0, 49);
    // The teacher's own live update is as good as any.
    teacher.control(&mut world, Control::ResyncFinished);
    teacher.update(&mut world, Some(9), None, 1, 51);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 51);
}

/// A teacher without expiry has no lifetimes to tell; its lesson is one all the same.
#[test]
fn an_untimed_lesson_of_an_endless_table_does_not_overwrite_live_updates() {
    let endless = || counters("t").with_expire(None);
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("teacher").peer("h").table(endless()));
    let teacher = world.add(Setup::new("teacher").table(endless()).dynamic_peers(1));
    let mut live = Script::call(&mut world, node, "h", "2.1");
    live.define(&mut world, 1, &endless());
    live.control(&mut world, Control::ResyncFinished);
    live.update(&mut world, Some(1), None, 1, 50);
    learn(&world, teacher, 1, 49, 0);
    learn(&world, teacher, 2, 49, 0);
    assert!(world.run_until(8_000, |world| gpc0(world, node, 2).is_some()));
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 50);
}

/// peers-protocol §13.2: after a lesson live updates go on from the last acknowledgement.
#[test]
fn local_changes_that_were_not_acknowledged_are_pushed_again_after_a_lesson() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncFinished);
    set(&world, node, 1, 1);
    world.run(2);
    peer.ack(&mut world, 1, 1);
    set(&world, node, 2, 2);
    learn(&world, node, 3, 3, 9_000);
    world.run(2_000);
    assert_eq!(peer.news(&mut world), ["request", "confirm", "t 1 1 1 srv1", "t 2 2 2 srv2"]);
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(peer.news(&mut world).len(), 4, "all three, and the end");
    peer.control(&mut world, Control::ResyncConfirm);
    assert_eq!(peer.news(&mut world), ["t 6 2 2 srv2 left=57997"], "not what was acknowledged or learned");
    peer.ack(&mut world, 1, 6);
    peer.close(&mut world);
    world.run(2);
    assert!(Script::call(&mut world, node, "h", "2.1").news(&mut world).is_empty());
}

/// The same between nodes: what one changed while nobody heard it must not be lost in a lesson to a node that knows an
/// older value from somebody else's lesson.
#[test]
fn a_change_made_alone_reaches_a_node_that_learned_an_older_value_elsewhere() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let node = world.add(Setup::new("n").peer("a").peer("h").table(counters("t")));
        let mut other = Script::call(&mut world, node, "h", "2.1");
        other.define(&mut world, 1, &counters("t"));
        other.update(&mut world, Some(1), Some(30_000), 1, 1);
        other.control(&mut world, Control::ResyncFinished);
        let mut setup = Setup::new("a").table(counters("t"));
        setup = if seed % 2 == 0 { setup.peer("n") } else { setup.dynamic_peers(1) };
        world.nodes[node].listens = false;
        let alone = world.add(setup);
        set(&world, alone, 1, 2);
        world.nodes[node].listens = seed % 2 == 0;
        world.run(8_000);
        assert_eq!(gpc0(&world, node, 1).map(|(value, _)| value), Some(2), "seed {seed}");
    }
}

/// What a peer's process acknowledged, the next one does not have; and of a lesson it takes only what it does not know.
#[test]
fn a_change_reaches_a_restarted_node_that_learned_an_older_value_elsewhere() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let restarting = || Setup::new("n").peer("old").peer("a").table(counters("t"));
        let first = world.add(restarting());
        // It knows nothing of the other's changes, as they are not connected.
        let stale = world.add(Setup::new("old").peer("n").table(counters("t")));
        learn(&world, stale, 1, 1, 50_000);
        let writer = world.add(Setup::new("a").peer("n").table(counters("t")));
        world.run(15_000);
        set(&world, writer, 1, 2);
        world.run(5_000);
        assert_eq!(gpc0(&world, first, 1).map(|(value, _)| value), Some(2), "seed {seed}");
        world.kill(first);
        world.run(100);
        let next = world.add(restarting());
        world.run(15_000);
        let (value, left) = gpc0(&world, next, 1).unwrap();
        assert_eq!(value, 2, "seed {seed}");
        assert!(left <= 60_000 - 20_000, "seed {seed}: {left}");
    }
}

/// A HAProxy that starts counts on while its lesson comes; what it told in this session would set it back.
#[test]
fn a_peer_is_not_taught_what_it_told_in_this_session() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").peer("other").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), None, 1, 11);
    peer.update(&mut world, Some(2), None, 2, 22);
    let mut other = Script::call(&mut world, node, "other", "2.1");
    other.define(&mut world, 1, &counters("t"));
    other.update(&mut world, Some(1), None, 2, 33);
    other.update(&mut world, Some(2), None, 3, 44);
    peer.news(&mut world);
    let keys = |lines: Vec<String>| -> Vec<String> {
        let updates = lines.iter().filter(|line| line.starts_with("t "));
        updates.map(|line| line.split(' ').skip(2).take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(keys(peer.news(&mut world)), ["2 33", "3 44"]);
    // In another session it may be another process, which knows nothing.
    peer.close(&mut world);
    world.run(2);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.control(&mut world, Control::ResyncRequest);
    assert_eq!(keys(peer.news(&mut world)), ["1 11", "2 33", "3 44"]);
}

/// The same in a table that was made from the peer's definition, whether its updates came with that or later.
#[test]
fn a_peer_is_not_taught_what_it_told_of_a_table_it_brought() {
    for at_once in [true, false] {
        let mut world = World::new(1);
        let node = world.add(Setup::new("n").peer("h").dynamic_tables(3));
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        if at_once {
            let mut all = Vec::new();
            Definition::from_table(1, &counters("t")).unwrap().encode(Padding::None, &mut all).unwrap();
            all.extend(update(Some(1), None, 1, 11));
            peer.say(&mut world, &all);
        } else {
            peer.define(&mut world, 1, &counters("t"));
            peer.update(&mut world, Some(1), None, 1, 11);
        }
        peer.news(&mut world);
        learn(&world, node, 2, 22, 9_000);
        peer.control(&mut world, Control::ResyncRequest);
        let news = peer.news(&mut world);
        let taught: Vec<_> = news.iter().filter(|line| line.starts_with("t ")).collect();
        assert!(matches!(&taught[..], [one] if one.contains(" 2 22 ")), "at once {at_once}: {taught:?}");
    }
}

/// A peer that is alive and does not teach must not keep this side from asking another.
#[test]
fn a_lesson_that_does_not_come_is_given_up() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("mute").peer("h").table(counters("t")));
    let mut mute = Script::call(&mut world, node, "mute", "2.1");
    assert_eq!(mute.news(&mut world), ["request"]);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    for second in 0..31 {
        assert!(!peer.news(&mut world).contains(&"request".to_owned()), "after {second} s");
        world.run(1_000);
        mute.control(&mut world, Control::Heartbeat);
        peer.control(&mut world, Control::Heartbeat);
    }
    assert_eq!(peer.news(&mut world), ["request"]);
    peer.control(&mut world, Control::ResyncFinished);
    assert!(world.nodes[node].section.is_up_to_date());
}

/// A process that did not expect one asks a remote peer, and hears of the end of that lesson while another is running.
#[test]
fn a_predecessor_that_comes_unexpected_goes_before_the_peer_that_was_asked() {
    for complete in [true, false] {
        let mut world = World::new(1);
        let node = world.add(Setup::new("n").peer("h").peer("i").table(counters("t")));
        let mut remote = Script::call(&mut world, node, "h", "2.1");
        assert_eq!(remote.news(&mut world), ["request"]);
        let mut other = Script::call(&mut world, node, "i", "2.1");
        let mut old = Script::predecessor(&mut world, node).accepted(&mut world);
        remote.control(&mut world, Control::ResyncFinished);
        assert_eq!(remote.news(&mut world), ["confirm"]);
        assert!(!world.nodes[node].section.is_up_to_date(), "the predecessor still teaches");
        assert_eq!(other.news(&mut world), [""; 0], "one lesson at a time");
        old.define(&mut world, 1, &counters("t"));
        let end = if complete { Control::ResyncFinished } else { Control::ResyncPartial };
        old.control(&mut world, end);
        assert_eq!(world.nodes[node].section.is_up_to_date(), complete);
        let asked: &[&str] = if complete { &[] } else { &["request"] };
        assert_eq!(other.news(&mut world), asked, "complete: {complete}");
        world.run(10_000);
        assert_eq!(remote.news(&mut world), [""; 0], "its lesson counts");
    }
}

/// The process before this one did not store the counter: what it teaches says nothing of it, and peers know it.
#[test]
fn a_column_that_a_reload_adds_is_asked_of_the_peers_and_not_taught_before() {
    let before = table("t", KeyType::Integer, 60_000, &["gpt0"]);
    let after = table("t", KeyType::Integer, 60_000, &["gpt0", "gpc0"]);
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").peer("i").table(after.clone()).expects_predecessor());
    let mut old = Script::predecessor(&mut world, node).accepted(&mut world);
    let mut asked = Script::call(&mut world, node, "h", "2.1");
    let mut other = Script::call(&mut world, node, "i", "2.1");
    old.define(&mut world, 1, &before);
    let tag = |id: u8, key: u8, values: &[u8]| {
        with_payload(10, 0x85, &[&[0, 0, 0, id, 0, 0, 0xc3, 0x50, 0, 0, 0, key], values].concat())
    };
    old.say(&mut world, &tag(1, 1, &[3]));
    old.control(&mut world, Control::ResyncFinished);
    // One that is taught meanwhile is not told 0.
    other.control(&mut world, Control::ResyncRequest);
    let taught = other.news(&mut world).join(", ");
    assert!(taught.contains("t 1 1 3 left="), "{taught}");
    other.control(&mut world, Control::ResyncConfirm);
    assert!(asked.news(&mut world).contains(&"request".to_owned()));
    asked.define(&mut world, 1, &after);
    asked.say(&mut world, &tag(1, 1, &[3, 5]));
    asked.say(&mut world, &tag(2, 2, &[4, 6]));
    asked.control(&mut world, Control::ResyncFinished);
    other.control(&mut world, Control::ResyncRequest);
    let taught = other.news(&mut world).join(", ");
    assert!(taught.contains(" 1 3 5 left=") && taught.contains(" 2 4 6 left="), "{taught}");
    let lacks = |event: &SessionEvent| matches!(event, SessionEvent::LessonLacks { .. });
    assert_eq!(world.nodes[node].count(lacks), 1);
}

/// The same of a whole table.
#[test]
fn a_table_that_a_reload_adds_is_asked_of_the_peers() {
    for both in [false, true] {
        let mut world = World::new(1);
        let setup = Setup::new("n").peer("h").table(counters("t")).table(counters("u")).expects_predecessor();
        let node = world.add(setup);
        let mut old = Script::predecessor(&mut world, node).accepted(&mut world);
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        old.define(&mut world, 1, &counters("t"));
        if both {
            old.define(&mut world, 2, &counters("u"));
        }
        old.control(&mut world, Control::ResyncFinished);
        assert_eq!(peer.news(&mut world).contains(&"request".to_owned()), !both);
    }
}
