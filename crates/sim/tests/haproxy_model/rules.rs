//! What every release does.

use haproxy_peers::Control;
use stickd_sim::{Process, Release, Want, Write};

use crate::node::config;
use crate::wire::Wire;

fn ready() -> Wire {
    Wire::ready(Release::V3_2.quirks())
}

/// peers-protocol §2.2.
#[test]
fn hellos_are_judged() {
    for (minor, target, sender, status) in [
        (2, "a", "b", "502\n"),
        (1, "x", "b", "503\n"),
        (1, "a", "x", "504\n"),
        (1, "a", "b", "200\n"),
        (1, "a", "a", "200\n"),
    ] {
        let mut wire = Wire::alone(config("a", &["b"], Release::V3_2.quirks()));
        assert_eq!(wire.hello(minor, target, sender, usize::MAX), status);
        assert_eq!(wire.is_open(), status == "200\n");
    }
    // A second process of its own name is told to wait (§2.5).
    let mut wire = Wire::alone(config("a", &["b"], Release::V3_2.quirks()));
    assert_eq!(wire.hello(1, "a", "a", usize::MAX), "200\n");
    assert_eq!(wire.hello(1, "a", "a", usize::MAX), "300\n");
}

/// §2.4, §18.9: what a hello in pieces announces is not noted.
#[test]
fn a_hello_in_pieces_leaves_the_version() {
    for (piece, word) in [(usize::MAX, "update 1"), (5, "timed 1")] {
        let mut wire = ready();
        wire.write(1);
        wire.hang_up();
        assert_eq!(wire.hello(0, "a", "b", piece), "200\n");
        wire.heard();
        wire.say(Control::ResyncRequest);
        assert_eq!(wire.heard(), [word, "finished"]);
    }
}

/// §13.2: from the end of a lesson to its confirmation there are no updates.
#[test]
fn a_teacher_is_silent_until_it_is_confirmed() {
    let mut wire = ready();
    wire.say(Control::ResyncRequest);
    wire.heard();
    wire.write(1);
    wire.wait(20_000);
    assert_eq!(wire.heard(), Vec::<String>::new());
    wire.say(Control::ResyncConfirm);
    assert_eq!(wire.heard(), ["update 1"]);
}

/// §12.4: to whom teaches it nothing is pushed.
#[test]
fn a_learner_pushes_nothing_to_its_teacher() {
    let mut wire = Wire::alone(config("a", &["b"], Release::V3_2.quirks()));
    wire.call(1);
    wire.write(1);
    assert_eq!(wire.heard(), ["request"]);
    wire.say(Control::ResyncPartial);
    assert_eq!(wire.heard(), ["define 1", "update 1", "confirm"]);
    // An end that nobody waited for is confirmed as well.
    wire.say(Control::ResyncFinished);
    assert_eq!(wire.heard(), ["confirm"]);
}

/// §12.2: what was learned is taught, never pushed.
#[test]
fn learned_entries_are_for_lessons() {
    let mut wire = ready();
    wire.write(1);
    wire.learn(Some(1), None, 2);
    wire.hang_up();
    wire.call(1);
    assert_eq!(wire.heard(), ["define 1", "update 1"]);
    wire.say(Control::ResyncRequest);
    assert_eq!(wire.heard(), ["timed 1", "timed 2147483650", "finished"]);
}

/// §2.5: the new session wins, and the pause before the next call is 50 to 2049 ms.
#[test]
fn after_a_collision_the_pause_is_random() {
    let mut pauses = Vec::new();
    for seed in 0..50 {
        let mut config = config("a", &["b"], Release::V3_2.quirks());
        config.seed = seed;
        let mut wire = Wire::ready_with(config);
        wire.call(1);
        assert_eq!(wire.model.collisions(), 1);
        let start = wire.now;
        wire.hang_up();
        wire.wants.clear();
        wire.wait(3_000);
        assert!(matches!(wire.wants[0].1, Want::Connect { .. }));
        pauses.push(wire.wants[0].0 - start);
    }
    assert!(pauses.iter().all(|pause| (50..2_050).contains(pause)), "{pauses:?}");
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 40, "{pauses:?}");
}

/// stick-tables §5.4.
#[test]
fn a_full_table_loses_its_oldest() {
    let mut config = config("a", &[], Release::V3_2.quirks());
    config.tables[0].size = 3;
    let mut wire = Wire::alone(config);
    for key in [5, 6, 7, 5, 8] {
        wire.wait(10);
        wire.write(key);
    }
    assert_eq!(wire.model.keys(wire.now, 0), [5, 7, 8]);
    let mut config = crate::node::config("a", &[], Release::V3_2.quirks());
    config.tables[0].expire_ms = None;
    let mut wire = Wire::alone(config);
    wire.write(1);
    wire.wait(10_000_000);
    assert_eq!(wire.model.read(wire.now, 0, 1).map(|reading| reading.remaining_ms), Some(None));
}

/// §8.3: the lifetime of a table without expiry is sent as 0.
#[test]
fn a_table_without_expiry_sends_no_lifetime() {
    let mut config = config("a", &["b"], Release::V3_2.quirks());
    config.tables[0].expire_ms = None;
    let mut wire = Wire::ready_with(config);
    wire.write(1);
    wire.say(Control::ResyncRequest);
    wire.heard();
    assert_eq!(wire.updates[1].update.header.lifetime_ms, Some(0));
}

/// §8.3, §12.2: the last message wins, also an older one of a lesson, and what waits to be pushed goes out with its values.
#[test]
fn a_lesson_sets_back_what_was_changed_meanwhile() {
    let mut wire = Wire::alone(config("a", &["b"], Release::V3_2.quirks()));
    wire.call(1);
    assert!(wire.model.write(wire.now, Write { table: 0, key: 1, gpc0: 99, requests: 0 }));
    wire.learn(Some(1), None, 1);
    assert_eq!(wire.model.read(wire.now, 0, 1).unwrap().gpc0, 1);
    wire.say(Control::ResyncFinished);
    wire.heard();
    assert_eq!(wire.updates[0].update.values[0].1, [haproxy_peers::WireValue::Unsigned(1)]);
}
