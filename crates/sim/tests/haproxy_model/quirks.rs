//! Each quirk, on and off.

use std::collections::BTreeSet;

use haproxy_peers::{Control, WireFrequency};
use stickd_sim::{HaproxyConfig, Link, Process, Quirks, Release, Want};

use crate::node::config;
use crate::wire::Wire;

/// The newest release, with a change.
fn with(change: impl FnOnce(&mut Quirks)) -> Quirks {
    let mut quirks = Release::V3_5Dev.quirks();
    change(&mut quirks);
    quirks
}

fn alone(change: impl FnOnce(&mut HaproxyConfig), quirks: Quirks) -> Wire {
    let mut config = config("a", &["b"], quirks);
    change(&mut config);
    Wire::alone(config)
}

/// A lesson given to `b`, and the ids in it.
fn lesson(wire: &mut Wire) -> Vec<String> {
    wire.heard();
    wire.say(Control::ResyncRequest);
    wire.heard()
}

#[test]
fn speaks_2_1() {
    for (new, status, version) in [(true, "200\n", "HAProxyS 2.1\n"), (false, "502\n", "HAProxyS 2.0\n")] {
        let mut wire = Wire::alone(config("a", &["b"], with(|quirks| quirks.speaks_2_1 = new)));
        assert_eq!(wire.hello(1, "a", "b", usize::MAX), status);
        let mut model =
            stickd_sim::Haproxy::new(config("a", &["b"], with(|quirks| quirks.speaks_2_1 = new)), 5);
        let Some(Want::Connect { link, .. }) = model.want() else { panic!("no call") };
        model.connected(5, link);
        let mut hello = Vec::new();
        model.transmit(5, link, 1_000, &mut hello);
        assert!(hello.starts_with(version.as_bytes()));
    }
    // Lessons to whom 2.0 is spoken are untimed.
    let mut wire = Wire::ready(with(|_| {}));
    wire.write(1);
    assert_eq!(lesson(&mut wire), ["timed 1", "finished"]);
    wire.hang_up();
    wire.call(0);
    assert_eq!(lesson(&mut wire), ["update 1", "finished"]);
}

#[test]
fn sends_definition_tail() {
    for tail in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.sends_definition_tail = tail));
        wire.write(1);
        wire.heard();
        assert_eq!(wire.definitions[0].tail.is_some(), tail);
    }
}

#[test]
fn sends_heartbeats() {
    for heartbeats in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.sends_heartbeats = heartbeats));
        wire.wait(3_000);
        assert_eq!(wire.heard().contains(&"heartbeat".into()), heartbeats);
        wire.wait(8_000);
        assert_eq!((wire.is_open(), wire.model.deaths()), (!heartbeats, u64::from(heartbeats)));
    }
}

#[test]
fn idle_close_ms() {
    for idle in [None, Some(5_000)] {
        let quirks = with(|quirks| (quirks.idle_close_ms, quirks.sends_heartbeats) = (idle, false));
        let mut wire = Wire::ready(quirks);
        wire.wait(4_999);
        assert!(wire.is_open());
        wire.wait(1);
        assert_eq!(wire.is_open(), idle.is_none());
        // And it calls at once.
        let calls =
            wire.wants.iter().filter(|(at, want)| *at == wire.now && matches!(want, Want::Connect { .. }));
        assert_eq!(calls.count(), usize::from(idle.is_some()));
    }
}

#[test]
fn connect_timeout_ms() {
    for patience in [1_000, 5_000] {
        let quirks = with(|quirks| quirks.connect_timeout_ms = patience);
        let mut model = stickd_sim::Haproxy::new(config("a", &["b"], quirks), 0);
        let Some(Want::Connect { link, .. }) = model.want() else { panic!("no call") };
        model.handle_timeout(patience - 1);
        assert_eq!(model.want(), None);
        model.handle_timeout(patience);
        assert_eq!(model.want(), Some(Want::Close(link)));
    }
}

#[test]
fn forgets_life_at_collision() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.forgets_life_at_collision = quirk));
        wire.call(1);
        assert_eq!(wire.model.collisions(), 1);
        wire.wait(2_050);
        assert_eq!(wire.is_open(), !quirk);
    }
}

#[test]
fn unknown_tables_are_no_life() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.unknown_tables_are_no_life = quirk));
        for _ in 0..11 {
            wire.wait(1_000);
            if wire.is_open() {
                wire.define("unknown");
            }
        }
        assert_eq!(wire.is_open(), !quirk);
    }
}

#[test]
fn misreads_lengths() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.misreads_lengths = quirk));
        wire.heard();
        wire.define(&"n".repeat(130));
        assert_eq!(wire.heard(), if quirk { &["protocol error"][..] } else { &[] });
        assert_eq!(wire.is_open(), !quirk);
    }
}

#[test]
fn lessons_are_always_partial() {
    for (quirk, end) in [(true, "partial"), (false, "finished")] {
        let mut wire = Wire::ready(with(|quirks| quirks.lessons_are_always_partial = quirk));
        assert_eq!(lesson(&mut wire).last().unwrap(), end);
    }
}

#[test]
fn teaches_from_acked() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.teaches_from_acked = quirk));
        (1..=3).for_each(|key| wire.write(key));
        wire.ack(1);
        let order = if quirk { [2, 3, 1] } else { [1, 2, 3] };
        lesson(&mut wire);
        assert_eq!(wire.updates.iter().map(|update| update.id).collect::<Vec<_>>(), order);
        wire.say(Control::ResyncConfirm);
        assert_eq!(wire.heard(), if quirk { &["update 2", "implied 3"][..] } else { &[] });
    }
}

#[test]
fn ignores_acks_while_teaching() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.ignores_acks_while_teaching = quirk));
        wire.write(1);
        lesson(&mut wire);
        wire.ack(1);
        wire.hang_up();
        wire.call(1);
        assert_eq!(wire.heard(), if quirk { &["define 1", "update 1"][..] } else { &[] });
    }
}

/// Whether a first session gets what was written, when ids are in the upper half.
fn pushes_upper_half(quirks: Quirks) -> bool {
    let mut config = config("a", &["b"], quirks);
    config.tables[0].first_update = 3_000_000_000;
    let mut wire = Wire::ready_with(config);
    wire.write(1);
    wire.heard().contains(&"update 3000000001".into())
}

#[test]
fn resets_future_cursor() {
    for quirk in [true, false] {
        let quirks =
            with(|quirks| (quirks.pushes_by_signed_distance, quirks.resets_future_cursor) = (true, quirk));
        assert_eq!(pushes_upper_half(quirks), quirk);
    }
}

#[test]
fn pushes_by_signed_distance() {
    for quirk in [true, false] {
        let quirks =
            with(|quirks| (quirks.pushes_by_signed_distance, quirks.resets_future_cursor) = (quirk, false));
        assert_eq!(pushes_upper_half(quirks), !quirk);
    }
}

#[test]
fn bounds_wait_for_predecessor() {
    for quirk in [true, false] {
        let quirks = with(|quirks| quirks.bounds_wait_for_predecessor = quirk);
        let mut wire = alone(|config| config.has_predecessor = true, quirks);
        wire.wait(9_999);
        assert!(!wire.model.is_up_to_date());
        wire.wait(50_001);
        assert_eq!(wire.model.is_up_to_date(), quirk);
    }
}

#[test]
fn max_updates_at_once() {
    for (most, explicit) in [(Some(200), 3), (Some(100), 5), (None, 1)] {
        let mut wire = alone(|_| {}, with(|quirks| quirks.max_updates_at_once = most));
        wire.wait(11_000);
        (1..=450).for_each(|key| wire.write(key));
        wire.call(1);
        let said = wire.heard();
        assert_eq!(said.len(), 451);
        assert_eq!(said.iter().filter(|word| word.starts_with("update")).count(), explicit);
    }
}

#[test]
fn clamps_lifetimes() {
    for (quirk, left) in [(true, 60_000), (false, 100_000)] {
        let mut wire = Wire::ready(with(|quirks| quirks.clamps_lifetimes = quirk));
        wire.learn(Some(1), Some(100_000), 1);
        assert_eq!(wire.remaining(1), Some(left));
    }
}

#[test]
fn keeps_expiry_of_known_entries() {
    for (quirk, left) in [(true, 10_000), (false, 60_000)] {
        let mut wire = Wire::ready(with(|quirks| quirks.keeps_expiry_of_known_entries = quirk));
        wire.learn(Some(1), Some(10_000), 1);
        wire.learn(Some(2), None, 1);
        assert_eq!(wire.remaining(1), Some(left));
        wire.learn(Some(3), Some(20_000), 1);
        assert_eq!(wire.remaining(1), Some(20_000));
    }
}

#[test]
fn frees_short_lifetimes_late() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.frees_short_lifetimes_late = quirk));
        wire.learn(Some(1), Some(1_000), 1);
        wire.wait(1_000);
        assert_eq!(wire.remaining(1), None);
        lesson(&mut wire);
        assert_eq!(wire.updates.len(), usize::from(quirk));
        assert!(wire.updates.iter().all(|update| update.update.header.lifetime_ms == Some(0)));
    }
}

#[test]
fn acks_no_lessons() {
    for quirk in [true, false] {
        let mut wire = alone(|_| {}, with(|quirks| quirks.acks_no_lessons = quirk));
        wire.call(1);
        assert_eq!(wire.heard(), ["request"]);
        wire.learn(Some(5), Some(1_000), 1);
        assert_eq!(wire.heard(), if quirk { &[][..] } else { &["ack 7:5"] });
        wire.say(Control::ResyncFinished);
        assert_eq!(wire.heard(), ["confirm"]);
        assert!(wire.model.is_up_to_date());
        wire.learn(Some(6), None, 1);
        assert_eq!(wire.heard(), ["ack 7:6"]);
    }
}

#[test]
fn swaps_implied_ids() {
    for (quirk, ids) in [(true, [1, 0x0200_0000, 0x0100_0002]), (false, [1, 2, 3])] {
        let mut wire = Wire::ready(with(|quirks| quirks.swaps_implied_ids = quirk));
        wire.heard();
        for (form, id) in [Some(1), None, None].into_iter().zip(ids) {
            wire.learn(form, None, 1);
            assert_eq!(wire.heard(), [format!("ack 7:{id}")]);
        }
    }
}

#[test]
fn learned_id_offset() {
    for offset in [29, 1 << 31] {
        let mut wire = Wire::ready(with(|quirks| quirks.learned_id_offset = offset));
        wire.write(1);
        wire.learn(Some(9), None, 2);
        wire.ack(1);
        wire.write(3);
        assert!(lesson(&mut wire).contains(&format!("timed {}", offset + 2)));
        assert_eq!(wire.updates.iter().map(|update| update.id).collect::<Vec<_>>(), [3, offset + 2, 1]);
    }
}

#[test]
fn renumbers_waiting_entries() {
    for (quirk, id) in [(true, 3), (false, 1)] {
        let mut wire = alone(|_| {}, with(|quirks| quirks.renumbers_waiting_entries = quirk));
        (0..3).for_each(|_| wire.write(1));
        wire.wait(11_000);
        wire.call(1);
        assert_eq!(wire.heard(), ["define 1".into(), format!("update {id}")]);
    }
}

#[test]
fn holds_back_learned_entries() {
    for quirk in [true, false] {
        let mut wire = Wire::ready(with(|quirks| quirks.holds_back_learned_entries = quirk));
        wire.learn(Some(1), None, 1);
        wire.heard();
        wire.write(1);
        assert_eq!(wire.heard(), if quirk { &[][..] } else { &["define 1", "update 2"] });
    }
}

#[test]
fn learns_rates_of_the_future() {
    for (quirk, rate) in [(true, 34), (false, 26)] {
        let mut wire = Wire::ready(with(|quirks| quirks.learns_rates_of_the_future = quirk));
        wire.define("t");
        wire.update(Some(1), None, 1, WireFrequency { age: 4_000, current: 20, previous: 10 });
        assert_eq!(wire.model.read(wire.now, 0, 1).unwrap().rate, rate);
    }
}

#[test]
fn needs_no_wait_without_remotes() {
    for quirk in [true, false] {
        let quirks = with(|quirks| quirks.needs_no_wait_without_remotes = quirk);
        let mut wire = alone(|config| config.peers.clear(), quirks);
        assert_eq!(wire.model.is_up_to_date(), quirk);
        wire.wait(5_000);
        assert!(wire.model.is_up_to_date());
    }
}

/// A peer that takes no updates is not looked after; when it confirms at last and is silent then, the time it has left
/// depends on whether the timer went on.
#[test]
fn rearms_reconnect_while_pushing() {
    let life = |quirk| {
        let mut wire = Wire::ready(with(|quirks| quirks.rearms_reconnect_while_pushing = quirk));
        lesson(&mut wire);
        wire.write(1);
        wire.wait(16_000);
        assert!(wire.is_open());
        wire.say(Control::ResyncConfirm);
        let confirmed = wire.now;
        (0..20_000).for_each(|_| {
            if wire.is_open() {
                wire.wait(1);
            }
        });
        wire.now - confirmed
    };
    assert_eq!(life(false), 5_000);
    assert!((5_001..=10_000).contains(&life(true)), "{}", life(true));
}

#[test]
fn successor_retry_ms() {
    for pause in [500, 1] {
        let quirks = with(|quirks| quirks.successor_retry_ms = pause);
        let mut model = stickd_sim::Haproxy::new(config("a", &[], quirks), 0);
        model.stop(1_000);
        let call = |model: &mut stickd_sim::Haproxy, now| {
            let Some(Want::Connect { link, peer }) = model.want() else { return false };
            assert_eq!(peer, "a");
            // The successor is there, but says nothing yet.
            model.connected(now, link);
            model.closed(now, link);
            true
        };
        assert!(call(&mut model, 1_000));
        model.handle_timeout(1_000 + pause - 1);
        assert!(!call(&mut model, 1_000 + pause - 1));
        model.handle_timeout(1_000 + pause);
        assert!(call(&mut model, 1_000 + pause));
        model.handle_timeout(6_000);
        assert!(model.is_over());
    }
}

#[test]
fn teaches_successor_only_when_up_to_date() {
    for quirk in [true, false] {
        let quirks = with(|quirks| quirks.teaches_successor_only_when_up_to_date = quirk);
        let mut model = stickd_sim::Haproxy::new(config("a", &["b"], quirks), 0);
        model.closed(0, Link(1 << 63 | 1));
        while model.want().is_some() {}
        model.stop(10);
        assert_eq!((model.is_over(), model.want().is_none()), (quirk, quirk));
    }
}

/// The releases that have each quirk (peers-protocol §17, §18).
#[test]
fn each_release_has_its_own() {
    use Release::{V1_6, V1_7, V1_8, V2_0, V2_2, V2_4, V2_6, V2_8, V3_0, V3_2, V3_4, V3_5Dev};
    let check = |has: fn(&Quirks) -> bool, expected: &[Release]| {
        let found: BTreeSet<_> = Release::ALL.into_iter().filter(|release| has(&release.quirks())).collect();
        assert_eq!(found, expected.iter().copied().collect());
    };
    check(|quirks| !quirks.speaks_2_1, &[V1_6]);
    check(|quirks| !quirks.sends_definition_tail, &[V1_6, V1_7]);
    check(|quirks| !quirks.sends_heartbeats, &[V1_6, V1_7, V1_8]);
    check(|quirks| quirks.idle_close_ms.is_some(), &[V1_6, V1_7]);
    check(|quirks| quirks.connect_timeout_ms == 1_000, &[V2_8, V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.forgets_life_at_collision, &[V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.unknown_tables_are_no_life, &[V2_0, V2_2, V2_4, V2_6]);
    check(|quirks| quirks.misreads_lengths, &[V2_0, V2_2]);
    check(|quirks| quirks.lessons_are_always_partial, &[V2_0]);
    check(|quirks| !quirks.teaches_from_acked, &[V1_6, V1_7, V1_8, V2_0, V2_2]);
    check(|quirks| !quirks.ignores_acks_while_teaching, &[V1_6, V1_7, V1_8, V2_0, V2_2]);
    check(|quirks| !quirks.resets_future_cursor, &[V1_6, V1_7, V1_8, V2_0, V2_2]);
    check(|quirks| !quirks.bounds_wait_for_predecessor, &[V1_6, V1_7, V1_8, V2_0, V2_2]);
    check(|quirks| quirks.pushes_by_signed_distance, &[V1_6, V1_7, V1_8, V2_0, V2_2]);
    check(|quirks| quirks.max_updates_at_once == Some(200), &[V2_8, V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.clamps_lifetimes, &[V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.keeps_expiry_of_known_entries, &[V1_8]);
    check(|quirks| !quirks.frees_short_lifetimes_late, &[V3_4, V3_5Dev]);
    check(|quirks| quirks.acks_no_lessons, &[V3_4, V3_5Dev]);
    check(|quirks| quirks.swaps_implied_ids, &[V3_4, V3_5Dev]);
    check(|quirks| quirks.learned_id_offset != 1 << 31, &[V1_6]);
    check(|quirks| !quirks.renumbers_waiting_entries, &[V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.holds_back_learned_entries, &[V3_0]);
    check(|quirks| quirks.learns_rates_of_the_future, &[V1_6]);
    check(|quirks| quirks.needs_no_wait_without_remotes, &[V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.rearms_reconnect_while_pushing, &[V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.successor_retry_ms == 500, &[V2_8, V3_0, V3_2, V3_4, V3_5Dev]);
    check(|quirks| quirks.teaches_successor_only_when_up_to_date, &[V2_8, V3_0, V3_2, V3_4, V3_5Dev]);
}
