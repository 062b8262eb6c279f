//! Which of two touches of an entry is the newest: by remaining lifetimes, and by ids that a lesson used (peers-protocol §8.3,
//! §12.1, §13.2).

use haproxy_peers::Control;

use crate::support::{Script, Setup, World, counters, gpc0, set};

/// peers-protocol §12.1, §13.2: ids go round, in 2.5 days at 20,000 changes a second. Those of a lesson count as repeated
/// in what follows the lesson, and mean new changes a revolution later.
#[test]
fn ids_of_a_lesson_are_new_changes_a_revolution_later() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").peer("other").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    for (id, number) in [(5_000, 1), (5_500, 2), (6_000, 3)] {
        peer.update(&mut world, Some(id), Some(20_000), number, 1);
    }
    peer.control(&mut world, Control::ResyncFinished);
    for (id, number) in [(5_000, 1), (5_500, 2), (6_000, 3)] {
        peer.update(&mut world, Some(id), None, number, 1);
        assert!(gpc0(&world, node, number).is_some_and(|(_, left)| left <= 20_000), "a repetition");
    }
    let mut other = Script::call(&mut world, node, "other", "2.1");
    other.define(&mut world, 1, &counters("t"));
    other.update(&mut world, Some(1), None, 2, 2);
    for quarter in 1..=4_u8 {
        peer.update(&mut world, Some((u32::from(quarter) << 30).wrapping_add(6_000)), None, 9, quarter);
    }
    for (id, number) in [(5_000, 1), (5_500, 2), (5_600, 4)] {
        peer.update(&mut world, Some(id), None, number, 77);
        let entry = gpc0(&world, node, number);
        assert!(entry.is_some_and(|(value, left)| value == 77 && left > 59_000), "key {number}: {entry:?}");
    }
}

/// Two peers that were cut off from each other teach a node that starts. The one that is asked last has the newer value, told
/// with more left of its life; what it repeats of it after its lesson is no new touch.
#[test]
fn of_two_lessons_the_newest_touch_wins_and_its_repetition_keeps_its_lifetime() {
    for newest_first in [true, false] {
        let mut world = World::new(1);
        let node = world.add(Setup::new("n").peer("h1").peer("h2").table(counters("t")));
        let mut peers = ["h1", "h2"].map(|name| Script::call(&mut world, node, name, "2.1"));
        for (place, peer) in peers.iter_mut().enumerate() {
            let (value, left) = if (place == 0) == newest_first { (2, 50_000) } else { (1, 30_000) };
            assert!(peer.news(&mut world).contains(&"request".to_owned()));
            peer.define(&mut world, 1, &counters("t"));
            peer.update(&mut world, Some(7), Some(left), 1, value);
            peer.control(&mut world, Control::ResyncFinished);
        }
        let newest = if newest_first { &mut peers[0] } else { &mut peers[1] };
        newest.update(&mut world, Some(7), None, 1, 2);
        let (value, left) = gpc0(&world, node, 1).unwrap();
        assert_eq!(value, 2, "newest first: {newest_first}");
        assert!((49_000..50_000).contains(&left), "newest first: {newest_first}: {left}");
    }
}

/// Without the lesson it would be a live update. So it counts where lifetimes do not tell which touch was first, unless a live update
/// told it before the lesson.
#[test]
fn what_a_lesson_told_first_counts_when_it_comes_again_unless_it_is_surely_older() {
    for (heard, left, by_other, value) in
        [(4, 59_000, true, 2), (4, 59_000, false, 2), (4, 30_000, true, 1), (5, 59_000, true, 1)]
    {
        let mut world = World::new(1);
        let node = world.add(Setup::new("n").peer("h").peer("other").table(counters("t")));
        let mut peer = Script::call(&mut world, node, "h", "2.1");
        peer.define(&mut world, 1, &counters("t"));
        peer.update(&mut world, Some(heard), None, if heard == 5 { 1 } else { 9 }, 2);
        if by_other {
            let mut other = Script::call(&mut world, node, "other", "2.1");
            other.define(&mut world, 1, &counters("t"));
            other.update(&mut world, Some(1), None, 1, 1);
        } else {
            set(&world, node, 1, 1);
        }
        peer.update(&mut world, Some(5), Some(left), 1, 2);
        peer.control(&mut world, Control::ResyncFinished);
        let read = |world: &World| gpc0(world, node, 1).unwrap();
        let case = format!("{heard} {left} {by_other}");
        assert_eq!(read(&world).0, 1, "{case}: no lesson sets back what is perhaps newer");
        world.run(2_000);
        peer.update(&mut world, Some(5), None, 1, 2);
        let (holds, lives) = read(&world);
        assert_eq!(holds, value, "{case}");
        assert!(lives < 58_500, "{case}: a repetition is no new touch, {lives} ms left");
    }
}

/// A peer that restarted learned an older value than the process before it had told.
#[test]
fn a_lesson_does_not_set_back_what_its_teacher_told_before_it_restarted() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.control(&mut world, Control::ResyncPartial);
    peer.update(&mut world, Some(1), None, 1, 9);
    peer.close(&mut world);
    world.run(6_000);
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    assert!(peer.news(&mut world).contains(&"request".to_owned()));
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), Some(20_000), 1, 8);
    let (value, left) = gpc0(&world, node, 1).unwrap();
    assert_eq!(value, 9);
    assert!(left > 53_000, "{left}");
    // What it touched since is newer.
    peer.update(&mut world, Some(2), Some(59_900), 1, 10);
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 10);
}

/// Where entries live for another time elsewhere, a lifetime tells less of when an entry was touched.
#[test]
fn a_lifetime_tells_no_age_where_lives_differ_by_more() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h1").peer("h2").table(counters("t")));
    for (name, expire, value, left) in [("h1", 60_000, 1, 15_000), ("h2", 90_000, 2, 45_000)] {
        let mut peer = Script::call(&mut world, node, name, "2.1");
        peer.define(&mut world, 1, &counters("t").with_expire(Some(expire)));
        peer.update(&mut world, Some(1), Some(left), 1, value);
        peer.control(&mut world, Control::ResyncFinished);
    }
    assert_eq!(gpc0(&world, node, 1).unwrap().0, 1, "both may have been touched at the same time");
}

/// HAProxy pushes what waited for a session without lifetimes, and teaches it afterwards with what is left: the same session's
/// later word is the newer one.
#[test]
fn a_lesson_sets_the_lifetime_of_what_its_peer_pushed_in_the_same_session() {
    let mut world = World::new(1);
    let node = world.add(Setup::new("n").peer("h").table(counters("t")));
    let mut peer = Script::call(&mut world, node, "h", "2.1");
    peer.define(&mut world, 1, &counters("t"));
    peer.update(&mut world, Some(1), None, 1, 9);
    assert!(gpc0(&world, node, 1).unwrap().1 > 59_000);
    peer.update(&mut world, Some(1), Some(3_000), 1, 9);
    peer.control(&mut world, Control::ResyncFinished);
    let (value, left) = gpc0(&world, node, 1).unwrap();
    assert!(value == 9 && left <= 3_000, "{value}, {left} ms left");
}
